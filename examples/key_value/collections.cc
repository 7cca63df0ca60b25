// Commands on lists, sets and hashes.
#include "call.h"

#include <string>

namespace key_value {

namespace {

void push(call& c, bool to_front) {
  list* const l = c.get_or_make<list>();
  if (l == nullptr) return;
  for (const std::string_view item : c.after(2)) {
    if (to_front) {
      l->emplace_front(item);
    } else {
      l->emplace_back(item);
    }
  }
  c.out.integer(static_cast<long long>(l->size()));
}
void lpush(call& c) { push(c, true); }
void rpush(call& c) { push(c, false); }

void pop(call& c, bool from_front) {
  const auto l = c.get<list>();
  if (l.failed) return;
  if (l.is == nullptr) return c.out.null();
  c.out.bulk(from_front ? l.is->front() : l.is->back());
  from_front ? l.is->pop_front() : l.is->pop_back();
  c.drop_if_empty(*l.is);
}
void lpop(call& c) { pop(c, true); }
void rpop(call& c) { pop(c, false); }

void llen(call& c) {
  const auto l = c.get<list>();
  if (!l.failed) c.out.integer(l.is == nullptr ? 0 : static_cast<long long>(l.is->size()));
}

void lrange(call& c) {
  const auto l = c.get<list>();
  if (l.failed) return;
  const auto r = range_of(c.all[2], c.all[3], l.is == nullptr ? 0 : l.is->size());
  if (!r) return c.out.error(no_integer);
  c.out.array(static_cast<std::size_t>(std::max<std::int64_t>(r->last - r->first + 1, 0)));
  for (std::int64_t i = r->first; i <= r->last; ++i) c.out.bulk((*l.is)[static_cast<std::size_t>(i)]);
}

void sadd(call& c) {
  set* const s = c.get_or_make<set>();
  if (s == nullptr) return;
  long long n = 0;
  for (const std::string_view member : c.after(2)) n += s->emplace(member).second ? 1 : 0;
  c.out.integer(n);
}

void srem(call& c) {
  const auto s = c.get<set>();
  if (s.failed) return;
  long long n = 0;
  for (const std::string_view member : c.after(2)) n += s.is != nullptr && s.is->erase(member) > 0 ? 1 : 0;
  if (s.is != nullptr) c.drop_if_empty(*s.is);
  c.out.integer(n);
}

void spop(call& c) {
  const auto s = c.get<set>();
  if (s.failed) return;
  if (s.is == nullptr) return c.out.null();
  const auto any = s.is->begin();  // in the order of a hash that differs in each process
  c.out.bulk(*any);
  s.is->erase(any);
  c.drop_if_empty(*s.is);
}

void sismember(call& c) {
  const auto s = c.get<set>();
  if (!s.failed) c.out.integer(s.is != nullptr && s.is->contains(c.all[2]) ? 1 : 0);
}

void scard(call& c) {
  const auto s = c.get<set>();
  if (!s.failed) c.out.integer(s.is == nullptr ? 0 : static_cast<long long>(s.is->size()));
}

void smembers(call& c) {
  const auto s = c.get<set>();
  if (s.failed) return;
  c.out.array(s.is == nullptr ? 0 : s.is->size());
  if (s.is == nullptr) return;
  for (const std::string& member : *s.is) c.out.bulk(member);
}

void hset(call& c) {
  if (c.all.size() % 2 != 0) return c.out.error("ERR wrong number of arguments for 'HSET' command");
  hash* const h = c.get_or_make<hash>();
  if (h == nullptr) return;
  long long n = 0;
  for (std::size_t i = 2; i < c.all.size(); i += 2) {
    const auto [at, is_new] = h->try_emplace(c.all[i]);
    at->second.assign(c.all[i + 1]);
    n += is_new ? 1 : 0;
  }
  c.out.integer(n);
}

void hget(call& c) {
  const auto h = c.get<hash>();
  if (h.failed) return;
  if (h.is == nullptr) return c.out.null();
  const auto at = h.is->find(c.all[2]);
  at == h.is->end() ? c.out.null() : c.out.bulk(at->second);
}

void hdel(call& c) {
  const auto h = c.get<hash>();
  if (h.failed) return;
  long long n = 0;
  for (const std::string_view field : c.after(2)) n += h.is != nullptr && h.is->erase(field) > 0 ? 1 : 0;
  if (h.is != nullptr) c.drop_if_empty(*h.is);
  c.out.integer(n);
}

void hlen(call& c) {
  const auto h = c.get<hash>();
  if (!h.failed) c.out.integer(h.is == nullptr ? 0 : static_cast<long long>(h.is->size()));
}

void hgetall(call& c) {
  const auto h = c.get<hash>();
  if (h.failed) return;
  c.out.array(h.is == nullptr ? 0 : 2 * h.is->size());
  if (h.is == nullptr) return;
  for (const auto& [field, content] : *h.is) {
    c.out.bulk(field);
    c.out.bulk(content);
  }
}

constexpr command all[] = {
    {"LPUSH", 3, any_number, keys_at::first, lpush},
    {"RPUSH", 3, any_number, keys_at::first, rpush},
    {"LPOP", 2, 2, keys_at::first, lpop},
    {"RPOP", 2, 2, keys_at::first, rpop},
    {"LLEN", 2, 2, keys_at::first, llen},
    {"LRANGE", 4, 4, keys_at::first, lrange},
    {"SADD", 3, any_number, keys_at::first, sadd},
    {"SREM", 3, any_number, keys_at::first, srem},
    {"SPOP", 2, 2, keys_at::first, spop},
    {"SISMEMBER", 3, 3, keys_at::first, sismember},
    {"SCARD", 2, 2, keys_at::first, scard},
    {"SMEMBERS", 2, 2, keys_at::first, smembers},
    {"HSET", 4, any_number, keys_at::first, hset},
    {"HGET", 3, 3, keys_at::first, hget},
    {"HDEL", 3, any_number, keys_at::first, hdel},
    {"HLEN", 2, 2, keys_at::first, hlen},
    {"HGETALL", 2, 2, keys_at::first, hgetall},
};

}  // namespace

std::span<const command> commands_on_collections() { return all; }

}  // namespace key_value
