#include <baton/sched/platform/module.h>

#include <dlfcn.h>

// Weak: a static executable has none of them, and nothing to keep.
extern "C" __attribute__((weak)) int dladdr(const void*, Dl_info*) noexcept;
extern "C" __attribute__((weak)) void* dlopen(const char*, int);

namespace baton::sched::platform {

void keep_module_loaded() noexcept {
  if (dladdr == nullptr || dlopen == nullptr) return;
  Dl_info here{};
  if (dladdr(reinterpret_cast<const void*>(&keep_module_loaded), &here) == 0 || here.dli_fname == nullptr) return;
  // The handle is not given back: one more that keeps it.
  static_cast<void>(dlopen(here.dli_fname, RTLD_LAZY | RTLD_NOLOAD | RTLD_NODELETE));
}

}  // namespace baton::sched::platform
