// static_files: paths, types, validators and ranges, and folders.
#include "examples/program.h"

#include <gtest/gtest.h>

#include <sys/stat.h>
#include <unistd.h>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <optional>
#include <string>
#include <vector>

namespace {

using baton_test::client;
using baton_test::program;

constexpr std::time_t noon = 1'577'880'000;  // Wed, 01 Jan 2020 12:00:00 GMT
const std::string noon_text = "Wed, 01 Jan 2020 12:00:00 GMT";

class StaticFiles : public testing::Test {
 protected:
  StaticFiles() {
    std::filesystem::create_directories(root_ / "sub" / "deep");
    std::filesystem::create_directories(root_ / "home");
    write("ten.txt", "0123456789");
    write("empty.css", "");
    write("big.bin", big_);
    write("home/index.html", "<p>home");
    write("sub/a<b>&\".svg", "<svg/>");
    write("sub/c:d 100%", "x");
    std::ofstream(folder_ + "/secret") << "secret";
    std::filesystem::create_symlink("../secret", root_ / "out-relative");
    std::filesystem::create_symlink(folder_ + "/secret", root_ / "out");
    std::filesystem::create_symlink("..", root_ / "up");
    std::filesystem::create_symlink("sub/../ten.txt", root_ / "in");
    static_cast<void>(::mkfifo((root_ / "fifo").c_str(), 0600));
    server_.emplace("static_files", std::vector<std::string>{"--port", "0", "--root", root_.string()});
    client_.emplace(server_->port());
  }
  ~StaticFiles() override { std::filesystem::remove_all(folder_); }

  // Writes a file that was last changed at noon.
  void write(const std::string& name, const std::string& text) {
    std::ofstream(root_ / name, std::ios::binary) << text;
    const timespec times[2] = {{noon, 0}, {noon, 0}};
    ASSERT_EQ(::utimensat(AT_FDCWD, (root_ / name).c_str(), times, 0), 0);
  }
  client::response ask(const std::string& path, const std::string& fields = {}, const std::string& method = "GET") {
    client_->send(method + " " + path + " HTTP/1.1\r\nHost: x\r\n" + fields + "\r\n");
    return client_->receive(method == "HEAD");
  }
  static std::string field(const client::response& r, const std::string& name) {
    const std::size_t at = r.header.find("\r\n" + name + ": ");
    if (at == std::string::npos) return "none";
    const std::size_t begin = at + name.size() + 4;
    return r.header.substr(begin, r.header.find("\r\n", begin) - begin);
  }

