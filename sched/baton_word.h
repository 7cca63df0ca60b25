// The baton: may this thread touch this P now? There is one object for each M. Everything else about Ms and Ps is in
// machine.h and processor.h. This header is the whole protocol, and the stress test drives it.
//
// An M's side (no locked instruction, no fence; a signal fence holds the compiler back):
//   enter          where := runtime; light fence; notice == 0 ? go on : handle_notice
//   leave          visits++; where := user | syscall            (release, both)
//   begin_syscall  visits++; where := syscall                   (release, both)
//   end_syscall    where := user (release); light fence; notice == 0 ? go on : slow path
//
// A revoker's side (the monitor; one at a time):
//   1. judge   read visits, then where (user or syscall), then visits again: the visit v
//   2. ask     compare-and-swap notice: + asked
//   3.         one heavy fence for all Ms that were asked
//   4. take    where and visits still say v, and the M's P is the wanted one (it is read again):
//              compare-and-swap notice: asked -> no_p. Otherwise, or if it fails, withdraw: - asked
//
// Why a P has one owner. Suppose the revoker's take succeeds for visit v. There are two cases for the M's next enter.
// Either it stored where := runtime before the heavy fence: then step 4 reads runtime (or a later visit), and does not
// take. Or it did not: then its load of notice comes after the barrier, and so sees `asked` or what became of it. If
// the M sees `asked`, it removes the bit by compare-and-swap. Either it wins: then it keeps the P, and the revoker's
// compare-and-swap fails. Or it loses, because no_p is set: then it knows that it has no P. There is no moment at which
// both go on. The M never waits for a revoker: a revoker that is descheduled between ask and take costs the M one
// compare-and-swap. ABA: between judge and take the M may leave user code and come back to it. visits shows this.
//
// The orders, for machines that may show stores in another order than they were made (ARM64). A revoker that sees the
// number of a visit must see the section before it: `where := runtime`, and which P the M has. So visits is stored with
// release, and read with acquire. With a relaxed store the number could be seen beside the `user` of the visit before,
// and beside the P of that visit, while the M is in the section between the two, in which it changes its P. And a
// revoker that takes the P must see what the M did to it. So the revoker reads `where` with acquire, and each store of
// user or syscall to `where` is a release. This includes the store of end_syscall: a relaxed one would hide the release
// before it from a thread that reads it. What step 1 read of the M's P may still be older than the visit, because only
// step 3 orders the two. After step 3 it is not: the P cannot change during a visit, and the visit is the same.
//
// Only the M itself clears no_p, when it has a P again. An M with no_p is never asked.
//
// slice_over is counted over all Ms (slice_notice.h), by the thread that changes the bit. The bit goes when the M gives
// its P away. An M whose fiber goes on without a P may be told slice_over, so that the fiber gives way at the next call
// that may switch.
//
// If the heavy fence of step 3 fails, nothing is known: the revoker withdraws from all Ms that it asked.
//
// Rejected: a lock per M (a descheduled revoker made Ms wait 26 ms); a compare-and-swap of the P's status at both ends
// of a call, as in Go (12 to 17 ns instead of 3).
#pragma once

#include <baton/sched/platform/asymmetric_fence.h>
#include <baton/sched/platform/atomic.h>
#include <baton/sched/slice_notice.h>

#include <cstdint>

namespace baton::sched {

namespace mo = platform::mo;

enum class place : std::uint32_t {
  runtime,  // touches its P; no other thread does
  user,     // runs the user's code, not in a declared call
  syscall,  // in a declared call
  idle,     // has no P and waits for one
};

class baton_word {
 public:
  enum notice_bit : std::uint32_t {
    asked = 1,          // a revoker wants the P
    no_p = 2,           // this M has none
    slice_over = 4,     // the time slice is used up: give way at the next call that may switch
    slice_overdue = 8,  // it has been used up for long: give the P away at the next call of any kind
    dead = 16,          // this is the child of a fork: the runtime does not work
    frozen = 32,        // the process is ending: stop here
    scattered = 64,     // scatter mode, for as long as the M lives (scatter.cc)
    traced = 128,       // record events (trace/trace.cc)
  };

  // ---- the M that owns this object ----

