// A queue in a Redis server, by hiredis' blocking calls. One object per fiber: a hiredis connection may
// be used from any thread, but by one caller at a time.
#pragma once

#include <memory>
#include <optional>
#include <string>

struct redisContext;

class queue {
 public:
  // Throws std::runtime_error, here and below.
  queue(const std::string& socket, std::string name);
  void push(const std::string& value);
  // Waits for a value; nothing after `seconds`.
  std::optional<std::string> pop(int seconds);

 private:
  struct closer {
    void operator()(redisContext* c) const;
  };
  std::unique_ptr<redisContext, closer> connection_;
  std::string name_;
};
