// A member of the chat: a WebSocket, the fiber that reads it, and the fiber that writes it.
#pragma once

#include "room.h"

#include "http/connection.h"
#include "http/request.h"

namespace ws_chat {

// Answers a request for a WebSocket, and serves it until the peer leaves, is dropped, or the server stops. Switches.
void serve_member(const http::request& r, http::connection& c, room& all);

}  // namespace ws_chat
