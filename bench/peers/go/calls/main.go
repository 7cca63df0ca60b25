// go_calls SCENARIO [key=value ...]: the scenarios of bench/calls in Go, with one P. What each measures stands in
// bench/calls/workloads.h.
package main

import (
	"net"
	"os"
	"os/exec"
	"runtime"
	"sync"
	"syscall"

	"baton/bench/peers/scenario"
)

const (
	page         = 4096
	places       = 256
	writesAtOnce = 64
)

type (
	arguments = scenario.Arguments
	report    = scenario.Report
)

func check(err error) {
	if err != nil {
		scenario.Die("go_calls: " + err.Error())
	}
}

func nsPerOp(ops int, f func()) float64 {
	begin := scenario.Now()
	for i := 0; i < ops; i++ {
		f()
	}
	return float64(scenario.Now()-begin) / float64(ops)
}

// syscall.Getpid itself tells the scheduler nothing; Syscall does, as for each call that might block.
func getpid(a arguments, out report) {
	ops := a.Number("ops", 2000)
	bare := func() float64 {
		begin := scenario.Now()
		for i := 0; i < ops; i++ {
			syscall.RawSyscall(syscall.SYS_GETPID, 0, 0, 0)
		}
		return float64(scenario.Now()-begin) / float64(ops)
	}
	declared := func() float64 {
		begin := scenario.Now()
		for i := 0; i < ops; i++ {
			syscall.Syscall(syscall.SYS_GETPID, 0, 0, 0)
		}
		return float64(scenario.Now()-begin) / float64(ops)
	}
	for block := 0; block < a.Number("blocks", 50); block++ {
		var op, trap float64
		if block%2 == 0 {
			trap = bare()
			op = declared()
		} else {
			op = declared()
			trap = bare()
		}
		out.Add("op_ns", op)
		out.Add("bare_ns", trap)
		out.Add("extra_ns", op-trap)
	}
}

func zero(a arguments, out report) {
	fd, err := syscall.Open("/dev/zero", syscall.O_RDONLY, 0)
	check(err)
	buffer := make([]byte, 1)
	for block := 0; block < a.Number("blocks", 50); block++ {
		out.Add("op_ns", nsPerOp(a.Number("ops", 2000), func() {
			_, err := syscall.Read(fd, buffer)
			check(err)
		}))
	}
}

func socketWrite(a arguments, out report) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	check(err)
	writer, err := net.Dial("tcp", listener.Addr().String())
	check(err)
	reader, err := listener.Accept()
	check(err)
	message := make([]byte, a.Number("size", 64))
	all := make([]byte, writesAtOnce*len(message))
	ops := a.Number("ops", 2048) / writesAtOnce
	for block := 0; block < a.Number("blocks", 50); block++ {
		total := 0.0
		for i := 0; i < ops; i++ {
			total += nsPerOp(writesAtOnce, func() {
				_, err := writer.Write(message)
				check(err)
			})
			for left := len(all); left > 0; {
				n, err := reader.Read(all[:left])
				check(err)
				left -= n
			}
		}
		out.Add("op_ns", total/float64(ops))
	}
}

func filled(path string) *os.File {
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0600)
	check(err)
	for i := int64(0); i < places; i++ {
		_, err := file.WriteAt(make([]byte, page), i*page)
		check(err)
	}
	return file
}

func fileWrite(a arguments, out report) {
	file := filled(a.Text("file", ""))
	content := make([]byte, page)
	for block := 0; block < a.Number("blocks", 50); block++ {
		i := int64(0)
		out.Add("op_ns", nsPerOp(a.Number("ops", 1024), func() {
			_, err := file.WriteAt(content, page*(i%places))
			check(err)
			i++
		}))
	}
}

func startAndWait(children int) {
	if children == 1 {
		check(exec.Command("/bin/true").Run())
		return
	}
	var all sync.WaitGroup
	for i := 0; i < children; i++ {
		all.Add(1)
		go func() {
			defer all.Done()
			check(exec.Command("/bin/true").Run())
		}()
	}
	all.Wait()
}

func start(a arguments, out report) {
	atOnce := a.Number("at_once", 1)
	rounds := a.Number("ops", 100) / atOnce
	if rounds == 0 {
		rounds = 1
	}
	startAndWait(1) // whatever is made once
	for block := 0; block < a.Number("blocks", 20); block++ {
		out.Add("op_us", nsPerOp(rounds, func() { startAndWait(atOnce) })/float64(atOnce)/1000)
	}
}

func main() {
	runtime.GOMAXPROCS(1)
	scenario.Run(map[string]func(arguments, report){
		"getpid": getpid, "zero": zero, "socket_write": socketWrite, "file_write": fileWrite,
		"start": start,
	})
}
