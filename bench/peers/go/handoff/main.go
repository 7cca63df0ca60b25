// go_handoff SCENARIO [key=value ...]: the scenarios of bench/handoff in Go, word for word, as far as
// Go has the means. What each measures and prints stands in the C++ files of the same names; here is
// said only what differs.
package main

import (
	"syscall"

	"baton/bench/peers/scenario"
)

const (
	us = scenario.Us
	ms = scenario.Ms
)

type (
	arguments = scenario.Arguments
	report    = scenario.Report
)

func now() int64     { return scenario.Now() }
func die(why string) { scenario.Die("go_handoff: " + why) }

// Blocks the thread in a call that the scheduler is told of.
func blockDeclared(ns int64) {
	t := syscall.NsecToTimespec(ns)
	for syscall.Nanosleep(&t, &t) == syscall.EINTR {
	}
}

func inUs(ns int64) float64 { return float64(ns) / 1e3 }
func inMs(ns int64) float64 { return float64(ns) / 1e6 }

func main() {
	scenario.Run(map[string]func(arguments, report){
		"declared": declared, "undeclared": undeclared, "hog": hog, "late": late,
		"runnable": runnable, "crowd": crowd, "blockers": blockers,
		"cached_reads": cachedReads, "short_calls": shortCalls, "idle": idle,
	})
}
