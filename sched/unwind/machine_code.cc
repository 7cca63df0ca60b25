#include <baton/sched/unwind/machine_code.h>

#include <cstring>

namespace baton::sched {

namespace {

// Addresses below it are never code.
constexpr std::uintptr_t first_page = 4096;

bool is_loaded(std::uintptr_t pc) noexcept {
  loaded_object object;
  return find_object(pc, object);
}

}  // namespace

#if defined(__x86_64__)

namespace {

// Returns where a PLT entry jumps to. Any other address is its own target.
std::uintptr_t behind_plt(std::uintptr_t entry, code_window& code) noexcept {
  std::uint8_t text[11] = {};
  if (!code.read(entry, text)) return entry;
  constexpr std::uint8_t landing[] = {0xf3, 0x0f, 0x1e, 0xfa};  // endbr64
  std::size_t i = std::memcmp(text, landing, sizeof landing) == 0 ? sizeof landing : 0;
  if (text[i] == 0xf2) ++i;                                  // bnd
  if (text[i] != 0xff || text[i + 1] != 0x25) return entry;  // jmp *slot(%rip)
  std::int32_t distance = 0;
  if (!code.read(entry + i + 2, distance)) return entry;
  const std::uintptr_t slot = entry + i + 6 + static_cast<std::uintptr_t>(std::intptr_t{distance});
  std::uintptr_t target = 0;
  return code.read(slot, target) ? target : entry;
}

}  // namespace

bool is_behind_a_call(std::uintptr_t pc, code_window& code, std::uintptr_t& target) noexcept {
  target = 0;
  if (pc < first_page || !is_loaded(pc - 1)) return false;
  std::uint8_t before[7] = {};
  if (!code.read(pc - sizeof before, before)) return false;
  std::int32_t distance = 0;
  std::memcpy(&distance, before + 3, sizeof distance);
  const std::uintptr_t there = pc + static_cast<std::uintptr_t>(std::intptr_t{distance});
  if (before[2] == 0xe8) {
    target = behind_plt(there, code);
    return true;
  }
  if (before[1] == 0xff && before[2] == 0x15) {  // call *slot(%rip)
    if (!code.read(there, target)) target = 0;
    return true;
  }
  // ff /2, by its length: register, [register], and with a byte or a word of displacement, with and without an index
  // byte.
  const auto is_call = [&](std::size_t length, std::uint8_t mode) {
    const std::uint8_t* const op = before + sizeof before - length;
    return op[0] == 0xff && (op[1] & 0x38U) == 0x10 && (op[1] & 0xc0U) == mode;
  };
  return is_call(2, 0xc0) || is_call(2, 0x00) || is_call(3, 0x00) || is_call(3, 0x40) || is_call(4, 0x40) ||
         is_call(6, 0x80) || is_call(7, 0x80);
}

std::uintptr_t bytes_below_frame_pointer(std::uintptr_t function, code_window& code) noexcept {
  std::uint8_t text[32] = {};
  if (!code.read(function, text)) return 0;
  constexpr std::uint8_t landing[] = {0xf3, 0x0f, 0x1e, 0xfa};  // endbr64
  constexpr std::uint8_t begin[] = {0x55, 0x48, 0x89, 0xe5};
  std::size_t i = std::memcmp(text, landing, sizeof landing) == 0 ? sizeof landing : 0;
  if (std::memcmp(text + i, begin, sizeof begin) != 0) return 0;
  i += sizeof begin;
  std::uintptr_t bytes = 0;
  for (; i + 8 < sizeof text; ++i) {
    if (text[i] == 0x41) ++i;  // r8 and higher
    if ((text[i] & 0xf8U) != 0x50) break;
    bytes += 8;
  }
  if (text[i] != 0x48) return 0;
  if (text[i + 1] == 0x83 && text[i + 2] == 0xec) return bytes + text[i + 3];
  if (text[i + 1] != 0x81 || text[i + 2] != 0xec) return 0;
  std::uint32_t more = 0;
  std::memcpy(&more, text + i + 3, sizeof more);
  return bytes + more;
}

#elif defined(__aarch64__)

namespace {

// The calls of longer functions are not looked at.
constexpr std::uintptr_t function_bytes_max = 8 * 1024;

// Returns the target if the instruction is `bl`, or 0.
std::uintptr_t target_of_bl(std::uint32_t instruction, std::uintptr_t at) noexcept {
  if ((instruction & 0xfc00'0000U) != 0x9400'0000U) return 0;
  const auto distance = static_cast<std::int32_t>(instruction << 6) >> 4;  // 26 bits with a sign, times 4
  return at + static_cast<std::uintptr_t>(std::intptr_t{distance});
}

// Returns where a PLT entry jumps to. Any other address is its own target.
std::uintptr_t behind_plt(std::uintptr_t entry, code_window& code) noexcept {
  std::uint32_t text[3] = {};
  if (!code.read(entry, text)) return entry;
  const std::size_t i = text[0] == 0xd503'245fU ? 1 : 0;  // bti c
  const std::uint32_t adrp = text[i];
  const std::uint32_t ldr = text[i + 1];
  if ((adrp & 0x9f00'001fU) != 0x9000'0010U) return entry;                           // adrp x16, page
  if ((ldr & 0xffc0'03ffU) != 0xf940'0211U) return entry;                            // ldr x17, [x16, #offset]
  const std::uint32_t pages = ((adrp >> 5) & 0x7'ffffU) << 2 | ((adrp >> 29) & 3U);  // 21 bits with a sign
  const std::int64_t distance = static_cast<std::int64_t>(static_cast<std::int32_t>(pages << 11) >> 11) * 4096;
  const std::uintptr_t here = (entry + i * 4) & ~std::uintptr_t{4095};
  const std::uintptr_t slot = here + static_cast<std::uintptr_t>(distance) + ((ldr >> 10) & 0xfffU) * 8;
  std::uintptr_t target = 0;
  return code.read(slot, target) ? target : entry;
}

}  // namespace

bool is_behind_a_call(std::uintptr_t pc, code_window& code, std::uintptr_t& target) noexcept {
  target = 0;
  std::uint32_t before = 0;
  if (pc < first_page || pc % 4 != 0 || !is_loaded(pc - 4) || !code.read(pc - 4, before)) return false;
  if (const std::uintptr_t there = target_of_bl(before, pc - 4)) {
    target = behind_plt(there, code);
    return true;
  }
  return (before & 0xffff'fc1fU) == 0xd63f'0000U || (before & 0xfeff'f800U) == 0xd63f'0800U;  // blr, blraa and its like
}

std::uintptr_t find_call(std::uintptr_t at, std::uintptr_t end, std::uintptr_t target, code_window& code) noexcept {
  if (at % 4 != 0 || end - at > function_bytes_max) return 0;
  code_window plt;
  for (; at < end; at += 4) {
    std::uint32_t instruction = 0;
    if (!code.read(at, instruction)) return 0;
    const std::uintptr_t there = target_of_bl(instruction, at);
    if (there != 0 && (there == target || behind_plt(there, plt) == target)) return at + 4;
  }
  return 0;
}

bool returns_from_signal(std::uintptr_t pc, code_window& code) noexcept {
  std::uint32_t text[2] = {};
  // mov x8, #SYS_rt_sigreturn; svc #0
  return pc % 4 == 0 && code.read(pc, text) && text[0] == 0xd280'1168U && text[1] == 0xd400'0001U;
}

#endif

}  // namespace baton::sched
