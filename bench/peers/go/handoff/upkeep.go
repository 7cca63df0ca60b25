package main

import (
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
	"unsafe"
)

// Go does not count retakes. Its watcher is sysmon, the first thread that the runtime starts; which is
// therefore the second of the process. The one who measures is a goroutine that sleeps: now and then it
// waits for the P, as the others do.
func sysmonTask() string {
	tasks, _ := os.ReadDir("/proc/self/task")
	found := 0
	for _, task := range tasks {
		n, _ := strconv.Atoi(task.Name())
		if n != os.Getpid() && (found == 0 || n < found) {
			found = n
		}
	}
	return strconv.Itoa(found)
}

type threadCost struct{ cpuNs, sleeps float64 }

func readCost(task string) (c threadCost) {
	stat, _ := os.ReadFile("/proc/self/task/" + task + "/schedstat")
	fmt.Sscan(string(stat), &c.cpuNs)
	status, _ := os.ReadFile("/proc/self/task/" + task + "/status")
	for _, line := range strings.Split(string(status), "\n") {
		if words := strings.Fields(line); len(words) == 2 && words[0] == "voluntary_ctxt_switches:" {
			c.sleeps, _ = strconv.ParseFloat(words[1], 64)
		}
	}
	return c
}

func shortCalls(a arguments, out report) {
	runtime.GOMAXPROCS(1)
	length := time.Duration(a.Number("ms", 1000)) * time.Millisecond
	var stop atomic.Bool
	var all sync.WaitGroup
	fibers := a.Number("fibers", 1)
	all.Add(fibers)
	for i := 0; i < fibers; i++ {
		go func() {
			defer all.Done()
			for !stop.Load() {
				for n := 0; n < 100; n++ {
					syscall.Syscall(syscall.SYS_GETPID, 0, 0, 0)
				}
				runtime.Gosched()
			}
		}()
	}
	sysmon := sysmonTask()
	time.Sleep(length * 2 / 5)
	begin := now()
	before := readCost(sysmon)
	time.Sleep(length)
	after := readCost(sysmon)
	passed := float64(now() - begin)
	out.Add("watcher_percent", 100*(after.cpuNs-before.cpuNs)/passed)
	out.Add("watcher_wakes", (after.sleeps-before.sleeps)*1e9/passed)
	stop.Store(true)
	all.Wait()
}

func processCPU() int64 {
	const clockProcessCPUTime = 2
	var t syscall.Timespec
	syscall.RawSyscall(syscall.SYS_CLOCK_GETTIME, clockProcessCPUTime, uintptr(unsafe.Pointer(&t)), 0)
	return t.Nano()
}

func idle(a arguments, out report) {
	runtime.GOMAXPROCS(2)
	time.Sleep(200 * time.Millisecond)
	before := processCPU()
	time.Sleep(time.Duration(a.Number("seconds", 3)) * time.Second)
	out.Add("cpu_ms", inMs(processCPU()-before))
}
