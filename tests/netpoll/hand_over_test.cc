// Listeners pass from one owner to the next, and no connection is lost.
#include "net_test_support.h"

#include <baton/netpoll/hand_over.h>
#include <baton/syscall/owned_fd.h>

#include <fcntl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>
#include <array>
#include <cerrno>
#include <string>
#include <vector>

namespace baton::net::test {
namespace {

TEST(HandOver, TheSuccessorAcceptsWhatWasNotAccepted) {
  run([] {
    std::array<tcp_listener, 2> old = {listen(), listen()};
    const address first = old[0].local_address();
    const address second = old[1].local_address();
    tcp_stream early = must(dial(second.to_string()));  // waits in the queue while the listeners change hands
    auto ends = must(unix_stream::pair());
    unix_stream& here = ends.first;
    unix_stream& there = ends.second;
    auto successor = spawn([&there] { return must(take_over(there)); });
    EXPECT_TRUE(hand_over(here, old).ok());
    std::vector<tcp_listener> fresh = successor.join();
    ASSERT_EQ(fresh.size(), 2U);
    EXPECT_EQ(fresh[0].local_address(), first);
    EXPECT_NE(fresh[0].native_handle(), old[0].native_handle());
    for (tcp_listener& l : old) l.close();
    EXPECT_EQ(must(fresh[1].accept()).remote_address(), early.local_address());
    tcp_stream late = must(dial(first.to_string()));
    EXPECT_EQ(must(fresh[0].accept()).remote_address(), late.local_address());
  });
}

TEST(HandOver, NoListenersAreAHandOverToo) {
  run([] {
    auto ends = must(unix_stream::pair());
    unix_stream& here = ends.first;
    unix_stream& there = ends.second;
    auto successor = spawn([&there] { return must(take_over(there)).size(); });
    EXPECT_TRUE(hand_over(here, {}).ok());
    EXPECT_EQ(successor.join(), 0U);
  });
}

TEST(HandOver, WhatGoesWrongIsSaidOnBothSides) {
  run([] {
    std::array<tcp_listener, 1> old = {listen()};
    {
      auto ends = must(unix_stream::pair());
      unix_stream& here = ends.first;
      unix_stream& there = ends.second;
      there.close();
      EXPECT_FALSE(hand_over(here, old).ok()) << "nobody is there";
    }
    {
      auto ends = must(unix_stream::pair());
      unix_stream& here = ends.first;
      unix_stream& there = ends.second;
      auto reads = spawn([&there] {
        char mark;
        return *there.read({&mark, 1});  // and drops the descriptor
      });
      auto hands = spawn([&here, &old] { return hand_over(here, old); });
      EXPECT_EQ(reads.join(), 1U);
      there.close();
      EXPECT_FALSE(hands.join().ok()) << "the successor ended";
    }
    {
      auto ends = must(unix_stream::pair());
      unix_stream& here = ends.first;
      unix_stream& there = ends.second;
      EXPECT_TRUE(here.write("GET /").ok());
      EXPECT_TRUE(absl::IsDataLoss(take_over(there).status()));
      here.close();
    }
    {
      auto ends = must(unix_stream::pair());
      unix_stream& here = ends.first;
      unix_stream& there = ends.second;
      here.close();
      EXPECT_TRUE(absl::IsDataLoss(take_over(there).status())) << "the predecessor ended";
    }
    {
      auto ends = must(unix_stream::pair());
      unix_stream& here = ends.first;
      unix_stream& there = ends.second;
      const sys::owned_fd file(::open("/dev/null", O_RDONLY | O_CLOEXEC));
      EXPECT_TRUE(here.send_fd(file.get(), "L").ok());
      EXPECT_EQ(errno_of(take_over(there).status()), ENOTSOCK);
    }
    {
      auto ends = must(unix_stream::pair());
      unix_stream& here = ends.first;
      std::array<tcp_listener, 1> closed;
      EXPECT_TRUE(absl::IsFailedPrecondition(hand_over(here, closed)));
    }
    {
      auto ends = must(unix_stream::pair());
      unix_stream& here = ends.first;
      here.set_timeout(1ms);
      EXPECT_TRUE(absl::IsDeadlineExceeded(hand_over(here, old))) << "a successor that says nothing";
    }
    EXPECT_TRUE(old[0].is_open()) << "after an error it goes on";
  });
}

}  // namespace
}  // namespace baton::net::test
