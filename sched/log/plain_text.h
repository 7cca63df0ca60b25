// Text that users chose (names, what(), values of the environment), made fit for a line of a report: it can
// neither begin a line, nor end a quotation, nor send a command to a terminal.
//
// Thread safety: pure functions. Nothing allocates; all are async-signal-safe.
#pragma once

#include <baton/sched/limits.h>

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

namespace baton::sched {

// How many of the first n bytes of the text are whole UTF-8 characters, if a character that begins before n does
// not end there; else n. What is no UTF-8 is not looked at.
[[nodiscard]] std::size_t whole_characters(std::string_view text, std::size_t n) noexcept;

enum class quoting : bool { no, yes };  // yes: " and \ are escaped, too

// Writes the text into out, with a NUL: control characters and bytes that are no UTF-8 as \n, \x1b, characters
// that change how a terminal shows others (C1, direction, line separators) as \u{202e}. Cuts before what does
// not fit. Returns the length.
std::size_t make_plain(std::string_view text, std::span<char> out, quoting q = quoting::no) noexcept;

// `fiber 17 "accept"`, or `fiber 17` if the name is empty. The name is escaped, and ends at its NUL.
inline constexpr std::size_t fiber_label_max = 32 + 4 * limits::fiber_name_max;
std::size_t label_fiber(std::uint64_t id, const char (&name)[limits::fiber_name_max], std::span<char> out) noexcept;
// The name alone, in quotes.
std::size_t quote_name(const char (&name)[limits::fiber_name_max], std::span<char> out) noexcept;
// Stores a name: whole characters of it, with a NUL.
void copy_name(std::string_view name, char (&to)[limits::fiber_name_max]) noexcept;

}  // namespace baton::sched
