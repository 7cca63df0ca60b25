// Reads .eh_frame_hdr and .eh_frame in the form in which GNU ld, gold, lld and mold write them, on 64-bit machines.
// Anything in another form is "unknown", never an error.
//
//   1. glibc tells, without a lock, which object an address lies in and where its .eh_frame_hdr is: a
//      sorted table of (function, its description)
//   2. a binary search finds the description (FDE), which names a common part (CIE)
//   3. both are programs that change a row of rules for an advancing address; the row that is valid at pc
//      is the answer
//
// This code avoids the lock of the dynamic loader on purpose (dladdr and dl_iterate_phdr take it): the observed thread
// may be blocked within dlopen. With a glibc older than 2.35 there is no other way, and nothing is known of any
// address.
#include <baton/sched/unwind/frame_info.h>

#include <dlfcn.h>
#include <link.h>

namespace baton::sched {

namespace {

// Pointer encodings (DW_EH_PE_*).
constexpr std::uint8_t pe_form = 0x0f, pe_relative = 0x70, pe_to_here = 0x10, pe_omitted = 0xff;

// A position in the tables. After a failed read every value is 0 and ok() returns false.
class reader {
 public:
  reader(code_window& code, std::uintptr_t at) noexcept : code_(code), at_(at) {}

  [[nodiscard]] bool ok() const noexcept { return ok_; }
  [[nodiscard]] std::uintptr_t at() const noexcept { return at_; }
  void go_to(std::uintptr_t at) noexcept { at_ = at; }
  void skip(std::uint64_t n) noexcept { at_ += n; }
  void fail() noexcept { ok_ = false; }

  template <class T>
  T fixed() noexcept {
    T value{};
    if (!ok_ || !code_.read(at_, value)) {
      ok_ = false;
      return T{};
    }
    at_ += sizeof value;
    return value;
  }
  std::uint8_t byte() noexcept { return fixed<std::uint8_t>(); }

  std::uint64_t unsigned_number() noexcept {
    std::uint64_t value = 0;
    for (unsigned shift = 0; shift < 64; shift += 7) {
      const std::uint8_t b = byte();
      value |= std::uint64_t{b & 0x7fU} << shift;
      if ((b & 0x80U) == 0) return value;
    }
    ok_ = false;
    return 0;
  }

  std::int64_t signed_number() noexcept {
    std::uint64_t value = 0;
    for (unsigned shift = 0; shift < 64;) {
      const std::uint8_t b = byte();
      value |= std::uint64_t{b & 0x7fU} << shift;
      shift += 7;
      if ((b & 0x80U) != 0) continue;
      if ((b & 0x40U) != 0 && shift < 64) value |= ~std::uint64_t{0} << shift;
      return static_cast<std::int64_t>(value);
    }
    ok_ = false;
    return 0;
  }

  // Reads a pointer that is absolute or relative to its own place. The other bases do not occur in FDEs.
  std::uintptr_t pointer(std::uint8_t encoding) noexcept {
    const std::uintptr_t here = at_;
    std::uintptr_t value = 0;
    switch (encoding & pe_form) {
      case 0x00:
      case 0x04:
      case 0x0c: value = fixed<std::uintptr_t>(); break;
      case 0x01: value = unsigned_number(); break;
      case 0x02: value = fixed<std::uint16_t>(); break;
      case 0x03: value = fixed<std::uint32_t>(); break;
      case 0x09: value = static_cast<std::uintptr_t>(signed_number()); break;
      case 0x0a: value = static_cast<std::uintptr_t>(std::intptr_t{fixed<std::int16_t>()}); break;
      case 0x0b: value = static_cast<std::uintptr_t>(std::intptr_t{fixed<std::int32_t>()}); break;
      default: ok_ = false;
    }
    if ((encoding & pe_relative) == pe_to_here) value += here;
    return value;
  }

  frame_expression block() noexcept {
    const std::uint64_t length = unsigned_number();
    const frame_expression e{at_, static_cast<std::size_t>(length)};
    skip(length);
    return e;
  }

