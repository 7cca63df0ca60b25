// A queue in a Redis server, by hiredis' blocking calls. One object per fiber: a hiredis connection may be used from
// any thread, but by one caller at a time.
//
// A connection that breaks is made again, a few times, and the call is repeated. That loses nothing: a value that is
// taken stays in a list of its own until it is done. But the client cannot know whether the server had already done
// what it could not confirm. A value may therefore come twice, and the caller must be able to tell.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>

struct redisContext;
struct redisReply;

class queue {
 public:
  // These functions throw std::runtime_error if the server cannot be reached, or refuses.
  queue(std::string socket, std::string name);

  void push(const std::string& value);
  // Waits for a value. Returns nothing if none came in `seconds`. Only one object may take from a queue.
  std::optional<std::string> pop(int seconds);
  // Confirms the value that pop() gave: it will not be asked for again.
  void done(const std::string& value);

 private:
  struct closer {
    void operator()(redisContext* c) const;
    void operator()(redisReply* r) const;
  };
  using reply = std::unique_ptr<redisReply, closer>;

  void connect();
  reply call(const char* what, const std::function<void*(redisContext*)>& command);

  const std::string socket_, name_, taken_;
  std::unique_ptr<redisContext, closer> connection_;
  bool look_at_taken_ = true;  // the list may hold a value that was lost on its way to this client
};
