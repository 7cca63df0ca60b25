// OpenSSL's BIO of a connection reads from and writes to the queues. It is no BIO_s_mem because that one keeps its
// memory while the connection is idle, and cannot be filled in place.
#include <baton/netpoll/tls/tls_engine.h>

#include <baton/netpoll/address.h>
#include <baton/netpoll/error_text.h>
#include <baton/netpoll/tls/openssl_errors.h>
#include <baton/netpoll/tls/tls_context_state.h>
#include <baton/sched/platform/atomic.h>
#include <baton/syscall/c_string.h>

#include <openssl/x509v3.h>
#include <algorithm>
#include <cerrno>
#include <string_view>
#include <utility>

namespace baton::net {

namespace mo = sched::platform::mo;

namespace {

// The largest piece that is encrypted at once: four records.
constexpr std::size_t piece_max = std::size_t{4} * SSL3_RT_MAX_PLAIN_LENGTH;
// The connection fails when so many bytes of answers (key updates, alerts) wait for a peer that does not read them.
constexpr std::size_t outgoing_max = 4 * piece_max;

absl::Status no_memory() { return errno_status(ENOMEM, "OpenSSL", ""); }

tls_engine& engine_of(BIO* bio) noexcept { return *static_cast<tls_engine*>(BIO_get_data(bio)); }

// The BIO that all connections have in common; made by the first one, and never freed.
sched::platform::atomic<BIO_METHOD*> shared_queues{nullptr};

}  // namespace

int tls_engine::read_incoming(BIO* bio, char* to, std::size_t size, std::size_t* count) noexcept {
  tls_engine& e = engine_of(bio);
  BIO_clear_retry_flags(bio);
  if (e.incoming.empty()) {
    BIO_set_retry_read(bio);
    return -1;
  }
  *count = std::min(size, e.incoming.size());
  std::memcpy(to, e.incoming.content().data(), *count);
  e.incoming.consume(*count);
  return 1;
}

int tls_engine::write_outgoing(BIO* bio, const char* from, std::size_t size, std::size_t* count) noexcept {
  tls_engine& e = engine_of(bio);
  BIO_clear_retry_flags(bio);
  if (!e.outgoing.append(from, size)) {
    e.lacks_memory_ = true;
    return -1;
  }
  *count = size;
  return 1;
}

long tls_engine::control(BIO*, int command, long, void*) noexcept { return command == BIO_CTRL_FLUSH ? 1 : 0; }

const BIO_METHOD* tls_engine::queues() noexcept {
  // acquire: pairs with the release below, so the methods are there.
  BIO_METHOD* method = shared_queues.load(mo::acquire);
  if (method != nullptr) return method;
  BIO_METHOD* const fresh = BIO_meth_new(BIO_TYPE_SOURCE_SINK | BIO_get_new_index(), "baton");
  if (fresh == nullptr) return nullptr;
  BIO_meth_set_read_ex(fresh, read_incoming);
  BIO_meth_set_write_ex(fresh, write_outgoing);
  BIO_meth_set_ctrl(fresh, control);
  if (shared_queues.compare_exchange_strong(method, fresh, mo::acq_rel, mo::acquire)) return fresh;
  BIO_meth_free(fresh);
  return method;
}

absl::StatusOr<std::unique_ptr<tls_engine>> tls_engine::make(std::shared_ptr<const tls_context_state> context,
                                                             std::string server_name) {
  if (server_name.ends_with('.'))
    server_name.pop_back();  // "example.org." is the same host, and no certificate says so
  std::unique_ptr<tls_engine> made(new tls_engine(std::move(context), std::move(server_name)));
  forget_openssl_errors();
  absl::Status s = made->set_up();
  forget_openssl_errors();
  if (!s.ok()) return s;
  return made;
}

absl::Status tls_engine::set_up() {
  ssl_.reset(SSL_new(context_->ctx.get()));
  const BIO_METHOD* const method = queues();
  BIO* const bio = ssl_ == nullptr || method == nullptr ? nullptr : BIO_new(method);
  if (bio == nullptr) return no_memory();
  BIO_set_data(bio, this);
  BIO_set_init(bio, 1);
  SSL_set_bio(ssl_.get(), bio, bio);
  SSL_set_app_data(ssl_.get(), this);
  if (context_->is_server) {
    SSL_set_accept_state(ssl_.get());
    return absl::OkStatus();
  }
  SSL_set_connect_state(ssl_.get());
  if (absl::Status s = set_expected_name(); !s.ok()) return s;
  if (context_->keeps_sessions) {
    const session_handle session = context_->sessions.take(server_name_);
    if (session != nullptr && SSL_set_session(ssl_.get(), session.get()) != 1) forget_openssl_errors();
  }
  return absl::OkStatus();
}

// The name that the client asks for (SNI), and that the certificate must have.
absl::Status tls_engine::set_expected_name() {
  if (server_name_.empty()) {
    if (!context_->verifies_peer) return absl::OkStatus();
    return absl::InvalidArgumentError("there is no name to compare the server's certificate with");
  }
  const absl::StatusOr<address> ip = address::from_ip(server_name_, 0);
  if (ip.ok()) {
    const std::string text = ip->ip();
    const std::string plain = text.substr(0, text.find('%'));
    X509_VERIFY_PARAM* const expected = SSL_get0_param(ssl_.get());
    return X509_VERIFY_PARAM_set1_ip_asc(expected, sys::c_string(plain).get()) == 1 ? absl::OkStatus()
                                                                                    : take_input_error();
  }
  if (absl::Status s = check_host_name(server_name_); !s.ok()) return s;
  const sys::c_string name(server_name_);
  SSL_set_hostflags(ssl_.get(), X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
  const bool set = SSL_set1_host(ssl_.get(), name.get()) == 1 && SSL_set_tlsext_host_name(ssl_.get(), name.get()) == 1;
  return set ? absl::OkStatus() : take_input_error();
}

tls_engine::outcome tls_engine::fail(absl::Status why) noexcept {
  failure_ = std::move(why);
  return outcome::failed;
}

tls_engine::outcome tls_engine::not_done(int returned) {
  switch (SSL_get_error(ssl_.get(), returned)) {
    case SSL_ERROR_WANT_READ: forget_openssl_errors(); return outcome::wants_bytes;
    case SSL_ERROR_ZERO_RETURN: forget_openssl_errors(); return outcome::ended;
    default: break;
  }
  if (lacks_memory_) {
    forget_openssl_errors();
    return fail(no_memory());
  }
  return fail(take_connection_error(ssl_.get()));
}

tls_engine::outcome tls_engine::shake_hands() {
  if (!failure_.ok()) return outcome::failed;
  forget_openssl_errors();
  const int returned = SSL_do_handshake(ssl_.get());
  if (returned != 1) return not_done(returned);
  note_findings();
  forget_openssl_errors();
  ready_ = true;
  return outcome::done;
}

void tls_engine::note_findings() {
  const unsigned char* protocol = nullptr;
  unsigned size = 0;
  SSL_get0_alpn_selected(ssl_.get(), &protocol, &size);
  if (size > 0) found_.protocol.assign(reinterpret_cast<const char*>(protocol), size);
  if (context_->is_server) {
    const char* const name = SSL_get_servername(ssl_.get(), TLSEXT_NAMETYPE_host_name);
    found_.server_name = name == nullptr ? "" : name;
  } else {
    found_.server_name = server_name_;
  }
  found_.cipher = SSL_get_cipher_name(ssl_.get());
  found_.version = SSL_version(ssl_.get()) == TLS1_2_VERSION ? tls_version::tls1_2 : tls_version::tls1_3;
  found_.resumed = SSL_session_reused(ssl_.get()) == 1;
  found_.peer.reset(SSL_get1_peer_certificate(ssl_.get()));
}

tls_engine::outcome tls_engine::read(bytes into, std::size_t& count) {
  if (!failure_.ok()) return outcome::failed;
  forget_openssl_errors();
  const std::size_t before = outgoing.size();
  outcome got = outcome::done;
  for (std::size_t done = 0; done < into.size();) {
    std::size_t n = 0;
    const int returned = SSL_read_ex(ssl_.get(), into.data() + done, into.size() - done, &n);
    if (returned != 1) {
      got = not_done(returned);
      break;
    }
    done += n;
    count += n;
  }
  if (got == outcome::failed || outgoing.size() == before) return got;
  // The read has made OpenSSL answer. In TLS 1.2 that is the refusal of a renegotiation; in 1.3 a new key.
  if (found_.version == tls_version::tls1_2) return fail(absl::AbortedError("the peer asks for renegotiation"));
  if (outgoing.size() <= outgoing_max) return got;
  return fail(absl::AbortedError("the peer asks for new keys again and again, and does not read the answers"));
}

tls_engine::outcome tls_engine::write(const_bytes from, std::size_t& taken) {
  if (!failure_.ok()) return outcome::failed;
  forget_openssl_errors();
  std::size_t n = 0;
  const int returned = SSL_write_ex(ssl_.get(), from.data(), std::min(from.size(), piece_max), &n);
  if (returned != 1) return not_done(returned);
  taken += n;
  return outcome::done;
}

tls_engine::outcome tls_engine::say_end() {
  if (!failure_.ok()) return outcome::failed;
  // In the middle of a message (a ticket that has come in part) OpenSSL cannot write.
  if (SSL_in_init(ssl_.get()) != 0) return outcome::wants_bytes;
  forget_openssl_errors();
  const int returned = SSL_shutdown(ssl_.get());  // 0: said, and the peer has not said it
  if (returned < 0) return not_done(returned);
  forget_openssl_errors();
  return outcome::done;
}

tls_engine::outcome tls_engine::renew_keys() {
  if (!failure_.ok()) return outcome::failed;
  if (SSL_in_init(ssl_.get()) != 0) return outcome::wants_bytes;
  forget_openssl_errors();
  const int asked = SSL_key_update(ssl_.get(), SSL_KEY_UPDATE_REQUESTED);
  if (asked != 1) return not_done(asked);
  const int returned = SSL_do_handshake(ssl_.get());
  if (returned != 1) return not_done(returned);
  return outcome::done;
}

}  // namespace baton::net
