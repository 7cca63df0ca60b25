#include "queue.h"

#include <baton/baton.h>

#include <hiredis/hiredis.h>
#include <stdexcept>
#include <utility>

namespace {

struct reply_deleter {
  void operator()(redisReply* r) const { freeReplyObject(r); }
};
using reply = std::unique_ptr<redisReply, reply_deleter>;

reply checked(redisContext* c, void* answer) {
  reply r(static_cast<redisReply*>(answer));
  if (r == nullptr) throw std::runtime_error(std::string("redis: ") + c->errstr);
  if (r->type == REDIS_REPLY_ERROR) throw std::runtime_error(std::string("redis: ") + r->str);
  return r;
}

}  // namespace

void queue::closer::operator()(redisContext* c) const { redisFree(c); }

// Nothing here cares which thread it is on, so blocking() is right. Each lambda is a call site of its
// own: pop() soon is known to block, and hands its P over before it does; push() is known not to.
queue::queue(const std::string& socket, std::string name)
    : connection_(baton::blocking([&] { return redisConnectUnix(socket.c_str()); })), name_(std::move(name)) {
  if (connection_ == nullptr) throw std::bad_alloc();
  if (connection_->err != 0) throw std::runtime_error(std::string("redis: ") + connection_->errstr);
}

void queue::push(const std::string& value) {
  checked(connection_.get(), baton::blocking([&] {
            return redisCommand(connection_.get(), "RPUSH %s %b", name_.c_str(), value.data(), value.size());
          }));
}

std::optional<std::string> queue::pop(int seconds) {
  const reply r =
      checked(connection_.get(),
              baton::blocking([&] { return redisCommand(connection_.get(), "BLPOP %s %d", name_.c_str(), seconds); }));
  if (r->type != REDIS_REPLY_ARRAY || r->elements != 2) return std::nullopt;
  return std::string(r->element[1]->str, r->element[1]->len);
}
