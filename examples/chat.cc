// A chat over TCP: whoever connects says a name, then lines that everybody gets.
//
//   chat [address] [skip|close]       default 127.0.0.1:7001 skip; port 0 lets the kernel choose
//   nc 127.0.0.1 7001
//
// The room is one fiber. It alone knows the members, so there is no lock; it selects over three channels, and the
// context that says that we stop. A member is two fibers: one reads lines and sends them to the room, the other
// writes what comes out of the member's own channel, the outbox.
//
// Slow readers. The room never waits for a member. If an outbox is full, there is a choice:
//   skip     the line is left out, and the member is told later how many are missing
//   close    the member is disconnected (so one who talks too fast can throw others out)
// In both cases one to whom not a single line can be written for 10 s is disconnected.
//
// Hostile clients. A line has 512 bytes at most; a name must come within 10 s; control characters are dropped; the
// kernel keeps little for one who does not read; a host that has vanished is noticed by keep-alive. A reset is
// an error from read(), or write(), and ends that member only.
//
// Ctrl-C or SIGTERM: no new connections, a last word to all, what is in the outboxes goes out, within 2 s.
#include <baton/baton.h>

#include "descriptor_limit.h"
#include "line_reader.h"

#include <sys/socket.h>
#include <chrono>
#include <csignal>
#include <cstddef>
#include <cstdio>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <utility>

namespace {

using namespace std::chrono_literals;
using clock = std::chrono::steady_clock;

enum class slow_readers { skip, close };

using line = std::shared_ptr<const std::string>;  // all outboxes share one copy
line make_line(std::string text) { return std::make_shared<const std::string>(std::move(text) + "\n"); }

struct member {
  explicit member(const baton::context& parent) : connection(baton::with_cancel(parent)) {}
  std::string name;
  const baton::channel<line> outbox = baton::channel<line>(64);  // closed: say what is left, and hang up
  const baton::cancellable_context connection;                   // cancelled: hang up now
  std::size_t missed = 0;                                        // the room's
};
using member_ptr = std::shared_ptr<member>;

class room {
 public:
  explicit room(slow_readers policy) : policy_(policy) {}

  bool join(const member_ptr& m) const { return joining_.send(m); }
  bool say(const std::string& text) const { return said_.send(text); }
  void leave(const member_ptr& m) const { leaving_.send(m); }

  void run(const baton::context& stopping) {
    const auto joined = [&](const auto& m) {
      members_.insert(*m);
      tell_all("* " + (*m)->name + " is here");
    };
    const auto left = [&](const auto& m) {
      members_.erase(*m);
      tell_all("* " + (*m)->name + " has left");
    };
    for (bool open = true; open;) {
      baton::select(baton::on_receive(joining_, joined), baton::on_receive(leaving_, left),
                    baton::on_receive(said_, [&](const auto& text) { tell_all(*text); }),
                    baton::on_done(stopping, [&] { open = false; }));
    }
    tell_all("* the chat is over");
    for (const auto& m : members_) m->outbox.close();
    joining_.close();  // who waits to send goes on, and hears that it is over
    leaving_.close();
    said_.close();
  }

 private:
  void tell_all(const std::string& text) {
    const line l = make_line(text);
    for (const auto& m : members_) tell(*m, l);
  }

  void tell(member& m, const line& l) const {
    // With room for the line as well: or the line would be missed at once, and there would be a note for it alone.
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
  std::set<member_ptr> members_;
};

void write_outbox(baton::net::tcp_stream& stream, const member& me) {
  for (const line& l : me.outbox) {
    stream.set_write_deadline(clock::now() + 10s);
    if (!stream.write(*l).ok()) return me.connection.cancel();
  }
  static_cast<void>(stream.close_write());
  stream.set_read_deadline(clock::now() + 5s);
}

std::string printable(std::string text) {
  std::erase_if(text, [](unsigned char c) { return c < ' ' || c == 0x7f; });
  return text;
}

void converse(room& r, baton::net::tcp_stream& stream, const baton::context& stopping, const baton::context& all) {
  const auto me = std::make_shared<member>(all);
  const auto writer = baton::spawn([&] { write_outbox(stream, *me); });  // joins at the end of this function
  examples::line_reader in([&](baton::bytes into) { return stream.read(into); }, 512);
  std::string text;

  stream.set_context(stopping);
  stream.set_read_deadline(clock::now() + 10s);
  me->outbox.send(make_line("* your name?"));
  if (in.next(text) && !(me->name = printable(text).substr(0, 32)).empty()) {
    stream.set_context(me->connection);
    stream.set_read_deadline(clock::time_point::max());
    if (r.join(me)) {
      while (in.next(text) && r.say(me->name + ": " + printable(text))) {
      }
      r.leave(me);
    }
  }
  if (absl::IsOutOfRange(in.status())) me->outbox.try_send(make_line("* " + std::string(in.status().message())));
  me->outbox.close();

  // Closing with something unread would reset the connection, and what we said last might be lost. So read on
  // until the peer closes, too, or the deadline that the writer set.
  char buffer[4096];
  while (stream.read(buffer).value_or(0) > 0) {
  }
}

int serve(const char* address, slow_readers policy) {
  auto listener = baton::net::tcp_listener::bind(address);
  if (!listener.ok()) {
    std::fprintf(stderr, "%s\n", listener.status().ToString().c_str());
    return 1;
  }
  const auto stopping = baton::with_cancel({});
  const auto all = baton::with_cancel({});
  const baton::channel<int> signals(1);
  baton::os_signals::notify(signals, {SIGINT, SIGTERM});
  const auto stopper = baton::spawn([&] {
    if (signals.receive()) listener->close();  // ends the accept below
  });
  std::printf("listening on %s\n", listener->local_address().to_string().c_str());
  std::fflush(stdout);

  room r(policy);
  auto open_room = baton::spawn([&] { r.run(stopping); });
  baton::wait_group connections;
  for (;;) {
    auto accepted = listener->accept();
    if (!accepted.ok()) break;
    connections.add();
    baton::go([&, stream = std::move(*accepted)]() mutable {
      const int kept = 16 * 1024;
      ::setsockopt(stream.native_handle(), SOL_SOCKET, SO_SNDBUF, &kept, sizeof kept);
      static_cast<void>(stream.set_keep_alive(30s));
      converse(r, stream, stopping, all);
      stream.close();
      connections.done();
    });
  }
  signals.close();  // should accept have failed by itself
  stopping.cancel();
  open_room.join();
  if (!connections.wait_for(2s)) all.cancel();
  connections.wait();
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  examples::raise_descriptor_limit();
  const std::string_view policy = argc > 2 ? argv[2] : "skip";
  if (policy != "skip" && policy != "close") {
    return std::fprintf(stderr, "chat [address] [skip|close]\n"), 2;
  }
  return baton::run([&] {
    return serve(argc > 1 ? argv[1] : "127.0.0.1:7001", policy == "close" ? slow_readers::close : slow_readers::skip);
  });
}
