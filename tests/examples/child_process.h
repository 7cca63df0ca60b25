// An example program as a process of its own, and what it prints.
#pragma once

#include <sys/wait.h>
#include <unistd.h>
#include <csignal>
#include <functional>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

namespace baton_test {

class child_process {
 public:
  ~child_process() {
    if (pid_ > 0) {
      ::kill(pid_, SIGKILL);
      ::waitpid(pid_, nullptr, 0);
    }
    close_input();
    close_output();
  }
  child_process(const child_process&) = delete;
  child_process& operator=(const child_process&) = delete;

  [[nodiscard]] pid_t pid() const { return pid_; }
  void signal(int number) { ::kill(pid_, number); }
  // Returns its exit code, or 1000 and the signal that ended it.
  int wait() {
    int status = 0;
    ::waitpid(pid_, &status, 0);
    pid_ = -1;
    return WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status);
  }
  void close_input() { close(in_); }
  void close_output() { close(out_); }

 protected:
  // The test reads the program's stdout. With a filter it also writes its stdin, and stderr goes where stdout goes.
  enum class role { server, filter };
  // `prepare` is called in the child before the program begins.
  child_process(const std::string& name, std::vector<std::string> args, role as,
                const std::function<void()>& prepare = {}) {
    int in[2] = {-1, -1};
    int out[2];
    if ((as == role::filter && ::pipe(in) != 0) || ::pipe(out) != 0) throw std::runtime_error("pipe");
    const std::string path = std::string(BATON_EXAMPLES_DIR) + "/" + name;
    args.insert(args.begin(), path);
    pid_ = ::fork();
    if (pid_ == 0) {
      ::dup2(out[1], STDOUT_FILENO);
      if (as == role::filter) {
        ::dup2(in[0], STDIN_FILENO);
        ::dup2(out[1], STDERR_FILENO);
      }
      for (int fd : {in[0], in[1], out[0], out[1]}) close(fd);
      std::vector<char*> argv;
      for (auto& a : args) argv.push_back(a.data());
      argv.push_back(nullptr);
      if (prepare) prepare();
      ::execv(path.c_str(), argv.data());
      ::_exit(127);
    }
    close(in[0]);
    close(out[1]);
    in_ = in[1];
    out_ = out[0];
  }

  // Returns false at the end of the output.
  bool read_more() {
    char buffer[4096];
    const ssize_t n = ::read(out_, buffer, sizeof buffer);
    if (n > 0) text_.append(buffer, static_cast<std::size_t>(n));
    return n > 0;
  }

  int in_ = -1;
  std::string text_;  // what has been read, and not been taken yet

 private:
  static void close(int& fd) {
    if (fd >= 0) ::close(std::exchange(fd, -1));
  }

  pid_t pid_ = -1;
  int out_ = -1;
};

}  // namespace baton_test
