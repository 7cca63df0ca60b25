// Reads requests of RESP, the protocol of Redis, out of a buffer that the caller fills from a socket.
//
//   *2\r\n$3\r\nGET\r\n$3\r\nkey\r\n     an array of strings; each may hold any bytes
//   GET key\r\n                          the same as a line
//
// Not thread-safe: one connection has one.
#pragma once

#include <baton/syscall/bytes.h>

#include <cstddef>
#include <memory>
#include <string_view>
#include <utility>
#include <vector>

namespace key_value {

class requests {
 public:
  // Where the next bytes go; never empty. It invalidates the words of the last request.
  [[nodiscard]] baton::bytes room();
  void filled(std::size_t n) noexcept { end_ += n; }

  // complete: words() is the next request, which may be empty (a blank line). partial: more bytes are needed.
  // malformed: error() says why, and nothing after it can be understood.
  enum class state { complete, partial, malformed };
  [[nodiscard]] state next();
  // The words stay valid until room() is called.
  [[nodiscard]] const std::vector<std::string_view>& words() const noexcept { return words_; }
  [[nodiscard]] std::string_view error() const noexcept { return error_; }

 private:
  state fail(std::string_view why) noexcept {
    error_ = why;
    return state::malformed;
  }
  bool take_line(std::string_view& line) noexcept;
  state next_line();
  state next_array();
  [[nodiscard]] const char* begin() const noexcept { return data_.get() + begin_; }

  std::unique_ptr<char[]> data_;
  std::size_t capacity_ = 0;
  std::size_t begin_ = 0;  // of the request that is being read
  std::size_t at_ = 0;     // what is understood of it ends here
  std::size_t end_ = 0;    // of the bytes that have come
  long missing_ = -1;      // words of an array that have not come; -1: between two requests
  long length_ = -1;       // of the word that comes next; -1: not known yet
  std::vector<std::pair<std::size_t, std::size_t>> places_;  // of the words: offset from begin_, length
  std::vector<std::string_view> words_;
  std::string_view error_;
};

}  // namespace key_value
