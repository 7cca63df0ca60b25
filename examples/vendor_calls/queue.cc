#include "queue.h"

#include "vendor_call.h"

#include <baton/baton.h>

#include <hiredis/hiredis.h>
#include <chrono>
#include <stdexcept>
#include <utility>

namespace {

constexpr timeval patience{10, 0};  // for an answer; longer than pop() lets the server wait
constexpr int attempts_max = 5;

}  // namespace

void queue::closer::operator()(redisContext* c) const { redisFree(c); }
void queue::closer::operator()(redisReply* r) const { freeReplyObject(r); }

queue::queue(std::string socket, std::string name)
    : socket_(std::move(socket)), name_(std::move(name)), taken_(name_ + ":taken") {
  connect();
}

// Nothing in this file depends on the thread that it runs on, so blocking() is right. Each lambda is a call site of its
// own (and, interposed, each place in hiredis that calls the C library). The runtime soon knows that pop() blocks, and
// hands its P over before it does; it knows that push() does not.
void queue::connect() {
  connection_.reset(vendor_call([&] { return redisConnectUnixWithTimeout(socket_.c_str(), patience); }));
  if (connection_ == nullptr) throw std::bad_alloc();
  if (connection_->err == 0) redisSetTimeout(connection_.get(), patience);
  if (connection_->err != 0) {
    const std::string why = connection_->errstr;
    connection_.reset();
    throw std::runtime_error("redis: connect " + socket_ + ": " + why);
  }
}

queue::reply queue::call(const char* what, const std::function<void*(redisContext*)>& command) {
  for (int attempt = 1;; ++attempt) {
    std::string why;
    try {
      if (connection_ == nullptr) connect();
      reply r(static_cast<redisReply*>(command(connection_.get())));
      if (r != nullptr && r->type != REDIS_REPLY_ERROR) return r;
      why = std::string("redis: ") + what + " " + name_ + ": " + (r != nullptr ? r->str : connection_->errstr);
      if (r != nullptr) attempt = attempts_max;  // the server refuses: it would again
    } catch (const std::runtime_error& unreachable) {
      why = unreachable.what();
    }
    if (attempt >= attempts_max) throw std::runtime_error(why);
    connection_.reset();
    look_at_taken_ = true;
    baton::this_fiber::sleep_for(std::chrono::milliseconds(20) * attempt);
  }
}

void queue::push(const std::string& value) {
  call("push", [&](redisContext* c) {
    return vendor_call([&] { return redisCommand(c, "RPUSH %s %b", name_.c_str(), value.data(), value.size()); });
  });
}

std::optional<std::string> queue::pop(int seconds) {
  for (;;) {
    bool looked = false;
    const reply r = call("pop", [&](redisContext* c) {
      looked = look_at_taken_;
      if (looked) return vendor_call([&] { return redisCommand(c, "LINDEX %s 0", taken_.c_str()); });
      return baton::blocking(
          [&] { return redisCommand(c, "BLMOVE %s %s LEFT RIGHT %d", name_.c_str(), taken_.c_str(), seconds); });
    });
    if (r->type == REDIS_REPLY_STRING) return std::string(r->str, r->len);
    if (!looked) return std::nullopt;
    look_at_taken_ = false;
  }
}

void queue::done(const std::string& value) {
  call("done", [&](redisContext* c) {
    return vendor_call([&] { return redisCommand(c, "LREM %s 1 %b", taken_.c_str(), value.data(), value.size()); });
  });
}
