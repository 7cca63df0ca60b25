// Names of hosts and users. The C library looks them up by calls of its own, which no wrapper sees, so each function is
// declared as a whole.
#include "call.h"

#include <grp.h>
#include <netdb.h>
#include <pwd.h>
#include <sys/socket.h>
#include <sys/types.h>

namespace baton::interpose {

BATON_WRAP(int, getaddrinfo, (const char* host, const char* service, const ::addrinfo* hints, ::addrinfo** found),
           (host, service, hints, found))
BATON_WRAP(int, getnameinfo,
           (const ::sockaddr* address, ::socklen_t size, char* host, ::socklen_t host_room, char* service,
            ::socklen_t service_room, int flags),
           (address, size, host, host_room, service, service_room, flags))

BATON_WRAP(::hostent*, gethostbyname, (const char* name), (name))
BATON_WRAP(::hostent*, gethostbyname2, (const char* name, int family), (name, family))
BATON_WRAP(::hostent*, gethostbyaddr, (const void* address, ::socklen_t size, int family), (address, size, family))
BATON_WRAP(int, gethostbyname_r,
           (const char* name, ::hostent* into, char* buffer, std::size_t room, ::hostent** found, int* error),
           (name, into, buffer, room, found, error))
BATON_WRAP(int, gethostbyname2_r,
           (const char* name, int family, ::hostent* into, char* buffer, std::size_t room, ::hostent** found,
            int* error),
           (name, family, into, buffer, room, found, error))
BATON_WRAP(int, gethostbyaddr_r,
           (const void* address, ::socklen_t size, int family, ::hostent* into, char* buffer, std::size_t room,
            ::hostent** found, int* error),
           (address, size, family, into, buffer, room, found, error))

// The resolver's own functions have two names each, by version.
#define BATON_WRAP_BOTH(name, parameters, arguments) \
  BATON_WRAP(int, name, parameters, arguments)       \
  BATON_WRAP(int, __##name, parameters, arguments)
BATON_WRAP_BOTH(res_query, (const char* name, int klass, int type, unsigned char* answer, int room),
                (name, klass, type, answer, room))
BATON_WRAP_BOTH(res_search, (const char* name, int klass, int type, unsigned char* answer, int room),
                (name, klass, type, answer, room))
BATON_WRAP_BOTH(res_querydomain,
                (const char* name, const char* domain, int klass, int type, unsigned char* answer, int room),
                (name, domain, klass, type, answer, room))
BATON_WRAP_BOTH(res_send, (const unsigned char* query, int size, unsigned char* answer, int room),
                (query, size, answer, room))
BATON_WRAP_BOTH(res_nquery, (void* state, const char* name, int klass, int type, unsigned char* answer, int room),
                (state, name, klass, type, answer, room))
BATON_WRAP_BOTH(res_nsearch, (void* state, const char* name, int klass, int type, unsigned char* answer, int room),
                (state, name, klass, type, answer, room))
BATON_WRAP_BOTH(res_nquerydomain,
                (void* state, const char* name, const char* domain, int klass, int type, unsigned char* answer,
                 int room),
                (state, name, domain, klass, type, answer, room))
BATON_WRAP_BOTH(res_nsend, (void* state, const unsigned char* query, int size, unsigned char* answer, int room),
                (state, query, size, answer, room))

// They may ask a server, too.
BATON_WRAP(::passwd*, getpwnam, (const char* name), (name))
BATON_WRAP(::passwd*, getpwuid, (::uid_t id), (id))
BATON_WRAP(int, getpwnam_r, (const char* name, ::passwd* into, char* buffer, std::size_t room, ::passwd** found),
           (name, into, buffer, room, found))
BATON_WRAP(int, getpwuid_r, (::uid_t id, ::passwd* into, char* buffer, std::size_t room, ::passwd** found),
           (id, into, buffer, room, found))
BATON_WRAP(::group*, getgrnam, (const char* name), (name))
BATON_WRAP(::group*, getgrgid, (::gid_t id), (id))
BATON_WRAP(int, getgrnam_r, (const char* name, ::group* into, char* buffer, std::size_t room, ::group** found),
           (name, into, buffer, room, found))
BATON_WRAP(int, getgrgid_r, (::gid_t id, ::group* into, char* buffer, std::size_t room, ::group** found),
           (id, into, buffer, room, found))
BATON_WRAP(int, getgrouplist, (const char* user, ::gid_t id, ::gid_t* groups, int* n), (user, id, groups, n))
BATON_WRAP(int, initgroups, (const char* user, ::gid_t id), (user, id))

}  // namespace baton::interpose

extern "C" const char baton_interpose_names;
extern "C" const char baton_interpose_names = 0;  // see linked.cc
