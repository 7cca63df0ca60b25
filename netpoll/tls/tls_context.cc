// Options become an SSL_CTX. OpenSSL calls the functions in the first half of this file in the middle of handshakes and
// reads: they do not switch.
#include <baton/netpoll/tls/tls_context.h>

#include <baton/netpoll/error_text.h>
#include <baton/netpoll/tls/openssl_errors.h>
#include <baton/netpoll/tls/tls_context_state.h>
#include <baton/netpoll/tls/tls_engine.h>
#include <baton/syscall/blocking.h>
#include <baton/syscall/c_string.h>

#include <openssl/x509v3.h>
#include <cerrno>
#include <new>
#include <utility>

namespace baton::net {

namespace {

constexpr std::string_view kind = "tls context";

absl::Status refused(std::string_view reason) { return absl::InvalidArgumentError(describe("make", kind, reason)); }
absl::Status no_memory() { return errno_status(ENOMEM, "make", kind); }
absl::Status input_failed() { return context_status(take_input_error(), "make", kind); }

int number_of(tls_version v) noexcept { return v == tls_version::tls1_2 ? TLS1_2_VERSION : TLS1_3_VERSION; }

const tls_context_state& state_of(void* argument) noexcept { return *static_cast<const tls_context_state*>(argument); }

// The server's choice: the first of its own protocols that the client offers.
int choose_protocol(SSL*, const unsigned char** chosen, unsigned char* chosen_size, const unsigned char* offered,
                    unsigned offered_size, void* argument) noexcept {
  const std::string& own = state_of(argument).alpn;
  unsigned char* found = nullptr;
  if (SSL_select_next_proto(&found, chosen_size, reinterpret_cast<const unsigned char*>(own.data()),
                            static_cast<unsigned>(own.size()), offered, offered_size) != OPENSSL_NPN_NEGOTIATED) {
    return SSL_TLSEXT_ERR_ALERT_FATAL;
  }
  *chosen = found;
  return SSL_TLSEXT_ERR_OK;
}

// With this function the server tells the client that it has looked at the name.
int note_server_name(SSL*, int*, void*) noexcept { return SSL_TLSEXT_ERR_OK; }

// The server's certificate for the name that the client asks for. Returns 1, or 0 to end the handshake.
int choose_identity(SSL* ssl, void* argument) noexcept {
  const char* const name = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);
  if (name == nullptr) return 1;
  const auto& all = state_of(argument).identities;
  for (std::size_t i = 0; i < all.size(); ++i) {
    if (X509_check_host(all[i]->certificate.get(), name, 0, 0, nullptr) != 1) continue;
    if (i == 0) return 1;  // it is the SSL_CTX's
    SSL_certs_clear(ssl);
    return SSL_use_cert_and_key(ssl, all[i]->certificate.get(), all[i]->key.get(), all[i]->chain.get(), 1) == 1 ? 1 : 0;
  }
  return 1;
}

// A session has come that a client can resume. Returns 0: OpenSSL still owns its reference.
int keep_session(SSL* ssl, SSL_SESSION* session) noexcept {
  if (SSL_SESSION_is_resumable(session) != 1) return 0;
  const auto* const engine = static_cast<const tls_engine*>(SSL_get_app_data(ssl));
  try {
    SSL_SESSION_up_ref(session);
    engine->context().sessions.put(engine->server_name(), session_handle(session));
  } catch (const std::bad_alloc&) {  // the next connection begins a session of its own
  }
  return 0;
}

absl::StatusOr<std::shared_ptr<const tls_context_state>> make(tls_context_state::role as, const tls_options& options) {
  auto state = std::make_shared<tls_context_state>(as);
  if (absl::Status s = state->set_up(options); !s.ok()) return s;
  return state;
}

}  // namespace

