// The HTTP servers under the clients that people use. A test is skipped where its client is not installed.
#include "examples/program.h"

#include <gtest/gtest.h>

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

namespace {

using baton_test::program;

#define NEEDS(program) \
  if (std::system("command -v " program " >/dev/null 2>&1") != 0) GTEST_SKIP() << program " is not installed here"

class RealClients : public testing::Test {
 protected:
  RealClients() {
    std::ofstream(file("ten.txt")) << "0123456789";
    std::ofstream(file("big.bin")) << std::string(3'000'000, 'b');
  }
  ~RealClients() override { std::filesystem::remove_all(folder_); }

  [[nodiscard]] std::string file(const std::string& name) const { return folder_ + "/" + name; }
  // Runs a command line of the shell, which has $URL, $PORT and $FOLDER. Returns what it prints, also to stderr.
  std::string output_of(const std::string& line) const {
    const std::string port = std::to_string(server_.port());
    const std::string all = "URL=http://127.0.0.1:" + port + " PORT=" + port + " FOLDER=" + folder_ +
                            " NO_PROXY=127.0.0.1 no_proxy=127.0.0.1; export NO_PROXY no_proxy; { " + line + "; } 2>&1";
    std::string text;
    std::FILE* const out = ::popen(all.c_str(), "r");
    char buffer[4096];
    for (std::size_t n; (n = std::fread(buffer, 1, sizeof buffer, out)) > 0;) text.append(buffer, n);
    ::pclose(out);
    return text;
  }
  static void expect_part(const std::string& text, const std::string& part) {
    EXPECT_NE(text.find(part), std::string::npos) << text;
  }

  char folder_template_[26] = "/tmp/baton-clients.XXXXXX";
  const std::string folder_ = ::mkdtemp(folder_template_);
  program server_{"static_files", {"--port", "0", "--root", folder_}};
};

TEST_F(RealClients, Curl) {
  NEEDS("curl");
  EXPECT_EQ(output_of("curl -s $URL/ten.txt"), "0123456789");
  EXPECT_EQ(output_of("curl -s -r 2-4 $URL/ten.txt"), "234");
  EXPECT_EQ(output_of("curl -s -r 2-4,6-7 $URL/ten.txt"), "0123456789");
  EXPECT_EQ(output_of("head -c 1000000 $FOLDER/big.bin >$FOLDER/part; curl -s -C - -o $FOLDER/part $URL/big.bin; "
                      "cmp $FOLDER/part $FOLDER/big.bin && echo same"),
            "same\n");
  EXPECT_EQ(output_of("curl -s --etag-save $FOLDER/tag -o /dev/null $URL/big.bin; "
                      "curl -s --etag-compare $FOLDER/tag -o /dev/null -w '%{http_code}' $URL/big.bin"),
            "304");
  EXPECT_EQ(output_of("curl -s -z $FOLDER/ten.txt -o /dev/null -w '%{http_code}' $URL/ten.txt"), "304");
  EXPECT_EQ(output_of("curl -s --path-as-is -o /dev/null -w '%{http_code}' $URL/../../etc/passwd"), "403");
  EXPECT_EQ(
      output_of("curl -s -I -o /dev/null -o /dev/null -w '%{http_code} %{num_connects} ' $URL/ten.txt $URL/big.bin"),
      "200 1 200 0 ");
  EXPECT_EQ(output_of("curl -s -T $FOLDER/big.bin -H 'Expect: 100-continue' -o /dev/null -w '%{http_code}' $URL/x"),
            "413");
}

TEST_F(RealClients, Wrk) {
  NEEDS("wrk");
  const std::string report = output_of("wrk -t1 -c20 -d1 $URL/ten.txt");
  expect_part(report, "requests in");
  EXPECT_EQ(report.find("Socket errors"), std::string::npos) << report;
  EXPECT_EQ(report.find("Non-2xx"), std::string::npos) << report;
}

TEST_F(RealClients, Ab) {
  NEEDS("ab");
  expect_part(output_of("ab -q -n 500 -c 10 $URL/ten.txt"), "Failed requests:        0\n");
  expect_part(output_of("ab -q -k -n 500 -c 10 $URL/ten.txt"), "Keep-Alive requests:    500\n");
}

TEST_F(RealClients, H2load) {
  NEEDS("h2load");
  expect_part(output_of("h2load --h1 -n 500 -c 10 -m 5 $URL/ten.txt"), "500 succeeded, 0 failed, 0 errored, 0 timeout");
}

TEST_F(RealClients, Netcat) {
  NEEDS("nc");
  expect_part(output_of("printf 'GET /ten.txt HTTP/1.0\\r\\n\\r\\n' | nc -N 127.0.0.1 $PORT"), "\r\n\r\n0123456789");
}

TEST_F(RealClients, PythonsHttpClient) {
  NEEDS("python3");
  std::ofstream(file("client.py")) << R"(
import http.client, sys
c = http.client.HTTPConnection("127.0.0.1", int(sys.argv[1]), timeout=30)
for path, fields, status, size in [("/ten.txt", {}, 200, 10), ("/big.bin", {}, 200, 3000000),
                                   ("/ten.txt", {"Range": "bytes=-4"}, 206, 4), ("/nothing", {}, 404, 10)]:
    c.request("GET", path, headers=fields)
    r = c.getresponse()
    assert (r.status, len(r.read())) == (status, size), (path, r.status)
c.request("POST", "/ten.txt", body=iter([b"x" * 1000] * 10), encode_chunked=True,
          headers={"Transfer-Encoding": "chunked"})
r = c.getresponse()
assert r.status == 405 and r.getheader("Allow") == "GET, HEAD", r.status
r.read()
print("fine")
)";
  EXPECT_EQ(output_of("python3 $FOLDER/client.py $PORT"), "fine\n");
}

}  // namespace
