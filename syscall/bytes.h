// Public API: memory as the calls of this library take it: where it begins and how many bytes it has.
//
//   bytes         memory to be filled: from std::byte, char, unsigned char (arrays, containers, spans)
//   const_bytes   memory to be read: from the same, from bytes, and from text
//
// Both are views of two words, passed by value. They own nothing. The memory that they show must outlive the call that
// they are passed to. Several threads may use one as they may use any plain value.
//
// Text is counted without its NUL: a literal "abc" is three bytes (a literal with NULs inside keeps them), and a const
// char* extends to its NUL. A *mutable* array of char converts to bytes (the whole array) but not to const_bytes,
// because it is unclear whether the text in it is meant or the whole array. Write std::string_view(buffer) or
// const_bytes(buffer, n).
//
// Misuse: an offset or a count beyond the end aborts.
#pragma once

#include <baton/sched/log/fatal.h>

#include <sys/uio.h>
#include <array>
#include <concepts>
#include <cstddef>
#include <iterator>
#include <span>
#include <string_view>
#include <type_traits>

namespace baton {

class bytes;
class const_bytes;

namespace detail {

// The types whose objects are one byte, and as which any memory may be read and written.
template <class T>
concept byte_like = std::same_as < std::remove_const_t<T>,
char > || std::same_as<std::remove_const_t<T>, unsigned char> || std::same_as<std::remove_const_t<T>, std::byte>;

template <class T>
concept char_pointer = std::same_as<T, const char*> || std::same_as<T, char*>;

// A type with data() and size() whose elements are byte_like. Arrays have overloads of their own.
template <class C>
concept byte_container = !std::is_array_v<std::remove_reference_t<C>> && !std::same_as<std::remove_cvref_t<C>, bytes> &&
                         !std::same_as<std::remove_cvref_t<C>, const_bytes> && requires(C & c) {
  { std::size(c) } -> std::convertible_to<std::size_t>;
  requires std::is_pointer_v<decltype(std::data(c))>;
  requires byte_like<std::remove_pointer_t<decltype(std::data(c))>>;
};

// A byte_container whose data() points to writable memory. A temporary must be a view: memory that a temporary owns
// would be filled and thrown away.
template <class C>
concept mutable_byte_container = byte_container<C> &&
    (std::is_lvalue_reference_v<C> || std::ranges::enable_borrowed_range<std::remove_cvref_t<C>>)&&requires(C& c) {
  requires !std::is_const_v<std::remove_pointer_t<decltype(std::data(c))>>;
};

constexpr void check_within(std::size_t n, std::size_t size) noexcept {
  if (n > size) [[unlikely]]
    sched::fatal("bytes: %zu is beyond the end of a view of %zu bytes", n, size);
}

}  // namespace detail

// Memory to be filled.
class bytes {
 public:
  static constexpr std::size_t npos = std::dynamic_extent;

  constexpr bytes() noexcept = default;
  bytes(void* data, std::size_t size) noexcept : span_(static_cast<std::byte*>(data), size) {}
  constexpr bytes(std::span<std::byte> s) noexcept : span_(s) {}  // NOLINT(google-explicit-constructor)

  // The whole array.
  template <detail::byte_like T, std::size_t N>
  requires(!std::is_const_v<T>) bytes(T (&array)[N])
  noexcept : bytes(static_cast<void*>(array), N) {}

  // The elements of a container or view: vector, string, array, span … of byte_like elements.
  template <detail::mutable_byte_container C>
  bytes(C&& c) noexcept : bytes(static_cast<void*>(std::data(c)), static_cast<std::size_t>(std::size(c))) {}

  [[nodiscard]] constexpr std::byte* data() const noexcept { return span_.data(); }
  [[nodiscard]] constexpr std::size_t size() const noexcept { return span_.size(); }
  [[nodiscard]] constexpr bool empty() const noexcept { return span_.empty(); }
  [[nodiscard]] constexpr std::span<std::byte> span() const noexcept { return span_; }
  constexpr std::byte& operator[](std::size_t i) const noexcept {
    detail::check_within(i + 1, size());
    return span_[i];
  }
  [[nodiscard]] constexpr auto begin() const noexcept { return span_.begin(); }
  [[nodiscard]] constexpr auto end() const noexcept { return span_.end(); }