absl::Status tls_context_state::set_up(const tls_options& options) {
  // Without OpenSSL's own exit handler: it would free what other threads still use when the process ends.
  forget_openssl_errors();
  if (OPENSSL_init_ssl(OPENSSL_INIT_NO_ATEXIT, nullptr) != 1) return input_failed();
  ctx.reset(SSL_CTX_new(is_server ? TLS_server_method() : TLS_client_method()));
  if (ctx == nullptr) return input_failed();
  if (absl::Status s = set_versions_and_modes(options); !s.ok()) return s;
  if (absl::Status s = set_protocols(options); !s.ok()) return s;
  if (absl::Status s = set_identities(options); !s.ok()) return s;
  if (absl::Status s = set_trust(options); !s.ok()) return s;
  set_sessions(options);
  return absl::OkStatus();
}

absl::Status tls_context_state::set_versions_and_modes(const tls_options& options) {
  if (options.min_version > options.max_version) return refused("min_version is above max_version");
  if (SSL_CTX_set_min_proto_version(ctx.get(), number_of(options.min_version)) != 1 ||
      SSL_CTX_set_max_proto_version(ctx.get(), number_of(options.max_version)) != 1) {
    return input_failed();
  }
  SSL_CTX_set_options(ctx.get(), SSL_OP_NO_COMPRESSION | SSL_OP_NO_RENEGOTIATION);
  // A write may be tried again from other memory; the buffers of an idle connection are freed.
  SSL_CTX_set_mode(ctx.get(), SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
                                  SSL_MODE_AUTO_RETRY | SSL_MODE_RELEASE_BUFFERS);
  return absl::OkStatus();
}