  // Returns true if there is no notice; the P is then this M's. If it returns false, look at notice() (machine.h,
  // handle_notice()).
  [[nodiscard]] bool enter() noexcept {
    where_.store(static_cast<std::uint32_t>(place::runtime), mo::relaxed);
    platform::light_fence();  // pairs with the revoker's heavy_fence()
    return __builtin_expect(notice_.load(mo::relaxed) == 0, 1);
  }
  // Returns the number of the visit that begins.
  std::uint64_t leave(place to) noexcept {
    const std::uint64_t n = visits_.load(mo::relaxed) + 1;
    visits_.store(n, mo::release);  // pairs with judge(): a reader of the number sees the section that ends here
    // release: pairs with judge()'s acquire; a revoker that takes the P sees all that the M did to it.
    where_.store(static_cast<std::uint32_t>(to), mo::release);
    return n;
  }
  std::uint64_t begin_syscall() noexcept { return leave(place::syscall); }
  [[nodiscard]] bool end_syscall() noexcept {
    // release: as in leave(). The visit goes on, and a revoker may take the P for it.
    where_.store(static_cast<std::uint32_t>(place::user), mo::release);
    platform::light_fence();  // pairs with the revoker's heavy_fence()
    return __builtin_expect(notice_.load(mo::relaxed) == 0, 1);
  }
  // Requires: a section, after enter() returned false. Returns true if the P is still this M's.
  [[nodiscard]] bool keep() noexcept {
    std::uint32_t n = notice_.load(mo::relaxed);
    while ((n & no_p) == 0) {
      if ((n & asked) == 0) return true;
      if (notice_.compare_exchange_weak(n, n & ~std::uint32_t{asked}, mo::acq_rel, mo::acquire)) return true;
    }
    return false;
  }
  // Requires: a section, and a P. From here on the P belongs to the thread to which the M hands it.
  void release_p() noexcept {
    notice_.fetch_or(no_p, mo::acq_rel);
    // The slice went with the P. relaxed: while no_p is set, only the monitor sets the bit again, for a fiber that goes
    // on.
    if ((notice_.load(mo::relaxed) & (slice_over | slice_overdue)) != 0) clear_slice();
  }
  // Requires: a section, after the M got a P. A slice begins with the P.
  void regain() noexcept {
    count_handled(notice_.fetch_and(~std::uint32_t{no_p | asked | slice_over | slice_overdue}, mo::acq_rel));
  }

  [[nodiscard]] std::uint32_t notice() const noexcept { return notice_.load(mo::acquire); }
  // Returns true if there is a notice that is about the M's P or its fiber.
  [[nodiscard]] bool has_notice() const noexcept { return (notice_.load(mo::acquire) & ~std::uint32_t{traced}) != 0; }
  [[nodiscard]] bool has_no_p() const noexcept { return (notice_.load(mo::relaxed) & no_p) != 0; }
  [[nodiscard]] bool slice_is_over() const noexcept { return (notice_.load(mo::relaxed) & slice_over) != 0; }
  [[nodiscard]] bool scatters() const noexcept { return (notice_.load(mo::relaxed) & scattered) != 0; }
  [[nodiscard]] bool is_traced() const noexcept { return (notice_.load(mo::relaxed) & traced) != 0; }
  // Returns true if a fiber that is about to switch must ask give_way() first (scheduler.h), or if it must record the
  // switch.
  [[nodiscard]] bool must_look_before_switch() const noexcept {
    return (notice_.load(mo::relaxed) & (slice_over | scattered | traced)) != 0;
  }
  [[nodiscard]] bool must_give_way() const noexcept {
    return (notice_.load(mo::relaxed) & (slice_over | scattered)) != 0;
  }
  // Requires: the M begins, and no fiber is on it.
  void begin_scattering(bool on) noexcept {
    if (on) {
      notice_.fetch_or(scattered, mo::relaxed);
    } else {
      notice_.fetch_and(~std::uint32_t{scattered}, mo::relaxed);
    }
  }

  // ---- any thread ----

  void trace(bool on) noexcept {
    if (on) {
      notice_.fetch_or(traced, mo::seq_cst);
    } else {
      notice_.fetch_and(~std::uint32_t{traced}, mo::seq_cst);
    }
  }
  [[nodiscard]] std::uint64_t visits() const noexcept { return visits_.load(mo::acquire); }

