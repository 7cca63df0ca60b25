package main

import (
	"runtime"
	"sync/atomic"
	"time"

	"baton/bench/peers/scenario"
)

func storm(a arguments, out report) {
	runtime.GOMAXPROCS(a.Number("procs", 1))
	fibers := int32(a.Number("fibers", 300000))
	ahead := int64(fibers) / 200 * scenario.Ms
	if ahead < 200*scenario.Ms {
		ahead = 200 * scenario.Ms
	}
	for ; ; ahead *= 2 {
		due := scenario.Now() + ahead
		var asleep, done atomic.Int32
		for i := int32(1); i <= fibers; i++ {
			go func() {
				asleep.Add(1)
				time.Sleep(time.Duration(due - scenario.Now()))
				done.Add(1)
			}()
			if i%64 == 0 {
				runtime.Gosched()
			}
		}
		for asleep.Load() < fibers {
			runtime.Gosched()
		}
		inTime := scenario.Now() < due-100*scenario.Ms
		if inTime {
			time.Sleep(time.Duration(due - 100*scenario.Ms - scenario.Now()))
		}
		before, gap := int64(0), int64(0)
		for last := scenario.Now(); done.Load() < fibers; {
			runtime.Gosched()
			now := scenario.Now()
			longest := &gap
			if last < due && now < due {
				longest = &before
			}
			if now-last > *longest {
				*longest = now - last
			}
			last = now
		}
		if inTime {
			out.Add("before_ms", float64(before)/1e6)
			out.Add("gap_ms", float64(gap)/1e6)
			out.Add("last_ms", float64(scenario.Now()-due)/1e6)
			return
		}
	}
}
