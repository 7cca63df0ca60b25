#include <baton/runtime/detail/context_value.h>

#include <utility>

namespace baton::detail {

namespace mo = sched::platform::mo;

// Destroys those that nothing holds any more. It loops because a list can be longer than a stack is deep.
void context_value::let_go(context_value* v) noexcept {
  // acq_rel: the thread that gives back the last hold sees all that others did with the value.
  while (v != nullptr && v->holds_.fetch_sub(1, mo::acq_rel) == 1) {
    context_value* const up = std::exchange(v->up_, nullptr);
    delete v;
    v = up;
  }
}

const void* context_value::find(const context_value* v, const void* key) noexcept {
  for (; v != nullptr; v = v->up_) {
    if (v->key_ == key) return v->get();
  }
  return nullptr;
}

}  // namespace baton::detail