  char folder_template_[26] = "/tmp/baton-static.XXXXXX";
  const std::string folder_ = ::mkdtemp(folder_template_);
  const std::filesystem::path root_ = folder_ + "/root";
  std::string big_ = std::string(500'000, 'a') + std::string(500'000, 'b');
  std::optional<program> server_;
  std::optional<client> client_;
};

TEST_F(StaticFiles, FilesWithTheirTypes) {
  const auto text = ask("/ten.txt");
  EXPECT_EQ(text.status, 200);
  EXPECT_EQ(text.body, "0123456789");
  EXPECT_EQ(field(text, "Content-Type"), "text/plain; charset=utf-8");
  EXPECT_EQ(field(text, "Last-Modified"), noon_text);
  EXPECT_EQ(field(text, "Accept-Ranges"), "bytes");
  EXPECT_EQ(field(text, "ETag").front(), '"');
  EXPECT_EQ(field(ask("/empty.css"), "Content-Type"), "text/css; charset=utf-8");
  const auto big = ask("/big.bin");
  EXPECT_EQ(big.body, big_);
  EXPECT_EQ(field(big, "Content-Type"), "application/octet-stream");
  EXPECT_EQ(ask("/sub/../ten.txt?query").status, 200) << "it stays below the root";
  EXPECT_EQ(ask("/%74en.txt").status, 200);
  EXPECT_EQ(ask("/in").body, "0123456789");
  EXPECT_EQ(ask("/nothing").status, 404);
  EXPECT_EQ(ask("/ten.txt/").status, 404);
  EXPECT_EQ(ask("/fifo").status, 403);
  EXPECT_EQ(field(ask("/ten.txt", {}, "DELETE"), "Allow"), "GET, HEAD");
}

TEST_F(StaticFiles, NoWayOut) {
  for (const char* const path : {"/../secret", "/%2e%2e/secret", "/sub/../../secret", "//../secret", "/out",
                                 "/out-relative", "/up/secret", "/up/", "/sub/%2e%2e/%2e%2e/secret", "/.."}) {
    EXPECT_EQ(ask(path).status, 403) << path;
  }
  EXPECT_EQ(ask("/etc/passwd").status, 404);
  EXPECT_EQ(ask("/%2Fetc%2Fpasswd").status, 404) << "slashes at the beginning are dropped";
  EXPECT_EQ(ask("/ten.txt%00.html").status, 400);
  EXPECT_EQ(ask("/%zz").status, 400);
}

TEST_F(StaticFiles, HeadHasTheSameHeadAndNoContent) {
  for (const char* const path : {"/ten.txt", "/big.bin", "/sub/", "/nothing"}) {
    const auto get = ask(path);
    const auto head = ask(path, {}, "HEAD");
    EXPECT_EQ(head.status, get.status) << path;
    EXPECT_EQ(field(head, "Content-Length"), std::to_string(get.body.size())) << path;
    EXPECT_EQ(field(head, "ETag"), field(get, "ETag")) << path;
  }
  EXPECT_EQ(ask("/ten.txt", "Range: bytes=2-3\r\n", "HEAD").status, 200) << "a range is for GET";
}

TEST_F(StaticFiles, Ranges) {
  struct {
    const char* range;
    int status;
    const char* body;
    const char* content_range;
  } const rows[] = {
      {"bytes=0-0", 206, "0", "bytes 0-0/10"},
      {"bytes=2-4", 206, "234", "bytes 2-4/10"},
      {"bytes=7-", 206, "789", "bytes 7-9/10"},
      {"bytes=7-999999999999999999999999", 206, "789", "bytes 7-9/10"},
      {"bytes=-3", 206, "789", "bytes 7-9/10"},
      {"bytes=-30", 206, "0123456789", "bytes 0-9/10"},
      {"Bytes=1-1", 206, "1", "bytes 1-1/10"},
      {"bytes=10-", 416, nullptr, "bytes */10"},
      {"bytes=99999999999999999999999-", 416, nullptr, "bytes */10"},
      {"bytes=-0", 416, nullptr, "bytes */10"},
      {"bytes=0-1,4-5", 200, "0123456789", "none"},  // several: the whole
      {"bytes=4-2", 200, "0123456789", "none"},
      {"bytes=-", 200, "0123456789", "none"},
      {"bytes=a-b", 200, "0123456789", "none"},
      {"bytes=1", 200, "0123456789", "none"},
      {"bytes=+1-2", 200, "0123456789", "none"},
      {"lines=1-2", 200, "0123456789", "none"},
  };
  for (const auto& row : rows) {
    const auto r = ask("/ten.txt", std::string("Range: ") + row.range + "\r\n");
    EXPECT_EQ(r.status, row.status) << row.range;
    EXPECT_EQ(field(r, "Content-Range"), row.content_range) << row.range;
    if (row.body != nullptr) {
      EXPECT_EQ(r.body, row.body) << row.range;
    }
  }
  EXPECT_EQ(ask("/ten.txt", "Range: bytes=0-0\r\nRange: bytes=1-1\r\n").status, 200) << "two fields are no range";
  EXPECT_EQ(ask("/empty.css", "Range: bytes=0-\r\n").status, 416);
  const auto large = ask("/big.bin", "Range: bytes=400000-599999\r\n");  // by sendfile
  EXPECT_EQ(large.body, std::string(100'000, 'a') + std::string(100'000, 'b'));
}

TEST_F(StaticFiles, WhatTheClientHasAlready) {
  const std::string tag = field(ask("/ten.txt"), "ETag");
  const std::string before = "Wed, 01 Jan 2020 11:59:59 GMT";
  struct {
    std::string fields;
    int status;
  } const rows[] = {
      {"If-None-Match: " + tag, 304},
      {"If-None-Match: \"x,y\", W/" + tag, 304},
      {"If-None-Match: \"x\"\r\nIf-None-Match: " + tag, 304},
      {"If-None-Match: *", 304},
      {"If-None-Match: \"x\"", 200},
      {"If-None-Match: x", 200},
      {"If-Modified-Since: " + noon_text, 304},
      {"If-Modified-Since: Wednesday, 01-Jan-20 12:00:00 GMT", 304},
      {"If-Modified-Since: Wed Jan  1 12:00:00 2020", 304},
      {"If-Modified-Since: " + before, 200},
      {"If-Modified-Since: yesterday", 200},
      {"If-None-Match: \"x\"\r\nIf-Modified-Since: " + noon_text, 200},  // the tag decides
      {"If-Match: " + tag, 200},
      {"If-Match: *", 200},
      {"If-Match: \"x\"", 412},
      {"If-Match: W/" + tag, 412},
      {"If-Unmodified-Since: " + noon_text, 200},
      {"If-Unmodified-Since: " + before, 412},
      {"If-None-Match: " + tag + "\r\nRange: bytes=0-1", 304},
      {"If-Range: " + tag + "\r\nRange: bytes=0-1", 206},
      {"If-Range: " + noon_text + "\r\nRange: bytes=0-1", 206},
      {"If-Range: W/" + tag + "\r\nRange: bytes=0-1", 200},
      {"If-Range: \"x\"\r\nRange: bytes=0-1", 200},
      {"If-Range: " + before + "\r\nRange: bytes=0-1", 200},
  };
  for (const auto& row : rows) {
    const auto r = ask("/ten.txt", row.fields + "\r\n");
    EXPECT_EQ(r.status, row.status) << row.fields;
    if (row.status == 304) {
      EXPECT_EQ(field(r, "ETag"), tag) << row.fields;
      EXPECT_EQ(field(r, "Content-Length"), "none") << row.fields;
    }
  }
  write("ten.txt", "9876543210a");
  EXPECT_EQ(ask("/ten.txt", "If-None-Match: " + tag + "\r\n").body, "9876543210a") << "another size, another tag";
  std::ofstream(root_ / "ten.txt") << "just now";
  EXPECT_EQ(field(ask("/ten.txt"), "ETag").substr(0, 3), "W/\"") << "it may change again at once";
}

TEST_F(StaticFiles, Folders) {
  const auto list = ask("/sub/");
  EXPECT_EQ(list.status, 200);
  EXPECT_NE(list.body.find("<a href=\"./a%3Cb%3E%26%22.svg\">a&lt;b&gt;&amp;&quot;.svg</a>"), std::string::npos)
      << list.body;
  EXPECT_NE(list.body.find("<a href=\"./c%3Ad%20100%25\">c:d 100%</a>"), std::string::npos) << list.body;
  EXPECT_NE(list.body.find("<a href=\"./deep/\">deep/</a>"), std::string::npos) << list.body;
  EXPECT_EQ(ask("/sub/c%3Ad%20100%25").body, "x");
  EXPECT_EQ(ask("/home/").body, "<p>home");
  EXPECT_EQ(field(ask("/home/"), "Content-Type"), "text/html; charset=utf-8");
  EXPECT_EQ(ask("/").status, 200);
  const auto moved = ask("/sub?a=b");
  EXPECT_EQ(moved.status, 301);
  EXPECT_EQ(field(moved, "Location"), "/sub/?a=b");
  EXPECT_EQ(field(ask("//sub"), "Location"), "/sub/") << "never to another host";
}

TEST_F(StaticFiles, ManyAtOnceAndAStop) {
  std::string all;
  for (int i = 0; i < 200; ++i)
    all += "GET /ten.txt HTTP/1.1\r\nHost: x\r\nRange: bytes=" + std::to_string(i % 10) + "-\r\n\r\n";
  client_->send(all);
  for (int i = 0; i < 200; ++i) ASSERT_EQ(client_->receive().body, std::string("0123456789").substr(i % 10));
  server_->terminate();
  EXPECT_EQ(server_->wait(), 0);
}

}  // namespace
