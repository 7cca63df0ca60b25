// The scenarios; README.md in bench/ says what each one measures, main.cc how to call them. Common arguments:
//
//   procs=P blocks=B     B blocks with P Ps. A block of baton's operations, in a fiber, and a block of the same
//                        operations in plain C, on the main thread, take turns. The first block of each warms up, and
//                        does not count
// Each prints
//   op_UNIT, bare_UNIT   what an operation takes in a block
//   share                the rate of baton's block divided by the rate of the bare block beside it, in percent
#pragma once

#include "../scenario.h"

#include <baton/runtime/run.h>

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <string>

namespace files {

using namespace bench;

void direct_read(const arguments& a, report& out);  // direct_read.cc
void cached_read(const arguments& a, report& out);  // cached.cc
void copy(const arguments& a, report& out);         // cached.cc
void read_line(const arguments& a, report& out);    // cached.cc
void pipe(const arguments& a, report& out);         // pipes.cc
void pipe_child(const arguments& a, report& out);   // pipes.cc

// What a child does: copies standard input to standard output, by what one read gives.
void echo(const arguments& a, report& out);  // pipes.cc

inline constexpr std::size_t page = 4096;

struct unit {
  const char* name;
  double ns;
};
inline constexpr unit nanoseconds{"ns", 1};
inline constexpr unit microseconds{"us", 1e3};
inline constexpr unit milliseconds{"ms", 1e6};

// Runs a block of `ops` operations. Returns the nanoseconds that they took.
template <class Baton, class Bare>
void in_turns(const arguments& a, report& out, unit shown, std::int64_t ops, Baton baton_block, Bare bare_block) {
  const std::string in = shown.name;
  for (int block = 0; block <= a.number("blocks", 5); ++block) {
    double with = 0, bare = 0;
    for (int half = 0; half < 2; ++half) {
      if (half == block % 2) {
        baton::run([&] { with = static_cast<double>(baton_block()); }, {.procs = a.number("procs", 1)});
      } else {
        bare = static_cast<double>(bare_block());
      }
    }
    if (block == 0) continue;
    out.add("op_" + in, with / static_cast<double>(ops) / shown.ns);
    out.add("bare_" + in, bare / static_cast<double>(ops) / shown.ns);
    out.add("share", 100 * bare / with);
  }
}

// Offsets of pages of a file, at random.
class random_page {
 public:
  random_page(std::uint64_t seed, off_t file_size)
      : state_(seed), pages_(static_cast<std::uint64_t>(file_size) / page) {
    if (pages_ == 0) die("the file is too small");
  }
  off_t operator()() noexcept {
    state_ = state_ * 6'364'136'223'846'793'005ULL + 1'442'695'040'888'963'407ULL;
    return static_cast<off_t>((state_ >> 33) % pages_ * page);
  }

 private:
  std::uint64_t state_;
  std::uint64_t pages_;
};

struct free_memory {
  void operator()(void* p) const { std::free(p); }
};
using page_memory = std::unique_ptr<char, free_memory>;
inline page_memory make_pages(std::size_t n) {
  return page_memory(static_cast<char*>(std::aligned_alloc(page, n * page)));
}

}  // namespace files
