#include "room.h"

#include <mutex>

namespace ws_chat {

void room::join(seat& s) {
  const std::lock_guard guard(mutex_);
  seats_.insert(&s);
}

void room::leave(seat& s) {
  const std::lock_guard guard(mutex_);
  seats_.erase(&s);
}

void room::say(std::string text) {
  const auto one = std::make_shared<const std::string>(std::move(text));
  const std::lock_guard guard(mutex_);
  for (seat* const s : seats_) {
    if (s->is_dropped_ || s->outbox_.try_send(one) != baton::channel_status::would_block) continue;
    s->is_dropped_ = true;
    s->drop_();
  }
}

}  // namespace ws_chat
