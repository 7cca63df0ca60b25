// Where the kernel keeps a quota:
//
//   /proc/self/mountinfo   36 25 0:29 /pods/a /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct
//                             |       |       mount point                      |             v1: controllers
//                             |       the group that the mount point shows     cgroup or cgroup2
//                             id and parent: a mount covers its parent if both have the same mount point
//   /proc/self/cgroup      3:cpu,cpuacct:/pods/a/b      v1, controllers
//                          0::/pods/a/b                 v2
//
//   the process's group    mount point + the part of its path below the mount's root: .../cpu,cpuacct/b
//   the groups above it    up to the mount point: those further up are not visible from here
//
// Both paths are relative to the reader's cgroup namespace. A mount that begins above the namespace has a root such as
// /../..; the kernel does not tell the names of the groups between it and the namespace, but the mount point itself is
// a group of this process. A group outside the mount (/../sibling) is not below it. In that case neither the mount nor
// anything in it counts.
#include <baton/sched/platform/cpus.h>

#include <fcntl.h>
#include <sched.h>
#include <unistd.h>
#include <algorithm>
#include <cerrno>
#include <cstring>

namespace baton::sched::platform {

namespace {

// A path under construction, always terminated. A path that is too long becomes invalid and stays so.
class path {
 public:
  path() noexcept { bytes_[0] = '\0'; }
  path& operator+=(std::string_view more) noexcept {
    if (!valid_ || more.size() >= sizeof bytes_ - size_) {
      valid_ = false;
      return *this;
    }
    std::memcpy(bytes_ + size_, more.data(), more.size());
    cut_to(size_ + more.size());
    return *this;
  }
  void cut_to(std::size_t size) noexcept {
    size_ = size;
    bytes_[size] = '\0';
  }
  [[nodiscard]] bool valid() const noexcept { return valid_; }
  [[nodiscard]] std::string_view view() const noexcept { return {bytes_, size_}; }
  [[nodiscard]] const char* c_str() const noexcept { return bytes_; }

 private:
  bool valid_ = true;
  std::size_t size_ = 0;
  char bytes_[4096];
};

// An open file. refused() returns true if the process or the system had no room for one more open file.
class input {
 public:
  explicit input(const path& p) noexcept {
    if (!p.valid()) return;
    do {
      fd_ = ::open(p.c_str(), O_RDONLY | O_CLOEXEC);
    } while (fd_ < 0 && errno == EINTR);
    refused_ = fd_ < 0 && (errno == EMFILE || errno == ENFILE || errno == ENOMEM);
  }
  input(const input&) = delete;
  input& operator=(const input&) = delete;
  ~input() {
    if (fd_ >= 0) ::close(fd_);
  }
  [[nodiscard]] bool refused() const noexcept { return refused_; }
  // Returns 0 at the end of the file and if the file cannot be read.
  [[nodiscard]] std::size_t read(char* to, std::size_t size) noexcept {
    if (fd_ < 0) return 0;
    ssize_t n;
    do {
      n = ::read(fd_, to, size);
    } while (n < 0 && errno == EINTR);
    return n > 0 ? static_cast<std::size_t>(n) : 0;
  }

 private:
  int fd_ = -1;
  bool refused_ = false;
};

// The lines of a file, without those that are too long. Overlay mounts can have such lines; cgroup mounts do not.
class lines {
 public:
  explicit lines(const path& p) noexcept : file_(p) {}
  [[nodiscard]] bool refused() const noexcept { return file_.refused(); }
  [[nodiscard]] bool next(std::string_view& line) noexcept {
    bool too_long = false;
    for (;;) {
      const char* const first = buffer_ + begin_;
      if (const void* const newline = std::memchr(first, '\n', end_ - begin_)) {
        line = {first, static_cast<std::size_t>(static_cast<const char*>(newline) - first)};
        begin_ += line.size() + 1;
        if (!too_long) return true;
        too_long = false;
        continue;
      }
      if (begin_ == 0 && end_ == sizeof buffer_) {
        too_long = true;
        end_ = 0;
      } else if (begin_ > 0) {
        std::memmove(buffer_, first, end_ - begin_);
        end_ -= begin_;
        begin_ = 0;
      }
      const std::size_t n = file_.read(buffer_ + end_, sizeof buffer_ - end_);
      end_ += n;
      if (n > 0) continue;
      line = {buffer_, end_};
      end_ = 0;
      return !too_long && !line.empty();
    }
  }

