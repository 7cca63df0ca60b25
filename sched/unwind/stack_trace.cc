// Unwinding by .eh_frame (frame_info.h). On these machines every function has it, including those of libc and those
// compiled without frame pointers.
//
// No library serves. GNU libunwind was tried: when linked, its libunwind.so replaces libgcc for the exceptions of the
// whole program, because it exports _Unwind_RaiseException (and backtrace); its static form cannot be linked into a
// position-independent program; and its local unwinder reads memory without checking it. libdw allocates, opens files
// and brings five libraries along. _Unwind_Backtrace knows only the caller's own stack. And none of them solves the one
// problem that is special here:
//
// A blocked thread shows its pc and sp, and nothing else. Nearly all frames are found from sp alone. A frame whose
// function keeps a frame pointer (-fno-omit-frame-pointer, alloca) is found only from that register. If no frame
// further in has saved the register, its value is unknown. Then the function's first instructions tell how large its
// frame is. If they are not the plain ones, the stack above sp is searched: each word that points behind a call could
// be the return address, but old return addresses lie there, too. The best candidate is one from which a walk reaches
// the stack's end, and whose call calls this very function.
//
// On aarch64 two more frames are special. First, a function that calls none keeps its return address in a register
// (link), which a blocked thread does not show. Its caller is found as follows: each word above sp that points behind a
// direct call names the called function. If that one calls the innermost function, and keeps its return address just
// there when it does, it is the caller. Where none is found (it was itself called through a pointer), the trace leaves
// the caller out and goes on with its frame record. Second, the code that a signal handler returns to has no
// description there. The walk recognises the code by its instructions, and reads the frame by the kernel's layout.
//
// Each frame lies higher than the one before it and within the bounds, so the walk ends. The exception is the frame of
// an interrupted function that calls none: it may be empty, but uses the link up.
#include <baton/sched/unwind/stack_trace.h>

#include <baton/sched/log/plain_text.h>
#include <baton/sched/platform/jump.h>
#include <baton/sched/unwind/machine_code.h>

#include <absl/debugging/symbolize.h>

#include <errno.h>
#include <ucontext.h>
#include <csignal>
#include <cstddef>
#include <cstdio>
#include <cstring>

namespace baton::sched {

namespace {

constexpr std::size_t words_searched_max = 4096;
constexpr std::size_t candidates_max = 32;
[[maybe_unused]] constexpr std::size_t callers_max = 8;  // functions that are searched for a call
// How a place scores where the searched frame may end: for each frame that follows, for a walk that reaches the end of
// the stack, and for a call that calls the right function.
constexpr std::size_t frames_followed = 24;
constexpr std::size_t frames_ended = 1000;
constexpr std::size_t frames_likely = 100;

// The stack that is being walked.
class foreign_stack {
 public:
  explicit foreign_stack(const stack_bounds& b) noexcept : bounds_(b) {}

  [[nodiscard]] bool read(std::uintptr_t at, std::uintptr_t& word) noexcept {
    return holds(at) && window_.read(at, word);
  }
  [[nodiscard]] bool holds(std::uintptr_t at) const noexcept {
    return at % sizeof at == 0 && at >= bounds_.low && at < bounds_.high && bounds_.high - at >= sizeof at;
  }
  // Returns true if a frame may begin at the address.
  [[nodiscard]] bool in_or_at_end(std::uintptr_t at) const noexcept { return holds(at) || at == bounds_.high; }
  static bool read_word(void* self, std::uintptr_t at, std::uintptr_t& word) noexcept {
    return static_cast<foreign_stack*>(self)->read(at, word);
  }

