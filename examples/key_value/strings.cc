// Commands on strings, which are numbers, too.
#include "call.h"

#include <string>

namespace key_value {

namespace {

void get(call& c) {
  const auto s = c.get<std::string>();
  if (s.failed) return;
  s.is == nullptr ? c.out.null() : c.out.bulk(*s.is);
}

struct set_options {
  std::int64_t ends_ms = never;
  bool keeps_end = false;
  bool only_new = false;
  bool only_old = false;
  bool returns_former = false;
};

// Reads what follows the value. Writes the error if it does not know it.
std::optional<set_options> read_set_options(call& c) {
  set_options o;
  const words rest = c.after(3);
  for (std::size_t i = 0; i < rest.size(); ++i) {
    const auto is = [&](std::string_view name) { return equals_ignoring_case(rest[i], name); };
    if (is("NX") && !o.only_old) {
      o.only_new = true;
    } else if (is("XX") && !o.only_new) {
      o.only_old = true;
    } else if (is("GET")) {
      o.returns_former = true;
    } else if (is("KEEPTTL") && o.ends_ms == never) {
      o.keeps_end = true;
    } else if ((is("EX") || is("PX")) && i + 1 < rest.size() && o.ends_ms == never && !o.keeps_end) {
      const auto n = integer(rest[i + 1]);
      const auto end = n ? end_after(c.now, *n, is("EX") ? 1000 : 1) : std::nullopt;
      if (!end) return c.out.error(no_integer), std::nullopt;
      if (*n <= 0) return c.out.error("ERR invalid expire time in 'set' command"), std::nullopt;
      o.ends_ms = *end;
      ++i;
    } else {
      return c.out.error(bad_syntax), std::nullopt;
    }
  }
  return o;
}

void set_string(call& c) {
  const auto o = read_set_options(c);
  if (!o) return;
  value* v = c.data.find(c.key(), c.now);
  const bool was_there = v != nullptr;
  if (o->returns_former) {
    const std::string* const former = was_there ? std::get_if<std::string>(&v->data) : nullptr;
    if (was_there && former == nullptr) return c.out.error(wrong_type);
    former == nullptr ? c.out.null() : c.out.bulk(*former);
  }
  if (was_there ? o->only_new : o->only_old) {
    if (!o->returns_former) c.out.null();
    return;
  }
  if (v == nullptr) v = &c.data.find_or_make(c.key(), c.now);
  if (auto* const s = std::get_if<std::string>(&v->data)) {
    s->assign(c.all[2]);
  } else {
    v->data.emplace<std::string>(c.all[2]);
  }
  if (!o->keeps_end) v->ends_ms = o->ends_ms;
  if (!o->returns_former) c.out.simple("OK");
}

void setnx(call& c) {
  if (c.data.find(c.key(), c.now) != nullptr) return c.out.integer(0);
  c.data.find_or_make(c.key(), c.now).data.emplace<std::string>(c.all[2]);
  c.out.integer(1);
}

void mset(call& c) {
  if (c.all.size() % 2 == 0) return c.out.error("ERR wrong number of arguments for 'MSET' command");
  for (std::size_t i = 1; i < c.all.size(); i += 2) {
    value& v = c.data.find_or_make(c.all[i], c.now);
    v.data.emplace<std::string>(c.all[i + 1]);
    v.ends_ms = never;
  }
  c.out.simple("OK");
}

void mget(call& c) {
  c.out.array(c.all.size() - 1);
  for (const std::string_view key : c.after(1)) {
    const value* const v = c.data.find(key, c.now);
    const auto* const s = v == nullptr ? nullptr : std::get_if<std::string>(&v->data);
    s == nullptr ? c.out.null() : c.out.bulk(*s);
  }
}

void add_to(call& c, std::optional<std::int64_t> change) {
  if (!change) return c.out.error(no_integer);
  const auto s = c.get<std::string>();
  if (s.failed) return;
  const auto now = s.is == nullptr ? std::optional<std::int64_t>(0) : integer(*s.is);
  std::int64_t sum = 0;
  if (!now) return c.out.error(no_integer);
  if (__builtin_add_overflow(*now, *change, &sum)) return c.out.error("ERR increment or decrement would overflow");
  *c.get_or_make<std::string>() = std::to_string(sum);
  c.out.integer(sum);
}
void incr(call& c) { add_to(c, 1); }
void decr(call& c) { add_to(c, -1); }
void incrby(call& c) { add_to(c, integer(c.all[2])); }
void decrby(call& c) {
  const auto n = integer(c.all[2]);
  add_to(c, n && *n != std::numeric_limits<std::int64_t>::min() ? std::optional(-*n) : std::nullopt);
}

void append(call& c) {
  std::string* const s = c.get_or_make<std::string>();
  if (s == nullptr) return;
  s->append(c.all[2]);
  c.out.integer(static_cast<long long>(s->size()));
}

void strlen(call& c) {
  const auto s = c.get<std::string>();
  if (!s.failed) c.out.integer(s.is == nullptr ? 0 : static_cast<long long>(s.is->size()));
}

constexpr command all[] = {
    {"GET", 2, 2, keys_at::first, get},          {"SET", 3, any_number, keys_at::first, set_string},
    {"SETNX", 3, 3, keys_at::first, setnx},      {"MSET", 3, any_number, keys_at::each_second, mset},
    {"MGET", 2, any_number, keys_at::all, mget}, {"INCR", 2, 2, keys_at::first, incr},
    {"DECR", 2, 2, keys_at::first, decr},        {"INCRBY", 3, 3, keys_at::first, incrby},
    {"DECRBY", 3, 3, keys_at::first, decrby},    {"APPEND", 3, 3, keys_at::first, append},
    {"STRLEN", 2, 2, keys_at::first, strlen},
};

}  // namespace

std::span<const command> commands_on_strings() { return all; }

}  // namespace key_value
