// The members of the chat. What a member says goes into the outbox of each; no fiber waits for a member.
#pragma once

#include <baton/baton.h>

#include <functional>
#include <memory>
#include <set>
#include <string>
#include <utility>

namespace ws_chat {

using line = std::shared_ptr<const std::string>;  // all outboxes share one copy

class seat {
 public:
  // `drop` ends the member's connection. It is called once at most, in any fiber, and must not wait.
  explicit seat(std::function<void()> drop) : drop_(std::move(drop)) {}

  [[nodiscard]] const baton::channel<line>& outbox() const { return outbox_; }

 private:
  friend class room;
  const baton::channel<line> outbox_ = baton::channel<line>(64);
  const std::function<void()> drop_;
  bool is_dropped_ = false;
};

class room {
 public:
  // These may be called from any fiber. They wait for a mutex only. Switch.
  void join(seat& s);
  void leave(seat& s);
  // Back-pressure: a member whose outbox is full does not read, and is dropped.
  void say(std::string text);

 private:
  baton::mutex mutex_;
  std::set<seat*> seats_;
};

}  // namespace ws_chat