 private:
  input file_;
  std::size_t begin_ = 0;
  std::size_t end_ = 0;
  char buffer_[4096];
};

// Returns the text before the separator and moves `rest` past the separator.
std::string_view cut(std::string_view& rest, char separator) noexcept {
  const std::size_t at = rest.find(separator);
  const std::string_view head = rest.substr(0, at);
  rest.remove_prefix(at == std::string_view::npos ? rest.size() : at + 1);
  return head;
}

bool has_word(std::string_view list, std::string_view word) noexcept {
  while (!list.empty()) {
    if (cut(list, ',') == word) return true;
  }
  return false;
}

// Reads the number at the beginning; a larger one becomes UINT64_MAX. Returns false if there is no number.
bool take_number(std::string_view& from, std::uint64_t& value) noexcept {
  std::size_t n = 0;
  value = 0;
  for (; n < from.size() && from[n] >= '0' && from[n] <= '9'; ++n) {
    const auto digit = static_cast<std::uint64_t>(from[n] - '0');
    if (__builtin_mul_overflow(value, 10U, &value) || __builtin_add_overflow(value, digit, &value)) value = UINT64_MAX;
  }
  from.remove_prefix(n);
  return n > 0;
}

bool is_octal(char c) noexcept { return c >= '0' && c <= '7'; }

// Decodes a path as mountinfo writes it: a space is \040, and so on. Returns false if the path is too long.
bool unescape(std::string_view in, char* out, std::size_t capacity, std::size_t& size) noexcept {
  size = 0;
  while (!in.empty()) {
    if (size == capacity) return false;
    if (in[0] == '\\' && in.size() >= 4 && is_octal(in[1]) && is_octal(in[2]) && is_octal(in[3])) {
      out[size++] = static_cast<char>(((in[1] - '0') << 6) | ((in[2] - '0') << 3) | (in[3] - '0'));
      in.remove_prefix(4);
    } else {
      out[size++] = in[0];
      in.remove_prefix(1);
    }
  }
  return true;
}

// Returns how many /.. a path begins with, and moves `p` past them.
int climbs(std::string_view& p) noexcept {
  int n = 0;
  while (p.starts_with("/..") && (p.size() == 3 || p[3] == '/')) {
    p.remove_prefix(3);
    ++n;
  }
  return n;
}

// Finds the way from a mount's root to the group: "" or "/a/b". Returns false if the group is not below the root or if
// that cannot be known.
bool way_to(std::string_view root, std::string_view group, std::string_view& way) noexcept {
  if (!root.starts_with('/') || !group.starts_with('/')) return false;
  if (root == "/") root = "";
  if (group == "/") group = "";
  const int root_climbs = climbs(root);
  const int group_climbs = climbs(group);
  way = "";
  // The root is above the group, through groups whose names are unknown. Only the mount point itself is visible.
  if (root_climbs > group_climbs) return root.empty();
  if (root_climbs < group_climbs || !group.starts_with(root)) return false;
  way = group.substr(root.size());
  return way.empty() || way[0] == '/';
}

// Reads the file at dir + name, which has a line or two. Returns an empty text if there is no such file.
std::string_view read_small(path& dir, std::string_view name, char (&buffer)[64], bool& complete) noexcept {
  const std::size_t size = dir.view().size();
  dir += name;
  input file(dir);
  const std::size_t n = file.read(buffer, sizeof buffer);
  if (file.refused()) complete = false;
  if (dir.valid()) dir.cut_to(size);
  return {buffer, n};
}

bool ends_here(std::string_view rest) noexcept { return rest.empty() || rest == "\n"; }

// Accepts quota and period in us; the text "max 100000" means no quota.
bool parse_v2(std::string_view content, std::uint64_t& quota, std::uint64_t& period) noexcept {
  if (!take_number(content, quota) || !content.starts_with(' ')) return false;
  content.remove_prefix(1);
  return take_number(content, period) && ends_here(content);
}

// Accepts a number; -1 means no quota.
bool parse_v1(std::string_view content, std::uint64_t& value) noexcept {
  return take_number(content, value) && ends_here(content);
}

int quota_at(path& dir, bool v2, bool& complete) noexcept {
  char buffer[64];
  std::uint64_t quota = 0;
  std::uint64_t period = 0;
  if (v2) {
    if (!parse_v2(read_small(dir, "/cpu.max", buffer, complete), quota, period)) return cpu_quotas::none;
  } else if (!parse_v1(read_small(dir, "/cpu.cfs_quota_us", buffer, complete), quota) ||
             !parse_v1(read_small(dir, "/cpu.cfs_period_us", buffer, complete), period)) {
    return cpu_quotas::none;
  }
  if (quota == 0 || period == 0) return cpu_quotas::none;
  const std::uint64_t cpus = quota / period + (quota % period != 0 ? 1 : 0);
  return static_cast<int>(std::min<std::uint64_t>(cpus, cpu_quotas::none));
}

}  // namespace

int affinity_cpus() noexcept {
  cpu_set_t sets[8];  // 8,192 CPUs, the most that a kernel can be built for; it refuses a smaller set
  std::memset(sets, 0, sizeof sets);
  if (::sched_getaffinity(0, sizeof sets, sets) != 0) return 1;
  return std::max(1, CPU_COUNT_S(sizeof sets, sets));
}

// Adds the mount if its line describes one of the cpu controller.
void cpu_quotas::take_mount(std::string_view line) noexcept {
  std::uint64_t id = 0;
  std::uint64_t parent = 0;
  std::string_view field = cut(line, ' ');
  if (!take_number(field, id)) return;
  field = cut(line, ' ');
  if (!take_number(field, parent)) return;
  static_cast<void>(cut(line, ' '));  // device
  const std::string_view root = cut(line, ' ');
  text point;
  if (!unescape(cut(line, ' '), point.bytes, path_max, point.size)) return;

  // Of several mounts at one mount point only the uppermost counts, whatever its type.
  for (int i = mount_count_; i-- > 0;) {
    if (mounts_[i].point.view() != point.view()) continue;
    if (mounts_[i].parent == id) return;
    if (parent == mounts_[i].id) mounts_[i] = mounts_[--mount_count_];
  }

  const std::size_t dash = line.find(" - ");  // any number of optional fields come before it
  if (dash == std::string_view::npos || mount_count_ == mounts_max) return;
  line.remove_prefix(dash + 3);
  const std::string_view type = cut(line, ' ');
  static_cast<void>(cut(line, ' '));  // source
  const bool v2 = type == "cgroup2";
  if (!v2 && !(type == "cgroup" && has_word(line, "cpu"))) return;
  mount& m = mounts_[mount_count_];
  if (!unescape(root, m.root.bytes, path_max, m.root.size)) return;
  m.v2 = v2;
  m.id = id;
  m.parent = parent;
  m.point = point;
  ++mount_count_;
}

bool cpu_quotas::find_mounts() noexcept {
  path p;
  p += root_;
  p += "/proc/self/mountinfo";
  lines all(p);
  for (std::string_view line; all.next(line);) take_mount(line);
  return !all.refused();
}

// Reads the quota of the group and of each group above it that the mount shows.
void cpu_quotas::read_upwards(const mount& m, std::string_view group, reading& r) const noexcept {
  std::string_view way;
  if (!way_to(m.root.view(), group, way)) return;
  path dir;
  dir += root_;
  dir += m.point.view();
  const std::size_t top = dir.view().size();
  dir += way;
  while (dir.valid()) {
    r.cpus = std::min(r.cpus, quota_at(dir, m.v2, r.complete));
    if (dir.view().size() <= top) return;
    dir.cut_to(std::max(top, dir.view().rfind('/')));
  }
}

cpu_quotas::reading cpu_quotas::read() noexcept {
  reading r;
  if (!mounts_known_) mounts_known_ = r.complete = find_mounts();
  path p;
  p += root_;
  p += "/proc/self/cgroup";
  lines groups(p);
  if (groups.refused()) r.complete = false;
  for (std::string_view line; groups.next(line);) {
    const bool hierarchy_0 = cut(line, ':') == "0";
    const std::string_view controllers = cut(line, ':');
    const bool v2 = hierarchy_0 && controllers.empty();
    if (!v2 && !has_word(controllers, "cpu")) continue;
    for (int i = 0; i < mount_count_; ++i) {
      if (mounts_[i].v2 == v2) read_upwards(mounts_[i], line, r);
    }
  }
  return r;
}

void cpu_watch::look(std::int64_t now_ns) noexcept {
  looked_at_ns_ = now_ns;
  const cpu_quotas::reading r = quotas_.read();
  // A process that has run out of descriptors must not get more CPUs because of that.
  if (!r.complete && count_ != 0) return;
  count_ = std::min(affinity_cpus(), r.cpus);
}

}  // namespace baton::sched::platform
