// Look-ups by the C library that does not answer. Its getaddrinfo is this program's own, which the library calls, too.
// It hangs for the names that a test holds, and passes the others on.
#include "../runtime/parked.h"
#include "net_test_support.h"

#include <baton/runtime/context.h>
#include <baton/runtime/event.h>
#include <baton/syscall/blocking.h>

#include <dlfcn.h>
#include <netdb.h>
#include <algorithm>
#include <array>
#include <cerrno>
#include <condition_variable>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

namespace {

struct slow_library {
  std::mutex lock;
  std::condition_variable changed;
  bool answers = true;
  int code = EAI_NONAME;
  int error = 0;
  int inside = 0;
  int most_inside = 0;
  int calls = 0;
};
slow_library c_library;

// While this object lives, names that end in ".held" are not answered.
class held_names {
 public:
  held_names() { set(false); }
  ~held_names() {
    set(true);
    std::unique_lock<std::mutex> hold(c_library.lock);
    c_library.changed.wait(hold, [] { return c_library.inside == 0; });
  }
  static void set(bool answers) {
    const std::lock_guard<std::mutex> hold(c_library.lock);
    c_library.answers = answers;
    if (!answers) c_library.most_inside = c_library.calls = 0;
    c_library.changed.notify_all();
  }
  static int inside() {
    const std::lock_guard<std::mutex> hold(c_library.lock);
    return c_library.inside;
  }
  static int most_inside() {
    const std::lock_guard<std::mutex> hold(c_library.lock);
    return c_library.most_inside;
  }
  static int calls() {
    const std::lock_guard<std::mutex> hold(c_library.lock);
    return c_library.calls;
  }
};

}  // namespace

extern "C" int getaddrinfo(const char* host, const char* service, const addrinfo* hints, addrinfo** found) {
  const std::string name = host == nullptr ? "" : host;
  if (name.size() > 5 && name.compare(name.size() - 5, 5, ".held") == 0) {
    std::unique_lock<std::mutex> hold(c_library.lock);
    ++c_library.calls;
    c_library.most_inside = std::max(c_library.most_inside, ++c_library.inside);
    c_library.changed.wait(hold, [] { return c_library.answers; });
    --c_library.inside;
    c_library.changed.notify_all();
    errno = c_library.error;
    return c_library.code;
  }
  using function = int(const char*, const char*, const addrinfo*, addrinfo**);
  static auto* const real = reinterpret_cast<function*>(::dlsym(RTLD_NEXT, "getaddrinfo"));
  return real(host, service, hints, found);
}

