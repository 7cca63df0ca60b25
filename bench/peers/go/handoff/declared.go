package main

import (
	"runtime"
)

// Go knows no call sites: every variant is this one. The call's end cannot be stamped within
// syscall.Nanosleep, so there is due_us, and no return_us.
func declared(a arguments, out report) {
	runtime.GOMAXPROCS(1)
	calls := a.Number("calls", 10)
	const warmUp = 5
	length := int64(a.Number("ms", 10)) * ms
	first := &firstRun{}
	others := startYielders(a.Number("fibers", 100), first.turn)
	for i := 0; i < warmUp+calls; i++ {
		pause()
		l := length
		if i < warmUp {
			l = 5 * ms
		}
		begin := first.arm()
		blockDeclared(l)
		back := now()
		latency := first.latencyNs()
		if i < warmUp {
			continue
		}
		out.Add("first_us", inUs(latency))
		out.Add("due_us", inUs(back-begin-l))
	}
	others.stop()
}