 private:
  code_window& code_;
  std::uintptr_t at_;
  bool ok_ = true;
};

struct description {
  std::uint64_t code_factor = 1;
  std::int64_t data_factor = 1;
  std::uint8_t pointer_encoding = 0;
  bool sized = false;  // augmentation data says how long it is
  bool interrupted = false;
  std::uintptr_t first_rules = 0, first_rules_end = 0;  // of the CIE
  std::uintptr_t rules = 0, rules_end = 0;              // of the FDE
  std::uintptr_t function = 0, function_end = 0;
};

bool read_common_part(std::uintptr_t at, code_window& code, description& d) noexcept {
  reader r(code, at);
  const auto length = r.fixed<std::uint32_t>();
  if (length == 0 || length == 0xffffffffU) return false;  // the end; or a 64-bit length, which no linker writes
  d.first_rules_end = r.at() + length;
  if (r.fixed<std::uint32_t>() != 0) return false;  // not a CIE
  const std::uint8_t version = r.byte();
  if (version != 1 && version != 3) return false;
  char augmentation[8] = {};
  for (std::size_t i = 0;; ++i) {
    const auto c = static_cast<char>(r.byte());
    if (c == '\0') break;
    if (i + 1 >= sizeof augmentation) return false;
    augmentation[i] = c;
  }
  d.code_factor = r.unsigned_number();
  d.data_factor = r.signed_number();
  const std::uint64_t return_column = version == 1 ? r.byte() : r.unsigned_number();
  if (return_column != return_register) return false;
  if (augmentation[0] == 'z') {
    d.sized = true;
    const std::uint64_t size = r.unsigned_number();
    const std::uintptr_t behind = r.at() + size;
    for (const char* a = augmentation + 1; *a != '\0'; ++a) {
      switch (*a) {
        case 'R': d.pointer_encoding = r.byte(); break;
        case 'P': {
          const std::uint8_t encoding = r.byte();
          if (encoding != pe_omitted) static_cast<void>(r.pointer(encoding));
          break;
        }
        case 'L': static_cast<void>(r.byte()); break;
        case 'S': d.interrupted = true; break;
        case 'B': break;  // aarch64: return addresses are signed with the other key
        default: return false;
      }
    }
    r.go_to(behind);
  } else if (augmentation[0] != '\0') {
    return false;
  }
  d.first_rules = r.at();
  return r.ok();
}

bool read_description(std::uintptr_t at, code_window& code, description& d) noexcept {
  reader r(code, at);
  const auto length = r.fixed<std::uint32_t>();
  if (length == 0 || length == 0xffffffffU) return false;
  const std::uintptr_t back_from = r.at();
  d.rules_end = back_from + length;
  const auto back = r.fixed<std::uint32_t>();
  if (!r.ok() || back == 0 || !read_common_part(back_from - back, code, d)) return false;
  d.function = r.pointer(d.pointer_encoding);
  d.function_end = d.function + r.pointer(d.pointer_encoding & pe_form);
  if (d.sized) {
    const std::uint64_t size = r.unsigned_number();  // not inside r.skip(): reading the number moves r
    r.skip(size);
  }
  d.rules = r.at();
  return r.ok();
}

// Returns the address of the FDE for pc, or 0 if there is none.
std::uintptr_t search_table(std::uintptr_t header, std::uintptr_t pc, code_window& code) noexcept {
  reader r(code, header);
  // Version 1; the pointer to .eh_frame; a 32-bit count; a table of 32-bit pairs relative to the header.
  if (r.byte() != 1) return 0;
  const std::uint8_t frame_pointer_encoding = r.byte();
  if (r.byte() != 0x03 || r.byte() != 0x3b) return 0;
  static_cast<void>(r.pointer(frame_pointer_encoding));
  const auto count = r.fixed<std::uint32_t>();
  if (!r.ok() || count == 0) return 0;
  const std::uintptr_t table = r.at();
  const auto entry = [&](std::size_t i, std::size_t column) {
    r.go_to(table + i * 8 + column * 4);
    return header + static_cast<std::uintptr_t>(std::intptr_t{r.fixed<std::int32_t>()});
  };
  std::size_t low = 0;  // the last entry whose function begins at or before pc is in [low, high)
  std::size_t high = count;
  while (high - low > 1) {
    const std::size_t middle = low + (high - low) / 2;
    if (entry(middle, 0) <= pc) {
      low = middle;
    } else {
      high = middle;
    }
    if (!r.ok()) return 0;
  }
  const std::uintptr_t fde = entry(low, 1);
  return r.ok() ? fde : 0;
}

// The row of rules that the programs change.
struct row {
  std::uint64_t cfa_register = 0;
  std::int64_t cfa_offset = 0;
  frame_expression cfa_expression;
  register_rule fp;
  register_rule return_address;

