#include <baton/sched/environment.h>

#include <baton/sched/log/fatal.h>
#include <baton/sched/log/plain_text.h>

#include <charconv>
#include <cstdlib>
#include <string_view>
#include <system_error>

namespace baton::sched {

namespace {

// The part of a value that a line on stderr shows.
class shown {
 public:
  explicit shown(std::string_view value) noexcept {
    const std::size_t n = whole_characters(value, 40);
    make_plain(value.substr(0, n), text_, quoting::yes);
    cut_ = n < value.size();
  }
  [[nodiscard]] const char* text() const noexcept { return text_; }
  [[nodiscard]] const char* rest() const noexcept { return cut_ ? "..." : ""; }

 private:
  char text_[4 * 40 + 1];
  bool cut_;
};

std::string_view without_blanks(std::string_view s) noexcept {
  constexpr std::string_view blanks = " \t\r\n";
  const std::size_t first = s.find_first_not_of(blanks);
  if (first == std::string_view::npos) return {};
  return s.substr(first, s.find_last_not_of(blanks) - first + 1);
}

}  // namespace

std::optional<int> environment_number(const char* name, int least, int most, const char* instead) noexcept {
  const char* const value = std::getenv(name);
  if (value == nullptr) return std::nullopt;
  const std::string_view digits = without_blanks(value);
  int n = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), n);
  if (error == std::errc{} && end == digits.data() + digits.size() && n >= least && n <= most) return n;
  const shown s(value);
  warn("%s=\"%s\"%s is not a number from %d to %d; %s", name, s.text(), s.rest(), least, most, instead);
  return std::nullopt;
}

bool environment_flag(const char* name) noexcept {
  const char* const value = std::getenv(name);
  if (value == nullptr) return false;
  const std::string_view word = without_blanks(value);
  if (word == "1") return true;
  if (word == "0") return false;
  const shown s(value);
  warn("%s=\"%s\"%s is neither 1 nor 0; taken as 0", name, s.text(), s.rest());
  return false;
}

}  // namespace baton::sched
