// A chat over TCP: a client that connects says a name, then lines that all members get.
//
//   chat [address] [skip|close]       default 127.0.0.1:7001 skip; port 0 lets the kernel choose
//   nc 127.0.0.1 7001
//
// The room is one fiber. It alone knows the members, so there is no lock. It selects over three channels, and the
// context that says that the server stops. A member is two fibers: one reads lines and sends them to the room, the
// other writes what comes out of the member's own channel, the outbox.
//
// Slow readers. The room never waits for a member. If an outbox is full, there is a choice:
//   skip     the line is left out, and the member is told later how many are missing
//   close    the member is disconnected (so a member that talks too fast can throw others out)
// In both cases a member to which not a single line can be written for 10 s is disconnected.
//
// Hostile clients. A line has 512 bytes at most. A name must come within 10 s, and no other member may have it.
// Characters that could control the terminals of others are dropped. No line can be mistaken for one of another member,
// because a name has no ':', '*' or space. The kernel buffers little for a client that does not read. Keep-alive
// notices a host that has vanished. A reset is an error from read(), or write(), and ends that member only.
//
// Ctrl-C or SIGTERM stops the server: no new connections, a last word to all, what is in the outboxes goes out, within
// 2 s.
#include <baton/baton.h>

#include "command_line.h"
#include "descriptor_limit.h"
#include "line_reader.h"
#include "printable_text.h"
#include "serve_until_signal.h"

#include <absl/cleanup/cleanup.h>

#include <sys/socket.h>
#include <chrono>
#include <cstddef>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

namespace {

using namespace std::chrono_literals;
using clock = std::chrono::steady_clock;

constexpr std::size_t line_max = 512;

enum class slow_readers { skip, close };
enum class answer { welcome, name_taken, over };

using line = std::shared_ptr<const std::string>;  // all outboxes share one copy
line make_line(std::string text) { return std::make_shared<const std::string>(std::move(text) + "\n"); }

struct member {
  explicit member(const baton::context& parent) : connection(baton::with_cancel(parent)) {}
  std::string name;
  const baton::channel<answer> joined = baton::channel<answer>(1);
  const baton::channel<line> outbox = baton::channel<line>(64);  // closed: write what is left, and hang up
  const baton::cancellable_context connection;                   // cancelled: hang up now
  std::size_t missed = 0;                                        // used by the room only
};
using member_ptr = std::shared_ptr<member>;

class room {
 public:
  explicit room(slow_readers policy) : policy_(policy) {}

  answer join(const member_ptr& m) const {
    return joining_.send(m) ? m->joined.receive().value_or(answer::over) : answer::over;
  }
  bool say(const std::string& text) const { return said_.send(text); }
  void leave(const member_ptr& m) const { leaving_.send(m); }

  void run(const baton::context& stopping) {
    const absl::Cleanup over = [&] {  // a send that waits ends, and reports that the chat is over
      joining_.close();
      leaving_.close();
      said_.close();
    };
    const auto joined = [&](const auto& m) {
      const bool first = members_.emplace((*m)->name, *m).second;
      (*m)->joined.send(first ? answer::welcome : answer::name_taken);  // has room: never waits
      if (first) tell_all("* " + (*m)->name + " is here");
    };
    const auto left = [&](const auto& m) {
      members_.erase((*m)->name);
      tell_all("* " + (*m)->name + " has left");
    };
    for (bool open = true; open;) {
      baton::select(baton::on_receive(joining_, joined), baton::on_receive(leaving_, left),
                    baton::on_receive(said_, [&](const auto& text) { tell_all(*text); }),
                    baton::on_done(stopping, [&] { open = false; }));
    }
    tell_all("* the chat is over");
    for (const auto& [name, m] : members_) m->outbox.close();
  }

 private:
  void tell_all(const std::string& text) {
    const line l = make_line(text);
    for (const auto& [name, m] : members_) tell(*m, l);
  }

  void tell(member& m, const line& l) const {
    // Only with room for the line as well: else the line would be missed at once, and need a note of its own.
    if (m.missed > 0 && m.outbox.size() + 2 <= m.outbox.capacity()) {
      const line note = make_line("* you missed " + std::to_string(m.missed) + " lines");
      if (m.outbox.try_send(note) == baton::channel_status::ok) m.missed = 0;
    }
    if (m.missed == 0 && m.outbox.try_send(l) != baton::channel_status::would_block) return;
    if (policy_ == slow_readers::skip) ++m.missed;
    if (policy_ == slow_readers::close) m.connection.cancel();
  }