  register_rule* rule_of(std::uint64_t reg) noexcept {
    if (reg == fp_register) return &fp;
    if (reg == return_register) return &return_address;
    return nullptr;  // a register that is not followed
  }
  void set(std::uint64_t reg, const register_rule& rule) noexcept {
    if (register_rule* const r = rule_of(reg)) *r = rule;
  }
};

class rules {
 public:
  rules(const description& d, code_window& code, std::uintptr_t pc) noexcept : d_(d), code_(code), pc_(pc) {}

  // Finds the row that is valid at pc.
  bool run(row& result) noexcept {
    at_ = 0;  // the common part has no addresses
    if (!execute(d_.first_rules, d_.first_rules_end)) return false;
    first_ = now_;
    at_ = d_.function;
    if (!execute(d_.rules, d_.rules_end)) return false;
    result = now_;
    return true;
  }

 private:
  using kind = register_rule::kind;

  bool execute(std::uintptr_t begin, std::uintptr_t end) noexcept {
    reader r(code_, begin);
    while (r.ok() && r.at() < end && at_ <= pc_) {
      const std::uint8_t op = r.byte();
      const std::uint8_t low = op & 0x3fU;
      switch (op >> 6) {
        case 1: at_ += low * d_.code_factor; continue;
        case 2: saved(low, static_cast<std::int64_t>(r.unsigned_number())); continue;
        case 3: restore(low); continue;
        default: break;
      }
      if (!extended(low, r)) return false;
    }
    return r.ok();
  }

  bool extended(std::uint8_t op, reader& r) noexcept {
    switch (op) {
      case 0x00: return true;                                                    // nop
      case 0x01: at_ = r.pointer(d_.pointer_encoding); return true;              // set_loc
      case 0x02: at_ += r.byte() * d_.code_factor; return true;                  // advance_loc1
      case 0x03: at_ += r.fixed<std::uint16_t>() * d_.code_factor; return true;  // advance_loc2
      case 0x04: at_ += r.fixed<std::uint32_t>() * d_.code_factor; return true;  // advance_loc4
      case 0x0a: return remember();                                              // remember_state
      case 0x0b: return recall();                                                // restore_state
      case 0x0e: now_.cfa_offset = static_cast<std::int64_t>(r.unsigned_number()); return true;
      case 0x0f: now_.cfa_expression = r.block(); return true;                       // def_cfa_expression
      case 0x13: now_.cfa_offset = r.signed_number() * d_.data_factor; return true;  // def_cfa_offset_sf
      case 0x2d: return true;                                          // aarch64: the return address is signed
      case 0x2e: static_cast<void>(r.unsigned_number()); return true;  // GNU_args_size
      default: break;
    }
    // All other instructions begin with a register.
    const std::uint64_t reg = r.unsigned_number();
    switch (op) {
      case 0x05: saved(reg, static_cast<std::int64_t>(r.unsigned_number())); return true;  // offset_extended
      case 0x06: restore(reg); return true;                                                // restore_extended
      case 0x07: now_.set(reg, {kind::undefined, 0, {}}); return true;
      case 0x08: now_.set(reg, {}); return true;  // same_value
      case 0x09:                                  // register: perhaps in a register that is not followed
        static_cast<void>(r.unsigned_number());
        now_.set(reg, {kind::undefined, 0, {}});
        return true;
      case 0x0c: return cfa(reg, static_cast<std::int64_t>(r.unsigned_number()));  // def_cfa
      case 0x0d: return cfa(reg, now_.cfa_offset);                                 // def_cfa_register
      case 0x10: now_.set(reg, {kind::saved_by, 0, r.block()}); return true;       // expression
      case 0x11: saved(reg, r.signed_number()); return true;                       // offset_extended_sf
      case 0x12: return cfa(reg, r.signed_number() * d_.data_factor);              // def_cfa_sf
      case 0x14:                                                                   // val_offset
        now_.set(reg, {kind::is_cfa, static_cast<std::int64_t>(r.unsigned_number()) * d_.data_factor, {}});
        return true;
      case 0x15: now_.set(reg, {kind::is_cfa, r.signed_number() * d_.data_factor, {}}); return true;
      case 0x16: now_.set(reg, {kind::is_value, 0, r.block()}); return true;                // val_expression
      case 0x2f: saved(reg, -static_cast<std::int64_t>(r.unsigned_number())); return true;  // GNU_negative_...
      default: return false;
    }
  }

