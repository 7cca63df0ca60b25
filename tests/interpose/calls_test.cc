// Each call that is wrapped: while it waits, other fibers of the same P run, and one of them ends the wait.
#include "heartbeat.h"

#include <baton/baton.h>

#include <gtest/gtest.h>

#include <arpa/inet.h>
#include <fcntl.h>
#include <mqueue.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <sys/epoll.h>
#include <sys/file.h>
#include <sys/ipc.h>
#include <sys/msg.h>
#include <sys/select.h>
#include <sys/sem.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>
#include <array>
#include <atomic>
#include <csignal>
#include <cstdio>
#include <ctime>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

namespace {

using namespace std::chrono_literals;
using baton_test::heartbeat;

bool has_site(const std::string& call) {
  for (const auto& site : baton::call_sites()) {
    if (site.place.rfind(call + ", called in ", 0) == 0) return true;
  }
  return false;
}

// Runs block() in a fiber until it waits, and release() in another one.
void expect_others_run(const std::string& call, const std::function<void()>& block,
                       const std::function<void()>& release) {
  std::atomic<int> at{0};
  auto blocked = baton::spawn([&] {
    const pid_t thread = ::gettid();
    at = 1;
    block();
    at = 2;
    EXPECT_EQ(::gettid(), thread) << call;
  });
  const heartbeat others;
  while (at == 0) baton::this_fiber::yield();
  others.wait_for(2);
  EXPECT_EQ(at, 1) << call << " did not wait";
  release();
  blocked.join();
  EXPECT_TRUE(has_site(call)) << call << " was not declared";
}

class Calls : public testing::Test {
 protected:
  void SetUp() override {
    char name[] = "/tmp/interpose.XXXXXX";
    ASSERT_NE(::mkdtemp(name), nullptr);
    directory_ = name;
    ASSERT_EQ(::pipe2(pipe_.data(), O_CLOEXEC), 0);
    ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair_.data()), 0);
  }
  void TearDown() override {
    for (const int fd : {pipe_[0], pipe_[1], pair_[0], pair_[1]}) ::close(fd);
    std::filesystem::remove_all(directory_);
  }
  void put() const { EXPECT_EQ(::write(pipe_[1], "b", 1), 1); }
  void put_in_socket() const { EXPECT_EQ(::send(pair_[1], "b", 1, 0), 1); }

  std::string directory_;
  std::array<int, 2> pipe_{-1, -1};
  std::array<int, 2> pair_{-1, -1};
  char c_ = 0;
};

TEST_F(Calls, ReadingFromAPipe) {
  baton::run([this] {
    ::iovec into{&c_, 1};
    expect_others_run(
        "read", [&] { EXPECT_EQ(::read(pipe_[0], &c_, 1), 1); }, [&] { put(); });
    expect_others_run(
        "readv", [&] { EXPECT_EQ(::readv(pipe_[0], &into, 1), 1); }, [&] { put(); });
    expect_others_run(
        "preadv2", [&] { EXPECT_EQ(::preadv2(pipe_[0], &into, 1, -1, 0), 1); }, [&] { put(); });
    expect_others_run(
        "splice", [&] { EXPECT_EQ(::splice(pipe_[0], nullptr, pair_[0], nullptr, 1, 0), 1); }, [&] { put(); });
  });
}

TEST_F(Calls, WritingToAFullPipe) {
  baton::run([this] {
    const int room = ::fcntl(pipe_[1], F_GETPIPE_SZ);
    const std::string all(static_cast<std::size_t>(room), 'b');
    std::string got = all;
    const auto take = [&] { EXPECT_EQ(::read(pipe_[0], got.data(), got.size()), room); };
    ASSERT_EQ(::write(pipe_[1], all.data(), all.size()), room);
    expect_others_run(
        "write", [&] { EXPECT_EQ(::write(pipe_[1], all.data(), all.size()), room); }, take);
    ::iovec from{const_cast<char*>(all.data()), all.size()};
    expect_others_run(
        "writev", [&] { EXPECT_EQ(::writev(pipe_[1], &from, 1), room); }, take);
  });
}

