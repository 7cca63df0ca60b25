// A DNS server on loopback, UDP and TCP, which answers as the test says: right, wrong, late, never. Its fibers run
// beside those of the test. A handler may wait: each question has a fiber of its own.
#pragma once

#include "net_test_support.h"

#include <baton/netpoll/pollable.h>
#include <baton/runtime/fiber.h>
#include <baton/runtime/wait_group.h>
#include <baton/syscall/raw_syscall.h>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <algorithm>
#include <cctype>
#include <cerrno>
#include <cstdint>
#include <cstdlib>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

namespace baton::net::test {

enum dns_type : std::uint16_t { dns_a = 1, dns_cname = 5, dns_ptr = 12, dns_aaaa = 28 };
enum dns_code : std::uint8_t { dns_no_error = 0, dns_servfail = 2, dns_nxdomain = 3, dns_refused = 5 };

inline std::string dns_number(std::uint16_t n) { return {static_cast<char>(n >> 8), static_cast<char>(n & 0xff)}; }

// "www.x." as it is in a packet.
inline std::string dns_name(const std::string& name) {
  std::string out;
  for (std::size_t at = 0; at < name.size();) {
    const std::size_t dot = std::min(name.find('.', at), name.size());
    if (dot > at) out += static_cast<char>(dot - at) + name.substr(at, dot - at);
    at = dot + 1;
  }
  return out + '\0';
}

struct dns_record {
  std::string name;  // "": the name that was asked for
  std::uint16_t type;
  std::string data;

  static dns_record a(const std::string& ip) {
    in_addr raw{};
    ::inet_pton(AF_INET, ip.c_str(), &raw);
    return {"", dns_a, std::string(reinterpret_cast<const char*>(&raw), sizeof raw)};
  }
  static dns_record aaaa(const std::string& ip) {
    in6_addr raw{};
    ::inet_pton(AF_INET6, ip.c_str(), &raw);
    return {"", dns_aaaa, std::string(reinterpret_cast<const char*>(&raw), sizeof raw)};
  }
  static dns_record cname(const std::string& to) { return {"", dns_cname, dns_name(to)}; }
  static dns_record ptr(const std::string& to) { return {"", dns_ptr, dns_name(to)}; }
  [[nodiscard]] dns_record of(const std::string& owner) const { return {owner, type, data}; }
};

struct dns_question {
  std::string name;  // lower case, with a dot at its end
  std::uint16_t type = 0;
  bool tcp = false;
};

struct dns_answer {
  std::vector<dns_record> records = {};
  dns_code code = dns_no_error;
  bool silent = false;
  bool truncated = false;
  // Lies that are sent before the answer.
  bool wrong_id = false;
  bool wrong_question = false;
};

class dns_server {
 public:
  using handler = std::function<dns_answer(const dns_question&)>;

  explicit dns_server(handler h) : handler_(std::move(h)) {
    for (int tries = 0; !open(); ++tries) {
      if (tries == 100) std::abort();
    }
    inside_.add(2);
    go([this] { serve_packets(); });
    go([this] { serve_streams(); });
  }
  // Requires: handlers return.
  ~dns_server() {
    packets_.close();
    listener_.close();
    inside_.wait();
  }
  dns_server(const dns_server&) = delete;
  dns_server& operator=(const dns_server&) = delete;

  [[nodiscard]] std::string where() const { return listener_.local_address().to_string(); }
  [[nodiscard]] int asked() const {
    const std::lock_guard<std::mutex> hold(lock_);
    return static_cast<int>(questions_.size());
  }
  [[nodiscard]] std::vector<dns_question> questions() const {
    const std::lock_guard<std::mutex> hold(lock_);
    return questions_;
  }
  // The names in the order in which they were asked for, for one type.
  [[nodiscard]] std::vector<std::string> names(std::uint16_t type) const {
    std::vector<std::string> all;
    for (const dns_question& q : questions()) {
      if (q.type == type) all.push_back(q.name);
    }
    return all;
  }

 private:
  // The same port for both kinds.
  bool open() {
    listener_ = listen();
    const int fd = ::socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    const int room = 4 << 20;
    (void)::setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &room, sizeof room);
    sockaddr_storage sa;
    const socklen_t size = listener_.local_address().to_sockaddr(sa);
    if (::bind(fd, reinterpret_cast<const sockaddr*>(&sa), size) != 0) {
      ::close(fd);
      return false;
    }
    packets_ = must(pollable::adopt(fd));
    return true;
  }