  // `count` bytes from `offset` on; npos: all that follow.
  [[nodiscard]] constexpr bytes subspan(std::size_t offset, std::size_t count = npos) const noexcept {
    detail::check_within(offset, size());
    if (count != npos) detail::check_within(count, size() - offset);
    return span_.subspan(offset, count);
  }
  // The first n bytes.
  [[nodiscard]] constexpr bytes first(std::size_t n) const noexcept { return subspan(0, n); }
  // All but the first n bytes.
  [[nodiscard]] constexpr bytes drop(std::size_t n) const noexcept { return subspan(n); }

  // The bytes as characters.
  [[nodiscard]] std::string_view as_string_view() const noexcept {
    return {reinterpret_cast<const char*>(data()), size()};
  }

 private:
  std::span<std::byte> span_;
};

// Memory to be read.
class const_bytes {
 public:
  static constexpr std::size_t npos = std::dynamic_extent;

  constexpr const_bytes() noexcept = default;
  const_bytes(const void* data, std::size_t size) noexcept : span_(static_cast<const std::byte*>(data), size) {}
  constexpr const_bytes(std::span<const std::byte> s) noexcept : span_(s) {}  // NOLINT(google-explicit-constructor)
  constexpr const_bytes(bytes b) noexcept : span_(b.span()) {}                // NOLINT(google-explicit-constructor)
  const_bytes(std::string_view text) noexcept                                 // NOLINT(google-explicit-constructor)
      : const_bytes(static_cast<const void*>(text.data()), text.size()) {}

  // A literal, or another constant array of characters, without the NUL if it ends with one.
  template <std::size_t N>
  const_bytes(const char (&text)[N]) noexcept  // NOLINT(google-explicit-constructor)
      : const_bytes(static_cast<const void*>(text), text[N - 1] == '\0' ? N - 1 : N) {}
  template <std::size_t N>
  const_bytes(char (&text_or_buffer)[N]) = delete;  // see above: std::string_view(buffer) or const_bytes(buffer, n)

  // Text up to its NUL; a null pointer means no text.
  template <detail::char_pointer P>
  const_bytes(const P& text) noexcept  // NOLINT(google-explicit-constructor)
      : const_bytes(text == nullptr ? std::string_view() : std::string_view(text)) {}

  // The whole array.
  template <detail::byte_like T, std::size_t N>
  requires(!std::same_as<std::remove_const_t<T>, char>) const_bytes(T (&array)[N])
  noexcept : const_bytes(static_cast<const void*>(array), N) {}

  // The elements of a container or view: vector, string, array, span … of byte_like elements.
  template <detail::byte_container C>
  const_bytes(const C& c) noexcept  // NOLINT(google-explicit-constructor)
      : const_bytes(static_cast<const void*>(std::data(c)), static_cast<std::size_t>(std::size(c))) {}

  [[nodiscard]] constexpr const std::byte* data() const noexcept { return span_.data(); }
  [[nodiscard]] constexpr std::size_t size() const noexcept { return span_.size(); }
  [[nodiscard]] constexpr bool empty() const noexcept { return span_.empty(); }
  [[nodiscard]] constexpr std::span<const std::byte> span() const noexcept { return span_; }
  constexpr const std::byte& operator[](std::size_t i) const noexcept {
    detail::check_within(i + 1, size());
    return span_[i];
  }
  [[nodiscard]] constexpr auto begin() const noexcept { return span_.begin(); }
  [[nodiscard]] constexpr auto end() const noexcept { return span_.end(); }

  // `count` bytes from `offset` on; npos: all that follow.
  [[nodiscard]] constexpr const_bytes subspan(std::size_t offset, std::size_t count = npos) const noexcept {
    detail::check_within(offset, size());
    if (count != npos) detail::check_within(count, size() - offset);
    return span_.subspan(offset, count);
  }
  // The first n bytes.
  [[nodiscard]] constexpr const_bytes first(std::size_t n) const noexcept { return subspan(0, n); }
  // All but the first n bytes: the rest after a partial write.
  [[nodiscard]] constexpr const_bytes drop(std::size_t n) const noexcept { return subspan(n); }

  // The bytes as characters.
  [[nodiscard]] std::string_view as_string_view() const noexcept {
    return {reinterpret_cast<const char*>(data()), size()};
  }

 private:
  std::span<const std::byte> span_;
};

// The same view for readv, writev, sendmsg and recvmsg. In a writing call the kernel does not write through the iovec,
// although its type would allow it.
[[nodiscard]] inline ::iovec as_iovec(bytes b) noexcept { return {b.data(), b.size()}; }
[[nodiscard]] inline ::iovec as_iovec(const_bytes b) noexcept { return {const_cast<std::byte*>(b.data()), b.size()}; }

}  // namespace baton
