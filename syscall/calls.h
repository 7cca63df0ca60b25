// All typed system calls, and the untyped ones.
#pragma once

#include <baton/syscall/files.h>
#include <baton/syscall/processes.h>
#include <baton/syscall/raw_syscall.h>
#include <baton/syscall/sockets.h>
#include <baton/syscall/syscall.h>
#include <baton/syscall/time.h>
