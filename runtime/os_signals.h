// Public API: baton::os_signals, which sends signals of the operating system to channels.
//
//   baton::channel<int> stop(1);
//   baton::os_signals::notify(stop, {SIGINT, SIGTERM});
//   int signal = stop.receive().value();
//
// The handler only notes the signal. A fiber delivers it, and waits until the channel takes it: nothing is lost when no
// receiver is there at the moment. As in the kernel, equal signals coalesce: each channel has one pending bit for each
// signal, and while it is set more of the same signal add nothing. A signal that arrives after the last one was
// received is always delivered.
//
// The signal may be blocked. A signal that all threads of the process block (because the process was started so)
// arrives here too, and stays blocked, also after stop(). After shutdown() signals are still taken for the channels
// that want them, and kept until the runtime is started again.
//
// A signal can go to several channels. All functions may be called from any fiber or thread, and never switch. SIGKILL
// and SIGSTOP cannot be caught; they are left out, with a warning. SIGSEGV, SIGBUS, SIGFPE and SIGILL become elements
// only if they were sent (by kill() and the like): a fault of the program itself does what it would do without baton.
// Misuse: a number that is no signal.
#pragma once

#include <baton/runtime/channel.h>

#include <initializer_list>

namespace baton::os_signals {

// Sends these signals to the channel from now on, in addition to those that it gets already. Closing the channel ends
// that as stop() does, but the closing is noticed only when the next of its signals comes. That signal is raised again
// if it came for this channel alone. Throws std::bad_alloc, and std::system_error if the kernel gives no descriptors
// for it.
void notify(channel<int> to, std::initializer_list<int> signals);

// Ends the delivery: the channel gets no signal that comes after this call. A signal that no channel wants any more
// does again what it did before the first notify(), unless the program itself has set another action since. A signal
// that has come already, for this channel alone, and that the channel has not taken does so too: it is raised again. If
// it is being offered at this moment, a receiver may still get it instead.
void stop(channel<int> to);

// Makes the process ignore these signals; channels do not get them any more.
void ignore(std::initializer_list<int> signals);

// Makes these signals do again what they did before the first notify() or ignore(); channels do not get them any more.
// A signal that a channel has not taken is treated as by stop(). Without arguments it resets all signals that were
// changed.
void reset(std::initializer_list<int> signals = {});

}  // namespace baton::os_signals
