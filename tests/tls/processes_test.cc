// Clients and servers of others, as processes. A test is skipped where its program is not installed.
#include "tls_test_support.h"

#include <baton/runtime/command.h>
#include <baton/runtime/context.h>
#include <baton/runtime/file.h>
#include <baton/runtime/io.h>

#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>
#include <cstdlib>
#include <string>
#include <utility>
#include <vector>

namespace baton::net::test {
namespace {

using absl::StatusCode;

bool has(const std::string& program, const std::string& argument) {
  bool found = false;
  run([&] {
    command c(program, {argument});
    c.stderr_to_stdout();
    found = c.output().ok();
  });
  return found;
}

#define NEEDS(program, argument) \
  if (!has(program, argument)) GTEST_SKIP() << program " is not installed here"

// For what a program says about itself.
file quiet() { return must(file::open("/dev/null", O_WRONLY)); }

// A listener, and what a client needs to know about it.
struct server_side {
  baton_test::temporary_folder folder;
  std::string root = folder.file("root.pem", known().root.pem());
  std::string client_cert = folder.file("client.pem", known().client.chain);
  std::string client_key = folder.file("client-key.pem", known().client.key);
  tcp_listener listener = listen();
  std::string port = std::to_string(listener.local_address().port());
  std::string url = "https://localhost:" + port + "/";

