// What the server can do: a table of commands, each with a function that reads its words and writes one reply.
#pragma once

#include "replies.h"
#include "store.h"

#include <cstdint>
#include <span>
#include <string_view>

namespace key_value {

using words = std::span<const std::string_view>;

// Switches. Runs one request, which has at least one word. Returns false if the client has asked to close the
// connection.
bool run_command(store& s, words request, std::int64_t now_ms, replies& out);

}  // namespace key_value
