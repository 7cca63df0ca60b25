// A table in an SQLite file that all fibers write to, each through a connection of its own. Writers wait for each other
// inside the library, where they block their threads.
#pragma once

#include <string>

struct sqlite3;

class ledger {
 public:
  // These functions throw std::runtime_error.
  explicit ledger(std::string path);
  ~ledger();
  ledger(const ledger&) = delete;
  ledger& operator=(const ledger&) = delete;

  void create();
  // Adds an entry. Does nothing if there is one already.
  void add(int fiber, const std::string& what);
  [[nodiscard]] int entries();

 private:
  class statement;
  void check(int code, int expected, const char* doing) const;

  const std::string path_;
  sqlite3* db_ = nullptr;
};