 private:
  stack_bounds bounds_;
  platform::peek_window<1024> window_;
};

// On aarch64 a signed return address has its signature in the upper bits.
std::uintptr_t plain_address(std::uintptr_t address) noexcept {
#if defined(__aarch64__)
  return address & 0x0000'ffff'ffff'ffffU;
#else
  return address;
#endif
}

// Where jump_fcontext leaves things on the stack differs from version to version. make_fcontext lays out a first
// context in the same way. So find_layout() makes one and searches it for the address of its entry function.
struct context_layout {
  std::size_t fp = 0, pc = 0, end = 0;  // offsets from the context; end: the stack pointer afterwards
  std::uintptr_t last_pc = 0;           // where a fiber's first function would return to
};

context_layout find_layout() noexcept {
  alignas(64) static std::byte stack[1024];
  const auto entry = [](boost::context::detail::transfer_t) {};
  void* const context = boost::context::detail::make_fcontext(stack + sizeof stack, sizeof stack, entry);
  const auto* const words = static_cast<const std::uintptr_t*>(context);
  const auto wanted =
      reinterpret_cast<std::uintptr_t>(static_cast<void (*)(boost::context::detail::transfer_t)>(entry));
  const auto end = reinterpret_cast<std::uintptr_t>(stack + sizeof stack);
  for (std::size_t i = 1; reinterpret_cast<std::uintptr_t>(words + i + 2) <= end; ++i) {  // one word more at both sides
    if (words[i] != wanted) continue;
    const std::size_t here = i * sizeof *words;
#if defined(__x86_64__)
    return {here + 8, here + 16, here + 24, words[i + 1]};  // in the place of rbx; rbp and the return address follow
#elif defined(__aarch64__)
    return {here - 16, here, here + 16, words[i - 1]};  // the place of the pc; x29 and x30 lie before it
#endif
  }
  return {};
}

const context_layout& layout_of_contexts() noexcept {
  static const context_layout layout = find_layout();
  return layout;
}

class walk {
 public:
  walk(const frame_registers& from, const stack_bounds& bounds) noexcept : at_(from), stack_(bounds) {}

  std::size_t run(std::span<void*> out) noexcept {
    std::size_t n = 0;
    bool behind_a_call = false;
    while (n < out.size()) {
      const bool signal = n > 0 && is_signal_frame();
      const bool known = !signal && find_frame_info(behind_a_call ? at_.pc - 1 : at_.pc, code_, info_);
      if (n > 0 && !known && !signal) break;  // the fiber's first context, or nonsense
      innermost_ = n == 0;
      out[n++] = reinterpret_cast<void*>(at_.pc);
      if (!(signal ? step_out_of_signal() : known ? step() : step_by_frame_pointer())) break;
      behind_a_call = !signal && (!known || !info_.interrupted);
    }
    return n;
  }

 private:
  bool step() noexcept {
    std::uintptr_t cfa = 0;
    if (!find_cfa(cfa) || cfa < at_.sp || !stack_.in_or_at_end(cfa)) return false;
    if (info_.return_address.what == register_rule::kind::same) return step_by_link(cfa);
    std::uintptr_t pc = 0;
    if (cfa == at_.sp || !value_of(info_.return_address, cfa, pc)) return false;
    std::uintptr_t fp = at_.fp;
    if (info_.fp.what != register_rule::kind::same) {
      at_.fp_known = value_of(info_.fp, cfa, fp);
    }
    return go_to(pc, cfa, fp);
  }

  // Steps out of code without a description, which may or may not keep a frame pointer.
  bool step_by_frame_pointer() noexcept {
    std::uintptr_t fp = 0;
    std::uintptr_t pc = 0;
    if (!at_.fp_known || at_.fp < at_.sp || !stack_.read(at_.fp, fp) || !stack_.read(at_.fp + sizeof fp, pc)) {
      return false;
    }
    return go_to(pc, at_.fp + 2 * sizeof fp, fp);
  }

  bool go_to(std::uintptr_t pc, std::uintptr_t sp, std::uintptr_t fp) noexcept {
    at_.pc = plain_address(pc);
    at_.sp = sp;
    at_.fp = fp;
    at_.link_known = false;
    return at_.pc != 0;
  }

  bool find_cfa(std::uintptr_t& cfa) noexcept {
    if (info_.cfa_expression.length != 0) {
      return evaluate(info_.cfa_expression, at_, nullptr, code_, foreign_stack::read_word, &stack_, cfa);
    }
    const auto offset = static_cast<std::uintptr_t>(info_.cfa_offset);
    if (info_.cfa_register == sp_register) {
      cfa = at_.sp + offset;
      return true;
    }
    if (info_.cfa_register != fp_register) return false;
    if (at_.fp_known) {
      cfa = at_.fp + offset;
      return true;
    }
    return search_cfa(cfa);
  }

