package main

import (
	"runtime"
	"sync"
	"time"
)

func hog(a arguments, out report) {
	runtime.GOMAXPROCS(1)
	length := int64(a.Number("ms", 1000)) * ms
	stretch := int64(a.Number("stretch_ms", 1000)) * ms
	end := now() + length
	var all sync.WaitGroup
	for i := 0; i < a.Number("hogs", 1); i++ {
		all.Add(1)
		go func() {
			defer all.Done()
			for t := now(); t < end; t = now() {
				until := t + stretch
				if until > end {
					until = end
				}
				computeUntil(until)
				runtime.Gosched()
			}
		}()
	}
	for begin := now(); begin < end; begin = now() {
		time.Sleep(time.Millisecond)
		out.Add("late_ms", inMs(now()-begin-1*ms))
	}
	all.Wait()
}

func late(a arguments, out report) {
	runtime.GOMAXPROCS(a.Number("procs", 2))
	stretch := int64(a.Number("stretch_ms", 8)) * ms
	for i := 0; i < a.Number("times", 300); i++ {
		computed := make(chan bool)
		go func() {
			computeUntil(now() + stretch)
			computed <- true
		}()
		begin := now()
		time.Sleep(time.Millisecond)
		out.Add("late_ms", inMs(now()-begin-1*ms))
		<-computed
		time.Sleep(2 * time.Millisecond)
	}
}
