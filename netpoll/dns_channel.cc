// The driver of a channel.
//
// c-ares is not made for several threads, and has one socket for many questions. So one fiber, the driver, makes all
// calls into it. It is started with the first look-up and ends with the last.
//
//   submit   A caller appends its look-up to the list of those that have not begun, and wakes the driver.
//   drive    The driver takes what has not begun and asks: one question for each family. It serves the sockets that are
//            ready and the questions that are overdue. Look-ups whose questions have been answered end, or ask for the
//            next name of the search list. Then it waits: for a socket, for the next time-out of c-ares, or to be
//            woken.
//   leave    A look-up without a waiter goes on: c-ares cannot cancel one question, and another caller may join
//   it.
//            If no look-up of the channel has a waiter, the driver cancels all of them (ares_cancel) and ends.
//
// The sockets are in an epoll instance of the channel's own, level-triggered. That instance is a descriptor like any
// other: the poller watches it, and the driver waits for it. One fiber can wait for one descriptor only.
//
// Waking. The driver sets the deadline of its wait, and then says under the lock that it sleeps, unless there is work.
// The caller that brings work sees that under the lock, and sets a deadline that is past. The caller's deadline is set
// after the driver's, so it is in force: the wait ends, or does not begin.
//
// One family can be slow: some servers never answer a question for AAAA. When one family has brought addresses, the
// other has half_ns left. Then the look-up ends with what is there, and c-ares finishes the question alone.
//
// Memory. The driver has a share of the channel, the channel has a share of each of its look-ups until it has ended and
// c-ares has called back for all of its questions. A caller never touches the channel once its look-up has a result.
#include <baton/netpoll/dns_channel.h>

#include <baton/netpoll/address_order.h>
#include <baton/netpoll/error_text.h>
#include <baton/sched/park.h>
#include <baton/sched/spawn.h>

#include <ares.h>
#include <algorithm>
#include <new>
#include <utility>