namespace baton::net::test {
namespace {

const resolver& by_system() {
  static const resolver one = must(resolver::open({.source = name_source::system}));
  return one;
}
absl::StatusOr<std::vector<address>> look_up(const std::string& host, resolve_options options = {}) {
  return by_system().resolve(host, std::move(options));
}
absl::StatusOr<tcp_stream> dial_by_system(const std::string& where, dial_options options = {}) {
  options.names = &by_system();
  return dial(where, std::move(options));
}

TEST(SystemLookup, ATimeOutAndAContextEndTheWait) {
  run([] {
    const held_names held;
    const absl::Status late = look_up("a.held", {.timeout = 1ms}).status();
    EXPECT_EQ(late.code(), absl::StatusCode::kDeadlineExceeded) << late;
    EXPECT_NE(late.message().find("a.held"), absl::string_view::npos) << late;
    EXPECT_EQ(dial_by_system("a.held:80", {.timeout = 1ms}).status().code(), absl::StatusCode::kDeadlineExceeded);
    const auto ctx = with_cancel(context::background());
    auto waits = spawn([&] { return dial_by_system("b.held:80", {.ctx = ctx}).status(); });
    auto also = spawn([&] { return look_up("b.held", {.ctx = ctx}).status(); });
    until([] { return held_names::inside() == 2; });
    ctx.cancel();
    const absl::Status s = waits.join();
    EXPECT_EQ(s.code(), absl::StatusCode::kCancelled);
    EXPECT_NE(s.message().find("b.held"), absl::string_view::npos) << s;
    EXPECT_EQ(also.join().code(), absl::StatusCode::kCancelled);
  });
}

TEST(SystemLookup, TheThreadsAreFew) {
  run([] {
    held_names held;
    std::vector<fiber<absl::StatusCode>> dials;
    for (int i = 0; i < 400; ++i) {
      dials.push_back(
          spawn([i] { return dial_by_system(std::to_string(i) + ".x.held:80", {.timeout = 50ms}).status().code(); }));
    }
    for (auto& d : dials) EXPECT_EQ(d.join(), absl::StatusCode::kDeadlineExceeded);
    EXPECT_LE(held_names::most_inside(), 32);
    // Look-ups that had not begun when their caller left never will.
    held_names::set(true);
    until([] { return held_names::inside() == 0; });
    EXPECT_LE(held_names::calls(), 32);
  });
}

TEST(SystemLookup, TheSameNameIsAskedOnce) {
  run([] {
    const held_names held;
    constexpr std::size_t count = 100;
    std::array<baton::test::watched_agent, count + 1> waiting;
    const auto ask = [&waiting](std::size_t i) {
      waiting[i].about_to_wait();
      EXPECT_EQ(look_up("same.held").status().code(), absl::StatusCode::kNotFound);
    };
    std::vector<fiber<void>> all;
    for (std::size_t i = 0; i < count; ++i) all.push_back(spawn(ask, i));
    std::thread plain(ask, count);
    for (const auto& w : waiting) w.await_parked();
    until([] { return held_names::inside() == 1; });
    held_names::set(true);
    for (auto& f : all) f.join();
    blocking([&] { plain.join(); });
    EXPECT_EQ(held_names::calls(), 1);
  });
}

TEST(SystemLookup, WhatIsSaidOfFailures) {
  const struct {
    int code, error;
    absl::StatusCode expected;
  } cases[] = {{EAI_NONAME, 0, absl::StatusCode::kNotFound},
               {EAI_NONAME, ENOENT, absl::StatusCode::kNotFound},
               {EAI_NONAME, EMFILE, absl::StatusCode::kResourceExhausted},
               {EAI_NODATA, 0, absl::StatusCode::kNotFound},
               {EAI_ADDRFAMILY, 0, absl::StatusCode::kNotFound},
               {EAI_AGAIN, 0, absl::StatusCode::kUnavailable},
               {EAI_FAIL, 0, absl::StatusCode::kUnavailable},
               {EAI_MEMORY, 0, absl::StatusCode::kResourceExhausted},
               {EAI_SYSTEM, EACCES, absl::StatusCode::kPermissionDenied},
               {EAI_SYSTEM, 0, absl::StatusCode::kUnavailable},
               {EAI_OVERFLOW, 0, absl::StatusCode::kInvalidArgument},
               {EAI_FAMILY, 0, absl::StatusCode::kInternal}};
  run([&] {
    for (const auto& c : cases) {
      {
        const std::lock_guard<std::mutex> hold(c_library.lock);
        c_library.code = c.code;
        c_library.error = c.error;
      }
      const absl::Status s = look_up("x.held").status();
      EXPECT_EQ(s.code(), c.expected) << c.code << " " << s;
      EXPECT_EQ(s.message().find("resolve x.held: "), 0u) << s;
    }
    const std::lock_guard<std::mutex> hold(c_library.lock);
    c_library.code = EAI_NONAME;
    c_library.error = 0;
  });
}

TEST(SystemLookup, NamesAndAddresses) {
  run([] {
    for (const address& a : must(look_up("localhost", {.port = 80}))) {
      EXPECT_TRUE(a.is_loopback());
      EXPECT_EQ(a.port(), 80);
    }
    const absl::Status s = by_system().names_of(must(address::from_ip("192.0.2.1", 0)), {.timeout = 10s}).status();
    EXPECT_EQ(s.message().find("resolve 192.0.2.1: "), 0u) << s;  // reserved for documentation: it has no name
  });
}

// Callers come and go while answers arrive.
TEST(SystemLookup, NoCallerIsLost) {
  run([] {
    std::vector<fiber<void>> callers;
    const auto ctx = with_cancel(context::background());
    held_names held;
    for (int i = 0; i < 60; ++i) {
      callers.push_back(spawn([&, i] {
        for (int n = 0; n < 30; ++n) {
          const std::string name = std::to_string((i + n) % 7) + ".y.held";
          if (n % 3 == 0) {
            EXPECT_FALSE(look_up(name, {.timeout = std::chrono::microseconds(i * n)}).ok());
          } else if (n % 3 == 1) {
            EXPECT_FALSE(look_up(name, {.ctx = ctx}).ok());
          } else {
            held_names::set(true);
            EXPECT_FALSE(look_up(name).ok());
          }
        }
      }));
    }
    for (int i = 0; i < 20; ++i) {
      held_names::set(false);
      this_fiber::yield();
      held_names::set(true);
      this_fiber::yield();
    }
    ctx.cancel();
    for (auto& c : callers) c.join();
  });
}

}  // namespace
}  // namespace baton::net::test
