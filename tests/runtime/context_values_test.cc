#include <baton/runtime/context.h>
#include <baton/runtime/fiber.h>
#include <baton/runtime/run.h>
#include <baton/runtime/task_group.h>
#include <baton/runtime/this_fiber.h>

#include <gtest/gtest.h>

#include <chrono>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

namespace {

using namespace std::chrono_literals;

struct request_id {
  using value_type = std::string;
};
struct other_id {
  using value_type = std::string;
};
struct user {  // its own value
  int number;
};
struct owner {
  using value_type = std::shared_ptr<int>;
};

const baton::context background = baton::context::background();

TEST(ContextValues, AreFoundByTheirKey) {
  const baton::context ctx = baton::with_value<request_id>(background, "7f3a");
  ASSERT_NE(ctx.value<request_id>(), nullptr);
  EXPECT_EQ(*ctx.value<request_id>(), "7f3a");
  EXPECT_EQ(ctx.value<other_id>(), nullptr) << "the same type, another key";
  EXPECT_EQ(background.value<request_id>(), nullptr);
  EXPECT_EQ(baton::with_cancel(background).value<request_id>(), nullptr);
  const baton::context with_user = baton::with_value<user>(ctx, {17});
  EXPECT_EQ(with_user.value<user>()->number, 17);
  EXPECT_EQ(ctx.value<user>(), nullptr) << "the context above has it not";
}

TEST(ContextValues, AreInherited) {
  const baton::context ctx = baton::with_value<request_id>(background, "a");
  const auto below = baton::with_cancel(baton::with_timeout(ctx, 1h));
  EXPECT_EQ(below.value<request_id>(), ctx.value<request_id>());
  const baton::context nearer = baton::with_value<request_id>(below, "b");
  EXPECT_EQ(*nearer.value<request_id>(), "b");
  EXPECT_EQ(*below.value<request_id>(), "a");
  baton::run([&] {
    baton::task_group group(nearer);
    group.spawn([](const baton::context& c) { EXPECT_EQ(*c.value<request_id>(), "b"); });
    EXPECT_TRUE(group.wait().ok());
  });
}

TEST(ContextValues, ChangeNothingElse) {
  const auto parent = baton::with_timeout(background, 1h);
  const baton::context ctx = baton::with_value<user>(parent, {1});
  EXPECT_EQ(ctx.deadline(), parent.deadline());
  EXPECT_FALSE(ctx.is_done());
  parent.cancel(absl::AbortedError("gone"));
  EXPECT_EQ(ctx.error().message(), "gone");
  EXPECT_EQ(ctx.value<user>()->number, 1) << "also when it is done";
}

TEST(ContextValues, LiveAsLongAsWhatIsDerived) {
  std::weak_ptr<int> watch;
  std::optional<baton::context> below;
  {
    auto value = std::make_shared<int>(5);
    watch = value;
    below = baton::with_cancel(baton::with_cancel(baton::with_value<owner>(background, std::move(value))));
  }
  EXPECT_EQ(**below->value<owner>(), 5);
  below.reset();
  EXPECT_TRUE(watch.expired());
}

// A context below one that is done does not keep that one, but keeps its values.
TEST(ContextValues, AreInheritedFromAContextThatIsDone) {
  std::weak_ptr<int> watch;
  std::optional<baton::context> below;
  {
    auto value = std::make_shared<int>(5);
    watch = value;
    const baton::context upper = baton::with_value<owner>(background, std::move(value));
    const auto done = baton::with_cancel(baton::with_value<user>(upper, {3}));
    done.cancel();
    below = baton::with_value<request_id>(baton::with_cancel(baton::with_cancel(done)), "x");
  }
  EXPECT_TRUE(below->is_done());
  EXPECT_EQ(**below->value<owner>(), 5);
  EXPECT_EQ(below->value<user>()->number, 3);
  EXPECT_EQ(*below->value<request_id>(), "x");
  below.reset();
  EXPECT_TRUE(watch.expired());
}

TEST(ContextValues, MayBeMany) {
  baton::context ctx = background;
  for (int i = 0; i < 100'000; ++i) ctx = baton::with_value<user>(ctx, {i});
  EXPECT_EQ(ctx.value<user>()->number, 99'999);
  const auto done = baton::with_cancel(ctx);
  done.cancel();
  const auto last = baton::with_cancel(done);
  ctx = background;
  EXPECT_EQ(last.value<user>()->number, 99'999);
}

TEST(ContextValues, AValueWhoseMoveThrowsLeavesNothing) {
  struct throwing {
    throwing() = default;
    throwing(throwing&&) { throw std::runtime_error("no"); }
  };
  const auto parent = baton::with_cancel(background);
  EXPECT_THROW(static_cast<void>(baton::with_value<throwing>(parent, throwing())), std::runtime_error);
}

TEST(ContextValues, MayBeReadAndDroppedByManyFibers) {
  baton::run([] {
    for (int round = 0; round < 300; ++round) {
      const auto server = baton::with_cancel(baton::with_value<request_id>(background, "server"));
      std::vector<baton::fiber<void>> fibers;
      for (int i = 0; i < 8; ++i) {
        fibers.push_back(baton::spawn([server, i] {
          const baton::context ctx = baton::with_value<user>(baton::with_cancel(server), {i});
          baton::this_fiber::yield();
          const auto below = baton::with_cancel(ctx);
          EXPECT_EQ(below.value<user>()->number, i);
          EXPECT_EQ(*below.value<request_id>(), "server");
        }));
      }
      server.cancel();
      for (auto& f : fibers) f.join();
    }
  });
}

}  // namespace