  void saved(std::uint64_t reg, std::int64_t factored) noexcept {
    now_.set(reg, {kind::saved_at, factored * d_.data_factor, {}});
  }

  void restore(std::uint64_t reg) noexcept {
    if (const register_rule* const r = first_.rule_of(reg)) now_.set(reg, *r);
  }

  bool cfa(std::uint64_t reg, std::int64_t offset) noexcept {
    now_.cfa_register = reg;
    now_.cfa_offset = offset;
    now_.cfa_expression = {};
    return true;
  }

  bool remember() noexcept {
    if (remembered_count_ == sizeof remembered_ / sizeof remembered_[0]) return false;
    remembered_[remembered_count_++] = now_;
    return true;
  }

  bool recall() noexcept {
    if (remembered_count_ == 0) return false;
    now_ = remembered_[--remembered_count_];
    return true;
  }

  const description& d_;
  code_window& code_;
  std::uintptr_t pc_;
  std::uintptr_t at_ = 0;  // the address for which the row is valid so far
  row now_;
  row first_;
  row remembered_[4];
  std::size_t remembered_count_ = 0;
};

// DWARF's stack machine, as far as .eh_frame uses it.
class machine_of_expressions {
 public:
  machine_of_expressions(const frame_registers& r, word_reader read, void* stack) noexcept
      : registers_(r), read_(read), stack_(stack) {}

  bool push(std::uintptr_t value) noexcept {
    if (count_ == sizeof values_ / sizeof values_[0]) return false;
    values_[count_++] = value;
    return true;
  }
  bool pop(std::uintptr_t& value) noexcept {
    if (count_ == 0) return false;
    value = values_[--count_];
    return true;
  }

