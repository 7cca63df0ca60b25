// Public API: baton::fiber_local<T>, a variable of which each fiber has its own value, as each thread has with
// thread_local. A thread_local is of no use in fibers: many fibers share a thread, and a fiber may change threads
// whenever it waits.
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

// The type-independent part of a fiber_local's value.
struct local_value {
  void (*destroy)(local_value*) noexcept;
  local_value* older = nullptr;  // in the same fiber
  std::uint64_t id = 0;          // of the fiber_local
};

// The values of a fiber (fiber::locals points to it), or of a plain thread. It is a hash table by id with linear
// probing and 2^n entries, at most half of them in use. Ids are consecutive, so the few fiber_locals of a program all
// lie in their home entries.
struct local_table : sched::fiber_locals {
  struct entry {
    std::uint64_t id;
    void* value;
  };
  static constexpr std::uint64_t free_id = ~std::uint64_t{0};
  static constexpr std::uint64_t removed_id = free_id - 1;

  std::uint64_t mask;  // entries - 1
  std::uint64_t used;  // removed entries count, too
  local_value* newest;
  // The entries follow.
  [[nodiscard]] entry* entries() noexcept { return std::launder(reinterpret_cast<entry*>(this + 1)); }
};

// Finds a value that is not in its home entry, or belongs to a plain thread. Returns null if there is none.
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

// Adds the value, which lies in *v, to the values of the caller. Throws bad_alloc, and adds nothing then. Aborts if the
// caller has a value with this id already (misuse).
void add_local(local_value* v, void* value);

// Returns the id of a fiber_local, which it assigns at the first use. An id is never 0 and never assigned twice.
[[nodiscard]] std::uint64_t id_of_local(sched::platform::atomic<std::uint64_t>& id) noexcept;

}  // namespace detail

// Each fiber's value is built when that fiber first uses it: by T(), as a copy of the initial value, or by the factory,
// which several fibers may call at the same time. If that throws, the exception leaves the expression that used the
// value, nothing is kept, and the next use tries again. T's constructor may switch. It must not use the same
// fiber_local. References to the value are good until the fiber ends, also after the fiber has changed threads. A
// spawned fiber has values of its own, not those of its spawner.
//
// A fiber's values are destroyed when it ends, the newest first: on the fiber's own stack, before a join returns, and
// after its function, its arguments and, if it was detached, its result are gone. Destructors may use other
// fiber_locals, and may switch. A destructor that uses a value that has been destroyed gets a new one, which is
// destroyed in a further round. After 4 rounds the values that are left are leaked, with one line on stderr. Fibers
// that still exist when the process exits do not end, and their values are not destroyed.
//
// On a plain thread, which runs no fiber, the value is the thread's. It is destroyed when the thread ends, among its
// thread_locals (for the main thread: at exit). Inside blocking() it is the fiber's value.
//
// A fiber_local is meant to be a static object. One whose values are T() can be constinit, and so be used before main.
// It may also be a local or a member. When it is destroyed, the values that it has given out stay, each until its fiber
// ends, and no other fiber_local ever uses them. A fiber that has used thousands of short-lived fiber_locals therefore
// holds thousands of values. Using a fiber_local during or after its destruction is undefined, as with any object.
//
// Thread safety: any number of fibers and threads may use a fiber_local at once. Only the fiber itself sees its value,
// unless it hands out a reference. An access never switches, unless T does. It costs some 10 ns, on a plain thread, too
// (bench/fiber_local_bench): look the value up once, not in an inner loop.
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
  // A factory is anything that can be called without arguments and then gives something that converts to T.
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

  // Returns the value of the calling fiber, or of the calling thread.
  [[nodiscard]] T& operator*() {
    // An id of 0 has not been assigned yet, and is never found.
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