  bool value_of(const register_rule& rule, std::uintptr_t cfa, std::uintptr_t& value) noexcept {
    using kind = register_rule::kind;
    const auto by = [&](std::uintptr_t& result) {
      return evaluate(rule.expression, at_, &cfa, code_, foreign_stack::read_word, &stack_, result);
    };
    std::uintptr_t place = 0;
    switch (rule.what) {
      case kind::saved_at: return stack_.read(cfa + static_cast<std::uintptr_t>(rule.offset), value);
      case kind::is_cfa: value = cfa + static_cast<std::uintptr_t>(rule.offset); return true;
      case kind::saved_by: return by(place) && stack_.read(place, value);
      case kind::is_value: return by(value);
      case kind::same:
      case kind::undefined: return false;
    }
    return false;
  }

#if defined(__x86_64__)
  // Finds the CFA if it is described by the frame pointer and the frame pointer is unknown.
  bool search_cfa(std::uintptr_t& cfa) noexcept {
    if (searching_ || info_.cfa_offset != 16) return false;  // not the usual push and mov
    std::uintptr_t back_to = 0;                              // [saved frame pointer] [return address] <- CFA
    std::uintptr_t target = 0;
    cfa = at_.sp + bytes_below_frame_pointer(info_.function, code_) + 16;
    if (stack_.read(cfa - 8, back_to) && follows_call(back_to, target)) return true;
    const frame_info mine = info_;
    searching_ = true;
    std::size_t best = 0;
    std::size_t candidates = 0;
    std::uintptr_t at = at_.sp + (8 - at_.sp % 8) % 8;
    for (std::size_t i = 0; i < words_searched_max && candidates < candidates_max && stack_.holds(at + 8);
         ++i, at += 8) {
      if (!stack_.read(at + 8, back_to) || !follows_call(back_to, target)) continue;
      ++candidates;
      const std::size_t likely = leads_on(at, back_to) + (target == mine.function ? frames_likely : 0);
      if (likely > best) {
        best = likely;
        cfa = at + 16;
      }
      if (best == frames_ended + frames_likely) break;
    }
    searching_ = false;
    info_ = mine;
    return best > 0;
  }

  // As is_behind_a_call(), which is not asked about an address on the stack.
  bool follows_call(std::uintptr_t pc, std::uintptr_t& target) noexcept {
    return !stack_.holds(pc & ~std::uintptr_t{7}) && is_behind_a_call(pc, code_, target);
  }

  // Returns how many frames follow if one ends here. Stops counting at the number that makes it likely.
  std::size_t leads_on(std::uintptr_t frame, std::uintptr_t back_to) noexcept {
    const frame_registers saved = at_;
    std::size_t n = 0;
    std::uintptr_t fp = 0;
    std::uintptr_t target = 0;
    if (stack_.read(frame, fp)) {
      at_ = {back_to, frame + 16, fp, true};
      while (n < frames_followed && follows_call(at_.pc, target) && find_frame_info(at_.pc - 1, code_, info_)) {
        ++n;
        if (step()) continue;
        if (info_.return_address.what == register_rule::kind::undefined) n = frames_ended;  // a thread's first function
        break;
      }
      if (at_.pc == layout_of_contexts().last_pc) n = frames_ended;  // a fiber's first function
    }
    at_ = saved;
    return n;
  }

  // On this machine no return address is in a register, and the C library describes the frame of a signal.
  bool step_by_link(std::uintptr_t) noexcept { return false; }
  static bool is_signal_frame() noexcept { return false; }
  bool step_out_of_signal() noexcept { return false; }
#elif defined(__aarch64__)
  bool is_signal_frame() noexcept { return returns_from_signal(at_.pc, code_); }

  // The kernel's frame: a siginfo_t, and the context of the interrupted function.
  bool step_out_of_signal() noexcept {
    const std::uintptr_t registers = at_.sp + sizeof(siginfo_t) + offsetof(ucontext_t, uc_mcontext);
    const std::uintptr_t general = registers + offsetof(mcontext_t, regs);
    std::uintptr_t pc = 0;
    std::uintptr_t sp = 0;
    std::uintptr_t fp = 0;
    std::uintptr_t link = 0;
    if (!stack_.read(general + fp_register * 8, fp) || !stack_.read(general + return_register * 8, link) ||
        !stack_.read(registers + offsetof(mcontext_t, sp), sp) ||
        !stack_.read(registers + offsetof(mcontext_t, pc), pc) || sp <= at_.sp || !stack_.in_or_at_end(sp)) {
      return false;
    }
    if (!go_to(pc, sp, fp)) return false;
    at_.fp_known = true;
    at_.link = link;
    at_.link_known = true;
    return true;
  }

  // Steps out of a function that has its return address in the register. It may also have no frame: cfa is sp then.
  bool step_by_link(std::uintptr_t cfa) noexcept {
    if (at_.link_known) return go_to(at_.link, cfa, at_.fp);
    return innermost_ && (find_caller(cfa) || skip_caller(cfa));
  }

