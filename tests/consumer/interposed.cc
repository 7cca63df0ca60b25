// A plain read() of a fiber becomes a declared call: exit code 0 if it did.
#include <baton/baton.h>

#include <unistd.h>
#include <cstdio>

int main() {
  int ends[2];
  if (::pipe(ends) != 0) return 2;
  baton::options options;
  options.procs = 1;
  return baton::run(
      [&] {
        auto reader = baton::spawn([&] {
          char c = 0;
          return ::read(ends[0], &c, 1) == 1 ? c : '\0';
        });
        baton::this_fiber::yield();  // the reader runs first, and is in its call from here on
        const bool written = ::write(ends[1], "b", 1) == 1;
        const bool right = reader.join() == 'b' && written;
        bool declared = false;
        for (const auto& site : baton::call_sites()) declared |= site.place.rfind("read, called in ", 0) == 0;
        std::printf("interposed: %s\n", declared ? "yes" : "no");
        return right && declared ? 0 : 1;
      },
      options);
}
