// Collects replies in RESP's second version.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace key_value {

class replies {
 public:
  void simple(std::string_view text);  // +OK
  void error(std::string_view text);   // -ERR …; the text begins with the code
  void integer(long long n);
  void bulk(std::string_view bytes);
  void null();
  void array(std::size_t size);  // so many replies follow
  void score(double value);      // a bulk string

  [[nodiscard]] std::string_view bytes() const noexcept { return out_; }
  [[nodiscard]] std::size_t size() const noexcept { return out_.size(); }
  void sent();

 private:
  void head(char kind, long long n);
  std::string out_;
};

}  // namespace key_value
