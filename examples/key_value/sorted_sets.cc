// Commands on sorted sets.
#include "call.h"

#include <charconv>
#include <cmath>
#include <iterator>
#include <string>

namespace key_value {

namespace {

std::optional<double> number(std::string_view text) {
  double n = 0;
  const auto [stop, error] = std::from_chars(text.data(), text.data() + text.size(), n);
  if (error != std::errc() || stop != text.data() + text.size() || std::isnan(n)) return std::nullopt;
  return n;
}

void zadd(call& c) {
  if (c.all.size() % 2 != 0) return c.out.error(bad_syntax);
  for (std::size_t i = 2; i < c.all.size(); i += 2) {
    if (!number(c.all[i])) return c.out.error("ERR value is not a valid float");
  }
  sorted_set* const z = c.get_or_make<sorted_set>();
  if (z == nullptr) return;
  long long n = 0;
  for (std::size_t i = 2; i < c.all.size(); i += 2) {
    n += z->put(c.all[i + 1], *number(c.all[i])) ? 1 : 0;
  }
  c.out.integer(n);
}

void zrem(call& c) {
  const auto z = c.get<sorted_set>();
  if (z.failed) return;
  long long n = 0;
  for (const std::string_view member : c.after(2)) n += z.is != nullptr && z.is->erase(member) ? 1 : 0;
  if (z.is != nullptr) c.drop_if_empty(z.is->scores);
  c.out.integer(n);
}

void zscore(call& c) {
  const auto z = c.get<sorted_set>();
  if (z.failed) return;
  if (z.is == nullptr) return c.out.null();
  const auto at = z.is->scores.find(c.all[2]);
  at == z.is->scores.end() ? c.out.null() : c.out.score(at->second);
}

void zcard(call& c) {
  const auto z = c.get<sorted_set>();
  if (!z.failed) c.out.integer(z.is == nullptr ? 0 : static_cast<long long>(z.is->scores.size()));
}

void zpopmin(call& c) {
  const auto count = c.all.size() > 2 ? integer(c.all[2]) : 1;
  if (!count || *count < 0) return c.out.error("ERR value is out of range, must be positive");
  const auto z = c.get<sorted_set>();
  if (z.failed) return;
  const std::size_t n = z.is == nullptr ? 0 : std::min(static_cast<std::size_t>(*count), z.is->order.size());
  c.out.array(2 * n);
  for (std::size_t i = 0; i < n; ++i) {
    const auto first = z.is->order.begin();
    c.out.bulk(first->second);
    c.out.score(first->first);
    z.is->scores.erase(first->second);
    z.is->order.erase(first);
  }
  if (z.is != nullptr) c.drop_if_empty(z.is->scores);
}

void zrange(call& c) {
  const bool with_scores = c.all.size() == 5 && equals_ignoring_case(c.all[4], "WITHSCORES");
  if (c.all.size() > 4 && !with_scores) return c.out.error(bad_syntax);
  const auto z = c.get<sorted_set>();
  if (z.failed) return;
  const auto r = range_of(c.all[2], c.all[3], z.is == nullptr ? 0 : z.is->order.size());
  if (!r) return c.out.error(no_integer);
  const auto n = static_cast<std::size_t>(std::max<std::int64_t>(r->last - r->first + 1, 0));
  c.out.array(with_scores ? 2 * n : n);
  if (n == 0) return;
  auto at = std::next(z.is->order.begin(), r->first);
  for (std::size_t i = 0; i < n; ++i, ++at) {
    c.out.bulk(at->second);
    if (with_scores) c.out.score(at->first);
  }
}

constexpr command all[] = {
    {"ZADD", 4, any_number, keys_at::first, zadd}, {"ZREM", 3, any_number, keys_at::first, zrem},
    {"ZSCORE", 3, 3, keys_at::first, zscore},      {"ZCARD", 2, 2, keys_at::first, zcard},
    {"ZPOPMIN", 2, 3, keys_at::first, zpopmin},    {"ZRANGE", 4, 5, keys_at::first, zrange},
};

}  // namespace

std::span<const command> commands_on_sorted_sets() { return all; }

}  // namespace key_value
