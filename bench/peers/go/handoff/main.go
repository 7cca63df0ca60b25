// go_handoff SCENARIO [key=value ...]: the scenarios of bench/handoff in Go, word for word, as far as
// Go has the means. What each measures and prints stands in the C++ files of the same names; here is
// said only what differs.
package main

import (
	"fmt"
	"os"
	"sort"
	"strconv"
	"strings"
	"syscall"
	"time"
)

const (
	us = int64(time.Microsecond)
	ms = int64(time.Millisecond)
)

var start = time.Now()

// Nanoseconds of the monotonic clock, from 1 so that 0 can mean "none".
func now() int64 { return int64(time.Since(start)) + 1 }

// Blocks the thread in a call that the scheduler is told of.
func blockDeclared(ns int64) {
	t := syscall.NsecToTimespec(ns)
	for syscall.Nanosleep(&t, &t) == syscall.EINTR {
	}
}

type arguments map[string]string

func (a arguments) number(key string, otherwise int) int {
	if n, err := strconv.Atoi(a[key]); err == nil {
		return n
	}
	return otherwise
}

func (a arguments) text(key, otherwise string) string {
	if v, ok := a[key]; ok {
		return v
	}
	return otherwise
}

type report map[string][]float64

func (r report) add(name string, value float64) { r[name] = append(r[name], value) }

func (r report) print() {
	var names []string
	for name := range r {
		names = append(names, name)
	}
	sort.Strings(names)
	var parts []string
	for _, name := range names {
		var values []string
		for _, v := range r[name] {
			values = append(values, strconv.FormatFloat(v, 'f', 3, 64))
		}
		parts = append(parts, fmt.Sprintf("%q: [%s]", name, strings.Join(values, ", ")))
	}
	fmt.Printf("{%s}\n", strings.Join(parts, ", "))
}

func inUs(ns int64) float64 { return float64(ns) / 1e3 }
func inMs(ns int64) float64 { return float64(ns) / 1e6 }

func die(why string) {
	fmt.Fprintln(os.Stderr, "go_handoff: "+why)
	os.Exit(1)
}

func main() {
	scenarios := map[string]func(arguments, report){
		"declared": declared, "undeclared": undeclared, "crowd": crowd, "blockers": blockers,
		"short_calls": shortCalls, "idle": idle,
	}
	if len(os.Args) < 2 || scenarios[os.Args[1]] == nil {
		die("usage: go_handoff SCENARIO [key=value ...]")
	}
	a := arguments{}
	for _, word := range os.Args[2:] {
		key, value, found := strings.Cut(word, "=")
		if !found {
			die("arguments are key=value")
		}
		a[key] = value
	}
	out := report{}
	scenarios[os.Args[1]](a, out)
	out.print()
}
