// A table in an SQLite file that all fibers write to, each through a connection of its own. Writers wait
// for each other inside the library, where they block their threads.
#pragma once

#include <string>

struct sqlite3;

class ledger {
 public:
  // Throws std::runtime_error, here and below.
  explicit ledger(const std::string& path);
  ~ledger();
  ledger(const ledger&) = delete;
  ledger& operator=(const ledger&) = delete;

  void create();
  void add(int fiber, const std::string& what);
  [[nodiscard]] int entries();

 private:
  void execute(const std::string& sql);

  sqlite3* db_ = nullptr;
};
