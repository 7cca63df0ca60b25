// Sockets through the typed calls.
#include <baton/syscall/files.h>
#include <baton/syscall/nonblocking.h>
#include <baton/syscall/owned_fd.h>
#include <baton/syscall/sockets.h>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <cerrno>
#include <span>
#include <string>

#include <gtest/gtest.h>

namespace {

namespace sys = baton::sys;
using sys::owned_fd;

struct socket_pair {
  explicit socket_pair(int type) {
    const auto ends = sys::socketpair(AF_UNIX, type | SOCK_CLOEXEC).value();
    a = owned_fd(ends[0]);
    b = owned_fd(ends[1]);
  }
  owned_fd a, b;
};

::sockaddr_in loopback() {
  ::sockaddr_in at{};
  at.sin_family = AF_INET;
  at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  return at;
}
::sockaddr* generic(::sockaddr_in& at) { return reinterpret_cast<::sockaddr*>(&at); }

TEST(Sockets, APairTalksBothWaysUntilShutDown) {
  const socket_pair s(SOCK_STREAM);
  std::string text(8, '\0');
  EXPECT_EQ(*sys::send(s.a.get(), "ping", MSG_NOSIGNAL), 4U);
  EXPECT_EQ(*sys::recv(s.b.get(), text), 4U);
  EXPECT_EQ(text.substr(0, 4), "ping");
  EXPECT_EQ(*sys::sendto(s.b.get(), "pong", MSG_NOSIGNAL, nullptr, 0), 4U);
  EXPECT_EQ(*sys::recvfrom(s.a.get(), text, 0, nullptr, nullptr), 4U);
  EXPECT_EQ(text.substr(0, 4), "pong");
  EXPECT_TRUE(sys::shutdown(s.a.get(), SHUT_WR));
  EXPECT_EQ(*sys::recv(s.b.get(), text), 0U);
  EXPECT_EQ(sys::send(s.a.get(), "x", MSG_NOSIGNAL).error(), EPIPE);
}

TEST(Sockets, AConnectionIsMadeAndNamed) {
  const owned_fd listener(sys::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC).value());
  ::sockaddr_in at = loopback();
  ASSERT_TRUE(sys::setsockopt(listener.get(), SOL_SOCKET, SO_REUSEADDR, 1));
  ASSERT_TRUE(sys::bind(listener.get(), generic(at), sizeof at));
  ASSERT_TRUE(sys::listen(listener.get(), 8));
  ::socklen_t size = sizeof at;
  ASSERT_TRUE(sys::getsockname(listener.get(), generic(at), &size));

  const owned_fd client(sys::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC).value());
  ASSERT_TRUE(sys::connect(client.get(), generic(at), sizeof at));
  ::sockaddr_in peer{};
  size = sizeof peer;
  const owned_fd server(sys::accept4(listener.get(), generic(peer), &size, SOCK_CLOEXEC).value());
  ::sockaddr_in mine{};
  size = sizeof mine;
  ASSERT_TRUE(sys::getsockname(client.get(), generic(mine), &size));
  EXPECT_EQ(peer.sin_port, mine.sin_port);
  size = sizeof peer;
  ASSERT_TRUE(sys::getpeername(client.get(), generic(peer), &size));
  EXPECT_EQ(peer.sin_port, at.sin_port);
  EXPECT_EQ(*sys::send(server.get(), "hi"), 2U);
  std::string text(4, '\0');
  EXPECT_EQ(*sys::recv(client.get(), text), 2U);
}

TEST(Sockets, Options) {
  const socket_pair s(SOCK_STREAM);
  EXPECT_EQ(*sys::getsockopt(s.a.get(), SOL_SOCKET, SO_TYPE), SOCK_STREAM);
  EXPECT_EQ(*sys::getsockopt(s.a.get(), SOL_SOCKET, SO_ERROR), 0);
  EXPECT_EQ(sys::getsockopt(-1, SOL_SOCKET, SO_ERROR).error(), EBADF);
  EXPECT_TRUE(sys::setsockopt(s.a.get(), SOL_SOCKET, SO_PASSCRED, 1));
  EXPECT_EQ(*sys::getsockopt(s.a.get(), SOL_SOCKET, SO_PASSCRED), 1);
}

TEST(Sockets, ADatagramThatIsTooLargeSaysSo) {
  const socket_pair s(SOCK_DGRAM);
  EXPECT_EQ(*sys::send(s.a.get(), "0123456789"), 10U);
  std::string text(4, '\0');
  ::iovec into = baton::as_iovec(baton::bytes(text));
  ::msghdr message{};
  message.msg_iov = &into;
  message.msg_iovlen = 1;
  EXPECT_EQ(*sys::recvmsg(s.b.get(), &message, 0), 4U);
  EXPECT_NE(message.msg_flags & MSG_TRUNC, 0);
  EXPECT_EQ(text, "0123");
}

TEST(Sockets, MessagesHaveParts) {
  const socket_pair s(SOCK_DGRAM);
  ::iovec from[2] = {baton::as_iovec(baton::const_bytes("ab")), baton::as_iovec(baton::const_bytes("cde"))};
  ::msghdr message{};
  message.msg_iov = from;
  message.msg_iovlen = 2;
  EXPECT_EQ(*sys::sendmsg(s.a.get(), &message, 0), 5U);
  EXPECT_EQ(*sys::nb::sendmsg(s.a.get(), &message, 0), 5U);
  std::string text(8, '\0');
  EXPECT_EQ(*sys::recv(s.b.get(), text), 5U);
  EXPECT_EQ(*sys::nb::recvfrom(s.b.get(), text, MSG_DONTWAIT, nullptr, nullptr), 5U);
  EXPECT_EQ(text.substr(0, 5), "abcde");
}

