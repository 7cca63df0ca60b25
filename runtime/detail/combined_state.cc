// The result's state keeps the futures, and hangs a link on the state of each. A link is called once, by the agent that
// makes its future ready.
//
//   all   missing_ counts the futures that are not ready, and begin(). Who takes it to zero completes the result.
//   any   first_ is written once: by the first link that is called, or by stop(). The writer, if it is a link, and
//         begin() count missing_ down from 2. Who takes it to zero takes the other links off and completes the result.
//
// begin() counts itself so that the result is not ready, and given to its user, while begin() still hangs links.
//
// Life. The memory belongs to references_: one for all the handles, one for each link from before it is hung until it
// has been called or taken off. Only the handles keep the futures. When the last handle goes, stop() takes the links
// off; those that are being called meanwhile do not look at a future any more, and at most free memory. So no agent
// that sets a value ever destroys a future, which may wait for the end of its function.
//   any   first_ is `stopped`: the links that are called do nothing. Or a link has written it: that agent completes the
//         result, and looks at the futures for it, so stop() waits until it is ready.
//   all   a link that is called only counts. If all are called at once the result becomes ready, although no thread
//         looks.
#include <baton/runtime/detail/combined_state.h>

namespace baton::detail {

namespace mo = sched::platform::mo;

void combination::begin() noexcept {
  for (std::size_t i = 0; i < added_ && (what_ == of::all || first_.load(mo::relaxed) == none); ++i) {
    references_.fetch_add(1, mo::relaxed);
    if (!links_[i].state->listen(links_[i])) heard(links_[i]);
  }
  // Here the calling agent is the first that waits.
  for (std::size_t i = 0; i < added_ && (what_ == of::all || first_.load(mo::relaxed) == none); ++i) {
    links_[i].state->run_if_deferred();
  }
  if (what_ == of::any && added_ == 0) {
    complete(none);
    return;
  }
  count_down();
}

void combination::heard(const link& l) noexcept {
  std::size_t expected = none;
  if (what_ == of::all ||
      // relaxed: missing_ orders it.
      first_.compare_exchange_strong(expected, static_cast<std::size_t>(&l - links_.get()), mo::relaxed, mo::relaxed)) {
    count_down();
  }
  release();
}

void combination::count_down() noexcept {
  // acq_rel: the one that completes passes on what all the others have seen.
  if (missing_.fetch_sub(1, mo::acq_rel) != 1) return;
  if (what_ == of::any) leave_all();
  complete(first_.load(mo::relaxed));
}

// Requires: the caller has a reference.
void combination::leave_all() noexcept {
  for (std::size_t i = 0; i < added_; ++i) {
    if (links_[i].state->unlisten(links_[i])) release();
  }
}

bool combination::stop() noexcept {
  std::size_t expected = none;
  if (what_ == of::any && !first_.compare_exchange_strong(expected, stopped, mo::relaxed, mo::relaxed)) {
    return await_completion();
  }
  // acquire: pairs with the last count. The futures may have gone to the result's user.
  if (what_ == of::all && missing_.load(mo::acquire) == 0) return true;
  leave_all();
  return true;
}

}  // namespace baton::detail
