// Tries an operation once for each of its allocations, and that allocation fails.
//
//   fail_each_allocation([](failing_allocation& fails) {
//     connection c = connect();                      // here memory can be had
//     absl::Status s;
//     const bool threw = fails.during([&] { s = c.client.write("x").status(); });
//     EXPECT_TRUE(fails.happened() || s.ok());
//     must(c.client.write("x"));                     // the object still works
//   });
//
// The executable that links failing_allocations.cc has that file's operator new. Memory that is allocated by other
// means (malloc, mmap) does not fail.
#pragma once

#include <gtest/gtest.h>

#include <cstdint>
#include <functional>
#include <new>

namespace baton::test {

// Which allocations are counted, and fail.
enum class whose : std::uint8_t {
  caller,     // those of the fiber, or of the plain thread, that calls during()
  everybody,  // those of the whole process
};

class failing_allocation {
 public:
  // One allocation, the n-th from 1 on, fails; or the n-th and all after it, until during() ends.
  enum class which : std::uint8_t { one, all_from };

  failing_allocation(std::uint64_t n, which w, whose owner) noexcept : n_(n), which_(w), whose_(owner) {}
  failing_allocation(const failing_allocation&) = delete;
  failing_allocation& operator=(const failing_allocation&) = delete;

  // Calls f() meanwhile. Returns true if std::bad_alloc came out of it.
  template <class F>
  bool during(F&& f) {
    bool threw = false;
    arm();
    try {
      std::forward<F>(f)();
    } catch (const std::bad_alloc&) {
      threw = true;
    } catch (...) {
      disarm();
      throw;
    }
    disarm();
    return threw;
  }

  // After during(): returns true if an allocation failed at all. None failed if there were fewer than n.
  [[nodiscard]] bool happened() const noexcept { return happened_; }

 private:
  void arm() noexcept;
  void disarm() noexcept;

  const std::uint64_t n_;
  const which which_;
  const whose whose_;
  bool happened_ = false;
};

// What the process holds now.
struct holdings {
  std::int64_t allocations = 0;  // blocks that operator new returned and operator delete has not got back
  std::int64_t descriptors = 0;
};
[[nodiscard]] holdings current_holdings();

// Calls attempt(fails) with the 1st allocation failing, then the 2nd, and so on, until the attempt makes fewer
// allocations. Then does the same with all allocations failing from the n-th on. Repeats all of that several times,
// which must not make the process hold more and more. attempt() calls fails.during() once.
void fail_each_allocation(const std::function<void(failing_allocation&)>& attempt, whose owner = whose::caller);

}  // namespace baton::test
