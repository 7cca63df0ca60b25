// What docs/tls.md takes for granted: a folder with cert.pem, key.pem and ca.pem, and a server that echoes.
#include "docs/tls_snippet.h"
#include "tls/certificates.h"

#include <gtest/gtest.h>

#include <unistd.h>
#include <filesystem>
#include <memory>

std::string baton_test::address_of_tls_server;

namespace {

class tls_server : public testing::Environment {
 public:
  void SetUp() override {
    const baton_test::authority root("Authority");
    const auto issued = root.issue("localhost");
    files_ = std::make_unique<baton_test::temporary_folder>();
    files_->file("cert.pem", issued.chain);
    files_->file("key.pem", issued.key);
    files_->file("ca.pem", root.pem());
    before_ = std::filesystem::current_path();
    std::filesystem::current_path(files_->path("."));
    baton::run([this] {
      listener_ = baton::net::tcp_listener::bind("127.0.0.1:0").value();
      baton_test::address_of_tls_server = listener_.local_address().to_string();
      const auto context = baton::net::tls_context::server("cert.pem", "key.pem").value();
      accepts_ = baton::spawn([this, context] {
        for (auto tcp = listener_.accept(); tcp.ok(); tcp = listener_.accept()) {
          connections_.spawn([context, tcp = *std::move(tcp)]() mutable {
            auto peer = baton::net::tls_stream::accept(std::move(tcp), context);
            if (peer.ok()) (void)baton::copy(*peer, *peer);
          });
        }
      });
    });
  }
  void TearDown() override {
    baton::run([this] {
      listener_.close();
      accepts_.join();
      (void)connections_.wait();
    });
    std::filesystem::current_path(before_);
    files_.reset();
  }

 private:
  std::unique_ptr<baton_test::temporary_folder> files_;
  std::filesystem::path before_;
  baton::net::tcp_listener listener_;
  baton::fiber<void> accepts_;
  baton::task_group connections_;
};

[[maybe_unused]] const auto* const environment = testing::AddGlobalTestEnvironment(new tls_server);

}  // namespace
