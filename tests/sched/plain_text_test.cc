// Names that users chose, in the lines of reports.
#include <baton/sched/log/plain_text.h>

#include <gtest/gtest.h>

#include <cstring>
#include <string>
#include <string_view>

namespace {

using namespace baton::sched;

std::string plain(std::string_view text, quoting q = quoting::no, std::size_t room = 256) {
  std::string out(room, '?');
  out.resize(make_plain(text, out, q));
  return out;
}

TEST(PlainText, WhatIsHarmlessStays) {
  EXPECT_EQ(plain(""), "");
  EXPECT_EQ(plain("GET /index.html \"x\" \\"), "GET /index.html \"x\" \\");
  EXPECT_EQ(plain("Zürich €uro 😀"), "Zürich €uro 😀");
}

TEST(PlainText, ControlCharactersAreEscaped) {
  EXPECT_EQ(plain("a\nb\r\tc"), "a\\nb\\r\\tc");
  EXPECT_EQ(plain("\x1b[31m\x7f"), "\\x1b[31m\\x7f");
  EXPECT_EQ(plain(std::string_view("a\0b", 3)), "a\\x00b");
  EXPECT_EQ(plain("\xc2\x9b"), "\\u{9b}");  // CSI in one character
  EXPECT_EQ(plain("abc\u202e\u2066\u2028"), "abc\\u{202e}\\u{2066}\\u{2028}");
}

TEST(PlainText, WhatIsNoUtf8IsEscapedByteByByte) {
  EXPECT_EQ(plain("\xc3"), "\\xc3");
  EXPECT_EQ(plain("\xc3(\xa4"), "\\xc3(\\xa4");
  EXPECT_EQ(plain("\xc0\xaf"), "\\xc0\\xaf");           // an overlong form
  EXPECT_EQ(plain("\xed\xa0\x80"), "\\xed\\xa0\\x80");  // a surrogate
  EXPECT_EQ(plain("\xf5\x80\x80\x80"), "\\xf5\\x80\\x80\\x80");
}

TEST(PlainText, QuotesEndNoQuotation) { EXPECT_EQ(plain("a\" ended \\", quoting::yes), "a\\\" ended \\\\"); }

TEST(PlainText, IsCutBetweenCharacters) {
  EXPECT_EQ(plain("ab€", quoting::no, 5), "ab");
  EXPECT_EQ(plain("ab\x1b", quoting::no, 6), "ab");
  EXPECT_EQ(plain("ab€", quoting::no, 6), "ab€");
  EXPECT_EQ(plain("ab", quoting::no, 1), "");
  for (std::size_t n = 0; n <= 9; ++n) EXPECT_EQ(whole_characters("€€€", n), n / 3 * 3) << n;
  EXPECT_EQ(whole_characters("€", 99), 3U);
  EXPECT_EQ(whole_characters("\xa4\xa4\xa4\xa4", 3), 3U);  // none of it is UTF-8
}

TEST(PlainText, AFiberIsLabelledByNumberAndName) {
  char name[limits::fiber_name_max];
  char label[fiber_label_max];
  copy_name("GET /\nfiber 1 \"x\"", name);
  label_fiber(17, name, label);
  EXPECT_STREQ(label, "fiber 17 \"GET /\\nfiber 1 \\\"x\\\"\"");
  copy_name("ääääääääääää", name);  // 24 bytes
  label_fiber(17, name, label);
  EXPECT_STREQ(label, "fiber 17 \"äääääääääää\"");
  std::memset(name, '\x1b', sizeof name);  // torn while it was read: no NUL
  EXPECT_LT(label_fiber(UINT64_MAX, name, label), sizeof label - 1);
  copy_name("", name);
  label_fiber(17, name, label);
  EXPECT_STREQ(label, "fiber 17");
}

}  // namespace
