// go_parked_memory parked|spike [key=value ...]: see bench/parked_memory/parked.h. The goroutines wait for a channel to be
// closed.
package main

import (
	"fmt"
	"os"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"baton/bench/peers/scenario"
)

// VmRSS and VmPTE, in bytes.
func memory() int64 {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		scenario.Die(err.Error())
	}
	sum := int64(0)
	for _, line := range strings.Split(string(status), "\n") {
		if strings.HasPrefix(line, "VmRSS:") || strings.HasPrefix(line, "VmPTE:") {
			kilobytes := int64(0)
			fmt.Sscan(strings.Fields(line)[1], &kilobytes)
			sum += kilobytes * 1024
		}
	}
	return sum
}

func parked(a scenario.Arguments, out scenario.Report) {
	runtime.GOMAXPROCS(a.Number("procs", 1))
	fibers := a.Number("fibers", 100000)
	before := memory()
	for _, round := range []string{"first", "again"} {
		gate := make(chan struct{})
		var all sync.WaitGroup
		var arrived atomic.Int64
		all.Add(fibers)
		begin := scenario.Now()
		for i := 1; i <= fibers; i++ {
			go func() {
				arrived.Add(1)
				<-gate
				all.Done()
			}()
			if i%64 == 0 {
				runtime.Gosched()
			}
		}
		for arrived.Load() < int64(fibers) {
			runtime.Gosched()
		}
		out.Add(round+"_create_ns", float64(scenario.Now()-begin)/float64(fibers))
		out.Add(round+"_bytes", float64(memory()-before)/float64(fibers))

		begin = scenario.Now()
		close(gate)
		all.Wait()
		out.Add(round+"_wake_ns", float64(scenario.Now()-begin)/float64(fibers))
	}
}

// Stacks grow by calls only.
//
//go:noinline
func touchStack(pages int) byte {
	var memory [4096]byte
	memory[pages%4096] = 1
	if pages > 1 {
		memory[0] += touchStack(pages - 1)
	}
	return memory[pages%4096]
}

func spike(a scenario.Arguments, out scenario.Report) {
	runtime.GOMAXPROCS(a.Number("procs", 1))
	fibers := a.Number("fibers", 128)
	pages := a.Number("deep_mib", 7) << 20 / 4096
	before := memory()
	gate := make(chan struct{})
	var all sync.WaitGroup
	var arrived atomic.Int64
	all.Add(fibers)
	for i := 0; i < fibers; i++ {
		go func() {
			touchStack(pages)
			arrived.Add(1)
			<-gate
			all.Done()
		}()
	}
	for arrived.Load() < int64(fibers) {
		runtime.Gosched()
	}
	out.Add("peak_mib", float64(memory()-before)/(1<<20))
	close(gate)
	all.Wait()
	time.Sleep(time.Duration(a.Number("wait_ms", 3000)) * time.Millisecond)
	out.Add("kept_mib", float64(memory()-before)/(1<<20))
}

func main() {
	scenario.Run(map[string]func(scenario.Arguments, scenario.Report){"parked": parked, "spike": spike})
}
