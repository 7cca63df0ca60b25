// All typed system calls, and the untyped ones.
#pragma once

#include <baton/syscall/event_descriptors.h>
#include <baton/syscall/files.h>
#include <baton/syscall/ids.h>
#include <baton/syscall/memory.h>
#include <baton/syscall/names.h>
#include <baton/syscall/processes.h>
#include <baton/syscall/raw_syscall.h>
#include <baton/syscall/scheduling.h>
#include <baton/syscall/sockets.h>
#include <baton/syscall/storage.h>
#include <baton/syscall/syscall.h>
#include <baton/syscall/system.h>
#include <baton/syscall/time.h>
#include <baton/syscall/transfers.h>
#include <baton/syscall/xattr.h>
