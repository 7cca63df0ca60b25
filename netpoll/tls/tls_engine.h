// One TLS connection without its socket: OpenSSL between two queues of bytes. Internal to netpoll/tls.
//
// Used by one agent at a time. Nothing here switches: OpenSSL reads from `incoming` and writes to `outgoing`, and says
// when it needs more. So what OpenSSL keeps for each thread, such as its queue of errors, is used within a call only.
#pragma once

#include <baton/netpoll/tls/byte_queue.h>
#include <baton/netpoll/tls/openssl_handles.h>
#include <baton/netpoll/tls/tls_certificate.h>
#include <baton/netpoll/tls/tls_context.h>
#include <baton/syscall/bytes.h>

#include <absl/status/status.h>
#include <absl/status/statusor.h>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

namespace baton::net {

class tls_engine {
 public:
  enum class [[nodiscard]] outcome : std::uint8_t{
      done,
      wants_bytes,  // more must come into `incoming`
      ended,        // the peer has said that nothing more will come
      failed,       // see failure(); from now on everything fails
  };

  // What a handshake has found out. It does not change afterwards.
  struct findings {
    std::string protocol;
    std::string server_name;
    std::string cipher;
    tls_version version = tls_version::tls1_2;
    bool resumed = false;
    certificate_handle peer;
  };

  // Errors: INVALID_ARGUMENT for a server_name that is not a name; RESOURCE_EXHAUSTED. May throw std::bad_alloc.
  static absl::StatusOr<std::unique_ptr<tls_engine>> make(std::shared_ptr<const tls_context_state> context,
                                                          std::string server_name);
  tls_engine(const tls_engine&) = delete;
  tls_engine& operator=(const tls_engine&) = delete;

  // All may throw std::bad_alloc, after an error that could not be described. It is described at the next call.
  outcome shake_hands();
  // Reads what is there, until `into` is full. `count` grows by the bytes read, also if the outcome is not `done`.
  outcome read(bytes into, std::size_t& count);
  // Encrypts a piece: `taken` grows by the bytes that are in `outgoing` now. Requires: `from` is not empty.
  outcome write(const_bytes from, std::size_t& taken);
  // Tells the peer that nothing more will come.
  outcome say_end();
  // Writes with a new key from now on, and asks the peer to do the same. Requires: TLS 1.3.
  outcome renew_keys();

  // Without an operation and an object.
  [[nodiscard]] const absl::Status& failure() const noexcept { return failure_; }
  // Returns true after a handshake.
  [[nodiscard]] bool is_ready() const noexcept { return ready_; }
  // Requires: is_ready().
  [[nodiscard]] const findings& found() const noexcept { return found_; }
  [[nodiscard]] const std::string& server_name() const noexcept { return server_name_; }
  [[nodiscard]] const tls_context_state& context() const noexcept { return *context_; }

  byte_queue incoming;
  byte_queue outgoing;

 private:
  tls_engine(std::shared_ptr<const tls_context_state> context, std::string server_name) noexcept
      : context_(std::move(context)), server_name_(std::move(server_name)) {}
  absl::Status set_up();
  absl::Status set_expected_name();
  void note_findings();
  // What a call into OpenSSL has returned, other than success.
  outcome not_done(int returned);
  outcome fail(absl::Status why) noexcept;

  static const BIO_METHOD* queues() noexcept;
  static int read_incoming(BIO* bio, char* to, std::size_t size, std::size_t* count) noexcept;
  static int write_outgoing(BIO* bio, const char* from, std::size_t size, std::size_t* count) noexcept;
  static long control(BIO* bio, int command, long number, void* argument) noexcept;

  const std::shared_ptr<const tls_context_state> context_;
  const std::string server_name_;  // that a client connects to
  ssl_handle ssl_;
  bool ready_ = false;
  bool lacks_memory_ = false;  // for `outgoing`
  absl::Status failure_;
  findings found_;
};

}  // namespace baton::net
