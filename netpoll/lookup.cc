// The table of look-ups, and the wait of a caller. lookup.h has the protocol.
#include <baton/netpoll/lookup.h>

#include <baton/netpoll/error_text.h>
#include <baton/netpoll/wake_on_cancel.h>
#include <baton/sched/park.h>

#include <functional>
#include <utility>

namespace baton::net {

absl::Status wait_limits::check(const std::string& what) const {
  if (context != nullptr) {
    if (absl::Status reason = context->error(); !reason.ok()) return status_for_reason(reason, what);
  }
  if (deadline_ns != sched::platform::forever_ns && sched::platform::now_ns() >= deadline_ns) {
    return absl::DeadlineExceededError(what + ": deadline exceeded");
  }
  return absl::OkStatus();
}

std::string lookup_name::what() const {
  if (ip.is_ip()) return "resolve " + ip.ip();
  return "resolve " + (host.empty() ? "service " + service : host);
}

lookup::lookup(lookup_name wanted)
    : name(std::move(wanted)),
      hash((std::hash<std::string>{}(name.host) * 31 + std::hash<std::string>{}(name.service)) ^ name.ip.hash()) {}

lookup* lookup_table::find(const lookup& like) noexcept {
  lookup* l = buckets_[like.hash % buckets_count];
  while (l != nullptr && !(l->hash == like.hash && l->name == like.name)) l = l->next_in_bucket;
  return l;
}

void lookup_table::insert(const std::shared_ptr<lookup>& l) noexcept {
  l->self = l;
  l->next_in_bucket = std::exchange(buckets_[l->hash % buckets_count], l.get());
}

std::shared_ptr<lookup> lookup_table::take_out(lookup& l) noexcept {
  if (l.self == nullptr) return nullptr;
  lookup** at = &buckets_[l.hash % buckets_count];
  while (*at != &l) at = &(*at)->next_in_bucket;
  *at = l.next_in_bucket;
  return std::move(l.self);
}

std::shared_ptr<lookup> lookup_table::end(lookup& l, lookup_result result, sched::waiter_list& claimed) noexcept {
  l.result.emplace(std::move(result));
  while (sched::waiter* const w = l.waiters.claim_front(sched::waiter::signalled)) claimed.push_back(*w);
  return take_out(l);
}

void ready_all(sched::waiter_list& claimed) noexcept {
  while (sched::waiter* const w = claimed.pop_front()) sched::ready(w->who());
}

std::uint32_t await_outcome(sched::waiter& w, const wait_limits& limits) noexcept {
  wake_on_cancel watch(limits.context.get(), w);
  const std::uint32_t outcome = w.wait(limits.deadline_ns);
  watch.end();
  return outcome;
}

absl::Status wait_error(std::uint32_t outcome, const wait_limits& limits, const std::string& what) {
  if (outcome == sched::waiter::cancelled) return status_for_reason(limits.context->error(), what);
  if (outcome == sched::waiter::closed) return absl::CancelledError(what + ": the resolver is closed");
  return absl::DeadlineExceededError(what + ": deadline exceeded");
}

}  // namespace baton::net
