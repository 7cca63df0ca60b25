// Tables of fiber-local values: see local_table. Each table belongs to one agent, so nothing is locked.
//
// The values of an agent are destroyed in rounds when it ends. Each round takes the list of all values, and destroys
// them from the newest to the oldest. A value that is being destroyed is no longer found; the older ones still are. The
// values that destructors build meanwhile form the list of the next round.
#include <baton/runtime/fiber_local.h>

#include <baton/sched/log/fatal.h>
#include <baton/sched/log/plain_text.h>
#include <baton/sched/platform/thread_values.h>

namespace baton::detail {

namespace {

namespace mo = sched::platform::mo;

constexpr std::uint64_t entries_at_first = 8;
constexpr int rounds_max = 4;  // as PTHREAD_DESTRUCTOR_ITERATIONS

sched::platform::atomic<std::uint64_t> last_id{0};

void end_values(void** where) noexcept;

local_table* new_table(std::uint64_t entries) {
  void* const memory = ::operator new(sizeof(local_table) + entries * sizeof(local_table::entry));
  auto* const t = ::new (memory) local_table{{&end_values}, entries - 1, 0, nullptr};
  for (std::uint64_t i = 0; i < entries; ++i) {
    ::new (static_cast<void*>(t->entries() + i)) local_table::entry{local_table::free_id, nullptr};
  }
  return t;
}

local_table::entry* find_in(local_table* t, std::uint64_t id) noexcept {
  if (t == nullptr) return nullptr;
  for (std::uint64_t i = id;; ++i) {
    local_table::entry& e = t->entries()[i & t->mask];
    if (e.id == id) return &e;
    if (e.id == local_table::free_id) return nullptr;
  }
}

// Requires: there is a free entry.
void insert_into(local_table* t, std::uint64_t id, void* value) noexcept {
  std::uint64_t i = id;
  while (t->entries()[i & t->mask].id != local_table::free_id) ++i;
  t->entries()[i & t->mask] = {id, value};
  ++t->used;
}

// Returns a table with room for one more value: `old`, or one that replaces it.
local_table* with_room(local_table* old) {
  if (old == nullptr) return new_table(entries_at_first);
  if (2 * (old->used + 1) <= old->mask + 1) return old;
  local_table* const t = new_table(2 * (old->mask + 1));
  for (std::uint64_t i = 0; i <= old->mask; ++i) {
    const local_table::entry& e = old->entries()[i];
    if (e.id < local_table::removed_id) insert_into(t, e.id, e.value);
  }
  t->newest = old->newest;
  ::operator delete(old);
  return t;
}

void warn_of_leak() noexcept {
  static sched::platform::atomic<bool> said{false};
  if (said.exchange(true, mo::relaxed)) return;
  char who[sched::fiber_label_max];
  sched::describe_caller(who, sizeof who);
  sched::warn("%s: destructors of fiber_local values still make new ones after %d rounds; those are leaked", who,
              rounds_max);
}

// `where` is what find and add use meanwhile: each destructor may replace the table.
void end_values(void** where) noexcept {
  for (int round = 0;; ++round) {
    auto* const t = static_cast<local_table*>(*where);
    local_value* v = std::exchange(t->newest, nullptr);
    if (v == nullptr || round == rounds_max) {
      if (v != nullptr) warn_of_leak();
      *where = nullptr;
      ::operator delete(t);
      return;
    }
    while (v != nullptr) {
      local_value* const older = v->older;
      *find_in(static_cast<local_table*>(*where), v->id) = {local_table::removed_id, nullptr};
      v->destroy(v);
      v = older;
    }
  }
}

// Returns the place of the table of the calling fiber, or of the calling thread. Returns null if that thread has none
// yet.
void** values_here() noexcept {
  void** const where = sched::current_fiber_locals();
  return where != nullptr ? where : sched::platform::values_of_thread();
}

}  // namespace

void* find_local_slowly(std::uint64_t id) noexcept {
  void** const where = values_here();
  if (where == nullptr) return nullptr;
  const local_table::entry* const e = find_in(static_cast<local_table*>(*where), id);
  return e != nullptr ? e->value : nullptr;
}

void add_local(local_value* v, void* value) {
  void** where = values_here();
  if (where == nullptr) where = sched::platform::make_values_of_thread(&end_values);
  if (where == nullptr) throw std::bad_alloc();
  if (find_in(static_cast<local_table*>(*where), v->id) != nullptr) {
    sched::fatal("a fiber_local was used while its own value was being built");
  }
  local_table* const t = with_room(static_cast<local_table*>(*where));
  *where = t;
  insert_into(t, v->id, value);
  v->older = t->newest;
  t->newest = v;
}

std::uint64_t id_of_local(sched::platform::atomic<std::uint64_t>& id) noexcept {
  std::uint64_t now = id.load(mo::relaxed);
  if (now != 0) return now;
  const std::uint64_t mine = last_id.fetch_add(1, mo::relaxed) + 1;
  return id.compare_exchange_strong(now, mine, mo::relaxed, mo::relaxed) ? mine : now;
}

}  // namespace baton::detail
