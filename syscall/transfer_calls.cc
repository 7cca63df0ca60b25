#include <baton/syscall/transfers.h>
#include <baton/syscall/typed_call.h>

namespace baton::sys {

using detail::blocking_call;

result<std::size_t> copy_file_range(int from, ::off_t* from_offset, int to, ::off_t* to_offset, std::size_t count,
                                    unsigned flags) noexcept {
  return blocking_call<SYS_copy_file_range, std::size_t>(from, from_offset, to, to_offset, count, flags);
}
result<std::size_t> splice(int from, ::off_t* from_offset, int to, ::off_t* to_offset, std::size_t count,
                           unsigned flags) noexcept {
  return blocking_call<SYS_splice, std::size_t>(from, from_offset, to, to_offset, count, flags);
}
result<std::size_t> tee(int from, int to, std::size_t count, unsigned flags) noexcept {
  return blocking_call<SYS_tee, std::size_t>(from, to, count, flags);
}
result<std::size_t> vmsplice(int fd, std::span<const ::iovec> memory, unsigned flags) noexcept {
  return blocking_call<SYS_vmsplice, std::size_t>(fd, memory.data(), memory.size(), flags);
}

}  // namespace baton::sys