  // Finds the place on the stack of a return address that f accepts: f(place, address, called function). A frame has
  // few words that point into code. Each costs several reads, so the search ends after some.
  template <class F>
  bool search(std::uintptr_t from, F f) noexcept {
    std::size_t candidates = 0;
    std::uintptr_t at = from + (8 - from % 8) % 8;
    for (std::size_t i = 0; i < words_searched_max && candidates < candidates_max && stack_.holds(at); ++i, at += 8) {
      std::uintptr_t back_to = 0;
      std::uintptr_t target = 0;
      loaded_object object;
      if (!stack_.read(at, back_to)) return false;
      back_to = plain_address(back_to);
      if (stack_.holds(back_to & ~std::uintptr_t{7}) || !find_object(back_to - 1, object)) continue;
      ++candidates;
      if (is_behind_a_call(back_to, code_, target) && f(at, back_to, target)) return true;
    }
    return false;
  }

  // Goes to the caller of the function, whose stack pointer was sp.
  bool find_caller(std::uintptr_t sp) noexcept {
    const std::uintptr_t callee = info_.function;
    std::size_t callers = 0;
    return search(sp, [&](std::uintptr_t place, std::uintptr_t, std::uintptr_t caller) {
      if (caller == 0 || callers == callers_max || !find_frame_info(caller, code_, info_)) return false;
      ++callers;
      const std::uintptr_t end = info_.function_end;
      std::uintptr_t pc = info_.function;
      while ((pc = find_call(pc, end, callee, code_)) != 0) {
        if (find_frame_info(pc - 1, code_, info_) && keeps_return_address_at(place, sp)) return go_to(pc, sp, at_.fp);
      }
      return false;
    });
  }

  // Returns true if the frame that info_ describes, whose stack pointer is sp, keeps its return address at that place.
  // If it is described by the frame pointer, that becomes known.
  bool keeps_return_address_at(std::uintptr_t place, std::uintptr_t sp) noexcept {
    const register_rule& rule = info_.return_address;
    if (rule.what != register_rule::kind::saved_at || info_.cfa_expression.length != 0) return false;
    const std::uintptr_t cfa = place - static_cast<std::uintptr_t>(rule.offset);
    const std::uintptr_t base = cfa - static_cast<std::uintptr_t>(info_.cfa_offset);
    if (info_.cfa_register == sp_register) return base == sp;
    if (info_.cfa_register != fp_register || base < sp || (at_.fp_known && base != at_.fp)) return false;
    at_.fp = base;
    at_.fp_known = true;
    return true;
  }

  // Goes to the caller's caller, by the caller's frame record: the frame pointer and the return address.
  bool skip_caller(std::uintptr_t sp) noexcept {
    return search(sp + 8, [&](std::uintptr_t place, std::uintptr_t back_to, std::uintptr_t) {
      std::uintptr_t fp = 0;
      if (!stack_.read(place - 8, fp) || fp <= place || !stack_.holds(fp) || !leads_on(fp)) return false;
      at_.fp_known = true;
      return go_to(back_to, fp, fp);
    });
  }

  // Returns true if a frame record lies there that leads on, or the last one.
  bool leads_on(std::uintptr_t fp) noexcept {
    std::uintptr_t next = 0;
    std::uintptr_t back_to = 0;
    std::uintptr_t target = 0;
    if (!stack_.read(fp, next) || !stack_.read(fp + 8, back_to)) return false;
    back_to = plain_address(back_to);
    if (next == 0) return back_to == 0 || find_frame_info(back_to - 1, code_, info_);
    return back_to == layout_of_contexts().last_pc || (next > fp && is_behind_a_call(back_to, code_, target));
  }

  // Finds the CFA if it is described by the frame pointer and the frame pointer is unknown: by a return address behind
  // a call of this very function.
  bool search_cfa(std::uintptr_t& cfa) noexcept {
    const frame_info mine = info_;
    if (mine.return_address.what != register_rule::kind::saved_at) return false;
    return search(at_.sp, [&](std::uintptr_t place, std::uintptr_t, std::uintptr_t target) {
      cfa = place - static_cast<std::uintptr_t>(mine.return_address.offset);
      return target == mine.function && cfa > at_.sp;
    });
  }
#endif

