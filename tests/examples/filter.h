// A program that reads stdin and writes stdout, as a process of its own.
#pragma once

#include <sys/wait.h>
#include <unistd.h>
#include <csignal>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

namespace baton_test {

class filter {
 public:
  // Its stderr goes where its stdout goes.
  filter(const std::string& name, std::vector<std::string> args) {
    int in[2];
    int out[2];
    if (::pipe(in) != 0 || ::pipe(out) != 0) throw std::runtime_error("pipe");
    const std::string path = std::string(BATON_EXAMPLES_DIR) + "/" + name;
    args.insert(args.begin(), path);
    pid_ = ::fork();
    if (pid_ == 0) {
      ::dup2(in[0], STDIN_FILENO);
      ::dup2(out[1], STDOUT_FILENO);
      ::dup2(out[1], STDERR_FILENO);
      for (const int fd : {in[0], in[1], out[0], out[1]}) ::close(fd);
      std::vector<char*> argv;
      for (auto& a : args) argv.push_back(a.data());
      argv.push_back(nullptr);
      ::execv(path.c_str(), argv.data());
      ::_exit(127);
    }
    ::close(in[0]);
    ::close(out[1]);
    in_ = in[1];
    out_ = out[0];
  }
  ~filter() {
    if (pid_ > 0) {
      ::kill(pid_, SIGKILL);
      ::waitpid(pid_, nullptr, 0);
    }
    close_input();
    close_output();
  }
  filter(const filter&) = delete;
  filter& operator=(const filter&) = delete;

  // Nobody may be killed by a program that has ended: SIGPIPE is to be ignored or blocked by the caller.
  void write(const std::string& text) {
    for (std::size_t done = 0; done < text.size();) {
      const ssize_t n = ::write(in_, text.data() + done, text.size() - done);
      if (n <= 0) return;
      done += static_cast<std::size_t>(n);
    }
  }
  void close_input() { close(in_); }
  void close_output() { close(out_); }
  void signal(int number) { ::kill(pid_, number); }

  // The next line without its end; empty at the end of the output.
  std::string read_line() {
    while (text_.find('\n') == std::string::npos) {
      if (!more()) return std::exchange(text_, {});
    }
    const std::size_t end = text_.find('\n');
    std::string line = text_.substr(0, end);
    text_.erase(0, end + 1);
    return line;
  }
  std::string rest() {
    while (more()) {
    }
    return std::exchange(text_, {});
  }
  // Its exit code, or 1000 and the signal that ended it.
  int wait() {
    int status = 0;
    ::waitpid(pid_, &status, 0);
    pid_ = -1;
    return WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status);
  }

 private:
  static void close(int& fd) {
    if (fd >= 0) ::close(std::exchange(fd, -1));
  }
  bool more() {
    char buffer[4096];
    const ssize_t n = ::read(out_, buffer, sizeof buffer);
    if (n > 0) text_.append(buffer, static_cast<std::size_t>(n));
    return n > 0;
  }

  pid_t pid_ = -1;
  int in_ = -1;
  int out_ = -1;
  std::string text_;
};

}  // namespace baton_test
