// Public API: reading and writing whole streams: copies, lines, buffers.
//
//   baton::buffered_reader in(f);                    // f: a file, a stream, a pipe …
//   for (;;) {
//     auto line = in.read_line(64 * 1024);
//     if (!line.ok()) return line.status();
//     if (!line->has_value()) break;                 // the end
//     use(**line);
//   }
//
// A reader is what has `StatusOr<size_t> read(bytes)`, where 0 means the end. A writer is what has `StatusOr<size_t>
// write(const_bytes)`, which writes everything or fails. Files, streams and pipes are both or one of them; so are the
// buffers below. All functions that read or write switch, because the reader and the writer do. A deadline or a context
// that is set on the reader or the writer ends these calls, too.
//
// Errors are those of the reader and the writer. Memory that cannot be had is ENOMEM.
#pragma once

#include <baton/syscall/bytes.h>
#include <baton/syscall/status.h>

#include <absl/status/status.h>
#include <absl/status/statusor.h>

#include <algorithm>
#include <cerrno>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <new>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <type_traits>

namespace baton {

namespace net {
class tcp_stream;
}
class file;
class pipe_reader;
class pipe_writer;

// No limit.
inline constexpr std::size_t unlimited = static_cast<std::size_t>(-1);

template <class R>
concept byte_reader = requires(R& r, bytes into) {
  { r.read(into) } -> std::same_as<absl::StatusOr<std::size_t>>;
};
template <class W>
concept byte_writer = requires(W& w, const_bytes from) {
  { w.write(from) } -> std::same_as<absl::StatusOr<std::size_t>>;
};

namespace detail {

inline constexpr std::size_t io_buffer_size = std::size_t{64} * 1024;

[[nodiscard]] absl::Status no_memory(std::string_view what);
[[nodiscard]] absl::Status too_long(std::string_view what, std::size_t limit);
[[nodiscard]] absl::Status ends_early(std::size_t read, std::size_t wanted);

// Bytes on their way from the reader to the caller. Between `from` and `to` they are not used yet.
class read_buffer {
 public:
  explicit read_buffer(std::size_t size) noexcept : size_(std::max<std::size_t>(size, 1)) {}

  [[nodiscard]] std::string_view unread() const noexcept { return {memory_.get() + from_, to_ - from_}; }
  void use(std::size_t n) noexcept { from_ += n; }
  void filled(std::size_t n) noexcept { to_ += n; }
  // Returns memory to read into, behind what is unread, which may move. It begins `wanted` bytes of the unread at most
  // before the buffer's end, so that so many have room. Empty: there is no memory.
  [[nodiscard]] bytes room(std::size_t wanted) noexcept;

