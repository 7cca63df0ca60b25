// SQLite, unmodified: readers wait for a lock on the file, by sleeping and trying again.
#include "two_hundred.h"

#include <baton/runtime/run.h>

#include <gtest/gtest.h>

#include <sqlite3.h>
#include <unistd.h>
#include <atomic>
#include <cstdlib>
#include <filesystem>
#include <string>

namespace {

using namespace baton_test;

class Sqlite : public testing::Test {
 protected:
  void SetUp() override {
    char name[] = "/tmp/interpose.XXXXXX";
    ASSERT_NE(::mkdtemp(name), nullptr);
    directory_ = name;
  }
  void TearDown() override { std::filesystem::remove_all(directory_); }
  [[nodiscard]] sqlite3* open() const {
    sqlite3* db = nullptr;
    EXPECT_EQ(sqlite3_open((directory_ + "/db").c_str(), &db), SQLITE_OK);
    return db;
  }
  static void run(sqlite3* db, const char* sql) {
    EXPECT_EQ(sqlite3_exec(db, sql, nullptr, nullptr, nullptr), SQLITE_OK) << sqlite3_errmsg(db);
  }

  std::string directory_;
};

TEST_F(Sqlite, TwoHundredFibersWaitForTheFile) {
  sqlite3* const owner = open();
  run(owner, "CREATE TABLE t (n INTEGER); INSERT INTO t VALUES (1); BEGIN EXCLUSIVE; INSERT INTO t VALUES (2)");
  std::atomic<int> begun{0};
  const auto call = [&](int) {
    sqlite3* const db = open();
    sqlite3_busy_timeout(db, 60'000);
    ++begun;
    sqlite3_stmt* count = nullptr;
    EXPECT_EQ(sqlite3_prepare_v2(db, "SELECT count(*) FROM t", -1, &count, nullptr), SQLITE_OK) << sqlite3_errmsg(db);
    EXPECT_EQ(sqlite3_step(count), SQLITE_ROW) << sqlite3_errmsg(db);
    EXPECT_EQ(sqlite3_column_int(count, 0), 2);
    sqlite3_finalize(count);
    sqlite3_close(db);
  };
  const auto wait = [&] {
    while (begun < two_hundred) baton::this_fiber::sleep_for(std::chrono::milliseconds(1));
  };
  baton::run([&] { call_from_two_hundred(call, wait, [&] { run(owner, "COMMIT"); }); });
  sqlite3_close(owner);
}

}  // namespace