TEST_F(Calls, ReceivingFromASocket) {
  baton::run([this] {
    ::iovec into{&c_, 1};
    ::msghdr message{};
    message.msg_iov = &into;
    message.msg_iovlen = 1;
    ::mmsghdr messages{message, 0};
    const auto put = [&] { put_in_socket(); };
    expect_others_run(
        "recv", [&] { EXPECT_EQ(::recv(pair_[0], &c_, 1, 0), 1); }, put);
    expect_others_run(
        "recv", [&] { EXPECT_EQ(::recv(pair_[0], &c_, 1, MSG_WAITALL), 1); }, put);
    expect_others_run(
        "recvfrom", [&] { EXPECT_EQ(::recvfrom(pair_[0], &c_, 1, 0, nullptr, nullptr), 1); }, put);
    expect_others_run(
        "recvmsg", [&] { EXPECT_EQ(::recvmsg(pair_[0], &message, 0), 1); }, put);
    expect_others_run(
        "recvmmsg", [&] { EXPECT_EQ(::recvmmsg(pair_[0], &messages, 1, 0, nullptr), 1); }, put);
    expect_others_run(
        "read", [&] { EXPECT_EQ(::read(pair_[0], &c_, 1), 1); }, put);
  });
}

TEST_F(Calls, SendingToAFullSocket) {
  baton::run([this] {
    std::string much(1 << 20, 'b');
    ::iovec from{much.data(), much.size()};
    ::msghdr message{};
    message.msg_iov = &from;
    message.msg_iovlen = 1;
    ::mmsghdr messages{message, 0};
    const auto take = [&] {
      std::string got(much.size(), '\0');
      EXPECT_EQ(::recv(pair_[1], got.data(), got.size(), MSG_WAITALL), static_cast<ssize_t>(much.size()));
    };
    const auto all = static_cast<ssize_t>(much.size());
    expect_others_run(
        "send", [&] { EXPECT_EQ(::send(pair_[0], much.data(), much.size(), 0), all); }, take);
    expect_others_run(
        "sendto", [&] { EXPECT_EQ(::sendto(pair_[0], much.data(), much.size(), 0, nullptr, 0), all); }, take);
    expect_others_run(
        "sendmsg", [&] { EXPECT_EQ(::sendmsg(pair_[0], &message, 0), all); }, take);
    expect_others_run(
        "sendmmsg", [&] { EXPECT_EQ(::sendmmsg(pair_[0], &messages, 1, 0), 1); }, take);
  });
}

TEST_F(Calls, ConnectingAndAccepting) {
  baton::run([] {
    ::sockaddr_in a{};
    ::socklen_t size = sizeof a;
    a.sin_family = AF_INET;
    a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    const int listener = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    auto* const address = reinterpret_cast<::sockaddr*>(&a);
    ASSERT_EQ(::bind(listener, address, size), 0);
    ASSERT_EQ(::listen(listener, 8), 0);
    ASSERT_EQ(::getsockname(listener, address, &size), 0);
    int accepted = -1;
    int peer = -1;
    const auto connect = [&] {
      peer = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
      EXPECT_EQ(::connect(peer, address, size), 0);
    };
    const auto close = [&] {
      ::close(accepted);
      ::close(peer);
    };
    expect_others_run(
        "accept", [&] { accepted = ::accept(listener, nullptr, nullptr); }, connect);
    EXPECT_GE(accepted, 0);
    close();
    expect_others_run(
        "accept4", [&] { accepted = ::accept4(listener, nullptr, nullptr, SOCK_CLOEXEC); }, connect);
    EXPECT_GE(accepted, 0);
    close();
    ::close(listener);
  });
}

// The connections that a listener has room for are made at once. The next one waits.
TEST_F(Calls, ConnectingWhereNobodyAccepts) {
  baton::run([this] {
    ::sockaddr_un a{};
    a.sun_family = AF_UNIX;
    std::snprintf(a.sun_path, sizeof a.sun_path, "%s/listener", directory_.c_str());
    const auto* const address = reinterpret_cast<const ::sockaddr*>(&a);
    const int listener = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    ASSERT_EQ(::bind(listener, address, sizeof a), 0);
    ASSERT_EQ(::listen(listener, 0), 0);
    const int first = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    const int second = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    ASSERT_EQ(::connect(first, address, sizeof a), 0);
    int accepted = -1;
    expect_others_run(
        "connect", [&] { EXPECT_EQ(::connect(second, address, sizeof a), 0); },
        [&] { accepted = ::accept(listener, nullptr, nullptr); });
    for (const int fd : {listener, first, second, accepted}) ::close(fd);
  });
}

