// http_server against the rules of RFC 9112 and 9110: raw bytes, and the statuses that come back.
//
// Each row's bytes are followed by one more request, for /last, which does not exist and asks to close. So the statuses
// say three things: what the answer was, whether the connection stayed open (then a 404 comes last), and whether the
// server was right about where the row's requests end.
#include "examples/program.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <iterator>
#include <string>
#include <vector>

namespace {

using namespace std::string_literals;
using baton_test::client;
using baton_test::program;
using statuses = std::vector<int>;

struct row {
  std::string rule;
  std::string bytes;
  statuses wanted;
};

const std::string end = "\r\n";
const std::string get = "GET / HTTP/1.1\r\nHost: x\r\n";
const std::string post = "POST / HTTP/1.1\r\nHost: x\r\n";
const std::string chunked = post + "Transfer-Encoding: chunked\r\n\r\n";
const std::string hidden = get + end;  // in place of a body: must never be answered
const std::string last = "GET /last HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";

statuses statuses_in(const std::string& text) {
  statuses found;
  const std::string begin = "HTTP/1.1 ";
  for (std::size_t at = 0; (at = text.find(begin, at)) != std::string::npos; at += begin.size()) {
    found.push_back(std::atoi(text.c_str() + at + begin.size()));
  }
  return found;
}

class HttpRequests : public testing::Test {
 protected:
  // Sends every row at once, and byte by byte.
  void expect(const std::vector<row>& rows) {
    for (const row& r : rows) {
      const std::string all = r.bytes + last;
      client whole(server_.port());
      whole.send(all);
      EXPECT_EQ(statuses_in(whole.rest()), r.wanted) << r.rule;
      EXPECT_TRUE(whole.ended_in_order()) << r.rule;
      if (all.size() > 1'000) continue;
      client pieces(server_.port());
      for (const char c : all) pieces.send(std::string(1, c));
      EXPECT_EQ(statuses_in(pieces.rest()), r.wanted) << r.rule << ", byte by byte";
      EXPECT_TRUE(pieces.ended_in_order()) << r.rule << ", byte by byte";
    }
  }

  program server_{"http_server", {"--port", "0", "--header-timeout-ms", "60000"}};
};

TEST_F(HttpRequests, RequestLine) {
  expect({
      {"a request", get + end, {200, 404}},
      {"empty lines before it are skipped", end + end + get + end + end + get + end, {200, 200, 404}},
      {"a bare LF before it is not", "\n" + get + end, {400}},
      {"a CR alone before it is not", "\r" + get + end, {400}},
      {"a known method that is not allowed", post + end, {405, 404}},
      {"an unknown method", "BREW / HTTP/1.1\r\nHost: x\r\n\r\n", {501, 404}},
      {"methods are case-sensitive", "get / HTTP/1.1\r\nHost: x\r\n\r\n", {501, 404}},
      {"a method that is no token", "G@T / HTTP/1.1\r\nHost: x\r\n\r\n", {400}},
      {"no method", " / HTTP/1.1\r\nHost: x\r\n\r\n", {400}},
      {"a NUL in the method", "GE\0T / HTTP/1.1\r\nHost: x\r\n\r\n"s, {400}},
      {"two spaces", "GET  / HTTP/1.1\r\nHost: x\r\n\r\n", {400}},
      {"a tab for a space", "GET\t/ HTTP/1.1\r\nHost: x\r\n\r\n", {400}},
      {"a space in the target", "GET /a b HTTP/1.1\r\nHost: x\r\n\r\n", {400}},
      {"a control character in the target", "GET /\x01 HTTP/1.1\r\nHost: x\r\n\r\n", {400}},
      {"a byte beyond ASCII in the target", "GET /\xe9 HTTP/1.1\r\nHost: x\r\n\r\n", {400}},
      {"a fragment in the target", "GET /#a HTTP/1.1\r\nHost: x\r\n\r\n", {400}},
      {"a space after the version", "GET / HTTP/1.1 \r\nHost: x\r\n\r\n", {400}},
      {"no version (HTTP/0.9)", "GET /\r\n\r\n", {400}},
      {"no such protocol", "GET / ICY/1.1\r\nHost: x\r\n\r\n", {400}},
      {"the protocol is case-sensitive", "GET / http/1.1\r\nHost: x\r\n\r\n", {400}},
      {"two digits in the version", "GET / HTTP/1.10\r\nHost: x\r\n\r\n", {400}},
      {"no minor version", "GET / HTTP/1\r\nHost: x\r\n\r\n", {400}},
      {"a minor version that does not exist", "GET / HTTP/1.9\r\nHost: x\r\n\r\n", {505}},
      {"another major version", "GET / HTTP/3.0\r\nHost: x\r\n\r\n", {505}},
      {"the preface of HTTP/2", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", {505}},
      {"a bare LF at its end", "GET / HTTP/1.1\nHost: x\n\n", {400}},
      {"a target of 8,000 bytes", "GET /?" + std::string(7'998, 'a') + " HTTP/1.1\r\nHost: x\r\n\r\n", {200, 404}},
      {"a longer line than the server takes", "GET /" + std::string(9'000, 'a') + " HTTP/1.1\r\n", {414}},
      {"the same without an end", std::string(20'000, 'a'), {414}},
      {"a body that is a request",
       post + "Content-Length: " + std::to_string(hidden.size()) + "\r\n\r\n" + hidden,
       {405, 404}},
  });
}

TEST_F(HttpRequests, Target) {
  expect({
      {"absolute form", "GET http://x/ HTTP/1.1\r\nHost: x\r\n\r\n", {200, 404}},
      {"the scheme in capitals", "GET HTTP://x/ HTTP/1.1\r\nHost: x\r\n\r\n", {200, 404}},
      {"without a path", "GET http://x HTTP/1.1\r\nHost: x\r\n\r\n", {200, 404}},
      {"a query without a path", "GET http://x?/stats HTTP/1.1\r\nHost: x\r\n\r\n", {200, 404}},
      {"a port and an IPv6 address", "GET http://[::1]:80/ HTTP/1.1\r\nHost: x\r\n\r\n", {200, 404}},
      {"another host than the field's", "GET http://x/nothing HTTP/1.1\r\nHost: y\r\n\r\n", {404, 404}},
      {"absolute form needs Host, too", "GET http://x/ HTTP/1.1\r\n\r\n", {400}},
      {"no host", "GET http:///a HTTP/1.1\r\nHost: x\r\n\r\n", {400}},
      {"a user", "GET http://me@x/ HTTP/1.1\r\nHost: x\r\n\r\n", {400}},
      {"a port that is none", "GET http://x:66666/ HTTP/1.1\r\nHost: x\r\n\r\n", {400}},
      {"another scheme", "GET ftp://x/ HTTP/1.1\r\nHost: x\r\n\r\n", {400}},
      {"no form at all", "GET x HTTP/1.1\r\nHost: x\r\n\r\n", {400}},
      {"the asterisk is for OPTIONS", "OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n", {405, 404}},
      {"and for nothing else", "GET * HTTP/1.1\r\nHost: x\r\n\r\n", {400}},
      {"CONNECT names a host and a port", "CONNECT x:80 HTTP/1.1\r\nHost: x\r\n\r\n", {405, 404}},
      {"and must", "CONNECT / HTTP/1.1\r\nHost: x\r\n\r\n", {400}},
      {"CONNECT without a port", "CONNECT [::1] HTTP/1.1\r\nHost: x\r\n\r\n", {400}},
      {"an encoded letter", "GET /%73tats HTTP/1.1\r\nHost: x\r\n\r\n", {200, 404}},
      {"an encoded NUL", "GET /stats%00 HTTP/1.1\r\nHost: x\r\n\r\n", {404, 404}},
      {"bad encoding", "GET /%7 HTTP/1.1\r\nHost: x\r\n\r\n", {400, 404}},
  });
}

TEST_F(HttpRequests, Host) {
  const std::string line = "GET / HTTP/1.1\r\n";
  expect({
      {"missing", line + end, {400}},
      {"missing in HTTP/1.0", "GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", {200, 404}},
      {"twice", line + "Host: x\r\nHost: y\r\n\r\n", {400}},
      {"twice the same", line + "Host: x\r\nhost: x\r\n\r\n", {400}},
      {"twice in HTTP/1.0", "GET / HTTP/1.0\r\nHost: x\r\nHost: x\r\n\r\n", {400}},
      {"empty", line + "Host:\r\n\r\n", {400}},
      {"a space", line + "Host: a b\r\n\r\n", {400}},
      {"a list", line + "Host: a, b\r\n\r\n", {400}},
      {"a path", line + "Host: a/b\r\n\r\n", {400}},
      {"a user", line + "Host: me@a\r\n\r\n", {400}},
      {"a port that is no number", line + "Host: a:b\r\n\r\n", {400}},
      {"a port too large", line + "Host: a:65536\r\n\r\n", {400}},
      {"two ports", line + "Host: a:1:2\r\n\r\n", {400}},
      {"half a bracket", line + "Host: [::1\r\n\r\n", {400}},
      {"no IPv6 address", line + "Host: [x]\r\n\r\n", {400}},
      {"bad encoding", line + "Host: a%zz\r\n\r\n", {400}},
      {"a name and a port", line + "Host: a-b.example:8080\r\n\r\n", {200, 404}},
      {"an IPv6 address", line + "Host: [2001:db8::1]:80\r\n\r\n", {200, 404}},
      {"an empty port", line + "Host: a:\r\n\r\n", {200, 404}},
  });
}

TEST_F(HttpRequests, Fields) {
  expect({
      {"no space after the colon, much before the end", get + "X:y \t \r\n\r\n", {200, 404}},
      {"an empty value", get + "X:\r\n\r\n", {200, 404}},
      {"bytes beyond ASCII in a value", get + "X: \xff\xc3\xa9\r\n\r\n", {200, 404}},
      {"a space before the colon", get + "X : y\r\n\r\n", {400}},
      {"the same before one that frames", post + "Transfer-Encoding : chunked\r\n\r\n" + hidden, {400}},
      {"no colon", get + "X\r\n\r\n", {400}},
      {"no name", get + ": y\r\n\r\n", {400}},
      {"a name that is no token", get + "X(: y\r\n\r\n", {400}},
      {"a line that goes on", get + "X: y\r\n z\r\n\r\n", {400}},
      {"the same before any field", "GET / HTTP/1.1\r\n X: y\r\nHost: x\r\n\r\n", {400}},
      {"a value on the next line", post + "Transfer-Encoding:\r\n chunked\r\n\r\n" + hidden, {400}},
      {"a bare LF", get + "X: y\n\r\n", {400}},
      {"an empty line that is a bare LF", get + "\n", {400}},
      {"a bare CR", get + "X: y\rZ: z\r\n\r\n", {400}},
      {"a CR too many", get + "X: y\r\r\n\r\n", {400}},
      {"a NUL", get + "X: a\0b\r\n\r\n"s, {400}},
      {"a control character", get + "X: \x07\r\n\r\n", {400}},
      {"DEL", get + "X: \x7f\r\n\r\n", {400}},
      {"8,000 bytes of fields", get + "X: " + std::string(8'000, 'a') + "\r\n\r\n", {200, 404}},
      {"more than the server takes", get + "X: " + std::string(9'000, 'a') + "\r\n\r\n", {431}},
      {"the same in many",
       get +
           [] {
             std::string many;
             for (int i = 0; i < 3'000; ++i) many += "X: y\r\n";
             return many;
           }() +
           end,
       {431}},
  });
}

TEST_F(HttpRequests, Connection) {
  expect({
      {"close", get + "Connection: close\r\n\r\n", {200}},
      {"in capitals", get + "CONNECTION: CLOSE\r\n\r\n", {200}},
      {"in a list", get + "Connection: foo , close\r\n\r\n", {200}},
      {"on a second line", get + "Connection: foo\r\nConnection: close\r\n\r\n", {200}},
      {"close wins", get + "Connection: close\r\nConnection: keep-alive\r\n\r\n", {200}},
      {"a part of a word", get + "Connection: closed\r\n\r\n", {200, 404}},
      {"HTTP/1.0 closes", "GET / HTTP/1.0\r\nHost: x\r\n\r\n", {200}},
      {"unless asked", "GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n", {200, 404}},
      {"asked on a second line", "GET / HTTP/1.0\r\nConnection: foo\r\nConnection: keep-alive\r\n\r\n", {200, 404}},
  });
}

TEST_F(HttpRequests, ContentLength) {
  const auto length = [](const std::string& value) { return post + "Content-Length: " + value + "\r\n\r\n"; };
  expect({
      {"read and forgotten", length("5") + "abcde", {405, 404}},
      {"with space around", length(" 5\t ") + "abcde", {405, 404}},
      {"with zeros", length("005") + "abcde", {405, 404}},
      {"zero", length("0"), {405, 404}},
      {"also of a GET", get + "Content-Length: 5\r\n\r\nabcde", {200, 404}},
      {"also in HTTP/1.0", "GET / HTTP/1.0\r\nConnection: keep-alive\r\nContent-Length: 5\r\n\r\nabcde", {200, 404}},
      {"empty", length(""), {400}},
      {"a plus", length("+5") + "abcde", {400}},
      {"a minus", length("-5") + "abcde", {400}},
      {"hexadecimal", length("0x5") + "abcde", {400}},
      {"a fraction", length("5.0") + "abcde", {400}},
      {"two numbers", length("5 5") + "abcde", {400}},
      {"a list", length("5, 5") + "abcde", {400}},
      {"a list of different ones", length("5,6") + "abcde", {400}},
      {"a NUL", post + "Content-Length: 5\0\r\n\r\n"s, {400}},
      {"two lines", post + "Content-Length: 5\r\nContent-Length: 6\r\n\r\nabcde", {400}},
      {"two equal lines", post + "Content-Length: 5\r\nContent-Length: 5\r\n\r\nabcde", {400}},
      {"larger than the server takes", length("1048577"), {413}},
      {"as large as it takes", length("1048576") + std::string(1'048'576, 'b'), {405, 404}},
      {"2^64 - 1", length("18446744073709551615"), {413}},
      {"2^64", length("18446744073709551616"), {400}},
      {"2^64 + 5", length("18446744073709551621") + "abcde", {400}},
      {"with Transfer-Encoding", post + "Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", {400}},
      {"after it", post + "Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n0\r\n\r\n", {400}},
  });
}

TEST_F(HttpRequests, TransferEncoding) {
  const auto coded = [](const std::string& value) {
    return post + "Transfer-Encoding: " + value + "\r\n\r\n0\r\n\r\n" + hidden;
  };
  expect({
      {"chunked", coded("chunked"), {405, 200, 404}},
      {"in any case", coded("CHUNKed"), {405, 200, 404}},
      {"chunked is not the last", coded("chunked, gzip"), {400}},
      {"chunked is the last of several", coded("gzip, chunked"), {501}},
      {"twice", coded("chunked, chunked"), {501}},
      {"on two lines", coded("chunked\r\nTransfer-Encoding: chunked"), {400}},
      {"on two lines, the first another", coded("gzip\r\nTransfer-Encoding: chunked"), {501}},
      {"on two lines, the second another", coded("chunked\r\nTransfer-Encoding: identity"), {400}},
      {"identity", coded("identity"), {400}},
      {"no such coding", coded("xchunked"), {400}},
      {"nor this", coded("chunkedx"), {400}},
      {"in quotes", coded("\"chunked\""), {400}},
      {"a parameter", coded("chunked;a=b"), {400}},
      {"a comma before", coded(", chunked"), {501}},
      {"a comma after", coded("chunked,"), {400}},
      {"a vertical tab before", coded("\vchunked"), {400}},
      {"empty", coded(""), {400}},
      {"with a length of 0", post + "Transfer-Encoding: xchunked\r\nContent-Length: 0\r\n\r\n" + hidden, {400}},
      {"in HTTP/1.0",
       "POST / HTTP/1.0\r\nConnection: keep-alive\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + hidden,
       {400}},
  });
}

TEST_F(HttpRequests, Chunks) {
  expect({
      {"two and the end", chunked + "3\r\nabc\r\nA\r\n0123456789\r\n0\r\n\r\n", {405, 404}},
      {"zeros before the size", chunked + "0003\r\nabc\r\n000\r\n\r\n", {405, 404}},
      {"an extension", chunked + "3;a=b;c=\"d;e\"\r\nabc\r\n0 ; x\r\n\r\n", {405, 404}},
      {"a trailer cannot close", chunked + "3\r\nabc\r\n0\r\nX: y\r\nConnection: close\r\n\r\n", {405, 404}},
      {"nor can it name a host", chunked + "0\r\nHost: y\r\n\r\n", {405, 404}},
      {"it cannot frame", chunked + "0\r\nContent-Length: 50\r\n\r\n", {400}},
      {"in no way", chunked + "0\r\nTransfer-Encoding: chunked\r\n\r\n", {400}},
      {"no size", chunked + "\r\nabc\r\n0\r\n\r\n", {400}},
      {"a plus", chunked + "+3\r\nabc\r\n0\r\n\r\n", {400}},
      {"a minus", chunked + "-3\r\nabc\r\n0\r\n\r\n", {400}},
      {"0x", chunked + "0x3\r\nabc\r\n0\r\n\r\n", {400}},
      {"a space before", chunked + " 3\r\nabc\r\n0\r\n\r\n", {400}},
      {"a space after", chunked + "3 \r\nabc\r\n0\r\n\r\n", {400}},
      {"two numbers", chunked + "3 3\r\nabc\r\n0\r\n\r\n", {400}},
      {"an underscore", chunked + "1_0\r\nabc\r\n0\r\n\r\n", {400}},
      {"a bare LF after the size", chunked + "3\nabc\r\n0\r\n\r\n", {400}},
      {"a bare CR after the size", chunked + "3\rabc\r\n0\r\n\r\n", {400}},
      {"a bare LF in an extension", chunked + "3;a\nabc\r\n0\r\n\r\n", {400}},
      {"a NUL in an extension", chunked + "3;\0\r\nabc\r\n0\r\n\r\n"s, {400}},
      {"a bare LF after the data", chunked + "3\r\nabc\n0\r\n\r\n", {400}},
      {"data that is too long", chunked + "3\r\nabcd\r\n0\r\n\r\n", {400}},
      {"a bare LF at the end", chunked + "0\r\n\n", {400}},
      {"a trailer that is none", chunked + "0\r\nX y\r\n\r\n", {400}},
      {"a trailer that goes on", chunked + "0\r\nX: y\r\n z\r\n\r\n", {400}},
      {"a trailer on the next line", chunked + "0\r\nX:\r\n z\r\n\r\n", {400}},
      {"a trailer with an empty line that goes on", chunked + "0\r\nX: y\r\n \r\n\r\n", {400}},
      {"2^64 - 1", chunked + "ffffffffffffffff\r\nabc", {413}},
      {"2^64 + 3", chunked + "10000000000000003\r\nabc\r\n0\r\n\r\n", {400}},
      {"many zeros", chunked + std::string(1'000, '0') + "3\r\nabc\r\n0\r\n\r\n", {405, 404}},
      {"more than the server takes", chunked + "100001\r\n", {413}},
      {"the same in two chunks", chunked + "fffff\r\n" + std::string(0xfffff, 'a') + "\r\n2\r\n", {413}},
      {"as much as it takes", chunked + "100000\r\n" + std::string(0x100000, 'a') + "\r\n0\r\n\r\n", {405, 404}},
      {"an endless extension", chunked + "3;" + std::string(20'000, 'a'), {431}},
      {"many extensions",
       chunked +
           [] {
             std::string many;
             for (int i = 0; i < 100; ++i) many += "1;" + std::string(100, 'a') + "\r\nx\r\n";
             return many;
           }(),
       {400}},
      {"an endless trailer", chunked + "0\r\nX: " + std::string(20'000, 'a'), {431}},
  });
}

TEST_F(HttpRequests, Expect) {
  const std::string expecting = post + "Content-Length: 5\r\nExpect: 100-Continue\r\n\r\n";
  client c(server_.port());
  c.send(get + end + expecting);
  EXPECT_EQ(c.receive().status, 200);
  EXPECT_EQ(c.receive().status, 100) << "it comes before the body";
  c.send("abcde");
  EXPECT_EQ(c.receive().status, 405);
  c.send(post + "Transfer-Encoding: chunked\r\nExpect: 100-continue\r\n\r\n");
  EXPECT_EQ(c.receive().status, 100);
  c.send("5\r\nabcde\r\n0\r\n\r\n" + last);
  EXPECT_EQ(statuses_in(c.rest()), (statuses{405, 404}));

  client one_zero(server_.port());
  one_zero.send("POST / HTTP/1.0\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\nabcde");
  EXPECT_EQ(statuses_in(one_zero.rest()), statuses{405}) << "HTTP/1.0 knows no 100";

  expect({
      {"no body, nothing to wait for", get + "Expect: 100-continue\r\n\r\n", {200, 404}},
      {"another expectation", get + "Expect: 200-ok\r\n\r\n", {417}},
      {"one of each", post + "Content-Length: 5\r\nExpect: 100-continue, x\r\n\r\n", {417}},
      {"not in HTTP/1.0", "GET / HTTP/1.0\r\nConnection: keep-alive\r\nExpect: x\r\n\r\n", {200, 404}},
  });
}

// A body that was sent without waiting needs no 100, but the next request follows it.
TEST_F(HttpRequests, ExpectWithTheBody) {
  client c(server_.port());
  c.send(post + "Content-Length: 5\r\nExpect: 100-continue\r\n\r\nabcde" + last);
  EXPECT_EQ(statuses_in(c.rest()), (statuses{405, 404}));
}

// Refusals of a HEAD request have no content either.
TEST_F(HttpRequests, Head) {
  for (const char* const request : {"HEAD / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
                                    "HEAD / HTTP/1.1\r\n\r\n", "HEAD /%7 HTTP/1.0\r\n\r\n"}) {
    client c(server_.port());
    c.send(request);
    const auto r = c.receive(true);
    EXPECT_NE(r.header.find("Content-Length: "), std::string::npos) << r.header;
    EXPECT_EQ(r.header.find("Content-Length: 0"), std::string::npos) << r.header;
    EXPECT_EQ(c.rest(), "") << request;
  }
}

}  // namespace
