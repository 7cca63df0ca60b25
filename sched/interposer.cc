#include <baton/sched/interposer.h>

#include <baton/sched/declared_call.h>

#include <dlfcn.h>

// Weak: a static executable has none, and nothing can be preloaded there.
extern "C" __attribute__((weak)) void* dlsym(void*, const char*) noexcept;

namespace baton::sched {

void attach_interposer() noexcept {
  static constexpr foreign_calls functions{
      foreign_call_counts,
      [](const char* name, void* to) noexcept -> call_site& { return call_site::at(to, name); },
      [](const call_site& site) noexcept { return site.blocks(); },
      begin_foreign_call,
      end_foreign_call,
  };
  if (dlsym == nullptr) return;
  const auto attach = reinterpret_cast<attach_function>(dlsym(RTLD_DEFAULT, attach_name));
  if (attach != nullptr) static_cast<void>(attach(foreign_calls_version, &functions));
}

}  // namespace baton::sched