TEST(Sockets, SeveralMessagesAtOnce) {
  const auto ends = sys::socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC).value();
  const sys::owned_fd a(ends[0]), b(ends[1]);
  char words[3][4] = {"one", "two", "six"}, came[3][4] = {};
  ::iovec from[3], into[3];
  ::mmsghdr out[3] = {}, in[3] = {};
  for (std::size_t i = 0; i < 3; ++i) {
    from[i] = {&words[i][0], i + 1};
    into[i] = {&came[i][0], 4};
    out[i].msg_hdr.msg_iov = &from[i];
    in[i].msg_hdr.msg_iov = &into[i];
    out[i].msg_hdr.msg_iovlen = in[i].msg_hdr.msg_iovlen = 1;
  }
  EXPECT_EQ(*sys::sendmmsg(a.get(), out, 0), 3U);
  EXPECT_EQ(out[1].msg_len, 2U);
  EXPECT_EQ(*sys::recvmmsg(b.get(), std::span(in).first(1), 0), 1U);
  EXPECT_EQ(*sys::recvmmsg(b.get(), std::span(in).subspan(1), MSG_WAITFORONE), 2U);
  EXPECT_STREQ(came[0], "o");
  EXPECT_STREQ(came[1], "tw");
  EXPECT_STREQ(came[2], "six");
  EXPECT_EQ(sys::recvmmsg(b.get(), in, MSG_DONTWAIT).error(), EAGAIN);
  EXPECT_EQ(sys::recvmmsg(-1, in, 0).error(), EBADF);
  EXPECT_EQ(sys::sendmmsg(-1, out, 0).error(), EBADF);
  EXPECT_EQ(sys::sendmmsg(0, {}, 0).error(), ENOTSOCK);
  const std::span<::mmsghdr> nowhere(reinterpret_cast<::mmsghdr*>(std::uintptr_t{4096 - 256}), 1);
  EXPECT_EQ(sys::sendmmsg(a.get(), nowhere, 0).error(), EFAULT);
  EXPECT_EQ(sys::recvmmsg(b.get(), nowhere, MSG_DONTWAIT).error(), EFAULT);
}

TEST(Nonblocking, EverythingThatWouldBlockSaysEagain) {
  const socket_pair s(SOCK_STREAM | SOCK_NONBLOCK);
  std::string text(8, '\0');
  const ::iovec into = baton::as_iovec(baton::bytes(text));
  ::msghdr message{};
  message.msg_iov = const_cast<::iovec*>(&into);
  message.msg_iovlen = 1;
  errno = 77;
  EXPECT_EQ(sys::nb::read(s.a.get(), text).error(), EAGAIN);
  EXPECT_EQ(sys::nb::readv(s.a.get(), std::span(&into, 1)).error(), EAGAIN);
  EXPECT_EQ(sys::nb::recvfrom(s.a.get(), text, 0, nullptr, nullptr).error(), EAGAIN);
  EXPECT_EQ(sys::nb::recvmsg(s.a.get(), &message, 0).error(), EAGAIN);
  const int kept = errno;
  EXPECT_EQ(kept, 77);
  EXPECT_EQ(*sys::nb::write(s.a.get(), "ab"), 2U);
  EXPECT_EQ(*sys::nb::sendto(s.a.get(), "cd", MSG_NOSIGNAL, nullptr, 0), 2U);
  const ::iovec from = baton::as_iovec(baton::const_bytes("ef"));
  EXPECT_EQ(*sys::nb::writev(s.a.get(), std::span(&from, 1)), 2U);
  EXPECT_EQ(*sys::nb::read(s.b.get(), text), 6U);
  EXPECT_EQ(text.substr(0, 6), "abcdef");
}

TEST(Nonblocking, AFullStreamTakesAPart) {
  const socket_pair s(SOCK_STREAM | SOCK_NONBLOCK);
  const std::string much(16U << 20, 'x');
  const std::size_t sent = sys::nb::write(s.a.get(), much).value();
  EXPECT_GT(sent, 0U);
  EXPECT_LT(sent, much.size());
}

TEST(Nonblocking, ConnectAndAccept) {
  const owned_fd listener(sys::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK).value());
  ::sockaddr_in at = loopback();
  ASSERT_TRUE(sys::bind(listener.get(), generic(at), sizeof at));
  ASSERT_TRUE(sys::listen(listener.get(), 8));
  ::socklen_t size = sizeof at;
  ASSERT_TRUE(sys::getsockname(listener.get(), generic(at), &size));
  EXPECT_EQ(sys::nb::accept4(listener.get(), nullptr, nullptr, 0).error(), EAGAIN);
  const owned_fd client(sys::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK).value());
  const auto connected = sys::nb::connect(client.get(), generic(at), sizeof at);
  EXPECT_TRUE(connected || connected.error() == EINPROGRESS) << connected.error();
  ::pollfd coming{listener.get(), POLLIN, 0};
  ASSERT_EQ(*sys::poll(std::span(&coming, 1), -1), 1);
  const owned_fd server(sys::nb::accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC).value_or(-1));
  EXPECT_TRUE(static_cast<bool>(server));
}

}  // namespace