TEST_F(Calls, WaitingForDescriptors) {
  baton::run([this] {
    const auto release = [&] { put(); };
    const auto take = [&] { EXPECT_EQ(::read(pipe_[0], &c_, 1), 1); };
    const timespec patience{60, 0};
    ::pollfd p{pipe_[0], POLLIN, 0};
    ::sigset_t none;
    ::sigemptyset(&none);
    expect_others_run(
        "poll", [&] { EXPECT_EQ(::poll(&p, 1, 60'000), 1); }, release);
    take();
    expect_others_run(
        "ppoll", [&] { EXPECT_EQ(::ppoll(&p, 1, &patience, &none), 1); }, release);
    take();
    ::fd_set set;
    FD_ZERO(&set);
    FD_SET(pipe_[0], &set);
    expect_others_run(
        "select", [&] { EXPECT_EQ(::select(pipe_[0] + 1, &set, nullptr, nullptr, nullptr), 1); }, release);
    EXPECT_TRUE(FD_ISSET(pipe_[0], &set));
    take();
    expect_others_run(
        "pselect", [&] { EXPECT_EQ(::pselect(pipe_[0] + 1, &set, nullptr, nullptr, &patience, &none), 1); }, release);
    EXPECT_TRUE(FD_ISSET(pipe_[0], &set));
    take();
    const int many = ::epoll_create1(EPOLL_CLOEXEC);
    ::epoll_event event{EPOLLIN, {}};
    ASSERT_EQ(::epoll_ctl(many, EPOLL_CTL_ADD, pipe_[0], &event), 0);
    expect_others_run(
        "epoll_wait", [&] { EXPECT_EQ(::epoll_wait(many, &event, 1, -1), 1); }, release);
    take();
    expect_others_run(
        "epoll_pwait", [&] { EXPECT_EQ(::epoll_pwait(many, &event, 1, 60'000, &none), 1); }, release);
    take();
    ::close(many);
  });
}

// A try that finds nothing must leave the sets and the time as they were.
TEST_F(Calls, WaitingForDescriptorsUntilATimeout) {
  baton::run([this] {
    ::pollfd p{pipe_[0], POLLIN, 0};
    EXPECT_EQ(::poll(&p, 1, 2), 0);
    ::fd_set readable;
    ::fd_set writable;
    FD_ZERO(&readable);
    FD_ZERO(&writable);
    FD_SET(pipe_[0], &readable);
    FD_SET(pipe_[1], &writable);
    ::timeval t{0, 2'000};
    EXPECT_EQ(::select(pipe_[1] + 1, &readable, &writable, nullptr, &t), 1);  // the pipe has room
    EXPECT_TRUE(FD_ISSET(pipe_[1], &writable));
    EXPECT_FALSE(FD_ISSET(pipe_[0], &readable));
    FD_SET(pipe_[0], &readable);
    EXPECT_EQ(::select(pipe_[1] + 1, &readable, nullptr, nullptr, &t), 0);
    EXPECT_FALSE(FD_ISSET(pipe_[0], &readable));
    EXPECT_EQ(t.tv_usec, 0);
  });
}

TEST_F(Calls, Sleeping) {
  baton::run([] {
    // The one that sleeps is ended by a signal to its thread.
    std::atomic<pthread_t> thread{};
    const auto wake = [&] { EXPECT_EQ(::pthread_kill(thread, SIGUSR2), 0); };
    struct sigaction action {};
    struct sigaction before {};
    action.sa_handler = [](int) {};
    ASSERT_EQ(::sigaction(SIGUSR2, &action, &before), 0);
    const auto sleeps = [&](const char* call, const std::function<void()>& sleep) {
      expect_others_run(
          call, [&] { thread = ::pthread_self(), sleep(); }, wake);
    };
    const timespec hour{3600, 0};
    sleeps("nanosleep", [&] {
      EXPECT_EQ(::nanosleep(&hour, nullptr), -1);
      EXPECT_EQ(errno, EINTR);
    });
    sleeps("clock_nanosleep", [&] { EXPECT_EQ(::clock_nanosleep(CLOCK_MONOTONIC, 0, &hour, nullptr), EINTR); });
    sleeps("usleep", [&] { EXPECT_EQ(::usleep(999'999'999), -1); });
    sleeps("sleep", [&] { EXPECT_GT(::sleep(3600), 0U); });
    sleeps("pause", [&] { EXPECT_EQ(::pause(), -1); });
    ::sigset_t none;
    ::sigemptyset(&none);
    sleeps("sigsuspend", [&] { EXPECT_EQ(::sigsuspend(&none), -1); });
    ASSERT_EQ(::sigaction(SIGUSR2, &before, nullptr), 0);
  });
}

TEST_F(Calls, WaitingForASignal) {
  baton::run([] {
    ::sigset_t set;
    ::sigemptyset(&set);
    ::sigaddset(&set, SIGUSR2);
    std::atomic<pthread_t> thread{};
    expect_others_run(
        "sigwait",
        [&] {
          ::sigset_t before;
          ::pthread_sigmask(SIG_BLOCK, &set, &before);
          thread = ::pthread_self();
          int signal = 0;
          EXPECT_EQ(::sigwait(&set, &signal), 0);
          EXPECT_EQ(signal, SIGUSR2);
          ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
        },
        [&] { EXPECT_EQ(::pthread_kill(thread, SIGUSR2), 0); });
  });
}

TEST_F(Calls, WaitingForAChild) {
  baton::run([this] {
    pid_t child = -1;
    const auto start = [&] {
      child = ::fork();
      if (child == 0) {
        char c = 0;
        ::_exit(::read(pipe_[0], &c, 1) == 1 ? 7 : 1);
      }
    };
    const auto release = [&] { put(); };
    int status = 0;
    start();
    expect_others_run(
        "waitpid", [&] { EXPECT_EQ(::waitpid(child, &status, 0), child); }, release);
    EXPECT_EQ(WEXITSTATUS(status), 7);
    start();
    expect_others_run(
        "wait4", [&] { EXPECT_EQ(::wait4(child, &status, 0, nullptr), child); }, release);
    EXPECT_EQ(WEXITSTATUS(status), 7);
    start();
    ::siginfo_t info{};
    expect_others_run(
        "waitid", [&] { EXPECT_EQ(::waitid(P_PID, static_cast<id_t>(child), &info, WEXITED), 0); }, release);
    EXPECT_EQ(info.si_status, 7);
    const std::string fifo = directory_ + "/fifo";
    ASSERT_EQ(::mkfifo(fifo.c_str(), 0600), 0);
    expect_others_run(
        "system", [&] { EXPECT_EQ(::system(("exec 3< " + fifo + "; exit 0").c_str()), 0); },
        [&] { ::close(::open(fifo.c_str(), O_WRONLY | O_CLOEXEC)); });
  });
}

TEST_F(Calls, OpeningAFifo) {
  baton::run([this] {
    const std::string fifo = directory_ + "/fifo";
    ASSERT_EQ(::mkfifo(fifo.c_str(), 0600), 0);
    const auto release = [&] { ::close(::open(fifo.c_str(), O_WRONLY | O_CLOEXEC)); };
    int fd = -1;
    expect_others_run(
        "open", [&] { fd = ::open(fifo.c_str(), O_RDONLY | O_CLOEXEC); }, release);
    EXPECT_GE(fd, 0);
    ::close(fd);
    expect_others_run(
        "openat", [&] { fd = ::openat(AT_FDCWD, fifo.c_str(), O_RDONLY | O_CLOEXEC); }, release);
    EXPECT_GE(fd, 0);
    ::close(fd);
    fd = ::open((directory_ + "/new").c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0640);
    struct stat s {};
    EXPECT_EQ(::fstat(fd, &s), 0);
    EXPECT_EQ(s.st_mode & 0777 & ~0640U, 0U) << "the third argument came through";
    EXPECT_NE(s.st_mode & 0400U, 0U);
    ::close(fd);
  });
}

TEST_F(Calls, LockingFiles) {
  baton::run([this] {
    const std::string name = directory_ + "/file";
    const int a = ::open(name.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    const int b = ::open(name.c_str(), O_RDWR | O_CLOEXEC);
    ASSERT_EQ(::flock(a, LOCK_EX), 0);
    expect_others_run(
        "flock", [&] { EXPECT_EQ(::flock(b, LOCK_EX), 0); }, [&] { ::flock(a, LOCK_UN); });
    ::flock(b, LOCK_UN);
    struct ::flock lock {};
    lock.l_type = F_WRLCK;
    ASSERT_EQ(::fcntl(a, F_OFD_SETLKW, &lock), 0);
    expect_others_run(
        "fcntl", [&] { EXPECT_EQ(::fcntl(b, F_OFD_SETLKW, &lock), 0); },
        [&] {
          struct ::flock unlock {};
          unlock.l_type = F_UNLCK;
          EXPECT_EQ(::fcntl(a, F_OFD_SETLKW, &unlock), 0);
        });
    EXPECT_EQ(::fcntl(a, F_GETFD), FD_CLOEXEC);
    EXPECT_EQ(::fsync(a), 0);
    EXPECT_EQ(::fdatasync(a), 0);
    ::close(a);
    ::close(b);
  });
}

// The lambdas that wait compare what the call returns: a tail call would have the place of its caller.
TEST_F(Calls, LocksOfThreads) {
  baton::run([] {
    baton::lock_os_thread();  // the thread that locks unlocks
    ::pthread_mutex_t m = PTHREAD_MUTEX_INITIALIZER;
    ::pthread_rwlock_t l = PTHREAD_RWLOCK_INITIALIZER;
    const timespec late{std::time(nullptr) + 3600, 0};
    const auto locked = [&](const char* call, const std::function<bool()>& lock_fails) {
      ASSERT_EQ(::pthread_mutex_lock(&m), 0);
      const auto block = [&] {
        EXPECT_FALSE(lock_fails());
        EXPECT_EQ(::pthread_mutex_unlock(&m), 0);
      };
      expect_others_run(call, block, [&] { EXPECT_EQ(::pthread_mutex_unlock(&m), 0); });
    };
    locked("pthread_mutex_lock", [&] { return ::pthread_mutex_lock(&m) != 0; });
    locked("pthread_mutex_timedlock", [&] { return ::pthread_mutex_timedlock(&m, &late) != 0; });
    const auto shared = [&](const char* call, const std::function<bool()>& lock_fails) {
      ASSERT_EQ(::pthread_rwlock_wrlock(&l), 0);
      const auto block = [&] {
        EXPECT_FALSE(lock_fails());
        EXPECT_EQ(::pthread_rwlock_unlock(&l), 0);
      };
      expect_others_run(call, block, [&] { EXPECT_EQ(::pthread_rwlock_unlock(&l), 0); });
    };
    shared("pthread_rwlock_rdlock", [&] { return ::pthread_rwlock_rdlock(&l) != 0; });
    shared("pthread_rwlock_wrlock", [&] { return ::pthread_rwlock_wrlock(&l) != 0; });
    baton::unlock_os_thread();
  });
}

TEST_F(Calls, ConditionsSemaphoresAndBarriers) {
  baton::run([] {
    ::pthread_mutex_t m = PTHREAD_MUTEX_INITIALIZER;
    ::pthread_cond_t c = PTHREAD_COND_INITIALIZER;
    const timespec late{std::time(nullptr) + 3600, 0};
    bool ready = false;
    const auto waits = [&](const std::function<bool()>& wait_fails) {
      return [&, wait_fails] {
        ::pthread_mutex_lock(&m);
        ready = false;
        while (!ready) EXPECT_FALSE(wait_fails());
        ::pthread_mutex_unlock(&m);
      };
    };
    const auto notify = [&] {
      ::pthread_mutex_lock(&m);
      ready = true;
      ::pthread_mutex_unlock(&m);
      ::pthread_cond_signal(&c);
    };
    expect_others_run("pthread_cond_wait", waits([&] { return ::pthread_cond_wait(&c, &m) != 0; }), notify);
    expect_others_run("pthread_cond_timedwait", waits([&] { return ::pthread_cond_timedwait(&c, &m, &late) != 0; }),
                      notify);
    ::sem_t s;
    ASSERT_EQ(::sem_init(&s, 0, 0), 0);
    expect_others_run(
        "sem_wait", [&] { EXPECT_EQ(::sem_wait(&s), 0); }, [&] { ::sem_post(&s); });
    expect_others_run(
        "sem_timedwait", [&] { EXPECT_EQ(::sem_timedwait(&s, &late), 0); }, [&] { ::sem_post(&s); });
    ::sem_destroy(&s);
    ::pthread_barrier_t b;
    ASSERT_EQ(::pthread_barrier_init(&b, nullptr, 2), 0);
    expect_others_run(
        "pthread_barrier_wait", [&] { ::pthread_barrier_wait(&b); }, [&] { ::pthread_barrier_wait(&b); });
    ::pthread_barrier_destroy(&b);
  });
}

TEST_F(Calls, JoiningAThreadAndWaitingForAnAtomic) {
  baton::run([this] {
    ::pthread_t thread{};
    const auto main = [](void* fd) -> void* {
      char c = 0;
      return ::read(*static_cast<int*>(fd), &c, 1) == 1 ? fd : nullptr;
    };
    ASSERT_EQ(::pthread_create(&thread, nullptr, main, pipe_.data()), 0);
    void* result = nullptr;
    expect_others_run(
        "pthread_join", [&] { EXPECT_EQ(::pthread_join(thread, &result), 0); }, [&] { put(); });
    EXPECT_EQ(result, pipe_.data());
    std::atomic<int> word{0};
    expect_others_run(
        "syscall", [&] { word.wait(0); },
        [&] {
          word = 1;
          word.notify_one();
        });
  });
}

TEST_F(Calls, MessagesOfSystemV) {
  baton::run([] {
    const int queue = ::msgget(IPC_PRIVATE, 0600);
    if (queue < 0) GTEST_SKIP() << "no queues here";
    struct {
      long type;
      char text[1];
    } message{1, {'b'}};
    auto got = message;
    expect_others_run(
        "msgrcv", [&] { EXPECT_EQ(::msgrcv(queue, &got, 1, 0, 0), 1); },
        [&] { EXPECT_EQ(::msgsnd(queue, &message, 1, 0), 0); });
    ::msgctl(queue, IPC_RMID, nullptr);
    const int set = ::semget(IPC_PRIVATE, 1, 0600);
    ::sembuf down{0, -1, 0};
    ::sembuf up{0, 1, 0};
    expect_others_run(
        "semop", [&] { EXPECT_EQ(::semop(set, &down, 1), 0); }, [&] { EXPECT_EQ(::semop(set, &up, 1), 0); });
    ::semctl(set, 0, IPC_RMID);
  });
}

TEST_F(Calls, MessagesOfPosix) {
  baton::run([] {
    const std::string name = "/baton_interpose_" + std::to_string(::getpid());
    ::mq_attr attributes{};
    attributes.mq_maxmsg = 1;
    attributes.mq_msgsize = 1;
    const ::mqd_t queue = ::mq_open(name.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600, &attributes);
    if (queue == static_cast<::mqd_t>(-1)) GTEST_SKIP() << "no queues here";
    ::mq_unlink(name.c_str());
    char c = 0;
    expect_others_run(
        "mq_receive", [&] { EXPECT_EQ(::mq_receive(queue, &c, 1, nullptr), 1); },
        [&] { EXPECT_EQ(::mq_send(queue, "b", 1, 0), 0); });
    EXPECT_EQ(::mq_send(queue, "b", 1, 0), 0);
    expect_others_run(
        "mq_send", [&] { EXPECT_EQ(::mq_send(queue, "b", 1, 0), 0); },
        [&] { EXPECT_EQ(::mq_receive(queue, &c, 1, nullptr), 1); });
    ::mq_close(queue);
  });
}

}  // namespace
