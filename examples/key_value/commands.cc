// The table of all commands. The caller's words name the keys, whose parts are locked before a command runs.
#include "commands.h"

#include "call.h"

#include "../printable_text.h"

#include <algorithm>
#include <string>
#include <unordered_map>

namespace key_value {

namespace {

void ping(call& c) { c.all.size() > 1 ? c.out.bulk(c.all[1]) : c.out.simple("PONG"); }
void echo(call& c) { c.out.bulk(c.all[1]); }
void ok(call& c) { c.out.simple("OK"); }
void nothing(call& c) { c.out.array(0); }
void select(call& c) {
  if (c.all[1] == "0") return c.out.simple("OK");
  c.out.error("ERR DB index is out of range");
}
// redis-benchmark asks what it runs against.
void config(call& c) {
  if (c.all.size() != 3 || !equals_ignoring_case(c.all[1], "GET")) return c.out.error("ERR only CONFIG GET name");
  c.out.array(2);
  c.out.bulk(c.all[2]);
  c.out.bulk("");
}
void info(call& c) { c.out.bulk("# Server\r\nredis_mode:standalone\r\n"); }
void hello(call& c) { c.out.error("NOPROTO unsupported protocol version"); }

constexpr command on_the_connection[] = {
    {"PING", 1, 2, keys_at::none, ping},
    {"ECHO", 2, 2, keys_at::none, echo},
    {"QUIT", 1, any_number, keys_at::none, ok},
    {"SELECT", 2, 2, keys_at::none, select},
    {"CLIENT", 2, any_number, keys_at::none, ok},
    {"COMMAND", 1, any_number, keys_at::none, nothing},
    {"CONFIG", 2, any_number, keys_at::none, config},
    {"INFO", 1, any_number, keys_at::none, info},
    {"HELLO", 1, any_number, keys_at::none, hello},
};

const std::unordered_map<std::string_view, command>& table() {
  static const auto& all = *[] {
    auto* const made = new std::unordered_map<std::string_view, command>;
    for (const std::span<const command> group :
         {std::span<const command>(on_the_connection), commands_on_any_value(), commands_on_strings(),
          commands_on_collections(), commands_on_sorted_sets()}) {
      for (const command& c : group) made->emplace(c.name, c);
    }
    return made;
  }();
  return all;
}

store::part_set parts_of(const command& what, words all) {
  store::part_set parts = 0;
  switch (what.keys) {
    case keys_at::none: break;
    case keys_at::first: parts = store::part_of(all[1]); break;
    case keys_at::all:
      for (std::size_t i = 1; i < all.size(); ++i) parts |= store::part_of(all[i]);
      break;
    case keys_at::each_second:
      for (std::size_t i = 1; i < all.size(); i += 2) parts |= store::part_of(all[i]);
      break;
    case keys_at::whole_store: parts = store::all_parts; break;
  }
  return parts;
}

}  // namespace

bool run_command(store& s, words request, std::int64_t now_ms, replies& out) {
  const auto upper = [](char c) { return c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c; };
  char name[16];
  const std::string_view said = request[0].substr(0, sizeof name);
  std::transform(said.begin(), said.end(), name, upper);
  const auto found = table().find(std::string_view(name, said.size()));
  if (found == table().end() || request[0].size() > said.size()) {
    out.error("ERR unknown command '" + examples::printable(request[0], 64) + "'");
    return true;
  }
  const command& what = found->second;
  if (request.size() < what.least || request.size() > what.most) {
    out.error("ERR wrong number of arguments for '" + std::string(what.name) + "' command");
    return true;
  }
  {
    const store::held locks(s, parts_of(what, request));
    call c{s, request, now_ms, out};
    what.run(c);
  }
  return what.name != "QUIT";
}

}  // namespace key_value
