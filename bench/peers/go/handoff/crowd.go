package main

import (
	"runtime"
	"sync"
	"sync/atomic"
)

func percentInGaps(length int64) float64 {
	begin := now()
	last := begin
	lost := int64(0)
	for last-begin < length {
		runtime.Gosched()
		t := now()
		if t-last > 100*us {
			lost += t - last
		}
		last = t
	}
	return 100 * float64(lost) / float64(last-begin)
}

func crowd(a arguments, out report) {
	runtime.GOMAXPROCS(a.Number("procs", 2))
	fibers := a.Number("fibers", 1000)
	length := int64(a.Number("ms", 100)) * ms
	for round := 0; round < a.Number("times", 3); round++ {
		begin := now()
		var all sync.WaitGroup
		all.Add(fibers)
		for i := 0; i < fibers; i++ {
			go func() {
				blockDeclared(length)
				all.Done()
			}()
		}
		all.Wait()
		name := "warm_ms"
		if round == 0 {
			name = "cold_ms"
		}
		out.Add(name, inMs(now()-begin))
	}
}

func blockers(a arguments, out report) {
	procs := a.Number("procs", 1)
	runtime.GOMAXPROCS(procs)
	count := procs + a.Number("extra", 2)
	segment := int64(a.Number("segment_ms", 500)) * ms
	for i := 0; i < a.Number("segments", 2); i++ {
		out.Add("without", percentInGaps(segment))
		var stop atomic.Bool
		var all sync.WaitGroup
		all.Add(count)
		for n := 0; n < count; n++ {
			go func() {
				defer all.Done()
				for !stop.Load() {
					blockDeclared(10 * ms)
				}
			}()
		}
		out.Add("with", percentInGaps(segment))
		stop.Store(true)
		all.Wait()
	}
}
