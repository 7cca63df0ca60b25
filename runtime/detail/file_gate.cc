// A list of gates, one for each device that was ever asked for. It is never shortened. A program meets a handful of
// devices. From `devices_max` on (mounts that come and go), and without memory, further devices share the last gate.
#include <baton/runtime/detail/file_gate.h>

#include <baton/sched/platform/atomic.h>

#include <new>

namespace baton::detail {

namespace {

namespace mo = sched::platform::mo;

constexpr int devices_max = 256;

struct device_gate {
  constexpr explicit device_gate(dev_t number) noexcept : device(number) {}
  const dev_t device;
  device_gate* next = nullptr;
  int place = 1;  // in the list, counted from its end
  device_gates gates;
};

// Threads may read files until the process is gone.
union never_destroyed {
  constexpr never_destroyed() noexcept : value(0) {}
  ~never_destroyed() {}
  device_gate value;
};
constinit never_destroyed shared;

constinit sched::platform::atomic<device_gate*> gates{nullptr};

device_gate* find(device_gate* from, dev_t device) noexcept {
  while (from != nullptr && from->device != device) from = from->next;
  return from;
}

}  // namespace

device_gates& gates_of(dev_t device) noexcept {
  // acquire: pairs with the release below.
  device_gate* first = gates.load(mo::acquire);
  if (device_gate* const known = find(first, device)) return known->gates;
  if (first != nullptr && first->place >= devices_max) return shared.value.gates;
  auto* const fresh = new (std::nothrow) device_gate(device);
  if (fresh == nullptr) return shared.value.gates;
  do {
    if (device_gate* const known = find(first, device)) {
      delete fresh;
      return known->gates;
    }
    fresh->next = first;
    fresh->place = first == nullptr ? 1 : first->place + 1;
    // release: publishes the gate.
  } while (!gates.compare_exchange_weak(first, fresh, mo::release, mo::acquire));
  return fresh->gates;
}

}  // namespace baton::detail
