// What the snippets of docs/tls.md are compiled with.
#pragma once

#include "docs/snippet.h"

#include <baton/netpoll/asio.h>
#include <baton/netpoll/tls.h>

#include <boost/beast/core.hpp>
#include <boost/beast/http.hpp>
#include <string>

namespace baton_test {
// Where the page's server listens. Set before the first test.
extern std::string address_of_tls_server;
}  // namespace baton_test

static const std::string& address = baton_test::address_of_tls_server;