  void serve_packets() {
    for (;;) {
      auto packet = std::make_shared<std::string>(512, '\0');
      auto from = std::make_shared<sockaddr_storage>();
      socklen_t size = sizeof *from;
      const auto got = packets_.read_with([&](int fd) {
        return sys::raw_syscall(SYS_recvfrom, fd, packet->data(), packet->size(), int{MSG_DONTWAIT}, from.get(), &size);
      });
      if (!got && got.error() == ECONNREFUSED) continue;  // of an answer to a client that has gone
      if (!got) break;
      packet->resize(static_cast<std::size_t>(*got));
      inside_.add();
      go([this, packet, from, size] {
        for (const std::string& reply : replies_to(*packet, false)) {
          (void)packets_.write_with([&](int fd) {
            return sys::raw_syscall(SYS_sendto, fd, reply.data(), reply.size(), MSG_DONTWAIT | MSG_NOSIGNAL, from.get(),
                                    size);
          });
        }
        inside_.done();
      });
    }
    inside_.done();
  }

  void serve_streams() {
    for (;;) {
      absl::StatusOr<tcp_stream> s = listener_.accept();
      if (!s.ok()) break;
      inside_.add();
      go([this, stream = std::move(*s)]() mutable {
        for (;;) {
          unsigned char length[2];
          const auto got = stream.read_full({length, 2});
          if (!got.ok() || *got != 2) break;
          std::string packet(static_cast<std::size_t>(length[0] << 8 | length[1]), '\0');
          const auto rest = stream.read_full({packet.data(), packet.size()});
          if (!rest.ok() || *rest != packet.size()) break;
          for (const std::string& reply : replies_to(packet, true)) {
            if (!stream.write(dns_number(static_cast<std::uint16_t>(reply.size())) + reply).ok()) break;
          }
        }
        inside_.done();
      });
    }
    inside_.done();
  }

  std::vector<std::string> replies_to(const std::string& packet, bool tcp) {
    constexpr std::size_t header = 12;
    dns_question q;
    q.tcp = tcp;
    std::size_t at = header;
    while (at < packet.size() && packet[at] != '\0') {
      const auto length = static_cast<std::size_t>(static_cast<unsigned char>(packet[at]));
      q.name += packet.substr(at + 1, length) + '.';
      at += length + 1;
    }
    if (at + 5 > packet.size()) return {};
    for (char& c : q.name) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
    q.type = static_cast<std::uint16_t>(static_cast<unsigned char>(packet[at + 1]) << 8 |
                                        static_cast<unsigned char>(packet[at + 2]));
    const std::string question = packet.substr(header, at + 5 - header);
    {
      const std::lock_guard<std::mutex> hold(lock_);
      questions_.push_back(q);
    }
    const dns_answer answer = handler_(q);
    std::vector<std::string> all;
    const std::string id = packet.substr(0, 2);
    const std::string other_id = {static_cast<char>(id[0] ^ 0x55), id[1]};
    const std::string other_question = dns_name("liar.example.") + question.substr(question.size() - 4);
    if (answer.wrong_id) all.push_back(reply(other_id, question, answer));
    if (answer.wrong_question) all.push_back(reply(id, other_question, answer));
    if (!answer.silent) all.push_back(reply(id, question, answer));
    return all;
  }

  static std::string reply(const std::string& id, const std::string& question, const dns_answer& a) {
    constexpr int response = 0x8180;  // recursion asked for, and there
    const int flags = response | a.code | (a.truncated ? 0x0200 : 0);
    std::string out = id + dns_number(static_cast<std::uint16_t>(flags)) + dns_number(1) +
                      dns_number(static_cast<std::uint16_t>(a.records.size())) + dns_number(0) + dns_number(0) +
                      question;
    for (const dns_record& r : a.records) {
      out += r.name.empty() ? std::string("\xc0\x0c") : dns_name(r.name);  // the question's name
      out += dns_number(r.type) + dns_number(1) + dns_number(0) + dns_number(0);
      out += dns_number(static_cast<std::uint16_t>(r.data.size())) + r.data;
    }
    return out;
  }

  const handler handler_;
  pollable packets_;
  tcp_listener listener_;
  wait_group inside_;
  mutable std::mutex lock_;
  std::vector<dns_question> questions_;
};

// Answers each name with these addresses.
inline dns_server::handler always(const std::string& v4, const std::string& v6) {
  return [=](const dns_question& q) {
    if (q.type == dns_a && !v4.empty()) return dns_answer{{dns_record::a(v4)}};
    if (q.type == dns_aaaa && !v6.empty()) return dns_answer{{dns_record::aaaa(v6)}};
    return dns_answer{};
  };
}
inline dns_server::handler nobody_answers() {
  return [](const dns_question&) { return dns_answer{.silent = true}; };
}
inline dns_server::handler says(dns_code code) {
  return [=](const dns_question&) { return dns_answer{.code = code}; };
}

// A resolver that asks this server alone, and reads no files.
inline resolver asking(const dns_server& server, resolver_options options = {}) {
  options.servers = {server.where()};
  if (options.hosts == "/etc/hosts") options.hosts = "";
  if (options.resolv_conf == "/etc/resolv.conf") options.resolv_conf = "";
  return must(resolver::open(std::move(options)));
}

}  // namespace baton::net::test