 private:
  std::unique_ptr<char[]> memory_;
  std::size_t size_;
  std::size_t from_ = 0;
  std::size_t to_ = 0;
};

// What the kernel has moved from one descriptor to the other, if it could. `finished`: the reader's end, the limit or
// an error was reached. Otherwise the caller goes on.
struct moved {
  std::size_t count = 0;
  bool finished = false;
  absl::Status error;
};
// A reader or a writer that has a descriptor.
struct kernel_end {
  enum class kind : std::uint8_t { file, pipe_reader, pipe_writer, tcp_stream };
  kind is;
  void* object;
};
template <class T>
struct kind_of_end {};
template <>
struct kind_of_end<file> : std::integral_constant<kernel_end::kind, kernel_end::kind::file> {};
template <>
struct kind_of_end<pipe_reader> : std::integral_constant<kernel_end::kind, kernel_end::kind::pipe_reader> {};
template <>
struct kind_of_end<pipe_writer> : std::integral_constant<kernel_end::kind, kernel_end::kind::pipe_writer> {};
template <>
struct kind_of_end<net::tcp_stream> : std::integral_constant<kernel_end::kind, kernel_end::kind::tcp_stream> {};

[[nodiscard]] moved move_between(kernel_end to, kernel_end from, std::size_t limit);
template <class W, class R>
moved move_in_kernel(W& to, R& from, std::size_t limit) {
  if constexpr (requires {
                  kind_of_end<W>::value;
                  kind_of_end<R>::value;
                }) {
    return move_between({kind_of_end<W>::value, &to}, {kind_of_end<R>::value, &from}, limit);
  } else {
    return {};
  }
}

}  // namespace detail

// Switches. Copies from the reader to the writer, to the reader's end or until `limit` bytes are copied. Returns how
// many were copied. After an error, written_of(status) says how many. Between files, pipes and TCP streams
// the kernel moves the bytes, without a copy through the process: from a file to a file by copy_file_range, from a file
// to a pipe or a stream by sendfile, and else by splice. Where it cannot, and for other readers and writers, the copy
// uses a buffer of 64 KiB. The positions of files advance, as by read() and write(). A copy is many reads and writes:
// calls of other agents on the same object may come in between, and a close() of one side ends it.
template <byte_writer W, byte_reader R>
absl::StatusOr<std::size_t> copy(W& to, R& from, std::size_t limit = unlimited) {
  detail::moved so_far = detail::move_in_kernel(to, from, limit);
  if (so_far.finished) {
    if (so_far.error.ok()) return so_far.count;
    return with_written(so_far.error, so_far.count);
  }
  const std::unique_ptr<char[]> memory(new (std::nothrow) char[detail::io_buffer_size]);
  if (memory == nullptr) return with_written(detail::no_memory("copy"), so_far.count);
  std::size_t total = so_far.count;
  while (total < limit) {
    const absl::StatusOr<std::size_t> n =
        from.read(bytes(memory.get(), std::min(detail::io_buffer_size, limit - total)));
    if (!n.ok()) return with_written(n.status(), total);
    if (*n == 0) break;
    const absl::StatusOr<std::size_t> written = to.write(const_bytes(memory.get(), *n));
    if (!written.ok()) return with_written(written.status(), total + written_of(written.status()));
    total += *n;
  }
  return total;
}

// Switches. Returns everything up to the reader's end. Fails with EFBIG when there are more than `limit` bytes. It has
// then read limit + 1 bytes.
template <byte_reader R>
[[nodiscard]] absl::StatusOr<std::string> read_all(R& from, std::size_t limit) try {
  std::string all;
  std::size_t length = 0;
  for (;;) {
    if (length == all.size()) all.resize(std::max<std::size_t>(2 * length, 4096));
    const std::size_t most = limit - length == unlimited ? unlimited : limit - length + 1;
    const absl::StatusOr<std::size_t> n = from.read(bytes(all.data() + length, std::min(all.size() - length, most)));
    if (!n.ok()) return n.status();
    if (*n == 0) break;
    length += *n;
    if (length > limit) return detail::too_long("read all", limit);
  }
  all.resize(length);
  if (all.capacity() / 2 > length) all.shrink_to_fit();
  return all;
} catch (const std::bad_alloc&) {
  return detail::no_memory("read all");
} catch (const std::length_error&) {
  return detail::no_memory("read all");
}

// Switches. Reads to the reader's end, and keeps nothing. Returns how many bytes that were.
template <byte_reader R>
absl::StatusOr<std::size_t> discard(R& from) {
  const std::unique_ptr<char[]> memory(new (std::nothrow) char[detail::io_buffer_size]);
  if (memory == nullptr) return detail::no_memory("discard");
  std::size_t total = 0;
  for (;;) {
    const absl::StatusOr<std::size_t> n = from.read(bytes(memory.get(), detail::io_buffer_size));
    if (!n.ok()) return n.status();
    if (*n == 0) return total;
    total += *n;
  }
}

// Reads a reader through a buffer. It reads ahead, so the reader is to be read through this object alone. The reader
// must outlive it. For one fiber or thread at a time. Views that it returns are valid until its next call. The buffer
// is allocated by the first call that needs it.
template <byte_reader R>
class buffered_reader {
 public:
  explicit buffered_reader(R& from, std::size_t buffer_size = detail::io_buffer_size) noexcept
      : from_(from), buffer_(buffer_size) {}
  buffered_reader(const buffered_reader&) = delete;
  buffered_reader& operator=(const buffered_reader&) = delete;

  // Switches. Returns the next line, without its '\n' (a '\r' before it stays). Returns nothing at the end. The last
  // line need not end with '\n'. A line of more than `max` bytes gives RESOURCE_EXHAUSTED. Nothing of it is used then:
  // the same call with a larger limit returns it.
  [[nodiscard]] absl::StatusOr<std::optional<std::string_view>> read_line(std::size_t max) {
    auto found = find('\n', max, "read line");
    if (!found.ok() || !found->has_value()) return found;
    if ((*found)->ends_with('\n')) (*found)->remove_suffix(1);
    return found;
  }

  // Switches. Returns all up to the next byte `end`, with that byte; or the rest, if the reader ends before. Returns
  // nothing at the end. More than `max` bytes before `end` give RESOURCE_EXHAUSTED, as for read_line().
  [[nodiscard]] absl::StatusOr<std::optional<std::string_view>> read_until(char end, std::size_t max) {
    return find(end, max, "read until");
  }

  // Switches. Fills the buffer given. Fails with OUT_OF_RANGE if the reader ends before. Its bytes are used then.
  absl::Status read_exact(bytes into) {
    std::size_t done = take(into);
    while (done < into.size()) {
      const absl::StatusOr<std::size_t> n = read(into.drop(done));
      if (!n.ok()) return n.status();
      if (*n == 0) return detail::ends_early(done, into.size());
      done += *n;
    }
    return absl::OkStatus();
  }

