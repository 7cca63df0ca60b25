// The public calls of a TLS stream. tls_state.h says where they wait.
#include <baton/netpoll/tls/tls_stream.h>

#include <baton/netpoll/error_text.h>
#include <baton/netpoll/tls/pem.h>
#include <baton/netpoll/tls/tls_context_state.h>
#include <baton/netpoll/tls/tls_output.h>
#include <baton/netpoll/tls/tls_state.h>

#include <cerrno>
#include <new>
#include <utility>

namespace baton::net {

namespace {

constexpr std::string_view kind = "tls stream";

}  // namespace

tls_stream::tls_stream() noexcept = default;
tls_stream::tls_stream(tls_stream&&) noexcept = default;
tls_stream& tls_stream::operator=(tls_stream&&) noexcept = default;
tls_stream::~tls_stream() = default;

void tls_stream::closer::operator()(tls_state* s) const noexcept {
  if (s->close()) {
    delete s;
  } else {
    s->leave_at_exit();
  }
}

absl::StatusOr<tls_stream> tls_stream::accept(tcp_stream tcp, const tls_context& context,
                                              const tls_handshake_options& options) {
  return begin(std::move(tcp), context, true, {}, options);
}

absl::StatusOr<tls_stream> tls_stream::connect(tcp_stream tcp, const tls_context& context, std::string server_name,
                                               const tls_handshake_options& options) {
  return begin(std::move(tcp), context, false, std::move(server_name), options);
}

absl::StatusOr<tls_stream> tls_stream::begin(tcp_stream tcp, const tls_context& context, bool as_server,
                                             std::string server_name, const tls_handshake_options& options) try {
  const char* const operation = as_server ? "tls accept" : "tls connect";
  if (context.is_empty()) return not_open(operation, "tls context");
  if (context.state_->is_server != as_server) {
    return absl::InvalidArgumentError(
        describe(operation, "", as_server ? "the context is one for clients" : "the context is one for servers"));
  }
  if (!tcp.is_open()) return not_open(operation, "tcp stream");
  absl::StatusOr<std::unique_ptr<tls_engine>> engine = tls_engine::make(context.state_, server_name);
  if (!engine.ok()) return context_status(engine.status(), operation, server_name);
  tls_stream s;
  s.state_.reset(new tls_state(std::move(tcp), *std::move(engine)));
  if (absl::Status status = s.state_->shake_hands(options); !status.ok()) return status;
  return s;
} catch (const std::bad_alloc&) {
  return errno_status(ENOMEM, as_server ? "tls accept" : "tls connect", "");
}

absl::StatusOr<std::size_t> tls_stream::read(bytes buffer) {
  if (state_ == nullptr) return not_open("read", kind);
  if (buffer.empty()) return std::size_t{0};
  return state_->read<descriptor::amount::some>(buffer);
}

absl::StatusOr<std::size_t> tls_stream::read_full(bytes buffer) {
  if (state_ == nullptr) return not_open("read", kind);
  if (buffer.empty()) return std::size_t{0};
  return state_->read<descriptor::amount::full>(buffer);
}

absl::Status tls_stream::send(tls_output& output, const char* operation) {
  if (state_ == nullptr) return not_open(operation, kind);
  return state_->send(output, operation);
}

absl::StatusOr<std::size_t> tls_stream::write(const_bytes data) {
  if (state_ != nullptr && data.empty()) return std::size_t{0};
  bytes_output output(data);
  if (absl::Status s = send(output, "write"); !s.ok()) return s;
  return data.size();
}

absl::Status tls_stream::write_v(std::span<const const_bytes> pieces) {
  pieces_output output(pieces);
  if (state_ != nullptr && output.is_finished()) return absl::OkStatus();
  return send(output, "write");
}

absl::StatusOr<std::size_t> tls_stream::send_file(int file, off_t offset, std::size_t size) {
  if (state_ != nullptr && size == 0) return std::size_t{0};
  file_output output(file, offset, size);
  if (absl::Status s = send(output, "send file"); !s.ok()) return s;
  return output.taken();
}

absl::Status tls_stream::close_write() {
  end_output output;
  return send(output, "close write");
}

absl::Status tls_stream::update_keys() {
  if (state_ != nullptr && version() == tls_version::tls1_2) {
    return absl::FailedPreconditionError(describe("update keys", state_->name(), "TLS 1.2 has no key update"));
  }
  new_keys_output output;
  return send(output, "update keys");
}

void tls_stream::set_deadline_ns(poll_side side, std::int64_t deadline_ns) {
  if (state_ != nullptr) state_->io.set_deadline(side, deadline_ns);
}

void tls_stream::set_deadlines_ns(std::int64_t deadline_ns) {
  if (state_ != nullptr) state_->io.set_deadlines(deadline_ns);
}

void tls_stream::set_cancellation(const std::shared_ptr<cancellation>& c) {
  if (state_ != nullptr) state_->io.set_cancellation(c);
}

void tls_stream::set_cancellation(poll_side side, const std::shared_ptr<cancellation>& c) {
  if (state_ != nullptr) state_->io.set_cancellation(side, c);
}

void tls_stream::close() {
  if (state_ != nullptr) (void)state_->close();
}

absl::Status tls_stream::set_no_delay(bool on) {
  return state_ == nullptr ? not_open("set no delay", kind) : state_->tcp.set_no_delay(on);
}

absl::Status tls_stream::set_keep_alive_ns(std::int64_t every_ns) {
  if (state_ == nullptr) return not_open("set keep alive", kind);
  return state_->tcp.set_keep_alive(std::chrono::nanoseconds(every_ns));
}

std::string tls_stream::negotiated_protocol() const {
  return state_ == nullptr ? std::string() : state_->engine->found().protocol;
}
std::string tls_stream::server_name() const {
  return state_ == nullptr ? std::string() : state_->engine->found().server_name;
}
std::string tls_stream::cipher() const { return state_ == nullptr ? std::string() : state_->engine->found().cipher; }
tls_version tls_stream::version() const noexcept {
  return state_ == nullptr ? tls_version::tls1_2 : state_->engine->found().version;
}
bool tls_stream::is_resumed() const noexcept { return state_ != nullptr && state_->engine->found().resumed; }

std::optional<tls_certificate> tls_stream::peer_certificate() const {
  if (state_ == nullptr || state_->engine->found().peer == nullptr) return std::nullopt;
  return describe_certificate(state_->engine->found().peer.get());
}

address tls_stream::local_address() const { return state_ == nullptr ? address{} : state_->tcp.local_address(); }
address tls_stream::remote_address() const { return state_ == nullptr ? address{} : state_->tcp.remote_address(); }
int tls_stream::native_handle() const noexcept { return state_ == nullptr ? -1 : state_->tcp.native_handle(); }

}  // namespace baton::net