namespace baton::net {

namespace {

using sched::platform::forever_ns;
using sched::platform::lock_guard;
using sched::platform::now_ns;

// Servers, and the sockets at both ends, lose packets that come in a burst, and a lost packet costs the whole time of a
// try. So at most this many look-ups begin at once. While more than so many questions are under way, the next look-ups
// wait until some have been answered, but no longer than this.
constexpr int batch_max = 32;
constexpr std::size_t outstanding_many = 100;
constexpr std::int64_t hold_back_ns = 10'000'000;

template <class F>
absl::Status status_or_no_memory(F&& f) noexcept {
  try {
    return f();
  } catch (const std::bad_alloc&) {
    return no_memory();
  }
}

bool is_negative(int status) noexcept { return status == ARES_ENOTFOUND || status == ARES_ENODATA; }
bool is_cancelled(int status) noexcept { return status == ARES_ECANCELLED || status == ARES_EDESTRUCTION; }

}  // namespace

struct dns_channel::work {
  bool cancel = false;
  bool more = false;
  dns_lookup* begin = nullptr;
  dns_lookup* dropped = nullptr;
};

void dns_channel::link_driven() noexcept {
  driven_ = start_due_ = true;
  ++owner_.drivers;
  prev_driven = nullptr;
  next_driven = std::exchange(owner_.driven, this);
  if (next_driven != nullptr) next_driven->prev_driven = this;
}

void dns_channel::unlink_driven() noexcept {
  driven_ = false;
  (prev_driven != nullptr ? prev_driven->next_driven : owner_.driven) = next_driven;
  if (next_driven != nullptr) next_driven->prev_driven = prev_driven;
}

void dns_channel::submit(const std::shared_ptr<dns_lookup>& l) noexcept {
  l->channel = this;
  l->mine = l;
  l->wanted = true;
  (last_ != nullptr ? last_->next : first_) = l.get();
  last_ = l.get();
  l->next_of_all = std::exchange(all_, l.get());
  if (l->next_of_all != nullptr) l->next_of_all->prev_of_all = l.get();
  ++live_;
  ++wanted_;
  if (!driven_) link_driven();
}

void dns_channel::unlink_of_all(dns_lookup& l) noexcept {
  (l.prev_of_all != nullptr ? l.prev_of_all->next_of_all : all_) = l.next_of_all;
  if (l.next_of_all != nullptr) l.next_of_all->prev_of_all = l.prev_of_all;
  --live_;
}

void dns_channel::want(dns_lookup& l) noexcept {
  if (!std::exchange(l.wanted, true)) ++wanted_;
}

bool dns_channel::leave(dns_lookup& l) noexcept {
  if (!std::exchange(l.wanted, false)) return false;
  return --wanted_ == 0;
}

void dns_channel::retire() noexcept {
  for (dns_lookup* l = all_; l != nullptr; l = l->next_of_all) (void)owner_.table.take_out(*l);
}

void dns_channel::abandon_all(sched::waiter_list& claimed) noexcept {
  for (dns_lookup* l = all_; l != nullptr; l = l->next_of_all) {
    while (sched::waiter* const w = l->waiters.claim_front(sched::waiter::closed)) claimed.push_back(*w);
    (void)leave(*l);
  }
}

void dns_channel::wake() noexcept {
  bool start = false;
  bool poke = false;
  {
    const lock_guard hold(owner_.table.lock);
    start = std::exchange(start_due_, false);
    poke = !start && asleep_ && (!holds_back_ || wanted_ == 0);
    if (poke) asleep_ = false;
  }
  // A deadline that is past needs no timer, so this does not throw.
  if (poke) io_.set_deadline(poll_side::read, 1);
  if (!start) return;
  using closure = std::shared_ptr<dns_channel>;
  const sched::prepared_fiber p = sched::prepare_fiber({.name = "resolver"}, sizeof(closure), alignof(closure));
  if (p.f == nullptr) {
    strand();
    driver_ended(owner_);
    return;
  }
  ::new (p.closure) closure(shared_from_this());
  static constexpr sched::fiber_start begin_driver{.entry = serve};
  sched::launch(p.f, begin_driver, false);
}

void dns_channel::serve(sched::fiber*, void* closure) noexcept {
  auto& given = *static_cast<std::shared_ptr<dns_channel>*>(closure);
  std::shared_ptr<dns_channel> self = std::move(given);
  given.~shared_ptr();
  dns_owner& owner = self->owner_;
  self->drive(forever_ns);
  self.reset();
  driver_ended(owner);
}

// The owner may be gone when this returns.
void dns_channel::driver_ended(dns_owner& owner) noexcept {
  sched::waiter_list claimed;
  {
    const lock_guard hold(owner.table.lock);
    if (--owner.drivers == 0) {
      while (sched::waiter* const w = owner.closers.claim_front(sched::waiter::signalled)) claimed.push_back(*w);
    }
  }
  ready_all(claimed);
}

void dns_channel::drive_in_place(std::int64_t until_ns) noexcept {
  {
    const lock_guard hold(owner_.table.lock);
    start_due_ = false;
  }
  in_place_ = true;
  drive(until_ns);
  driver_ended(owner_);
}

// Without memory for a fiber there is no driver. Requires: nothing has begun.
void dns_channel::strand() noexcept {
  for (;;) {
    work w;
    if (!take_work(w)) return;
    while (dns_lookup* const l = w.dropped) {
      w.dropped = l->next;
      drop(*l);
    }
    while (dns_lookup* const l = w.begin) {
      w.begin = l->next;
      end(*l, no_memory());
    }
  }
}

void dns_channel::drive(std::int64_t until_ns) noexcept {
  for (;;) {
    work w;
    if (!take_work(w)) return;
    while (dns_lookup* const l = w.dropped) {
      w.dropped = l->next;
      drop(*l);
    }
    if (w.cancel) ::ares_cancel(channel_);
    const bool begins = w.begin != nullptr;
    while (dns_lookup* const l = w.begin) {
      w.begin = l->next;
      begin(*l);
    }
    if (begins) plan_timeout(true);
    serve_sockets();
    end_halves();
    conclude_due();
    if (const int error = std::exchange(watch_error_, 0)) {
      give_up_all(status_or_no_memory([&] { return status_from_errno(error, "resolve: wait for a socket"); }));
    }
    if (until_ns != forever_ns && now_ns() >= until_ns) {
      give_up_all(status_or_no_memory([] { return absl::DeadlineExceededError("resolve: deadline exceeded"); }));
    }
    if (w.more) {
      look_is_due_ = true;
      sched::yield();
    } else if (outstanding_ > 0) {
      wait(until_ns);
    } else if (std::exchange(has_deadline_, false)) {
      io_.set_deadline(poll_side::read, forever_ns);
    }
  }
}

void dns_channel::drop_later(dns_lookup& l, work& w) noexcept {
  (void)owner_.table.take_out(l);  // not the last share
  unlink_of_all(l);
  l.channel = nullptr;
  l.next = std::exchange(w.dropped, &l);
}

// Returns false if there is nothing left to do. Then the channel may have another driver already.
bool dns_channel::take_work(work& w) noexcept {
  const lock_guard hold(owner_.table.lock);
  asleep_ = holds_back_ = false;
  if (wanted_ == 0) {
    while (dns_lookup* const l = first_) {
      first_ = l->next;
      drop_later(*l, w);
    }
    last_ = nullptr;
    // No caller may join a look-up that is about to be cancelled.
    for (dns_lookup* l = all_; l != nullptr; l = l->next_of_all) (void)owner_.table.take_out(*l);
    w.cancel = outstanding_ > 0;
    if (w.cancel || w.dropped != nullptr) return true;
    unlink_driven();
    return false;
  }
  if (first_ == nullptr) return true;
  const std::int64_t now = now_ns();
  if (outstanding_ > outstanding_many && now < begin_again_ns_) {
    holds_back_ = true;
    return true;
  }
  begin_again_ns_ = now + hold_back_ns;
  dns_lookup** tail = &w.begin;
  for (int n = 0; first_ != nullptr && n < batch_max; ++n) {
    dns_lookup* const l = first_;
    first_ = l->next;
    if (first_ == nullptr) last_ = nullptr;
    l->next = nullptr;
    if (!l->wanted) {
      drop_later(*l, w);
    } else {
      *tail = l;
      tail = &l->next;
    }
  }
  w.more = first_ != nullptr;
  return true;
}

void dns_channel::serve_sockets() noexcept {
  if (std::exchange(look_is_due_, false)) (void)poll_sockets(0);
  const int count = std::exchange(events_count_, 0);
  for (int i = 0; i < count; ++i) {
    const event& e = events_[static_cast<std::size_t>(i)];
    ::ares_process_fd(channel_, e.readable ? e.fd : ARES_SOCKET_BAD, e.writable ? e.fd : ARES_SOCKET_BAD);
  }
  if (now_ns() >= next_timeout_ns_) {
    ::ares_process_fd(channel_, ARES_SOCKET_BAD, ARES_SOCKET_BAD);
    plan_timeout(false);
  }
}

// Finds out when c-ares wants to be called for a time-out. That takes c-ares time in proportion to the number of
// questions, so with many of them it is put off.
void dns_channel::plan_timeout(bool has_begun) noexcept {
  constexpr std::size_t many = 100;
  constexpr std::int64_t later_ns = 50'000'000;
  if (outstanding_ == 0) {
    next_timeout_ns_ = forever_ns;
  } else if (has_begun && outstanding_ > many) {
    next_timeout_ns_ = std::min(next_timeout_ns_, now_ns() + later_ns);
  } else {
    constexpr std::int64_t grain_ns = 1'000'000;  // c-ares rounds down to milliseconds
    timeval left{};
    const timeval* const t = ::ares_timeout(channel_, nullptr, &left);
    next_timeout_ns_ =
        t == nullptr ? forever_ns
                     : now_ns() + std::int64_t{t->tv_sec} * 1'000'000'000 + std::int64_t{t->tv_usec} * 1'000 + grain_ns;
  }
}

void dns_channel::wait(std::int64_t until_ns) noexcept {
  // holds_back_ has not changed since this thread wrote it.
  const std::int64_t begin_ns = holds_back_ ? begin_again_ns_ : forever_ns;
  const std::int64_t deadline_ns = std::min({next_timeout_ns_, next_half_ns_, begin_ns, until_ns});
  if (in_place_) {
    wait_in_place(deadline_ns);
    return;
  }
  try {
    io_.set_deadline(poll_side::read, deadline_ns);
    has_deadline_ = true;
  } catch (const std::bad_alloc&) {
    give_up_all(no_memory());
    return;
  }
  {
    const lock_guard hold(owner_.table.lock);
    if ((first_ != nullptr && !holds_back_) || wanted_ == 0) return;
    asleep_ = true;
  }
  const io_result r = io_.transfer(
      poll_side::read, sched::wait_reason::lookup, [this](int, io_result& so_far) { return look(so_far); },
      [](const io_result&) {});
  look_is_due_ = r.failure != poll_failure::none;  // the deadline ended the wait before a look
  if (r.error != 0) watch_error_ = r.error;
}

void dns_channel::end_halves() noexcept {
  const std::int64_t now = next_half_ns_ == forever_ns ? 0 : now_ns();
  if (now < next_half_ns_) return;
  next_half_ns_ = forever_ns;
  for (dns_lookup* l = begun_; l != nullptr;) {
    dns_lookup* const following = l->next_begun;
    if (l->ends_half_at_ns <= now) {
      l->ends_half_at_ns = forever_ns;
      try {
        order_addresses(l->found.addresses);
        end(*l, std::move(l->found));
      } catch (const std::bad_alloc&) {
        end(*l, no_memory());
      }
    } else {
      next_half_ns_ = std::min(next_half_ns_, l->ends_half_at_ns);
    }
    l = following;
  }
}

void dns_channel::conclude_due() noexcept {
  bool begins = false;
  while (dns_lookup* const l = due_) {
    due_ = l->next_due;
    if (l->ended) {
      drop(*l);
      continue;
    }
    l->ends_half_at_ns = forever_ns;
    try {
      begins = conclude(*l) || begins;
    } catch (const std::bad_alloc&) {
      end(*l, no_memory());
    }
  }
  if (begins) plan_timeout(true);
}

// All questions have been answered. Returns true if it has asked more; else the look-up has ended, and may be gone. May
// throw std::bad_alloc before either.
bool dns_channel::conclude(dns_lookup& l) {
  if (!l.found.addresses.empty() || !l.found.names.empty()) {
    order_addresses(l.found.addresses);
    end(l, std::move(l.found));
    return false;
  }
  int failed = ARES_SUCCESS;
  for (const dns_lookup::question& q : l.questions) {
    if (q.owner == nullptr) continue;
    if (is_cancelled(q.status)) {
      end(l, failure_.ok() ? absl::CancelledError(describe(l.name.what(), {}, "no caller waits for it")) : failure_);
      return false;
    }
    if (q.status != ARES_ENOTFOUND) l.exists = l.exists || q.status == ARES_ENODATA || q.status == ARES_SUCCESS;
    if (failed == ARES_SUCCESS && q.status != ARES_SUCCESS && !is_negative(q.status)) failed = q.status;
  }
  // A name further down the list could belong to another host: so a failure ends the search.
  if (failed != ARES_SUCCESS) {
    end(l, error_of(l, failed));
  } else if (l.asked + 1 < l.to_ask.size()) {
    ++l.asked;
    begin(l);
    return true;
  } else {
    end(l, error_of(l, ARES_ENOTFOUND));
  }
  return false;
}

// The look-up may be gone when this returns.
void dns_channel::end(dns_lookup& l, lookup_result result) noexcept {
  l.ended = true;
  l.ends_half_at_ns = forever_ns;
  sched::waiter_list claimed;
  std::shared_ptr<lookup> share;
  {
    const lock_guard hold(owner_.table.lock);
    unlink_of_all(l);
    (void)leave(l);
    l.channel = nullptr;
    share = owner_.table.end(l, std::move(result), claimed);
  }
  ready_all(claimed);
  if (l.outstanding == 0) drop(l);
}

// Gives up the channel's share. Requires: c-ares has called back for all questions of l.
void dns_channel::drop(dns_lookup& l) noexcept {
  const std::shared_ptr<dns_lookup> share = std::move(l.mine);
  if (l.next_begun != nullptr) l.next_begun->prev_begun = l.prev_begun;
  if (l.prev_begun != nullptr) l.prev_begun->next_begun = l.next_begun;
  if (begun_ == &l) begun_ = l.next_begun;
}

// Ends all look-ups that have begun.
void dns_channel::give_up_all(absl::Status why) noexcept {
  failure_ = std::move(why);
  ::ares_cancel(channel_);
  conclude_due();
  failure_ = absl::OkStatus();
}

}  // namespace baton::net
