// A variable of which each fiber has its own: what thread_local is to threads. A thread_local is of no
// use in fibers, because many share a thread and each may change threads whenever it waits.
//
//   baton::fiber_local<std::string> who;              // T()
//   baton::fiber_local<int> attempts(3);              // a copy of 3
//   baton::fiber_local<parser> p([] { return parser(grammar()); });
//
//   who->append("...");   ++*attempts;   p->parse(line);
#pragma once

#include <baton/sched/platform/atomic.h>
#include <baton/sched/spawn.h>

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <new>
#include <type_traits>
#include <utility>

namespace baton {

namespace detail {

// A value of some fiber_local: what is known of it without its type.
struct local_value {
  void (*destroy)(local_value*) noexcept;
  local_value* older = nullptr;  // in the same fiber
  std::uint64_t id = 0;          // of the fiber_local
};

// The values of a fiber (fiber::locals points to it), or of a plain thread: a hash table by id, with
// linear probing, 2^n entries, at most half of them in use. Ids are consecutive, so the few fiber_locals
// of a program are all at home.
struct local_table : sched::fiber_locals {
  struct entry {
    std::uint64_t id;
    void* value;
  };
  static constexpr std::uint64_t free_id = ~std::uint64_t{0};
  static constexpr std::uint64_t removed_id = free_id - 1;

  std::uint64_t mask;  // entries - 1
  std::uint64_t used;  // also by removed ones
  local_value* newest;
  // The entries follow.
  [[nodiscard]] entry* entries() noexcept { return std::launder(reinterpret_cast<entry*>(this + 1)); }
};

// The value where it is not at home, or on a plain thread; null if there is none.
[[nodiscard]] void* find_local_slowly(std::uint64_t id) noexcept;

[[nodiscard]] inline void* find_local(std::uint64_t id) noexcept {
  if (void** const where = sched::current_fiber_locals()) [[likely]] {
    if (auto* const table = static_cast<local_table*>(*where)) [[likely]] {
      const local_table::entry& e = table->entries()[id & table->mask];
      if (e.id == id) [[likely]]
        return e.value;
    }
  }
  return find_local_slowly(id);
}

// Keeps the value, which lies in *v, with the caller's others. Throws bad_alloc, and keeps nothing then.
// Misuse, which aborts: there is one already.
void add_local(local_value* v, void* value);

// The id of a fiber_local, given at its first use: never 0, never given twice.
[[nodiscard]] std::uint64_t id_of_local(sched::platform::atomic<std::uint64_t>& id) noexcept;

}  // namespace detail

// Each fiber's value is built when that fiber first uses it, by T(), as a copy of the initial value, or by
// the factory, which several fibers may call at the same time. If that throws, the exception leaves the
// expression that used it, nothing is kept, and the next use tries again. T's constructor may switch; it
// must not use the same fiber_local. References to the value are good until the fiber ends, also after it
// has changed threads. A spawned fiber has values of its own, not those of its spawner.
//
// A fiber's values are destroyed when it ends: on its own stack, before a join returns, after its function,
// arguments, and, if it was detached, its result are gone; the newest first. Destructors may use other
// fiber_locals, and may switch. One that uses a value that has been destroyed gets a new one, which is
// destroyed in a further round; after 4 rounds those that are left are leaked, which is said once on stderr.
// Fibers that are still there when the process exits do not end, and their values are not destroyed.
//
// On a plain thread, which runs no fiber, the value is the thread's, and is destroyed when the thread ends:
// among its thread_locals (of the main thread: at exit). Inside blocking() it is the fiber's value.
//
// A fiber_local is meant to be a static object. One whose values are T() can be constinit, and so be used
// before main. It may also be a local or a member: when it goes, the values that it has given out stay, each
// until its fiber ends, and no other fiber_local will ever take them for its own; but a fiber that has used
// thousands of short-lived ones holds thousands of values. Using one while or after it is destroyed is
// undefined, as with any object.
//
// Thread safety: any number of fibers and threads may use it at once; nobody but the fiber sees its value,
// unless it hands out a reference. Never switches, apart from what T does. An access costs some 10 ns, on
// a plain thread, too (bench/fiber_local_bench): look it up once, not in an inner loop.
template <class T>
class fiber_local {
  static_assert(std::is_object_v<T> && !std::is_array_v<T> && std::same_as<T, std::remove_cv_t<T>>,
                "a fiber_local is of an object type, and neither const nor an array");

  template <class F>
  static constexpr bool is_factory =
      !std::same_as<std::remove_cvref_t<F>, T> && !std::same_as<std::remove_cvref_t<F>, fiber_local> &&
      std::is_invocable_r_v<T, const std::decay_t<F>&>;

 public:
  constexpr fiber_local() noexcept requires std::default_initializable<T> {}
  // What can be called without arguments, and then gives something that converts to T, is a factory.
  template <class F>
  requires is_factory<F>
  explicit fiber_local(F&& factory) : source_(new from_factory<std::decay_t<F>>(std::forward<F>(factory))) {}
  // Anything else from which a T can be made gives the initial value.
  template <class V = T>
  requires(!is_factory<V> && !std::same_as<std::remove_cvref_t<V>, fiber_local> && std::constructible_from<T, V> &&
           std::copy_constructible<T>) explicit fiber_local(V&& initial)
      : source_(new from_initial(std::forward<V>(initial))) {}

  fiber_local(const fiber_local&) = delete;
  fiber_local& operator=(const fiber_local&) = delete;

  // The calling fiber's value, or the calling thread's.
  [[nodiscard]] T& operator*() {
    // An id of 0, not given yet, is nowhere found.
    if (void* const v = detail::find_local(id_.load(sched::platform::mo::relaxed))) [[likely]]
      return *static_cast<T*>(v);
    return build();
  }
  [[nodiscard]] T* operator->() { return std::addressof(**this); }

 private:
  struct holder : detail::local_value {
    explicit holder() : local_value{&holder::destroy_this}, value() {}
    explicit holder(const T& initial) : local_value{&holder::destroy_this}, value(initial) {}
    template <class F>
    holder(std::in_place_t, const F& factory) : local_value{&holder::destroy_this}, value(factory()) {}
    static void destroy_this(detail::local_value* v) noexcept { delete static_cast<holder*>(v); }
    T value;
  };

  struct source {
    source() = default;
    source(const source&) = delete;
    source& operator=(const source&) = delete;
    virtual ~source() = default;
    [[nodiscard]] virtual std::unique_ptr<holder> make() const = 0;
  };
  struct from_initial final : source {
    template <class V>
    explicit from_initial(V&& v) : initial(std::forward<V>(v)) {}
    std::unique_ptr<holder> make() const override { return std::make_unique<holder>(initial); }
    T initial;
  };
  template <class F>
  struct from_factory final : source {
    template <class G>
    explicit from_factory(G&& g) : factory(std::forward<G>(g)) {}
    std::unique_ptr<holder> make() const override { return std::make_unique<holder>(std::in_place, factory); }
    F factory;
  };

  [[nodiscard]] std::unique_ptr<holder> make() const {
    if constexpr (std::default_initializable<T>) {
      if (source_ == nullptr) return std::make_unique<holder>();
    }
    return source_->make();
  }

  [[gnu::noinline]] T& build() {
    std::unique_ptr<holder> h = make();
    h->id = detail::id_of_local(id_);
    detail::add_local(h.get(), std::addressof(h->value));
    return h.release()->value;
  }

  sched::platform::atomic<std::uint64_t> id_{0};
  std::unique_ptr<const source> source_;  // null: T()
};

}  // namespace baton
