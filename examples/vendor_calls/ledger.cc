#include "ledger.h"

#include <baton/baton.h>

#include <sqlite3.h>
#include <stdexcept>

namespace {

void check(int code, sqlite3* db) {
  if (code != SQLITE_OK) throw std::runtime_error(std::string("sqlite: ") + sqlite3_errmsg(db));
}

}  // namespace

// pinned_blocking: the call, and what is read afterwards (sqlite3_errmsg, and errno beneath it), are on
// one thread. SQLite itself would not need it; many libraries do.
ledger::ledger(const std::string& path) {
  const int code = baton::pinned_blocking([&] { return sqlite3_open(path.c_str(), &db_); });
  try {
    check(code, db_);
    check(sqlite3_busy_timeout(db_, 60'000), db_);
  } catch (...) {
    sqlite3_close(db_);
    throw;
  }
}

ledger::~ledger() {
  baton::pinned_blocking([&] { sqlite3_close(db_); });
}

void ledger::execute(const std::string& sql) {
  check(baton::pinned_blocking([&] { return sqlite3_exec(db_, sql.c_str(), nullptr, nullptr, nullptr); }), db_);
}

void ledger::create() {
  execute("PRAGMA journal_mode = WAL; PRAGMA synchronous = OFF; CREATE TABLE entries (fiber INTEGER, what TEXT)");
}

void ledger::add(int fiber, const std::string& what) {
  execute("INSERT INTO entries VALUES (" + std::to_string(fiber) + ", '" + what + "')");
}

int ledger::entries() {
  int n = -1;
  check(baton::pinned_blocking([&] {
          return sqlite3_exec(
              db_, "SELECT count(*) FROM entries",
              [](void* out, int, char** columns, char**) {
                *static_cast<int*>(out) = std::stoi(columns[0]);
                return 0;
              },
              &n, nullptr);
        }),
        db_);
  return n;
}