  frame_registers at_;
  foreign_stack stack_;
  code_window code_;
  frame_info info_;
  [[maybe_unused]] bool searching_ = false;
  [[maybe_unused]] bool innermost_ = true;
};

constexpr const char* first_frame = "baton::sched::(anonymous namespace)::trampoline()";

// Writes as much of the last component of the object's file name as fits.
void name_object(const loaded_object& o, std::span<char> out) noexcept {
  char path[256] = {};
  platform::peek_window<64> window;
  std::size_t n = 0;
  while (n + 1 < sizeof path && o.name != 0 && window.read(o.name + n, path[n]) && path[n] != '\0') ++n;
  path[n] = '\0';
  const char* const slash = std::strrchr(path, '/');
  const char* const name = n == 0 ? program_invocation_short_name : slash != nullptr ? slash + 1 : path;
  make_plain(name, out);
}

}  // namespace

// A fiber that runs meanwhile causes a race on purpose: what is read here is only ever peeked at.
__attribute__((no_sanitize("thread"))) std::optional<frame_registers> context_of(void* const* stored) noexcept {
  const context_layout& layout = layout_of_contexts();
  const auto context = reinterpret_cast<std::uintptr_t>(*stored);
  frame_registers r;
  if (context == 0 || layout.end == 0 || !platform::peek_memory(context + layout.pc, &r.pc, sizeof r.pc) ||
      !platform::peek_memory(context + layout.fp, &r.fp, sizeof r.fp)) {
    return std::nullopt;
  }
  r.sp = context + layout.end;
  r.fp_known = true;
#if BATON_JUMP_RETURNS
  // The context resumes at a `ret`. The caller of context_jump() is the frame to report.
  if (r.pc == reinterpret_cast<std::uintptr_t>(baton_context_arrival)) {
    if (!platform::peek_memory(r.sp, &r.pc, sizeof r.pc)) return std::nullopt;
    r.sp += sizeof r.pc;
  }
#endif
  return r;
}

std::optional<frame_registers> context_of(const platform::thread_call_state& call) noexcept {
  using kind = platform::thread_call_state::kind;
  if (call.what != kind::in_call && call.what != kind::outside) return std::nullopt;
  return frame_registers{call.pc, call.sp, 0, false};
}

std::size_t unwind(const frame_registers& from, const stack_bounds& bounds, std::span<void*> out) noexcept {
  return walk(from, bounds).run(out);
}

bool name_of_frame(const void* pc, std::span<char> out) noexcept {
  return absl::Symbolize(pc, out.data(), static_cast<int>(out.size()));
}

namespace {

// `inside` is an address in the function to describe. pc itself need not be in it if pc follows a call.
std::size_t describe(std::uintptr_t pc, std::uintptr_t inside, code_window& code, std::span<char> out) noexcept {
  char name[160];
  char object[48] = "?";
  loaded_object o;
  frame_info info;
  const bool loaded = find_object(inside, o);
  if (loaded) name_object(o, object);
  int length = 0;
  if (!name_of_frame(reinterpret_cast<void*>(inside), name)) {
    length = loaded ? std::snprintf(out.data(), out.size(), "(%s+0x%zx)", object, pc - o.base)
                    : std::snprintf(out.data(), out.size(), "0x%zx", pc);
  } else if (std::strcmp(name, first_frame) == 0) {
    return 0;
  } else if (find_frame_info(inside, code, info)) {
    length =
        std::snprintf(out.data(), out.size(), "%s+0x%zx (%s+0x%zx)", name, pc - info.function, object, pc - o.base);
  } else {
    length = std::snprintf(out.data(), out.size(), "%s (%s+0x%zx)", name, object, pc - o.base);
  }
  return length > 0 && static_cast<std::size_t>(length) < out.size() ? static_cast<std::size_t>(length) : 0;
}

}  // namespace

std::size_t format_frame(const void* pc, std::span<char> out) noexcept {
  code_window code;
  const auto at = reinterpret_cast<std::uintptr_t>(pc);
  return describe(at, at, code, out);
}

std::size_t format(std::span<void* const> frames, std::span<char> out, std::size_t number) noexcept {
  if (out.empty()) return 0;
  std::size_t used = 0;
  out[0] = '\0';
  code_window code;
  for (std::size_t i = 0; i < frames.size(); ++i) {
    const auto pc = reinterpret_cast<std::uintptr_t>(frames[i]);
    const std::uintptr_t inside = i + number == 0 ? pc : pc - 1;  // after a call: maybe the next function's first byte
    char frame[300];
    char line[320];
    if (describe(pc, inside, code, frame) == 0) break;
    const auto n = static_cast<std::size_t>(std::snprintf(line, sizeof line, "    #%zu %s\n", i + number, frame));
    if (n >= sizeof line || used + n + 1 > out.size()) break;
    std::memcpy(out.data() + used, line, n + 1);
    used += n;
  }
  return used;
}

}  // namespace baton::sched
