// go_files SCENARIO [key=value ...]: the scenarios of bench/files in Go. What each measures stands in the C++ files; here
// is said only what differs.
package main

import (
	"bufio"
	"io"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"unsafe"

	"baton/bench/peers/scenario"
)

const (
	page     = 4096
	inFlight = 64
)

type (
	arguments = scenario.Arguments
	report    = scenario.Report
)

func check(err error) {
	if err != nil {
		scenario.Die("go_files: " + err.Error())
	}
}

// A block makes `ops` operations, and returns the nanoseconds that they took. The first one does not count.
func blocks(a arguments, out report, unit string, unitNs float64, ops int, block func() int64) {
	runtime.GOMAXPROCS(a.Number("procs", 1))
	for i := 0; i <= a.Number("blocks", 5); i++ {
		took := block()
		if i > 0 {
			out.Add("op_"+unit, float64(took)/float64(ops)/unitNs)
		}
	}
}

// Offsets of pages of a file, at random.
type randomPage struct{ state, pages uint64 }

func (r *randomPage) next() int64 {
	r.state = r.state*6364136223846793005 + 1442695040888963407
	return int64((r.state >> 33) % r.pages * page)
}

func openPages(path string, flags int) (*os.File, uint64) {
	file, err := os.OpenFile(path, os.O_RDONLY|flags, 0)
	check(err)
	stat, err := file.Stat()
	check(err)
	return file, uint64(stat.Size() / page)
}

func threadsOfProcess() float64 {
	status, _ := os.ReadFile("/proc/self/status")
	for _, line := range strings.Split(string(status), "\n") {
		if words := strings.Fields(line); len(words) == 2 && words[0] == "Threads:" {
			count, _ := strconv.ParseFloat(words[1], 64)
			return count
		}
	}
	return 0
}

// O_DIRECT wants memory that begins at a multiple of the device's block.
func alignedPages(n int) []byte {
	memory := make([]byte, (n+1)*page)
	skip := (page - int(uintptr(unsafe.Pointer(&memory[0]))%page)) % page
	return memory[skip : skip+n*page]
}

func directRead(a arguments, out report) {
	file, pages := openPages(a.Text("file", ""), syscall.O_DIRECT)
	memory := alignedPages(inFlight)
	each := a.Number("ops", 4096) / inFlight
	first := true
	blocks(a, out, "us", 1e3, each*inFlight, func() int64 {
		begin := scenario.Now()
		var all sync.WaitGroup
		for i := 0; i < inFlight; i++ {
			all.Add(1)
			go func(i int) {
				defer all.Done()
				place := randomPage{uint64(i) + 1, pages}
				for k := 0; k < each; k++ {
					n, err := file.ReadAt(memory[i*page:(i+1)*page], place.next())
					check(err)
					if n != page {
						scenario.Die("go_files: a short read")
					}
				}
			}(i)
		}
		all.Wait()
		took := scenario.Now() - begin
		if first {
			out.Add("threads", threadsOfProcess())
			first = false
		}
		return took
	})
}

func cachedRead(a arguments, out report) {
	file, pages := openPages(a.Text("file", ""), 0)
	ops := a.Number("ops", 20000)
	memory := make([]byte, page)
	blocks(a, out, "ns", 1, ops, func() int64 {
		place := randomPage{1, pages}
		begin := scenario.Now()
		for i := 0; i < ops; i++ {
			_, err := file.ReadAt(memory, place.next())
			check(err)
		}
		return scenario.Now() - begin
	})
}

func copyFile(a arguments, out report) {
	from, to := a.Text("file", ""), a.Text("to", "")
	blocks(a, out, "ms", 1e6, 1, func() int64 {
		os.Remove(to)
		begin := scenario.Now()
		source, err := os.Open(from)
		check(err)
		target, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0644)
		check(err)
		_, err = io.Copy(target, source)
		check(err)
		check(target.Close())
		took := scenario.Now() - begin
		source.Close()
		return took
	})
	os.Remove(to)
}

func lines(path string) (took int64, count int) {
	file, err := os.Open(path)
	check(err)
	defer file.Close()
	in := bufio.NewScanner(file)
	in.Buffer(make([]byte, 64*1024), 64*1024)
	bytes := 0
	begin := scenario.Now()
	for ; in.Scan(); count++ {
		bytes += len(in.Bytes()) + 1
	}
	took = scenario.Now() - begin
	check(in.Err())
	stat, err := file.Stat()
	check(err)
	if int64(bytes) != stat.Size() {
		scenario.Die("go_files: lines are missing")
	}
	return took, count
}

func readLine(a arguments, out report) {
	path := a.Text("file", "")
	_, count := lines(path)
	blocks(a, out, "ns", 1, count, func() int64 {
		took, _ := lines(path)
		return took
	})
}

func main() {
	scenario.Run(map[string]func(arguments, report){
		"direct_read": directRead, "cached_read": cachedRead, "copy": copyFile, "read_line": readLine,
		"pipe": pipe, "pipe_child": pipeChild,
	})
}
