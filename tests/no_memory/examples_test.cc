// What the example servers share, with each of its allocations failing: the server goes on, or says that it cannot.
#include "../../examples/serve_until_signal.h"
#include "failing_allocations.h"

#include <baton/netpoll/net.h>
#include <baton/runtime/context.h>
#include <baton/runtime/fiber.h>
#include <baton/runtime/os_signals.h>
#include <baton/runtime/run.h>
#include <baton/runtime/task_group.h>

#include <chrono>
#include <csignal>
#include <string>

namespace baton::test {
namespace {

using namespace std::chrono_literals;

TEST(NoMemory, AServerEndsWhenItsListenerDoes) {
  run([] {
    fail_each_allocation([](failing_allocation& fails) {
      auto listener = net::tcp_listener::bind("127.0.0.1:0").value();
      task_group connections;
      auto client = spawn([&] {
        auto peer = net::dial(listener.local_address().to_string()).value();
        peer.set_read_deadline(std::chrono::steady_clock::now() + 20ms);  // it may never be accepted
        char buffer[1];
        (void)peer.read(buffer);
        listener.close();
      });
      absl::Status end = absl::UnknownError("");
      const bool threw = fails.during(
          [&] { end = examples::serve_until_signal(listener, connections, [](net::tcp_stream&, const context&) {}); });
      EXPECT_EQ(threw, !end.ok()) << end;
      EXPECT_TRUE(!threw || fails.happened());
      client.join();
      EXPECT_EQ(absl::OkStatus(), connections.wait());
      os_signals::reset({SIGINT, SIGTERM});  // of a channel that is closed only the next signal is told
    });
  });
}

}  // namespace
}  // namespace baton::test
