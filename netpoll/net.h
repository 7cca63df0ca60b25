// Public API: includes all of baton::net.
#pragma once

#include <baton/netpoll/address.h>
#include <baton/netpoll/cancellation.h>
#include <baton/netpoll/dial.h>
#include <baton/netpoll/error_text.h>
#include <baton/netpoll/pipe.h>
#include <baton/netpoll/pollable.h>
#include <baton/netpoll/resolve.h>
#include <baton/netpoll/resolver.h>
#include <baton/netpoll/tcp_listener.h>
#include <baton/netpoll/tcp_stream.h>