  void tell(notice_bit b) noexcept {
    const std::uint32_t before = notice_.fetch_or(b, mo::relaxed);
    if (b == slice_over && (before & slice_over) == 0) slices_over.unhandled.fetch_add(slice_notice::one, mo::relaxed);
  }
  // A new slice begins. The monitor also calls this, for a fiber that went on without a P, and now sleeps or has come
  // to wait for one.
  void clear_slice() noexcept {
    count_handled(notice_.fetch_and(~std::uint32_t{slice_over | slice_overdue}, mo::relaxed));
  }

  [[nodiscard]] place is_at() const noexcept { return static_cast<place>(where_.load(mo::acquire)); }

  struct visit {
    place where = place::runtime;
    std::uint64_t count = 0;
    friend bool operator==(const visit&, const visit&) = default;
  };
  // Returns what the M is doing. The pair is consistent unless where is runtime.
  [[nodiscard]] visit judge() const noexcept {
    const std::uint64_t before = visits_.load(mo::acquire);
    const auto where = static_cast<place>(where_.load(mo::acquire));  // acquire: pairs with leave(), end_syscall()
    const std::uint64_t after = visits_.load(mo::relaxed);            // not before where: that load is an acquire
    return before == after ? visit{where, after} : visit{};
  }

  // ---- the revoker ----

  // The slice of the M's fiber is over. Returns false if the M has no P, and so no slice.
  bool tell_slice_over() noexcept { return tell_if(0); }
  // The fiber goes on without a P, and is to wait for one at its next call that may switch. Returns false if the M has
  // a P.
  bool tell_without_p() noexcept { return tell_if(no_p); }

  [[nodiscard]] bool ask() noexcept {
    std::uint32_t n = notice_.load(mo::relaxed);
    while ((n & (asked | no_p)) == 0) {
      if (notice_.compare_exchange_weak(n, n | asked, mo::relaxed, mo::relaxed)) return true;
    }
    return false;
  }
  // Requires: the heavy fence has succeeded. Returns true if the P that this M had at visit v is now the revoker's.
  // Either way the M is no longer asked. wanted: true if the M's P, read after the barrier, is the one to take.
  [[nodiscard]] bool take(const visit& v, bool wanted = true) noexcept {
    const visit now = judge();
    // A visit that went from syscall to user without a new count is the same visit: the M touched no P.
    const bool same = now.count == v.count && (now.where == place::user || now.where == place::syscall) && wanted;
    std::uint32_t n = notice_.load(mo::relaxed);
    while ((n & asked) != 0) {
      const std::uint32_t without = n & ~std::uint32_t{asked};
      const bool taking = same && (n & no_p) == 0;
      if (notice_.compare_exchange_weak(n, taking ? (without | no_p) : without, mo::acq_rel, mo::relaxed)) {
        return taking;
      }
    }
    return false;  // the M removed `asked` first
  }
  // Replaces take() when there was no heavy fence: the M keeps its P.
  void withdraw() noexcept { notice_.fetch_and(~std::uint32_t{asked}, mo::acq_rel); }

 private:
  bool tell_if(std::uint32_t p_bit) noexcept {
    std::uint32_t n = notice_.load(mo::relaxed);
    while ((n & no_p) == p_bit) {
      if ((n & slice_over) != 0) return true;
      if (notice_.compare_exchange_weak(n, n | slice_over, mo::relaxed, mo::relaxed)) {
        slices_over.unhandled.fetch_add(slice_notice::one, mo::relaxed);
        return true;
      }
    }
    return false;
  }
  static void count_handled(std::uint32_t before) noexcept {
    if (__builtin_expect((before & slice_over) != 0, 0))
      slices_over.unhandled.fetch_sub(slice_notice::one, mo::relaxed);
  }

  platform::atomic<std::uint32_t> where_{static_cast<std::uint32_t>(place::runtime)};
  platform::atomic<std::uint64_t> visits_{0};
  // Other threads write this word, but seldom. It has a line of its own, so that the M's stores to the first line stay
  // cheap.
  alignas(64) platform::atomic<std::uint32_t> notice_{no_p};
};

}  // namespace baton::sched