  absl::StatusOr<tls_stream> accept(const tls_options& options = {}) {
    return tls_stream::accept(must(listener.accept()), server_context(options), {.timeout = 60s});
  }
};

std::string read_line(tls_stream& s) {
  buffered_reader in(s);
  const auto line = in.read_line(1000);
  return line.ok() && line->has_value() ? std::string(**line) : std::string();
}

context in_time() { return with_timeout(context::background(), 60s); }

TEST(TlsProcesses, OpensslIsAClient) {
  NEEDS("openssl", "version");
  for (const std::string version : {"-tls1_2", "-tls1_3"}) {
    run([&] {
      server_side here;
      command client("openssl", {"s_client", "-connect", "127.0.0.1:" + here.port, "-CAfile", here.root, "-servername",
                                 "localhost", "-verify_hostname", "localhost", "-verify_return_error", "-alpn",
                                 "h2,http/1.1", version, "-quiet"});
      client.stderr_to(quiet());
      auto in = must(client.stdin_pipe());
      auto out = must(client.stdout_pipe());
      process p = must(client.start());
      tls_stream s = must(here.accept({.alpn = {"http/1.1"}}));
      EXPECT_EQ(s.version(), version == "-tls1_2" ? tls_version::tls1_2 : tls_version::tls1_3);
      EXPECT_EQ(s.server_name(), "localhost");
      EXPECT_EQ(s.negotiated_protocol(), "http/1.1");
      must(in.write("to the server\n"));
      EXPECT_EQ(read_line(s), "to the server");
      must(s.write("to the client\n"));
      EXPECT_TRUE(s.close_write().ok());
      EXPECT_EQ(must(read_all(out, 1000)), "to the client\n");
      in.close();
      EXPECT_TRUE(must(p.wait(in_time())).success());
      char buffer[1];
      EXPECT_EQ(must(s.read(buffer)), 0U);  // it has said close_notify
    });
  }
}

// Reads until the text has come `times` times in all. `said` has everything.
void read_until(pipe_reader& out, std::string& said, const std::string& text, int times) {
  const auto count = [&] {
    int n = 0;
    for (std::size_t at = 0; (at = said.find(text, at)) != std::string::npos; at += text.size()) ++n;
    return n;
  };
  char buffer[4096];
  while (count() < times) {
    const std::size_t n = must(out.read(buffer));
    ASSERT_GT(n, 0U) << said;
    said.append(buffer, n);
  }
}

TEST(TlsProcesses, OpensslUpdatesKeys) {
  NEEDS("openssl", "version");
  run([] {
    server_side here;
    command client("openssl", {"s_client", "-connect", "127.0.0.1:" + here.port, "-CAfile", here.root, "-tls1_3"});
    client.stderr_to_stdout();
    auto in = must(client.stdin_pipe());
    auto out = must(client.stdout_pipe());
    process p = must(client.start());
    tls_stream s = must(here.accept());
    std::string said;
    for (int i = 0; i < 3; ++i) {
      must(in.write("before\n"));
      EXPECT_EQ(read_line(s), "before");
      must(in.write("K\n"));  // alone in a read of s_client, it is a command
      read_until(out, said, "KEYUPDATE", i + 1);
      must(in.write("after\n"));
      EXPECT_EQ(read_line(s), "after");
      must(s.write("answer " + std::to_string(i) + "\n"));
      read_until(out, said, "answer", i + 1);
    }
    must(in.write("Q\n"));
    char buffer[1];
    EXPECT_EQ(must(s.read(buffer)), 0U);
    s.close();
    EXPECT_TRUE(read_all(out, 1 << 20).ok());
    EXPECT_TRUE(must(p.wait(in_time())).success());
  });
}

TEST(TlsProcesses, OpensslMayNotRenegotiate) {
  NEEDS("openssl", "version");
  run([] {
    server_side here;
    command client("openssl", {"s_client", "-connect", "127.0.0.1:" + here.port, "-CAfile", here.root, "-tls1_2"});
    client.stderr_to_stdout();
    auto in = must(client.stdin_pipe());
    auto out = must(client.stdout_pipe());
    process p = must(client.start());
    auto said = spawn([&] { return must(read_all(out, 1 << 20)); });
    tls_stream s = must(here.accept());
    must(in.write("R\n"));
    char buffer[1];
    expect_code(s.read(buffer).status(), StatusCode::kAborted, "renegotiation");
    s.close();
    in.close();
    EXPECT_NE(said.join().find("RENEGOTIATING"), std::string::npos);
    must(p.wait(in_time()));
  });
}

// Returns the port that s_server prints: "ACCEPT [::]:40123".
std::string port_of(pipe_reader& out) {
  std::string said;
  char buffer[256];
  while (said.find("ACCEPT") == std::string::npos || said.find('\n', said.find("ACCEPT")) == std::string::npos) {
    const std::size_t n = must(out.read(buffer));
    if (n == 0) return {};
    said.append(buffer, n);
  }
  const std::string line = said.substr(said.find("ACCEPT"), said.find('\n', said.find("ACCEPT")) - said.find("ACCEPT"));
  const std::size_t colon = line.rfind(':');
  return std::to_string(std::atoi(line.c_str() + colon + 1));
}

TEST(TlsProcesses, OpensslIsAServer) {
  NEEDS("openssl", "version");
  for (const std::string version : {"-tls1_2", "-tls1_3"}) {
    run([&] {
      const baton_test::temporary_folder folder;
      command server("openssl", {"s_server", "-accept", "0", "-cert", folder.file("cert.pem", known().server.chain),
                                 "-key", folder.file("key.pem", known().server.key), "-CAfile",
                                 folder.file("root.pem", known().root.pem()), "-Verify", "1", "-verify_return_error",
                                 "-alpn", "reversed", "-rev", "-naccept", "2", version});
      server.stderr_to(quiet());
      auto out = must(server.stdout_pipe());
      process p = must(server.start());
      const std::string port = port_of(out);
      ASSERT_NE(port, "");
      auto rest = spawn([&] { return read_all(out, 1 << 20).status(); });
      const tls_context context = client_context({.alpn = {"reversed"}, .identities = {identity_of(known().client)}});
      for (int i = 0; i < 2; ++i) {
        tls_stream s = must(tls_stream::connect(must(dial("localhost:" + port)), context, "localhost"));
        EXPECT_EQ(s.negotiated_protocol(), "reversed");
        EXPECT_EQ(s.is_resumed(), i > 0);
        must(s.write("hello\n"));
        EXPECT_EQ(read_line(s), "olleh");
        must(s.write("CLOSE\n"));  // ends the connection
        char buffer[1];
        EXPECT_EQ(must(s.read(buffer)), 0U);
      }
      EXPECT_TRUE(must(p.wait(in_time())).success());
      EXPECT_TRUE(rest.join().ok());
    });
  }
}

TEST(TlsProcesses, Curl) {
  NEEDS("curl", "--version");
  run([] {
    server_side here;
    const auto fetch = [&](std::vector<std::string> more) {
      std::vector<std::string> arguments = {"-sS", "--http1.1", "--max-time",
                                            "60",  "--resolve", "localhost:" + here.port + ":127.0.0.1"};
      arguments.insert(arguments.end(), more.begin(), more.end());
      arguments.push_back(here.url);
      return spawn([arguments] { return command("curl", arguments).output(in_time()); });
    };
    const auto serve = [&](const tls_options& options) {
      auto s = here.accept(options);
      if (!s.ok()) return s.status();
      EXPECT_EQ(read_line(*s), "GET / HTTP/1.1\r");
      // The body ends with the stream: curl needs the close_notify.
      must(s->write("HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n" + std::string(100'000, 'b')));
      return absl::OkStatus();
    };
    auto good = fetch({"--cacert", here.root});
    EXPECT_EQ(serve({.alpn = {"http/1.1"}}), absl::OkStatus());
    EXPECT_EQ(must(good.join()), std::string(100'000, 'b'));

    auto with_certificate = fetch({"--cacert", here.root, "--cert", here.client_cert, "--key", here.client_key});
    EXPECT_EQ(serve({.ca_pem = known().root.pem(), .verify = tls_verify::require}), absl::OkStatus());
    EXPECT_TRUE(with_certificate.join().ok());

    auto without = fetch({"--cacert", here.root});
    expect_code(serve({.ca_pem = known().root.pem(), .verify = tls_verify::require}), StatusCode::kUnauthenticated);
    EXPECT_FALSE(without.join().ok());

    auto distrustful = fetch({});
    EXPECT_EQ(serve({}).code(), StatusCode::kPermissionDenied);
    const auto end = exit_status_of(distrustful.join().status());
    ASSERT_TRUE(end.has_value());
    EXPECT_EQ(end->code(), 60);  // "peer certificate cannot be authenticated"
  });
}

constexpr const char* python_client = R"(
import socket, ssl, sys
port, root, version = int(sys.argv[1]), sys.argv[2], sys.argv[3]
context = ssl.create_default_context(cafile=root)
context.minimum_version = context.maximum_version = getattr(ssl.TLSVersion, version)
context.set_alpn_protocols(["echo"])
with socket.create_connection(("127.0.0.1", port)) as tcp:
    with context.wrap_socket(tcp, server_hostname="localhost", suppress_ragged_eofs=False) as tls:
        data = bytes(range(256)) * 4000
        sent = 0
        got = b""
        while len(got) < len(data):
            if sent < len(data):
                sent += tls.send(data[sent:sent + 5000])
            got += tls.recv(65536)
        assert got == data
        print(tls.selected_alpn_protocol(), tls.version())
        tls.unwrap()
)";

TEST(TlsProcesses, Python) {
  NEEDS("python3", "-cimport ssl");
  for (const std::string version : {"TLSv1_2", "TLSv1_3"}) {
    run([&] {
      server_side here;
      command client("python3", {"-c", python_client, here.port, here.root, version});
      auto said = spawn([&] { return client.output(in_time()); });
      tls_stream s = must(here.accept({.alpn = {"echo"}}));
      must(copy(s, s));
      EXPECT_TRUE(s.close_write().ok());
      const auto text = said.join();
      ASSERT_TRUE(text.ok()) << text.status();
      EXPECT_EQ(*text, version == "TLSv1_2" ? "echo TLSv1.2\n" : "echo TLSv1.3\n");
    });
  }
}

}  // namespace
}  // namespace baton::net::test
