// The example http_server with --tls, from outside.
#include "examples/filter.h"
#include "examples/program.h"
#include "tls_test_support.h"

#include <baton/runtime/command.h>
#include <baton/runtime/io.h>

#include <cstdlib>
#include <string>
#include <vector>

namespace baton::net::test {
namespace {

using baton_test::program;

class HttpsServer : public testing::Test {
 protected:
  std::vector<std::string> arguments(std::vector<std::string> more = {}) const {
    const char* const procs = std::getenv("BATON_PROCS");
    std::vector<std::string> all = {"--port", "0",   "--procs", procs == nullptr ? "2" : procs, "--root", root(),
                                    "--tls",  cert_, key_};
    all.insert(all.end(), more.begin(), more.end());
    return all;
  }
  static tls_stream dial_tls(const program& server, const tls_context& context) {
    return must(tls_stream::connect(must(dial("127.0.0.1:" + std::to_string(server.port()))), context, "localhost"));
  }
  // Returns the body.
  static std::string get(tls_stream& s, const std::string& target) {
    must(s.write("GET " + target + " HTTP/1.1\r\nHost: localhost\r\n\r\n"));
    buffered_reader in(s);
    std::size_t length = 0;
    for (;;) {
      const auto line = must(in.read_line(1000));
      if (!line.has_value()) return "the stream has ended";
      if (*line == "\r") break;
      if (line->starts_with("Content-Length: "))
        length = std::strtoul(std::string(line->substr(16)).c_str(), nullptr, 10);
    }
    std::string body;
    char buffer[16 * 1024];
    while (body.size() < length) {
      const std::size_t n = must(in.read(bytes(buffer).first(std::min(sizeof buffer, length - body.size()))));
      if (n == 0) break;
      body.append(buffer, n);
    }
    return body;
  }
  [[nodiscard]] std::string root() const { return folder_.path("."); }

  baton_test::temporary_folder folder_;
  std::string cert_ = folder_.file("cert.pem", known().server.chain);
  std::string key_ = folder_.file("key.pem", known().server.key);
  std::string big_ = pattern(1'000'000);
  std::string big_file_ = folder_.file("big.bin", big_);
};

TEST_F(HttpsServer, AnswersRequestsOnOneConnection) {
  program server("http_server", arguments());
  run([&] {
    const tls_context context = client_context({.alpn = {"http/1.1"}});
    tls_stream s = dial_tls(server, context);
    EXPECT_EQ(s.negotiated_protocol(), "http/1.1");
    for (int i = 0; i < 20; ++i) EXPECT_EQ(get(s, "/"), "Hello from a fiber\n");
    EXPECT_EQ(get(s, "/file?path=big.bin"), big_);
    s.close();
    tls_stream again = dial_tls(server, context);
    EXPECT_TRUE(again.is_resumed());
    EXPECT_EQ(get(again, "/"), "Hello from a fiber\n");
  });
  server.terminate();
  EXPECT_EQ(server.wait(), 0);
}

TEST_F(HttpsServer, OurOwnClientTrustsWhomItIsToldTo) {
  program server("http_server", arguments());
  const std::string url = "https://localhost:" + std::to_string(server.port()) + "/";
  const std::string ca = folder_.file("root.pem", known().root.pem());
  baton_test::filter fetches("http_client", {"--ca", ca, url, url + "file?path=big.bin"});
  fetches.close_input();
  EXPECT_EQ(fetches.rest(), "200 19 " + url + "\n200 1000000 " + url + "file?path=big.bin\n");
  EXPECT_EQ(fetches.wait(), 0);
  baton_test::filter doubts("http_client", {url});
  doubts.close_input();
  EXPECT_NE(doubts.rest().find("UNAUTHENTICATED"), std::string::npos);
  EXPECT_EQ(doubts.wait(), 1);
}

TEST_F(HttpsServer, DrainsIdleConnectionsAndHandshakes) {
  program server("http_server", arguments({"--header-timeout-ms", "60000"}));
  run([&] {
    tls_stream idle = dial_tls(server, client_context());
    EXPECT_EQ(get(idle, "/"), "Hello from a fiber\n");
    tcp_stream in_handshake = must(dial("127.0.0.1:" + std::to_string(server.port())));
    must(in_handshake.write("\x16"));
    tls_stream later = dial_tls(server, client_context());  // so the one before was accepted
    EXPECT_EQ(get(later, "/"), "Hello from a fiber\n");
    server.terminate();
    char buffer[1];
    EXPECT_EQ(must(idle.read(buffer)), 0U) << "closed in order";
    EXPECT_EQ(must(later.read(buffer)), 0U);
    const auto end = in_handshake.read(buffer);
    EXPECT_TRUE(!end.ok() || *end == 0);
  });
  EXPECT_EQ(server.wait(), 0);
}

TEST_F(HttpsServer, EndsSlowHandshakesAndStrangers) {
  program server("http_server", arguments({"--header-timeout-ms", "200"}));
  baton_test::client silent(server.port());
  EXPECT_EQ(silent.rest(), "") << "closed without a word";
  baton_test::client plain(server.port());
  plain.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
  EXPECT_EQ(plain.rest().find("HTTP"), std::string::npos);
  run([&] {
    tls_stream s = dial_tls(server, client_context());
    EXPECT_EQ(get(s, "/"), "Hello from a fiber\n");
  });
}

TEST_F(HttpsServer, SaysWhatIsWrongWithItsCertificate) {
  const std::string none = folder_.path("none.pem");
  for (const auto& [cert, key, text] : {std::tuple(none, key_, "No such file"), std::tuple(cert_, none, "No such file"),
                                        std::tuple(key_, key_, "there is none in PEM form")}) {
    baton_test::filter p("http_server", {"--tls", cert, key});
    p.close_input();
    const std::string said = p.rest();
    EXPECT_EQ(p.wait(), 1) << said;
    EXPECT_NE(said.find(text), std::string::npos) << said;
  }
  for (const std::vector<std::string>& wrong :
       {std::vector<std::string>{"--tls"}, {"--tls", cert_}, {"--tls", "", key_}}) {
    baton_test::filter p("http_server", wrong);
    p.close_input();
    EXPECT_NE(p.rest().find("bad argument"), std::string::npos);
    EXPECT_EQ(p.wait(), 2);
  }
}

}  // namespace
}  // namespace baton::net::test
