// Public API: includes all of baton::net.
#pragma once

#include <baton/netpoll/address.h>
#include <baton/netpoll/byte_stream.h>
#include <baton/netpoll/cancellation.h>
#include <baton/netpoll/datagram.h>
#include <baton/netpoll/descriptor_owner.h>
#include <baton/netpoll/dial.h>
#include <baton/netpoll/error_text.h>
#include <baton/netpoll/hand_over.h>
#include <baton/netpoll/inherited.h>
#include <baton/netpoll/pipe.h>
#include <baton/netpoll/pollable.h>
#include <baton/netpoll/resolve.h>
#include <baton/netpoll/resolver.h>
#include <baton/netpoll/tcp_listener.h>
#include <baton/netpoll/tcp_stream.h>
#include <baton/netpoll/udp_socket.h>
#include <baton/netpoll/unix_datagram.h>
#include <baton/netpoll/unix_listener.h>
#include <baton/netpoll/unix_options.h>
#include <baton/netpoll/unix_seqpacket.h>
#include <baton/netpoll/unix_socket.h>
#include <baton/netpoll/unix_stream.h>