absl::Status tls_context_state::set_protocols(const tls_options& options) {
  for (const std::string& protocol : options.alpn) {
    if (protocol.empty() || protocol.size() > 255) return refused("a protocol of ALPN has 1 to 255 bytes");
    alpn.push_back(static_cast<char>(static_cast<unsigned char>(protocol.size())));
    alpn += protocol;
  }
  if (alpn.size() > 65'535 - 2) return refused("too many protocols of ALPN");
  if (alpn.empty()) return absl::OkStatus();
  if (is_server) {
    SSL_CTX_set_alpn_select_cb(ctx.get(), choose_protocol, this);
    return absl::OkStatus();
  }
  // This function returns 0 for success.
  return SSL_CTX_set_alpn_protos(ctx.get(), reinterpret_cast<const unsigned char*>(alpn.data()),
                                 static_cast<unsigned>(alpn.size())) == 0
             ? absl::OkStatus()
             : input_failed();
}

absl::Status tls_context_state::set_identities(const tls_options& options) {
  for (const tls_identity& one : options.identities) {
    if (one.is_empty()) return refused("an identity is empty");
    identities.push_back(one.state_);
  }
  if (identities.empty()) return absl::OkStatus();
  const tls_identity_state& first = *identities.front();
  if (SSL_CTX_use_cert_and_key(ctx.get(), first.certificate.get(), first.key.get(), first.chain.get(), 1) != 1) {
    return input_failed();
  }
  if (is_server) {
    SSL_CTX_set_tlsext_servername_callback(ctx.get(), note_server_name);
    if (identities.size() > 1) SSL_CTX_set_cert_cb(ctx.get(), choose_identity, this);
  }
  return absl::OkStatus();
}

absl::Status tls_context_state::trust_pem(const std::string& pem, std::string_view object) {
  absl::StatusOr<certificates_handle> all = certificates_of_pem(pem, object);
  if (!all.ok()) return all.status();
  X509_STORE* const store = SSL_CTX_get_cert_store(ctx.get());
  for (int i = 0; i < sk_X509_num(all->get()); ++i) {
    X509* const one = sk_X509_value(all->get(), i);
    if (X509_STORE_add_cert(store, one) != 1) return input_failed();
    // So that a client with several certificates can choose.
    if (is_server && SSL_CTX_add_client_CA(ctx.get(), one) != 1) return input_failed();
  }
  return absl::OkStatus();
}

absl::Status tls_context_state::set_trust(const tls_options& options) {
  const tls_verify wanted = options.verify.value_or(is_server ? tls_verify::none : tls_verify::require);
  if (!is_server && wanted == tls_verify::request) return refused("a client cannot merely request a certificate");
  const bool own_trust = !options.ca_file.empty() || !options.ca_pem.empty();
  verifies_peer = wanted != tls_verify::none;
  if (is_server && verifies_peer && !own_trust) return refused("a server that verifies needs ca_file or ca_pem");
  if (!options.ca_file.empty()) {
    const absl::StatusOr<std::string> pem = read_pem_file(options.ca_file);
    if (!pem.ok()) return pem.status();
    if (absl::Status s = trust_pem(*pem, options.ca_file); !s.ok()) return s;
  }
  if (!options.ca_pem.empty()) {
    if (absl::Status s = trust_pem(options.ca_pem, "ca_pem"); !s.ok()) return s;
  }
  if (verifies_peer && !own_trust) {
    // It reads a file of some hundred certificates. The queue of errors is emptied on the same thread.
    const absl::Status s = blocking([this] {
      forget_openssl_errors();
      return SSL_CTX_set_default_verify_paths(ctx.get()) == 1 ? absl::OkStatus() : take_input_error();
    });
    if (!s.ok()) return context_status(s, "make", kind);
  }
  int mode = SSL_VERIFY_NONE;
  if (wanted == tls_verify::request) mode = SSL_VERIFY_PEER;
  if (wanted == tls_verify::require) mode = SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT;
  SSL_CTX_set_verify(ctx.get(), mode, nullptr);
  return absl::OkStatus();
}

void tls_context_state::set_sessions(const tls_options& options) {
  // The sessions of one context are of no use to another, because the keys of tickets are the context's.
  constexpr unsigned char id[] = "baton";
  (void)SSL_CTX_set_session_id_context(ctx.get(), id, sizeof id - 1);
  SSL_CTX_set_session_cache_mode(ctx.get(), SSL_SESS_CACHE_OFF);
  if (!options.session_tickets) {
    SSL_CTX_set_options(ctx.get(), SSL_OP_NO_TICKET);
    (void)SSL_CTX_set_num_tickets(ctx.get(), 0);
  } else if (!is_server) {
    keeps_sessions = true;
    SSL_CTX_set_session_cache_mode(ctx.get(), SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
    SSL_CTX_sess_set_new_cb(ctx.get(), keep_session);
  }
}

absl::StatusOr<tls_identity> tls_identity::from_pem(std::string_view chain, std::string_view key) try {
  absl::StatusOr<tls_identity_state> made = identity_of_pem(chain, "the chain", key, "the key");
  if (!made.ok()) return made.status();
  return tls_identity(std::make_shared<const tls_identity_state>(*std::move(made)));
} catch (const std::bad_alloc&) {
  return no_memory();
}

absl::StatusOr<tls_identity> tls_identity::from_files(const std::string& chain_file, const std::string& key_file) try {
  const absl::StatusOr<std::string> chain = read_pem_file(chain_file);
  if (!chain.ok()) return chain.status();
  const absl::StatusOr<std::string> key = read_pem_file(key_file);
  if (!key.ok()) return key.status();
  absl::StatusOr<tls_identity_state> made = identity_of_pem(*chain, chain_file, *key, key_file);
  if (!made.ok()) return made.status();
  return tls_identity(std::make_shared<const tls_identity_state>(*std::move(made)));
} catch (const std::bad_alloc&) {
  return no_memory();
}

absl::StatusOr<tls_context> tls_context::server(const std::string& cert_file, const std::string& key_file,
                                                const tls_options& options) {
  const absl::StatusOr<tls_identity> identity = tls_identity::from_files(cert_file, key_file);
  if (!identity.ok()) return identity.status();
  return server(*identity, options);
}

absl::StatusOr<tls_context> tls_context::server(const tls_identity& identity, const tls_options& options) try {
  tls_options all = options;
  all.identities.insert(all.identities.begin(), identity);
  auto made = make(tls_context_state::role::server, all);
  if (!made.ok()) return made.status();
  return tls_context(*std::move(made));
} catch (const std::bad_alloc&) {
  return no_memory();
}

absl::StatusOr<tls_context> tls_context::client(const tls_options& options) try {
  auto made = make(tls_context_state::role::client, options);
  if (!made.ok()) return made.status();
  return tls_context(*std::move(made));
} catch (const std::bad_alloc&) {
  return no_memory();
}

}  // namespace baton::net
