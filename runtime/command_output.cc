// output(): two fibers read the pipes while the caller waits for the child.
//
// Until the child has ended the context does not end the reads: what the child writes on SIGTERM still has a reader. It
// ends them from then on, for a process that the child has left behind may keep a pipe open for ever.
//
// The fibers are started before the child. If memory fails, there is no child, and closing the program's ends of the
// pipes ends the fibers.
#include <baton/runtime/command.h>

#include <baton/runtime/fiber.h>
#include <baton/syscall/status.h>

#include <array>
#include <cerrno>
#include <exception>
#include <new>
#include <string>
#include <utility>

namespace baton {

namespace {

constexpr std::size_t tail_max = 4096;

struct collected {
  std::string text;
  absl::Status error;
  bool no_memory = false;  // not even for an error
};

// Reads to the end. `keep`: no more than the last so many bytes are kept.
void collect(pipe_reader& from, std::size_t keep, collected& into) noexcept {
  try {
    std::array<char, 8192> part;
    for (;;) {
      const absl::StatusOr<std::size_t> n = from.read(part);
      if (!n.ok()) into.error = n.status();
      if (!n.ok() || *n == 0) break;
      into.text.append(part.data(), *n);
      if (into.text.size() / 2 > keep) into.text.erase(0, into.text.size() - keep);
    }
    if (into.text.size() > keep) into.text.erase(0, into.text.size() - keep);
  } catch (const std::exception&) {  // bad_alloc, length_error
    into.no_memory = true;
  }
  from.close();  // a program that goes on writing gets EPIPE
}

// A pipe, and the fiber that reads it.
class collector {
 public:
  collector() = default;
  // Ends the fiber's read if result() was not called: a process that the child leaves behind may keep the pipe open.
  ~collector() { reader_.close(); }
  collector(const collector&) = delete;
  collector& operator=(const collector&) = delete;
  absl::Status begin(absl::StatusOr<pipe_reader> reader, std::size_t keep) {
    if (!reader.ok()) return reader.status();
    reader_ = *std::move(reader);
    fiber_ = spawn({"command output"}, [this, keep] { collect(reader_, keep, got_); });
    return absl::OkStatus();
  }
  void end_with(const context& ctx) { reader_.set_context(ctx); }
  collected& result() {
    if (fiber_.joinable()) fiber_.join();
    return got_;
  }

 private:
  pipe_reader reader_;
  collected got_;
  fiber<void> fiber_;  // last: its destructor joins, and the fiber uses the others
};

std::string last_words(const std::string& errors) {
  const std::size_t end = errors.find_last_not_of(" \r\n\t");
  return end == std::string::npos ? std::string() : ": " + errors.substr(0, end + 1);
}

}  // namespace

absl::StatusOr<std::string> command::output(const context& ctx) {
  std::string text;
  if (absl::Status s = output(text, ctx); !s.ok()) return s;
  return text;
}

absl::Status command::output(std::string& text, const context& ctx) try {
  text.clear();
  if (absl::Status s = unless_done(ctx); !s.ok()) return s;
  if (streams_[2].from == stream::source::pipe) {
    return absl::FailedPreconditionError("run " + program_ + ": output() after stderr_pipe()");
  }
  collector out;
  collector errors;
  // Whatever happens, the program's ends are closed before the collectors wait for theirs.
  struct closing {
    command& c;
    ~closing() { c.drop_pipes(); }
  } const at_the_end{*this};
  if (absl::Status s = out.begin(stdout_pipe(), std::string::npos); !s.ok()) return s;
  if (!stderr_to_stdout_ && streams_[2].from == stream::source::by_default) {
    if (absl::Status s = errors.begin(stderr_pipe(), tail_max); !s.ok()) return s;
  }
  absl::StatusOr<process> child = start_unless_done(ctx);
  if (!child.ok()) return child.status();
  const absl::StatusOr<exit_status> end = child->wait(ctx);
  out.end_with(ctx);
  errors.end_with(ctx);
  collected& got = out.result();
  text = std::move(got.text);
  const collected& words = errors.result();
  if (!end.ok()) return end.status();
  const std::string what = "run " + program_ + ": " + end->to_string();
  if (got.no_memory || words.no_memory) return status_from_errno(ENOMEM, "run " + program_);
  if (ctx.is_done() && (!end->success() || !got.error.ok())) {
    return detail::with_exit_status(status_for_reason(ctx.error(), what), *end);
  }
  if (!end->success()) {
    return detail::with_exit_status(absl::UnknownError(what + last_words(words.text)), *end);
  }
  return got.error;
} catch (const std::bad_alloc&) {
  return status_from_errno(ENOMEM, "run " + program_);
}

}  // namespace baton
