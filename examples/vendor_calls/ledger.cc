#include "ledger.h"

#include "vendor_call.h"

#include <baton/baton.h>

#include <sqlite3.h>
#include <stdexcept>
#include <utility>

// A prepared statement: values are bound to it, and so can never be taken for SQL.
class ledger::statement {
 public:
  statement(const ledger& of, const char* sql) {
    of.check(sqlite3_prepare_v2(of.db_, sql, -1, &prepared_, nullptr), SQLITE_OK, "prepare");
  }
  ~statement() { sqlite3_finalize(prepared_); }
  statement(const statement&) = delete;
  statement& operator=(const statement&) = delete;
  [[nodiscard]] sqlite3_stmt* get() const { return prepared_; }

 private:
  sqlite3_stmt* prepared_ = nullptr;
};

void ledger::check(int code, int expected, const char* doing) const {
  if (code == expected) return;
  throw std::runtime_error(std::string("sqlite: ") + doing + " " + path_ + ": " +
                           (db_ != nullptr ? sqlite3_errmsg(db_) : sqlite3_errstr(code)));
}

// pinned_blocking keeps the calls, and what is read after them (sqlite3_errmsg, and errno beneath it), on one thread.
// SQLite itself would not need it; many libraries do.
ledger::ledger(std::string path) : path_(std::move(path)) {
  pinned_vendor_call([&] {
    try {
      check(sqlite3_open(path_.c_str(), &db_), SQLITE_OK, "open");
      check(sqlite3_busy_timeout(db_, 60'000), SQLITE_OK, "set the timeout of");
    } catch (...) {
      sqlite3_close(db_);
      throw;
    }
  });
}

ledger::~ledger() {
  pinned_vendor_call([&] { sqlite3_close(db_); });
}

void ledger::create() {
  constexpr const char* sql =
      "PRAGMA journal_mode = WAL; PRAGMA synchronous = OFF; CREATE TABLE entries (fiber INTEGER, what TEXT UNIQUE)";
  baton::pinned_blocking(
      [&] { check(sqlite3_exec(db_, sql, nullptr, nullptr, nullptr), SQLITE_OK, "create the table in"); });
}

void ledger::add(int fiber, const std::string& what) {
  pinned_vendor_call([&] {
    const statement s(*this, "INSERT INTO entries VALUES (?1, ?2) ON CONFLICT DO NOTHING");
    check(sqlite3_bind_int(s.get(), 1, fiber), SQLITE_OK, "bind");
    check(sqlite3_bind_text64(s.get(), 2, what.data(), what.size(), SQLITE_STATIC, SQLITE_UTF8), SQLITE_OK, "bind");
    check(sqlite3_step(s.get()), SQLITE_DONE, "write");
  });
}

int ledger::entries() {
  return pinned_vendor_call([&] {
    const statement s(*this, "SELECT count(*) FROM entries");
    check(sqlite3_step(s.get()), SQLITE_ROW, "read");
    return sqlite3_column_int(s.get(), 0);
  });
}
