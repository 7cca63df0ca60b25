// Signals of the operating system as elements of a channel.
//
//   baton::channel<int> stop(1);
//   baton::os_signals::notify(stop, {SIGINT, SIGTERM});
//   int signal = stop.receive().value();
//
// The handler only notes the signal. It is delivered by a fiber, and waits there until the channel
// takes it: nothing is lost when nobody receives at the moment. As in the kernel, equal signals
// coalesce: for each channel and signal there is one pending bit, and while it is set more of the
// same add nothing. A signal that arrives after the last one was received is always delivered.
//
// It need not be open: one that all threads of the process block (the process may have been started so) gets here, and
// stays blocked, also after stop(). After shutdown() signals are still taken for the channels that want them, and kept
// until the runtime is started again.
//
// A signal can go to several channels. All functions may be called from any fiber or thread, and
// never switch. SIGKILL and SIGSTOP cannot be caught and are left out, with a warning. SIGSEGV,
// SIGBUS, SIGFPE and SIGILL become elements only if somebody sent them (kill() and the like): a fault of
// the program itself does what it would do without us. Misuse: a number that is no signal.
#pragma once

#include <baton/runtime/channel.h>

#include <initializer_list>

namespace baton::os_signals {

// From now on sends these signals to the channel, in addition to those that it gets already. Closing
// the channel ends that as stop() does, but it is noticed only when the next of its signals comes; that
// one is raised again if it came for this channel alone. Throws std::bad_alloc, and std::system_error
// if the kernel gives no descriptors for it.
void notify(channel<int> to, std::initializer_list<int> signals);

// The channel gets no signal that comes after this. A signal that no channel wants any more does again
// what it did before the first notify(), unless the program itself has set another action since. So does
// one that has come already, for this channel alone, and that it has not taken: it is raised again. If it
// is being offered at this moment, a receiver may still get it instead.
void stop(channel<int> to);

// The process ignores these signals; channels do not get them any more.
void ignore(std::initializer_list<int> signals);

// These signals do again what they did before the first notify() or ignore(); channels do not get
// them any more. What a channel has not taken is as with stop(). Without arguments: all that were changed.
void reset(std::initializer_list<int> signals = {});

}  // namespace baton::os_signals
