// Boost.Beast's parser of requests, made strict. Beast reads the grammar of RFC 9112: lines, fields, lengths, chunks.
// It tolerates some of what the RFC lets a server tolerate; this class refuses all that two servers could read in two
// ways, so that no request can be hidden from one of them: folded lines, several lengths, lists of lengths, a wrong
// Host.
//
// The functions read no socket. A function that can refuse a request returns the status to answer with. The connection
// has to be closed then, because nothing says where the next request begins.
#pragma once

#include "http/request.h"

#include <boost/beast/http/basic_parser.hpp>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace http {

class request_parser final : private boost::beast::http::basic_parser<true> {
 public:
  // Fills `r`. Refuses more than `body_max` bytes of content with 413.
  request_parser(request& r, std::uint64_t body_max);

  // Reads a head that head_finder has found, once. Returns accepted, 400, 413, 417, 501 or 505. Sets `r.method` in any
  // case.
  [[nodiscard]] int read_head(std::string_view head);

  // After the head: takes from the front of `bytes` what belongs to the body, and drops it. If the body is not complete
  // then, what is left of `bytes` has to come again, with more behind it. Returns accepted, 400 or 413.
  [[nodiscard]] int take_body(std::string_view& bytes);
  [[nodiscard]] bool is_complete() const { return is_done(); }

 private:
  using text = boost::beast::string_view;
  using error_code = boost::beast::error_code;

  void on_request_impl(boost::beast::http::verb, text, text target, int version, error_code& ec) override;
  void on_response_impl(int, text, int, error_code&) override {}
  void on_field_impl(boost::beast::http::field name, text name_text, text value, error_code& ec) override;
  void on_header_impl(error_code& ec) override;
  void on_body_init_impl(const boost::optional<std::uint64_t>&, error_code&) override {}
  std::size_t on_body_impl(text body, error_code&) override { return body.size(); }
  void on_chunk_header_impl(std::uint64_t, text extensions, error_code& ec) override;
  std::size_t on_chunk_body_impl(std::uint64_t, text body, error_code&) override { return body.size(); }
  void on_finish_impl(error_code&) override {}

  [[nodiscard]] int status_of(const error_code& ec, std::string_view parsed) const;
  [[nodiscard]] bool is_folded(std::string_view name, std::string_view value) const;
  [[nodiscard]] int look_at(boost::beast::http::field name, std::string_view value);
  [[nodiscard]] int check_framing();
  void refuse_unless_accepted(int status, error_code& ec);

  request& request_;
  std::string_view parsed_;  // what put() reads
  int refused_ = accepted;   // the status, if it was not Beast that refused
  bool in_trailer_ = false;
  std::size_t extensions_ = 0;  // bytes in all chunks
  int hosts_ = 0;
  int content_lengths_ = 0;
  int transfer_encodings_ = 0;
  std::string_view content_length_, transfer_encoding_;
  bool expects_more_ = false;  // something other than 100-continue
};

}  // namespace http
