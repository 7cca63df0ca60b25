package main

import (
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// The process that watches is baton's program.
func averageOf(a arguments) float64 {
	text, err := exec.Command(a.Text("holder", "baton_handoff"), "watch_threads", "pid="+strconv.Itoa(os.Getpid()),
		"samples="+a.Text("samples", "30"), "every_ms="+a.Text("every_ms", "20")).Output()
	if err != nil {
		die("the watcher has failed")
	}
	average, err := strconv.ParseFloat(strings.TrimSpace(string(text)), 64)
	if err != nil {
		die("the watcher has failed")
	}
	return average
}

func runnable(a arguments, out report) {
	runtime.GOMAXPROCS(1)
	kind := a.Text("kind", "mutex")
	var stop atomic.Bool
	var all sync.WaitGroup
	for i := 0; i < a.Number("fibers", 3); i++ {
		all.Add(1)
		go func() {
			defer all.Done()
			var exclusive sync.Mutex
			var shared sync.RWMutex
			for !stop.Load() {
				if kind == "mutex" {
					exclusive.Lock()
					exclusive.Unlock()
				} else {
					shared.RLock()
					shared.RUnlock()
				}
			}
		}()
	}
	time.Sleep(300 * time.Millisecond)
	out.Add("runnable", averageOf(a))
	stop.Store(true)
	all.Wait()
}
