// Makes text that users chose (names, what(), values of the environment) fit for a line of a report: the text cannot
// begin a line, end a quotation or send a command to a terminal.
//
// Thread safety: pure functions. Nothing allocates; all are async-signal-safe.
#pragma once

#include <baton/sched/limits.h>

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

namespace baton::sched {

// Returns how many of the first n bytes are whole UTF-8 characters, if a character that begins before n does not end
// there; otherwise returns n. Bytes that are not UTF-8 are not examined.
[[nodiscard]] std::size_t whole_characters(std::string_view text, std::size_t n) noexcept;

enum class quoting : bool { no, yes };  // yes: escapes " and \, too

// Writes the text into `out`, with a NUL. Control characters and bytes that are not UTF-8 become \n, \x1b; characters
// that change how a terminal shows others (C1, direction, line separators) become \u{202e}. Cuts before the first
// character that does not fit. Returns the length.
std::size_t make_plain(std::string_view text, std::span<char> out, quoting q = quoting::no) noexcept;

// Writes `fiber 17 "accept"`, or `fiber 17` if the name is empty. The name is escaped and ends at its NUL.
inline constexpr std::size_t fiber_label_max = 32 + 4 * limits::fiber_name_max;
std::size_t label_fiber(std::uint64_t id, const char (&name)[limits::fiber_name_max], std::span<char> out) noexcept;
// Writes only the name, in quotes.
std::size_t quote_name(const char (&name)[limits::fiber_name_max], std::span<char> out) noexcept;
// Stores the whole characters of a name that fit, with a NUL.
void copy_name(std::string_view name, char (&to)[limits::fiber_name_max]) noexcept;

}  // namespace baton::sched
