// libcurl's easy interface, unmodified.
#include "held_server.h"
#include "two_hundred.h"

#include <baton/runtime/run.h>

#include <gtest/gtest.h>

#include <curl/curl.h>
#include <string>

namespace {

using namespace baton_test;

class http : public protocol {
  std::string answer(std::string& in, bool& held) override {
    const std::size_t end = in.find("\r\n\r\n");
    if (end == std::string::npos) return {};
    const std::string target = in.substr(4, in.find(' ', 4) - 4);
    in.erase(0, end + 4);
    held = true;
    return "HTTP/1.1 200 OK\r\nContent-Length: " + std::to_string(target.size()) + "\r\n\r\n" + target;
  }
};

std::size_t append(const char* from, std::size_t, std::size_t size, void* to) {
  static_cast<std::string*>(to)->append(from, size);
  return size;
}

TEST(Libcurl, TwoHundredFibersWaitInPerform) {
  ASSERT_EQ(curl_global_init(CURL_GLOBAL_ALL), CURLE_OK);
  held_server server(two_hundred, [] { return std::make_unique<http>(); });
  const auto call = [&](int i) {
    CURL* const c = curl_easy_init();
    ASSERT_NE(c, nullptr);
    for (int round = 0; round < 2; ++round) {
      const std::string target = "/" + std::to_string(i) + "." + std::to_string(round);
      const std::string url = "http://127.0.0.1:" + std::to_string(server.port()) + target;
      std::string body;
      curl_easy_setopt(c, CURLOPT_URL, url.c_str());
      curl_easy_setopt(c, CURLOPT_NOPROXY, "*");
      curl_easy_setopt(c, CURLOPT_NOSIGNAL, 1L);
      curl_easy_setopt(c, CURLOPT_WRITEFUNCTION, append);
      curl_easy_setopt(c, CURLOPT_WRITEDATA, &body);
      const CURLcode code = curl_easy_perform(c);
      EXPECT_EQ(code, CURLE_OK) << curl_easy_strerror(code);
      EXPECT_EQ(body, target);
    }
    curl_easy_cleanup(c);
  };
  baton::run([&] { call_from_two_hundred(call, server); });
  curl_global_cleanup();
}

}  // namespace