  // Switches. Returns the next n bytes, and leaves them unread; fewer if the reader ends before.
  [[nodiscard]] absl::StatusOr<std::string_view> peek(std::size_t n) {
    while (buffer_.unread().size() < n) {
      const absl::StatusOr<std::size_t> got = fill(n, "peek");
      if (!got.ok()) return got.status();
      if (*got == 0) break;
    }
    return buffer_.unread().substr(0, n);
  }

  // Switches unless something is buffered. Reads what is buffered, or else from the reader. A buffered_reader is itself
  // a reader.
  absl::StatusOr<std::size_t> read(bytes into) {
    if (const std::size_t n = take(into); n > 0 || into.empty()) return n;
    if (into.size() >= detail::io_buffer_size) return from_.read(into);
    const absl::StatusOr<std::size_t> got = fill(1, "read");
    if (!got.ok()) return got.status();
    return take(into);
  }

  // Returns how many bytes are read ahead. Never switches.
  [[nodiscard]] std::size_t buffered() const noexcept { return buffer_.unread().size(); }

 private:
  std::size_t take(bytes into) noexcept {
    const std::string_view unread = buffer_.unread();
    const std::size_t n = std::min(into.size(), unread.size());
    if (n > 0) std::memcpy(into.data(), unread.data(), n);
    buffer_.use(n);
    return n;
  }

  absl::StatusOr<std::size_t> fill(std::size_t wanted, std::string_view what) {
    const bytes room = buffer_.room(wanted);
    if (room.empty()) return detail::no_memory(what);
    absl::StatusOr<std::size_t> n = from_.read(room);
    if (n.ok()) buffer_.filled(*n);
    return n;
  }

  absl::StatusOr<std::optional<std::string_view>> find(char end, std::size_t max, std::string_view what) {
    std::size_t looked = 0;
    for (;;) {
      const std::string_view unread = buffer_.unread();
      const void* const at =
          unread.size() == looked ? nullptr : std::memchr(unread.data() + looked, end, unread.size() - looked);
      const std::size_t length =
          at == nullptr ? unread.size() : static_cast<std::size_t>(static_cast<const char*>(at) - unread.data());
      if (length > max) return detail::too_long(what, max);
      if (at != nullptr) {
        buffer_.use(length + 1);
        return unread.substr(0, length + 1);
      }
      looked = length;
      const absl::StatusOr<std::size_t> n = fill(length + 1, what);
      if (!n.ok()) return n.status();
      if (*n == 0) {
        const std::string_view rest = buffer_.unread();
        buffer_.use(rest.size());
        if (rest.empty()) return std::optional<std::string_view>();
        return rest;
      }
    }
  }

  R& from_;
  detail::read_buffer buffer_;
};

// Collects small writes. The writer must outlive it. For one fiber or thread at a time. After an error every later call
// fails with the same error, because what is written would have a gap. Destroying it flushes, and drops the error: call
// flush() to see it.
template <byte_writer W>
class buffered_writer {
 public:
  explicit buffered_writer(W& to, std::size_t buffer_size = detail::io_buffer_size) noexcept
      : to_(to), size_(std::max<std::size_t>(buffer_size, 1)) {}
  ~buffered_writer() { flush().IgnoreError(); }  // Switches.
  buffered_writer(const buffered_writer&) = delete;
  buffered_writer& operator=(const buffered_writer&) = delete;

  // Switches when the buffer is full. Returns data.size(). Data that has no room in the buffer goes to the writer
  // without a copy.
  absl::StatusOr<std::size_t> write(const_bytes data) {
    if (!error_.ok()) return error_;
    if (data.size() > size_ - used_) {
      if (absl::Status s = flush(); !s.ok()) return s;
      if (data.size() >= size_) {
        if (const auto n = to_.write(data); !n.ok()) return error_ = n.status();
        return data.size();
      }
    }
    if (data.empty()) return std::size_t{0};
    if (memory_ == nullptr) memory_.reset(new (std::nothrow) char[size_]);
    if (memory_ == nullptr) return detail::no_memory("write");
    std::memcpy(memory_.get() + used_, data.data(), data.size());
    used_ += data.size();
    return data.size();
  }

  // Switches. Writes what is buffered.
  absl::Status flush() {
    if (!error_.ok() || used_ == 0) return error_;
    const auto n = to_.write(const_bytes(memory_.get(), used_));
    used_ = 0;
    if (!n.ok()) error_ = n.status();
    return error_;
  }

  // Returns how many bytes have not been flushed. Never switches.
  [[nodiscard]] std::size_t buffered() const noexcept { return used_; }

 private:
  W& to_;
  std::unique_ptr<char[]> memory_;
  std::size_t size_;
  std::size_t used_ = 0;
  absl::Status error_;
};

}  // namespace baton
