// What converts to bytes and const_bytes, what does not, and what they then show.
#include <baton/syscall/bytes.h>

#include <array>
#include <cstring>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include <gtest/gtest.h>

namespace {

using baton::bytes;
using baton::const_bytes;

std::string text_of(const_bytes b) { return std::string(b.as_string_view()); }
std::size_t room_of(bytes b) { return b.size(); }

static_assert(std::is_trivially_copyable_v<bytes> && sizeof(bytes) == 2 * sizeof(void*));
static_assert(std::is_trivially_copyable_v<const_bytes> && sizeof(const_bytes) == 2 * sizeof(void*));

template <class T>
constexpr bool reads = std::is_convertible_v<T, const_bytes>;
template <class T>
constexpr bool fills = std::is_convertible_v<T, bytes>;

static_assert(reads<std::span<const std::byte>> && reads<std::span<std::byte>> && reads<std::span<const char>>);
static_assert(reads<std::string_view> && reads<std::string> && reads<const std::string&> && reads<std::string&>);
static_assert(reads<const char (&)[4]> && reads<const char*> && reads<char*>);
static_assert(!reads<char (&)[4]>, "text, or all of it?");
static_assert(reads<unsigned char (&)[4]> && reads<const unsigned char (&)[4]> && reads<std::byte (&)[4]>);
static_assert(reads<std::vector<char>> && reads<const std::vector<unsigned char>&> && reads<std::vector<std::byte>&>);
static_assert(reads<std::array<char, 3>> && reads<const std::array<std::byte, 3>&>);
static_assert(reads<bytes> && reads<const bytes&> && reads<bytes&> && reads<const_bytes&>);
static_assert(!reads<std::vector<int>> && !reads<int> && !reads<std::vector<bool>> && !reads<std::u16string>);
static_assert(!reads<std::nullptr_t> && !reads<int (&)[4]>);

static_assert(fills<std::span<std::byte>> && fills<std::span<char>> && fills<const std::span<char>&>);
static_assert(fills<std::string&> && fills<std::vector<char>&> && fills<std::vector<unsigned char>&>);
static_assert(fills<std::array<std::byte, 3>&> && fills<char (&)[4]> && fills<unsigned char (&)[4]>);
static_assert(fills<std::byte (&)[4]> && fills<bytes&>);
static_assert(!fills<const std::string&> && !fills<std::string_view> && !fills<const std::vector<char>&>);
static_assert(!fills<std::span<const std::byte>> && !fills<const char (&)[4]> && !fills<const_bytes>);
static_assert(!fills<std::string> && !fills<std::vector<char>>, "memory that a temporary owns");
static_assert(!fills<std::vector<int>&> && !fills<int (&)[4]> && !fills<char*>);

TEST(Bytes, ALiteralIsTextWithoutItsNul) {
  EXPECT_EQ(text_of("abc"), "abc");
  EXPECT_TRUE(const_bytes("").empty());
  EXPECT_EQ(text_of("a\0b"), std::string("a\0b", 3));
}

TEST(Bytes, AConstantArrayWithoutANulIsShownWhole) {
  const char letters[] = {'x', 'y'};
  EXPECT_EQ(text_of(letters), "xy");
}

TEST(Bytes, ACharPointerGoesUpToItsNul) {
  const char* text = "hello";
  EXPECT_EQ(text_of(text), "hello");
  char buffer[8] = "abc";
  char* p = buffer;
  EXPECT_EQ(text_of(p), "abc");
  const char* none = nullptr;
  EXPECT_TRUE(const_bytes(none).empty());
}

TEST(Bytes, ArraysOfBytesAreShownWholeZerosToo) {
  const unsigned char zeros[4] = {};
  EXPECT_EQ(const_bytes(zeros).size(), 4U);
  std::byte more[3] = {};
  EXPECT_EQ(const_bytes(more).size(), 3U);
  EXPECT_EQ(room_of(more), 3U);
  char buffer[16] = "abc";
  EXPECT_EQ(room_of(buffer), 16U);
}

TEST(Bytes, ContainersAreShownWhole) {
  std::string s("a\0b", 3);
  EXPECT_EQ(text_of(s), s);
  EXPECT_EQ(text_of(std::vector<char>{'a', 'b'}), "ab");
  EXPECT_EQ(text_of(std::array<unsigned char, 2>{'a', 'b'}), "ab");
  EXPECT_EQ(text_of(std::string_view(s).substr(1)), s.substr(1));
  EXPECT_EQ(static_cast<const void*>(const_bytes(s).data()), s.data());
  EXPECT_EQ(static_cast<void*>(bytes(s).data()), s.data());
  std::vector<std::byte> v(7);
  EXPECT_EQ(room_of(v), 7U);
  EXPECT_EQ(room_of(std::span(v).first(2)), 2U);
}

TEST(Bytes, WhatIsFilledCanBeRead) {
  std::string s = "....";
  const bytes b = s;
  std::memcpy(b.data(), "abcd", 4);
  EXPECT_EQ(text_of(b), "abcd");
  EXPECT_EQ(b.as_string_view(), "abcd");
}

TEST(Bytes, Parts) {
  const const_bytes b = "abcdef";
  EXPECT_EQ(text_of(b.first(2)), "ab");
  EXPECT_EQ(text_of(b.drop(2)), "cdef");
  EXPECT_EQ(text_of(b.subspan(1, 3)), "bcd");
  EXPECT_EQ(text_of(b.subspan(6)), "");
  EXPECT_EQ(b.first(0).size(), 0U);
  EXPECT_EQ(b[5], std::byte{'f'});
  std::string s = "abcdef";
  EXPECT_EQ(bytes(s).drop(1).first(2).as_string_view(), "bc");
  std::size_t n = 0;
  for (const std::byte each : b) n += static_cast<std::size_t>(each);
  EXPECT_EQ(n, 597U);
}

TEST(Bytes, ViewsOfNothing) {
  EXPECT_TRUE(bytes().empty());
  EXPECT_TRUE(const_bytes().empty());
  EXPECT_EQ(const_bytes().drop(0).size(), 0U);
  EXPECT_EQ(const_bytes(std::string()).as_string_view(), "");
}

TEST(Bytes, AsIovecShowsTheSameMemory) {
  std::string s = "abc";
  EXPECT_EQ(baton::as_iovec(bytes(s)).iov_base, s.data());
  EXPECT_EQ(baton::as_iovec(const_bytes(s).drop(1)).iov_len, 2U);
}

using bytes_death_test = testing::Test;
TEST(BytesDeathTest, BeyondTheEnd) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  const const_bytes b = "abc";
  EXPECT_DEATH((void)b.drop(4), "4 is beyond the end of a view of 3 bytes");
  EXPECT_DEATH((void)b.first(4), "beyond the end");
  EXPECT_DEATH((void)b.subspan(2, 2), "2 is beyond the end of a view of 1 bytes");
  EXPECT_DEATH((void)b[3], "beyond the end");
}

}  // namespace
