// Commands on keys, whatever their values are.
#include "call.h"

#include <fnmatch.h>
#include <string>
#include <vector>

namespace key_value {

namespace {

void del(call& c) {
  long long n = 0;
  for (const std::string_view key : c.after(1)) n += c.data.erase(key, c.now) ? 1 : 0;
  c.out.integer(n);
}

void exists(call& c) {
  long long n = 0;
  for (const std::string_view key : c.after(1)) n += c.data.find(key, c.now) != nullptr ? 1 : 0;
  c.out.integer(n);
}

void expire_after(call& c, std::int64_t unit_ms) {
  const auto n = integer(c.all[2]);
  const auto end = n ? end_after(c.now, *n, unit_ms) : std::nullopt;
  if (!end) return c.out.error(no_integer);
  value* const v = c.data.find(c.key(), c.now);
  if (v == nullptr) return c.out.integer(0);
  v->ends_ms = *end;
  c.out.integer(1);
}
void expire(call& c) { expire_after(c, 1000); }
void pexpire(call& c) { expire_after(c, 1); }

void rest_of_life(call& c, std::int64_t unit_ms) {
  const value* const v = c.data.find(c.key(), c.now);
  if (v == nullptr) return c.out.integer(-2);
  c.out.integer(v->ends_ms == never ? -1 : (v->ends_ms - c.now + unit_ms / 2) / unit_ms);
}
void ttl(call& c) { rest_of_life(c, 1000); }
void pttl(call& c) { rest_of_life(c, 1); }

void persist(call& c) {
  value* const v = c.data.find(c.key(), c.now);
  const bool had_an_end = v != nullptr && v->ends_ms != never;
  if (had_an_end) v->ends_ms = never;
  c.out.integer(had_an_end ? 1 : 0);
}

void type(call& c) {
  constexpr std::string_view names[] = {"string", "list", "set", "hash", "zset"};
  const value* const v = c.data.find(c.key(), c.now);
  c.out.simple(v == nullptr ? "none" : names[v->data.index()]);
}

void keys(call& c) {
  const std::string pattern(c.all[1]);
  std::vector<std::string> found;
  c.data.for_each_key(
      [&](const std::string& key) {
        if (::fnmatch(pattern.c_str(), key.c_str(), 0) == 0) found.push_back(key);
      },
      c.now);
  c.out.array(found.size());
  for (const std::string& key : found) c.out.bulk(key);
}

void dbsize(call& c) { c.out.integer(static_cast<long long>(c.data.size())); }
void flush(call& c) {
  c.data.clear();
  c.out.simple("OK");
}

constexpr command all[] = {
    {"DEL", 2, any_number, keys_at::all, del},
    {"UNLINK", 2, any_number, keys_at::all, del},
    {"EXISTS", 2, any_number, keys_at::all, exists},
    {"EXPIRE", 3, 3, keys_at::first, expire},
    {"PEXPIRE", 3, 3, keys_at::first, pexpire},
    {"TTL", 2, 2, keys_at::first, ttl},
    {"PTTL", 2, 2, keys_at::first, pttl},
    {"PERSIST", 2, 2, keys_at::first, persist},
    {"TYPE", 2, 2, keys_at::first, type},
    {"KEYS", 2, 2, keys_at::whole_store, keys},
    {"DBSIZE", 1, 1, keys_at::whole_store, dbsize},
    {"FLUSHALL", 1, 2, keys_at::whole_store, flush},
    {"FLUSHDB", 1, 2, keys_at::whole_store, flush},
};

}  // namespace

std::span<const command> commands_on_any_value() { return all; }

}  // namespace key_value
