#include <baton/netpoll/tls/tls_output.h>

#include <baton/syscall/files.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <new>

namespace baton::net {

namespace {

constexpr std::size_t record_max = SSL3_RT_MAX_PLAIN_LENGTH;
constexpr std::size_t file_piece_max = 4 * record_max;

}  // namespace

pieces_output::pieces_output(std::span<const const_bytes> pieces) noexcept : pieces_(pieces) {
  for (const const_bytes& p : pieces) size_ += p.size();
  advance(0);
}

// Goes past n bytes, and past empty pieces.
void pieces_output::advance(std::size_t n) noexcept {
  for (offset_ += n; first_ < pieces_.size() && offset_ >= pieces_[first_].size(); ++first_) {
    offset_ -= pieces_[first_].size();
  }
}

// Returns what the next record shall hold. A piece that fills a record is not copied, nor is the last one. Without
// memory nothing is.
const_bytes pieces_output::gather() noexcept {
  const const_bytes front = pieces_[first_].drop(offset_);
  if (front.size() >= record_max || front.size() == size_ - taken_) return front;
  if (gathered_ == nullptr) gathered_.reset(new (std::nothrow) std::byte[record_max]);
  if (gathered_ == nullptr) return front;
  std::size_t size = 0;
  for (std::size_t i = first_; i < pieces_.size() && size < record_max; ++i) {
    const const_bytes piece = i == first_ ? front : pieces_[i];
    const std::size_t n = std::min(piece.size(), record_max - size);
    if (n > 0) std::memcpy(gathered_.get() + size, piece.data(), n);
    size += n;
  }
  return {gathered_.get(), size};
}

tls_engine::outcome pieces_output::encrypt(tls_engine& engine) {
  const std::size_t before = taken_;
  const tls_engine::outcome got = engine.write(gather(), taken_);
  advance(taken_ - before);
  return got;
}

int file_output::prepare() {
  if (!piece_.empty() || left_ == 0) return 0;
  if (buffer_ == nullptr) buffer_.reset(new (std::nothrow) std::byte[file_piece_max]);
  if (buffer_ == nullptr) return ENOMEM;
  for (;;) {
    const bytes room(buffer_.get(), std::min(left_, file_piece_max));
    const auto n = sys::pread(file_, room, offset_);
    if (!n && n.error() == EINTR) continue;
    if (!n) return n.error();
    piece_ = room.first(*n);
    left_ = *n == 0 ? 0 : left_ - *n;
    offset_ += static_cast<::off_t>(*n);
    return 0;
  }
}

tls_engine::outcome file_output::encrypt(tls_engine& engine) {
  if (piece_.empty()) return tls_engine::outcome::done;  // the file has ended
  const std::size_t before = taken_;
  const tls_engine::outcome got = engine.write(piece_, taken_);
  piece_ = piece_.drop(taken_ - before);
  return got;
}

tls_engine::outcome end_output::encrypt(tls_engine& engine) {
  const tls_engine::outcome got = engine.say_end();
  said_ = got == tls_engine::outcome::done;
  return got;
}

tls_engine::outcome new_keys_output::encrypt(tls_engine& engine) {
  const tls_engine::outcome got = engine.renew_keys();
  asked_ = got == tls_engine::outcome::done;
  return got;
}

}  // namespace baton::net
