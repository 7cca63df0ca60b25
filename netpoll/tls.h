// Public API: TLS 1.2 and 1.3 over OpenSSL. In a library of its own: baton::tls (CMake component tls, pkg-config
// baton-tls). runtime/baton.h does not include this header. docs/tls.md shows how it is used.
#pragma once

#include <baton/netpoll/tls/tls_certificate.h>
#include <baton/netpoll/tls/tls_context.h>
#include <baton/netpoll/tls/tls_stream.h>
