# Builds for aarch64 on another machine: Debian's cross compiler (package g++-aarch64-linux-gnu) with the libraries that
# tools/aarch64_sysroot has unpacked. What was built runs under qemu-user (tools/run_aarch64): an emulator of one process,
# whose system calls go to this machine's kernel.
set(CMAKE_SYSTEM_NAME Linux)
set(CMAKE_SYSTEM_PROCESSOR aarch64)
set(baton_sysroot "${CMAKE_CURRENT_LIST_DIR}/../build/aarch64-sysroot")
cmake_path(NORMAL_PATH baton_sysroot)
set(baton_compiler_libraries /usr/aarch64-linux-gnu/lib)

set(CMAKE_C_COMPILER aarch64-linux-gnu-gcc)
set(CMAKE_CXX_COMPILER aarch64-linux-gnu-g++)
set(CMAKE_FIND_ROOT_PATH "${baton_sysroot}" /usr/aarch64-linux-gnu)
set(CMAKE_FIND_ROOT_PATH_MODE_PROGRAM NEVER)
set(CMAKE_FIND_ROOT_PATH_MODE_LIBRARY ONLY)
set(CMAKE_FIND_ROOT_PATH_MODE_INCLUDE ONLY)
set(CMAKE_FIND_ROOT_PATH_MODE_PACKAGE ONLY)
set(ENV{PKG_CONFIG_LIBDIR} "${baton_sysroot}/usr/lib/aarch64-linux-gnu/pkgconfig")
set(ENV{PKG_CONFIG_SYSROOT_DIR} "${baton_sysroot}")

# A program names its loader and libraries by their paths here, so that it also runs where something else starts it.
# Not --enable-new-dtags: what a library needs in turn lies in the same folders.
set(CMAKE_EXE_LINKER_FLAGS_INIT "-Wl,--dynamic-linker=${baton_compiler_libraries}/ld-linux-aarch64.so.1")
foreach(kind IN ITEMS EXE SHARED MODULE)
  string(APPEND CMAKE_${kind}_LINKER_FLAGS_INIT " -Wl,--disable-new-dtags,-rpath,${baton_compiler_libraries}"
    ",-rpath,${baton_sysroot}/usr/lib/aarch64-linux-gnu"
    " -Wl,-rpath-link,${baton_sysroot}/usr/lib/aarch64-linux-gnu")
endforeach()
set(CMAKE_CROSSCOMPILING_EMULATOR "${CMAKE_CURRENT_LIST_DIR}/../tools/run_aarch64")
cmake_path(NORMAL_PATH CMAKE_CROSSCOMPILING_EMULATOR)
