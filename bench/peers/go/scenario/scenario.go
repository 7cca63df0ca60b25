// Package scenario is bench/scenario.h in Go: arguments of the form key=value, raw values printed as JSON.
package scenario

import (
	"fmt"
	"os"
	"sort"
	"strconv"
	"strings"
	"time"
)

const (
	Us = int64(time.Microsecond)
	Ms = int64(time.Millisecond)
)

var start = time.Now()

// Now is the time in nanoseconds of the monotonic clock, from 1 so that 0 can mean "none".
func Now() int64 { return int64(time.Since(start)) + 1 }

type Arguments map[string]string

func (a Arguments) Number(key string, otherwise int) int {
	if n, err := strconv.Atoi(a[key]); err == nil {
		return n
	}
	return otherwise
}

func (a Arguments) Text(key, otherwise string) string {
	if v, ok := a[key]; ok {
		return v
	}
	return otherwise
}

type Report map[string][]float64

func (r Report) Add(name string, value float64) { r[name] = append(r[name], value) }

func (r Report) print() {
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

func Die(why string) {
	fmt.Fprintln(os.Stderr, why)
	os.Exit(1)
}

// Run is the body of main: PROGRAM SCENARIO [key=value ...].
func Run(scenarios map[string]func(Arguments, Report)) {
	if len(os.Args) < 2 || scenarios[os.Args[1]] == nil {
		Die("usage: " + os.Args[0] + " SCENARIO [key=value ...]")
	}
	a := Arguments{}
	for _, word := range os.Args[2:] {
		key, value, found := strings.Cut(word, "=")
		if !found {
			Die("arguments are key=value")
		}
		a[key] = value
	}
	out := Report{}
	scenarios[os.Args[1]](a, out)
	out.print()
}
