// Reports name the callable that the user gave to go(), spawn() and their like, not the runtime's own entry.
#include <baton/baton.h>

#include <gtest/gtest.h>

#include <chrono>
#include <cstdio>
#include <memory>
#include <string>
#include <tuple>

using namespace std::chrono_literals;

namespace {

baton::event let_go;

std::string line_of(const std::string& name) {
  std::FILE* const file = std::tmpfile();
  baton::dump_fibers(fileno(file));
  std::string text(1 << 20, '\0');
  std::rewind(file);
  text.resize(std::fread(text.data(), 1, text.size(), file));
  std::fclose(file);
  const std::size_t begin = text.find('"' + name + "\" ");
  if (begin == std::string::npos) return {};
  return text.substr(begin, text.find('\n', begin) - begin);
}

struct served {
  void serve() { let_go.wait(); }
};

struct functor {
  void operator()() const { let_go.wait(); }
};

}  // namespace

// Outside the namespace above, so that its symbol can be found.
void wait_to_be_let_go(int) { let_go.wait(); }

namespace {

TEST(ClosureName, IsTheUsersInADump) {
  baton::run([] {
    let_go.reset();
    served object;
    auto lambda = baton::spawn({.name = "lambda"}, [] { let_go.wait(); });
    auto pointer = baton::spawn({.name = "pointer"}, wait_to_be_let_go, 1);
    auto member = baton::spawn({.name = "member"}, &served::serve, &object);
    auto type = baton::spawn({.name = "functor"}, functor{});
    baton::task_group tasks;
    tasks.spawn([] {
      baton::this_fiber::set_name("child");
      let_go.wait();
    });
    baton::timer late = baton::after_func(0s, functor{});
    baton::this_fiber::sleep_for(1ms);
    EXPECT_NE(line_of("lambda").find(", runs "), std::string::npos) << line_of("lambda");
    EXPECT_NE(line_of("lambda").find("lambda", 10), std::string::npos) << line_of("lambda");
    EXPECT_EQ(line_of("lambda").find("_entry"), std::string::npos) << line_of("lambda");
    EXPECT_NE(line_of("pointer").find("runs wait_to_be_let_go()"), std::string::npos) << line_of("pointer");
    EXPECT_NE(line_of("member").find("served::"), std::string::npos) << line_of("member");
    EXPECT_NE(line_of("functor").find("functor", 10), std::string::npos) << line_of("functor");
    EXPECT_NE(line_of("child").find("lambda"), std::string::npos) << line_of("child");
    EXPECT_EQ(line_of("child").find("task_group"), std::string::npos) << line_of("child");
    EXPECT_NE(line_of("main").find("lambda"), std::string::npos) << line_of("main");
    EXPECT_EQ(line_of("main").find("main_call"), std::string::npos) << line_of("main");
    let_go.set();
    EXPECT_EQ(absl::OkStatus(), tasks.wait());
  });
}

TEST(ClosureName, OfAFiberThatHasEndedIsItsType) {
  baton::run([] {
    let_go.reset();
    let_go.set();
    auto ended = baton::spawn({.name = "over"}, wait_to_be_let_go, 1);
    while (line_of("over").find(" ended ") == std::string::npos) baton::this_fiber::yield();
    EXPECT_NE(line_of("over").find("runs void (*)(int)"), std::string::npos) << line_of("over");
    ended.join();
  });
}

// Arguments that std::tuple would take for something else as its first elements.
TEST(ClosureName, ArgumentsOfAnyTypeReachTheFunction) {
  baton::run([] {
    baton::spawn([](std::allocator_arg_t, std::allocator<int>, int n) { EXPECT_EQ(3, n); }, std::allocator_arg,
                 std::allocator<int>(), 3)
        .join();
    baton::spawn([](const std::tuple<int>& t) { EXPECT_EQ(4, std::get<0>(t)); }, std::tuple<int>(4)).join();
    EXPECT_EQ(5, baton::spawn([](std::unique_ptr<int> p) { return *p; }, std::make_unique<int>(5)).join());
  });
}

}  // namespace
