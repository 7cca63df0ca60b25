#include <baton/netpoll/tls/session_cache.h>

#include <iterator>
#include <utility>

namespace baton::net {

void session_cache::put(std::string_view server_name, session_handle session) {
  entries fresh;
  entries dropped;
  fresh.push_back({std::string(server_name), std::move(session)});
  {
    const sched::platform::lock_guard hold(lock_);
    newest_first_.splice(newest_first_.begin(), fresh);
    std::size_t of_name = 0;
    for (auto i = newest_first_.begin(); i != newest_first_.end();) {
      const auto here = i++;
      if (here->name != server_name || ++of_name <= sessions_of_name_max) continue;
      dropped.splice(dropped.end(), newest_first_, here);
      break;  // there is one more than allowed at most
    }
    if (newest_first_.size() > sessions_max) {
      dropped.splice(dropped.end(), newest_first_, std::prev(newest_first_.end()));
    }
  }
}

session_handle session_cache::take(std::string_view server_name) {
  entries taken;
  const sched::platform::lock_guard hold(lock_);
  for (auto i = newest_first_.begin(); i != newest_first_.end(); ++i) {
    if (i->name != server_name) continue;
    if (SSL_SESSION_get_protocol_version(i->session.get()) < TLS1_3_VERSION) {
      SSL_SESSION_up_ref(i->session.get());
      return session_handle(i->session.get());
    }
    taken.splice(taken.begin(), newest_first_, i);
    return std::move(taken.front().session);
  }
  return nullptr;
}

}  // namespace baton::net
