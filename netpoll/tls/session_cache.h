// The sessions that a client can resume, by the server's name. Internal to netpoll/tls.
//
// Thread-safe. OpenSSL calls put() in the middle of its own work, so nothing here switches. A node is made before the
// lock is taken and freed after it is given back.
#pragma once

#include <baton/netpoll/tls/openssl_handles.h>
#include <baton/sched/platform/lock.h>

#include <cstddef>
#include <list>
#include <string>
#include <string_view>

namespace baton::net {

class session_cache {
 public:
  static constexpr std::size_t sessions_max = 256;
  static constexpr std::size_t sessions_of_name_max = 4;  // connections that begin at once need one each

  // Keeps the session. Drops the least recently used one if there are too many. May throw std::bad_alloc.
  void put(std::string_view server_name, session_handle session);
  // Returns the newest session with that server, or null. The cache does not keep a ticket of TLS 1.3 after that: it is
  // used only once, so that an observer cannot tell that two connections belong together.
  [[nodiscard]] session_handle take(std::string_view server_name);

 private:
  struct entry {
    std::string name;
    session_handle session;
  };
  using entries = std::list<entry>;

  mutable sched::platform::spin_lock lock_;
  entries newest_first_ ABSL_GUARDED_BY(lock_);
};

}  // namespace baton::net
