// The data that a sending call gives to OpenSSL to encrypt, piece after piece. Internal to netpoll/tls.
#pragma once

#include <baton/netpoll/tls/tls_engine.h>
#include <baton/syscall/bytes.h>

#include <sys/types.h>
#include <cstddef>
#include <memory>
#include <span>

namespace baton::net {

class tls_output {
 public:
  tls_output() noexcept = default;
  tls_output(const tls_output&) = delete;
  tls_output& operator=(const tls_output&) = delete;

  // Makes the next piece ready. Called without the engine's lock; may switch. Returns 0 or an errno.
  [[nodiscard]] virtual int prepare() { return 0; }
  // Returns true if nothing is left to encrypt.
  [[nodiscard]] virtual bool is_finished() const noexcept = 0;
  // Encrypts a piece. Called with the engine's lock held, after prepare(), unless it is finished.
  virtual tls_engine::outcome encrypt(tls_engine& engine) = 0;
  // Returns true if this is close_notify.
  [[nodiscard]] virtual bool is_end() const noexcept { return false; }
  // Returns true if these are bytes of the caller's.
  [[nodiscard]] virtual bool is_data() const noexcept { return true; }

  // How many of the caller's bytes have been encrypted. They will be sent, also if the call fails.
  [[nodiscard]] std::size_t taken() const noexcept { return taken_; }

 protected:
  ~tls_output() = default;
  std::size_t taken_ = 0;
};

class bytes_output final : public tls_output {
 public:
  explicit bytes_output(const_bytes data) noexcept : data_(data) {}
  [[nodiscard]] bool is_finished() const noexcept override { return taken_ == data_.size(); }
  tls_engine::outcome encrypt(tls_engine& engine) override { return engine.write(data_.drop(taken_), taken_); }

 private:
  const const_bytes data_;
};

// Pieces share a record where they fit into one.
class pieces_output final : public tls_output {
 public:
  explicit pieces_output(std::span<const const_bytes> pieces) noexcept;
  [[nodiscard]] bool is_finished() const noexcept override { return taken_ == size_; }
  tls_engine::outcome encrypt(tls_engine& engine) override;

 private:
  const_bytes gather() noexcept;
  void advance(std::size_t n) noexcept;

  const std::span<const const_bytes> pieces_;
  std::size_t size_ = 0;
  std::size_t first_ = 0;   // the first piece that is not encrypted completely
  std::size_t offset_ = 0;  // how much of it is
  std::unique_ptr<std::byte[]> gathered_;
};

// A part of a file. The file may end before.
class file_output final : public tls_output {
 public:
  file_output(int file, ::off_t offset, std::size_t size) noexcept : file_(file), offset_(offset), left_(size) {}
  [[nodiscard]] int prepare() override;
  [[nodiscard]] bool is_finished() const noexcept override { return left_ == 0 && piece_.empty(); }
  tls_engine::outcome encrypt(tls_engine& engine) override;

 private:
  const int file_;
  ::off_t offset_;
  std::size_t left_;  // to be read
  const_bytes piece_;
  std::unique_ptr<std::byte[]> buffer_;
};

// close_notify.
class end_output final : public tls_output {
 public:
  [[nodiscard]] bool is_finished() const noexcept override { return said_; }
  tls_engine::outcome encrypt(tls_engine& engine) override;
  [[nodiscard]] bool is_end() const noexcept override { return true; }
  [[nodiscard]] bool is_data() const noexcept override { return false; }

 private:
  bool said_ = false;
};

class new_keys_output final : public tls_output {
 public:
  [[nodiscard]] bool is_finished() const noexcept override { return asked_; }
  tls_engine::outcome encrypt(tls_engine& engine) override;
  [[nodiscard]] bool is_data() const noexcept override { return false; }

 private:
  bool asked_ = false;
};

// Sends what the engine has made by itself.
class no_output final : public tls_output {
 public:
  [[nodiscard]] bool is_finished() const noexcept override { return true; }
  tls_engine::outcome encrypt(tls_engine&) override { return tls_engine::outcome::done; }
  [[nodiscard]] bool is_data() const noexcept override { return false; }
};

}  // namespace baton::net
