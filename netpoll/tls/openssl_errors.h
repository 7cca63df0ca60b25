// Turns OpenSSL's queue of errors into a status. The queue belongs to the thread, and a fiber may change threads
// wherever it waits. So each call into OpenSSL that can fail begins with an empty queue, and its caller takes the
// errors out before anything that may switch. Internal to netpoll/tls.
#pragma once

#include <absl/status/status.h>

struct ssl_st;

namespace baton::net {

// Empties the queue of this thread. Never switches.
void forget_openssl_errors() noexcept;

// Empties the queue. Returns RESOURCE_EXHAUSTED (ENOMEM) if memory was short, else INVALID_ARGUMENT, with the reason of
// the first error as the message. Never switches.
[[nodiscard]] absl::Status take_input_error();

// The same for a connection whose call has failed. The code is
//   UNAUTHENTICATED    the peer's certificate is not accepted, or there is none
//   PERMISSION_DENIED  the peer does not accept this side's certificate, or the lack of one
//   DATA_LOSS          a record is damaged, after the handshake
//   ABORTED            everything else: no common version, cipher or protocol; not TLS at all; another alert of the
//   peer
// Never switches.
[[nodiscard]] absl::Status take_connection_error(const ssl_st* ssl);

}  // namespace baton::net
