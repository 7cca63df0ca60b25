package main

import (
	"bufio"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"syscall"
	"unsafe"
)

// Undeclared means RawSyscall, which tells the scheduler nothing. Its signals that ask a goroutine to
// yield interrupt the calls; they are begun again, with the time that is left. There is no getaddrinfo:
// Go's resolver parks the goroutine, and libc's is called through cgo, which declares the call.
func undeclared(a arguments, out report) {
	runtime.GOMAXPROCS(1)
	milliseconds := a.Number("ms", 100)
	calls := a.Number("calls", 10)
	const warmUp = 1
	prepare := func() {}
	occupy := func() {}
	switch a.Text("kind", "nanosleep") {
	case "nanosleep":
		occupy = func() { blockRaw(int64(milliseconds) * ms) }
	case "poll":
		occupy = func() { pollRaw(milliseconds) }
	case "flock":
		l := newLock(a.Text("lock", "handoff.lock"), a.Text("holder", "baton_handoff"))
		prepare = func() { l.hold(milliseconds) }
		occupy = l.lockAndUnlock
	case "compute":
		occupy = func() { computeUntil(now() + int64(milliseconds)*ms) }
	default:
		die("no such kind")
	}
	g := &gaps{}
	others := startYielders(a.Number("fibers", 100), g.turn)
	for i := 0; i < warmUp+calls; i++ {
		aloneBegin, aloneTurns := now(), g.turns.Load()
		for n := 0; n < 5; n++ {
			pause()
		}
		aloneRate := float64(g.turns.Load()-aloneTurns) / float64(now()-aloneBegin)
		prepare()
		turns := g.turns.Load()
		begin := g.arm()
		occupy()
		end := now()
		rate := float64(g.turns.Load()-turns) / float64(end-begin)
		stall := g.longestNs()
		if i < warmUp {
			continue
		}
		out.Add("stall_ms", inMs(stall))
		out.Add("took_ms", inMs(end-begin))
		out.Add("share", 100*rate/aloneRate)
	}
	others.stop()
}

func blockRaw(ns int64) {
	t := syscall.NsecToTimespec(ns)
	for {
		_, _, e := syscall.RawSyscall(syscall.SYS_NANOSLEEP, uintptr(unsafe.Pointer(&t)), uintptr(unsafe.Pointer(&t)), 0)
		if e != syscall.EINTR {
			return
		}
	}
}

func pollRaw(milliseconds int) {
	until := now() + int64(milliseconds)*ms
	for {
		left := (until - now() + ms - 1) / ms
		if left <= 0 {
			return
		}
		// ppoll: poll is not everywhere a system call.
		t := syscall.NsecToTimespec(left * ms)
		syscall.RawSyscall6(syscall.SYS_PPOLL, 0, 0, uintptr(unsafe.Pointer(&t)), 0, 0, 0)
	}
}

func computeUntil(end int64) {
	sum := uint64(0)
	for now() < end {
		for i := uint64(0); i < 1000; i++ {
			sum += i
			sink = sum
		}
	}
}

var sink uint64

// The process that holds the lock is baton's program.
type lock struct {
	fd      int
	ask     io.Writer
	answers *bufio.Reader
}

func newLock(path, holder string) *lock {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0600)
	if err != nil {
		die(err.Error())
	}
	command := exec.Command(holder, "hold_lock", "path="+path)
	in, err1 := command.StdinPipe()
	from, err2 := command.StdoutPipe()
	if err1 != nil || err2 != nil || command.Start() != nil {
		die("cannot start the lock holder")
	}
	return &lock{int(f.Fd()), in, bufio.NewReader(from)}
}

func (l *lock) hold(milliseconds int) {
	_, err := io.WriteString(l.ask, strconv.Itoa(milliseconds)+"\n")
	if err == nil {
		_, err = l.answers.ReadByte()
	}
	if err != nil {
		die("the lock holder is gone")
	}
}

func (l *lock) lockAndUnlock() {
	for {
		_, _, e := syscall.RawSyscall(syscall.SYS_FLOCK, uintptr(l.fd), syscall.LOCK_EX, 0)
		if e != syscall.EINTR {
			break
		}
	}
	syscall.RawSyscall(syscall.SYS_FLOCK, uintptr(l.fd), syscall.LOCK_UN, 0)
}
