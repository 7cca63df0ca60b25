#include <baton/sched/platform/module.h>

#include <dlfcn.h>

// Weak: a static executable has none of them, and has nothing to keep loaded.
extern "C" __attribute__((weak)) int dladdr(const void*, Dl_info*) noexcept;
extern "C" __attribute__((weak)) void* dlopen(const char*, int);

namespace baton::sched::platform {

void keep_module_loaded() noexcept {
  if (dladdr == nullptr || dlopen == nullptr) return;
  Dl_info here{};
  if (dladdr(reinterpret_cast<const void*>(&keep_module_loaded), &here) == 0 || here.dli_fname == nullptr) return;
  // The handle is never closed: it is one more reference that keeps the module loaded.
  static_cast<void>(dlopen(here.dli_fname, RTLD_LAZY | RTLD_NOLOAD | RTLD_NODELETE));
}

}  // namespace baton::sched::platform
