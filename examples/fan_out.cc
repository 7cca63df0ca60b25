// Fanning out: asks many servers at once, but not too many, and does not wait for the slow ones. The program starts the
// servers itself, on loopback; some of them answer only after an hour.
//
//   fan_out [servers] [slow ones] [at once] [ms for each] [ms for all]        default 12 3 4 300 2000
//
// - A task_group holds the questions: wait() returns when none is under way, and a failure would cancel the
//   rest. A late answer is not a failure: it is counted.
// - A semaphore limits how many ask at the same time.
// - Deadlines are contexts. Each question has its own, below that of the whole. The stream gets the context, and
//   its calls end when that is done. A question that does not even get its turn in time is late, too.
// - The servers are a second group. The program stops them at the end by cancelling it.
#include <baton/baton.h>

#include "command_line.h"
#include "descriptor_limit.h"

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdio>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

namespace {

using clock = std::chrono::steady_clock;
using std::chrono::milliseconds;

struct settings {
  int servers = 12;
  int slow = 3;
  int at_once = 4;
  milliseconds each{300};
  milliseconds all{2000};
};

// Answers one question after another until the context is done. Any other status says why it cannot go on.
absl::Status serve(baton::net::tcp_listener& listener, bool slow, const baton::context& ctx) {
  listener.set_context(ctx);
  for (;;) {
    auto peer = listener.accept();
    if (!peer.ok()) return ctx.is_done() ? absl::OkStatus() : peer.status();
    peer->set_context(ctx);
    char question[64];
    if (peer->read(question).value_or(0) == 0) continue;
    if (slow && ctx.wait_done_for(std::chrono::hours(1))) return absl::OkStatus();
    static_cast<void>(peer->write("fine, thank you\n"));  // the peer may have hung up
  }
}

absl::StatusOr<std::string> ask(const std::string& address, const baton::context& ctx) {
  auto stream = baton::net::dial(address, {.ctx = ctx});
  if (!stream.ok()) return stream.status();
  stream->set_context(ctx);
  if (auto sent = stream->write("how are you?\n"); !sent.ok()) return sent.status();
  char buffer[64];
  const auto n = stream->read_full(buffer);  // until the peer closes, or the deadline
  if (!n.ok()) return n.status();
  if (*n == 0) return absl::UnavailableError("ask " + address + ": no answer");
  return std::string(buffer, *n);
}

class survey {
 public:
  explicit survey(const settings& s) : settings_(s), turns_(s.at_once), all_(baton::with_timeout({}, s.all)) {}

  // A task: prints one line. Returns an error only for what is not expected.
  absl::Status question(int server, const std::string& address, const baton::context& group) {
    const auto begin = clock::now();
    if (!turns_.try_acquire_until(*all_.deadline())) return report(server, "late: never had its turn", begin, true);
    begin_turn();
    const auto answer = ask(address, baton::with_timeout(group, settings_.each));
    end_turn();
    if (answer.ok()) return report(server, "answered: " + answer->substr(0, answer->find('\n')), begin, false);
    if (absl::IsDeadlineExceeded(answer.status())) return report(server, "late", begin, true);
    return answer.status();
  }

  [[nodiscard]] const baton::context& all() const { return all_; }

  void summary() {
    const std::lock_guard hold(lock_);
    std::printf("%d answered, %d late, at most %d asked at once\n", answered_, late_, most_);
  }

 private:
  void begin_turn() {
    const std::lock_guard hold(lock_);
    most_ = std::max(most_, ++asking_);
  }
  void end_turn() {
    {
      const std::lock_guard hold(lock_);
      --asking_;
    }
    turns_.release();
  }
  absl::Status report(int server, const std::string& what, clock::time_point begin, bool late) {
    const auto took = std::chrono::duration_cast<milliseconds>(clock::now() - begin);
    const std::lock_guard hold(lock_);
    ++(late ? late_ : answered_);
    std::printf("server %d %s (%lld ms)\n", server, what.c_str(), static_cast<long long>(took.count()));
    return absl::OkStatus();
  }

  const settings settings_;
  baton::semaphore turns_;
  const baton::cancellable_context all_;
  baton::mutex lock_;  // not std::mutex: it would block the thread
  int asking_ = 0;
  int most_ = 0;
  int answered_ = 0;
  int late_ = 0;
};

int run(const settings& s) {
  std::vector<baton::net::tcp_listener> listeners;
  for (int i = 0; i < s.servers; ++i) {
    auto listener = baton::net::tcp_listener::bind("127.0.0.1:0");
    if (!listener.ok()) return examples::failed("fan_out", listener.status());
    listeners.push_back(std::move(*listener));
  }
  baton::task_group servers;  // declared after the listeners: ends before them
  for (int i = 0; i < s.servers; ++i) {
    servers.spawn([&listener = listeners[static_cast<std::size_t>(i)], slow = i < s.slow](const baton::context& ctx) {
      return serve(listener, slow, ctx);
    });
  }

  survey all(s);
  baton::task_group questions(all.all());
  for (int i = 0; i < s.servers; ++i) {
    questions.spawn([&all, i, address = listeners[static_cast<std::size_t>(i)].local_address().to_string()](
                        const baton::context& ctx) { return all.question(i, address, ctx); });
  }
  const absl::Status asked = questions.wait();
  servers.cancel();
  const absl::Status served = servers.wait();
  all.summary();
  if (!served.ok()) return examples::failed("fan_out", served);
  if (!asked.ok()) return examples::failed("fan_out", asked);
  return std::fflush(stdout) == 0 && std::ferror(stdout) == 0
             ? 0
             : examples::failed("fan_out", absl::DataLossError("write stdout: not all of it could be written"));
}

}  // namespace

int main(int argc, char** argv) {
  settings s;
  constexpr long hour_ms = 3'600'000;
  bool good = examples::are_operands(argc, argv, 5);
  const auto argument = [&](int i, long low, long high, long otherwise) {
    if (argc > i) good = good && examples::read_number(argv[i], low, high, otherwise);
    return otherwise;
  };
  s.servers = static_cast<int>(argument(1, 0, 10'000, s.servers));
  s.slow = static_cast<int>(argument(2, 0, 10'000, s.slow));
  s.at_once = static_cast<int>(argument(3, 1, 10'000, s.at_once));
  s.each = milliseconds(argument(4, 0, hour_ms, s.each.count()));
  s.all = milliseconds(argument(5, 0, hour_ms, s.all.count()));
  if (!good) return examples::misused("fan_out [servers] [slow ones] [at once] [ms for each] [ms for all]");
  examples::raise_descriptor_limit();
  return examples::run("fan_out", [&] { return run(s); });
}