  const slow_readers policy_;
  const baton::channel<member_ptr> joining_, leaving_;
  const baton::channel<std::string> said_;
  std::map<std::string, member_ptr> members_;  // by name
};

void write_outbox(baton::net::tcp_stream& stream, const member& me) {
  for (const line& l : me.outbox) {
    stream.set_write_deadline(clock::now() + 10s);
    if (!stream.write(*l).ok()) return me.connection.cancel();
  }
  static_cast<void>(stream.close_write());
  stream.set_read_deadline(clock::now() + 5s);
}

// Asks until there is a name that no other member has. Returns false if the client did not join.
bool enter(const room& r, const member_ptr& me, examples::line_reader& in) {
  me->outbox.try_send(make_line("* your name?"));
  for (std::string text; in.next(text);) {
    me->name = examples::printable(text, 32);
    if (me->name.empty()) return false;
    if (me->name.find_first_of(" :*") != std::string::npos) {
      me->outbox.try_send(make_line("* a name has no ':', '*' or space; your name?"));
      continue;
    }
    const answer a = r.join(me);
    if (a != answer::name_taken) return a == answer::welcome;
    me->outbox.try_send(make_line("* somebody has that name; your name?"));
  }
  return false;
}

void converse(const room& r, baton::net::tcp_stream& stream, const baton::context& stopping,
              const baton::context& all) {
  const auto me = std::make_shared<member>(all);
  const auto writer = baton::spawn([&] { write_outbox(stream, *me); });  // joins at the end of this function
  const absl::Cleanup hang_up = [&] { me->outbox.close(); };             // before the join, also after an exception
  examples::line_reader in([&](baton::bytes into) { return stream.read(into); }, line_max);

  stream.set_write_context(me->connection);
  stream.set_read_context(stopping);  // a client without a name is not a member yet: nothing waits for it
  stream.set_read_deadline(clock::now() + 10s);
  if (enter(r, me, in)) {
    stream.set_read_context(me->connection);
    stream.set_read_deadline(clock::time_point::max());
    const absl::Cleanup leave = [&] { r.leave(me); };
    for (std::string text; in.next(text) && r.say(me->name + ": " + examples::printable(text, line_max));) {
    }
  }
  if (absl::IsOutOfRange(in.status())) me->outbox.try_send(make_line("* " + std::string(in.status().message())));
  me->outbox.close();

  // Closing while input is unread would reset the connection, and the last lines written might be lost. So read on
  // until the peer closes, too, or until the deadline that the writer set.
  char buffer[4096];
  while (stream.read(buffer).value_or(0) > 0) {
  }
}

int serve(const char* address, slow_readers policy) {
  auto listener = baton::net::tcp_listener::bind(address);
  if (!listener.ok()) return examples::failed("chat", listener.status());
  room r(policy);
  baton::task_group host;
  host.spawn([&](const baton::context& stopping) { r.run(stopping); });
  baton::task_group connections;
  const absl::Status end = examples::serve_until_signal(
      *listener, connections, [&](baton::net::tcp_stream& stream, const baton::context& all) {
        const int kept = 16 * 1024;
        ::setsockopt(stream.native_handle(), SOL_SOCKET, SO_SNDBUF, &kept, sizeof kept);
        static_cast<void>(stream.set_keep_alive(30s));
        converse(r, stream, host.ctx(), all);
      });
  host.cancel();
  static_cast<void>(host.wait());
  if (!connections.wait_for(2s)) connections.cancel();
  static_cast<void>(connections.wait());
  return end.ok() ? 0 : examples::failed("chat", end);
}

}  // namespace

int main(int argc, char** argv) {
  const std::string_view policy = argc > 2 ? argv[2] : "skip";
  if (!examples::are_operands(argc, argv, 2) || (policy != "skip" && policy != "close")) {
    return examples::misused("chat [address] [skip|close]");
  }
  examples::raise_descriptor_limit();
  return examples::run("chat", [&] {
    return serve(argc > 1 ? argv[1] : "127.0.0.1:7001", policy == "close" ? slow_readers::close : slow_readers::skip);
  });
}