  bool step(reader& r) noexcept {
    const std::uint8_t op = r.byte();
    if (op >= 0x30 && op <= 0x4f) return push(op - 0x30U);                              // lit
    if (op >= 0x70 && op <= 0x8f) return push_register(op - 0x70U, r.signed_number());  // breg
    std::uintptr_t a = 0;
    std::uintptr_t b = 0;
    switch (op) {
      case 0x06: return pop(a) && read_(stack_, a, b) && push(b);  // deref
      case 0x08: return push(r.byte());
      case 0x09: return push(static_cast<std::uintptr_t>(std::intptr_t{r.fixed<std::int8_t>()}));
      case 0x0a: return push(r.fixed<std::uint16_t>());
      case 0x0b: return push(static_cast<std::uintptr_t>(std::intptr_t{r.fixed<std::int16_t>()}));
      case 0x0c: return push(r.fixed<std::uint32_t>());
      case 0x0d: return push(static_cast<std::uintptr_t>(std::intptr_t{r.fixed<std::int32_t>()}));
      case 0x10: return push(r.unsigned_number());
      case 0x11: return push(static_cast<std::uintptr_t>(r.signed_number()));
      case 0x12: return pop(a) && push(a) && push(a);  // dup
      case 0x23: {                                     // plus_uconst
        const std::uint64_t n = r.unsigned_number();
        return pop(a) && push(a + n);
      }
      case 0x92: {  // bregx
        const std::uint64_t reg = r.unsigned_number();
        return push_register(reg, r.signed_number());
      }
      default: break;
    }
    if (!pop(b) || !pop(a)) return false;
    switch (op) {
      case 0x1a: return push(a & b);
      case 0x1c: return push(a - b);
      case 0x21: return push(a | b);
      case 0x22: return push(a + b);
      case 0x24: return push(b < 64 ? a << b : 0);
      case 0x2a: return push(static_cast<std::intptr_t>(a) >= static_cast<std::intptr_t>(b) ? 1 : 0);
      default: return false;
    }
  }

 private:
  bool push_register(std::uint64_t reg, std::int64_t offset) noexcept {
    const auto plus = static_cast<std::uintptr_t>(offset);
    if (reg == sp_register) return push(registers_.sp + plus);
    if (reg == fp_register && registers_.fp_known) return push(registers_.fp + plus);
#if defined(__x86_64__)
    if (reg == return_register) return push(registers_.pc + plus);  // of the frame itself: in the rules of a PLT
#endif
    return false;
  }

  const frame_registers& registers_;
  word_reader read_;
  void* stack_;
  std::uintptr_t values_[16];
  std::size_t count_ = 0;
};

}  // namespace

#if defined(__GLIBC__) && __GLIBC_PREREQ(2, 35)
bool find_object(std::uintptr_t pc, loaded_object& found) noexcept {
  dl_find_object o{};
  if (::_dl_find_object(reinterpret_cast<void*>(pc), &o) != 0) return false;
  found.tables = reinterpret_cast<std::uintptr_t>(o.dlfo_eh_frame);
  // The map of an object that is being unloaded may be gone, so only peek at it.
  link_map map{};
  if (!platform::peek_memory(reinterpret_cast<std::uintptr_t>(o.dlfo_link_map), &map, sizeof map)) return false;
  found.base = map.l_addr;
  found.name = reinterpret_cast<std::uintptr_t>(map.l_name);
  return true;
}
#else
bool find_object(std::uintptr_t, loaded_object&) noexcept { return false; }
#endif

bool find_frame_info(std::uintptr_t pc, code_window& code, frame_info& found) noexcept {
  loaded_object object;
  if (!find_object(pc, object) || object.tables == 0) return false;
  const std::uintptr_t fde = search_table(object.tables, pc, code);
  description d;
  if (fde == 0 || !read_description(fde, code, d)) return false;
  if (pc < d.function || pc >= d.function_end) return false;
  row now;
  if (!rules(d, code, pc).run(now)) return false;
  found.function = d.function;
  found.function_end = d.function_end;
  found.interrupted = d.interrupted;
  found.cfa_register = now.cfa_register;
  found.cfa_offset = now.cfa_offset;
  found.cfa_expression = now.cfa_expression;
  found.fp = now.fp;
  found.return_address = now.return_address;
  return true;
}

bool evaluate(const frame_expression& e, const frame_registers& r, const std::uintptr_t* first, code_window& code,
              word_reader read, void* stack, std::uintptr_t& result) noexcept {
  machine_of_expressions m(r, read, stack);
  if (first != nullptr && !m.push(*first)) return false;
  reader at(code, e.at);
  for (int steps = 0; at.at() < e.at + e.length; ++steps) {
    if (steps == 64 || !m.step(at) || !at.ok()) return false;
  }
  return m.pop(result);
}

}  // namespace baton::sched
