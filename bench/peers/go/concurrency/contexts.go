//go:build go1.21

package main

import (
	"context"
	"runtime"
	"sync"
	"sync/atomic"

	"baton/bench/peers/scenario"
)

// context.AfterFunc is what baton::on_cancel is.
func nsOfContext(parents [2]context.Context, length int64) float64 {
	var made atomic.Int64
	var all sync.WaitGroup
	begin := scenario.Now()
	for _, parent := range parents {
		all.Add(1)
		go func(parent context.Context) {
			defer all.Done()
			mine := int64(0)
			for ; scenario.Now()-begin < length; runtime.Gosched() {
				for i := 0; i < 64; i++ {
					request, cancel := context.WithCancel(parent)
					stop := context.AfterFunc(request, func() {})
					stop()
					cancel()
					mine++
				}
			}
			made.Add(mine)
		}(parent)
	}
	all.Wait()
	return float64(scenario.Now()-begin) / float64(made.Load())
}

func contexts(a arguments, out report) {
	runtime.GOMAXPROCS(a.Number("procs", 2))
	length := int64(a.Number("ms", 100)) * scenario.Ms
	server, end := context.WithCancel(context.Background())
	other, endOther := context.WithCancel(context.Background())
	defer end()
	defer endOther()
	for block := 0; block <= a.Number("times", 3); block++ {
		var shared, own float64
		for half := 0; half < 2; half++ {
			if half == block%2 {
				shared = nsOfContext([2]context.Context{server, server}, length)
			} else {
				own = nsOfContext([2]context.Context{server, other}, length)
			}
		}
		if block > 0 {
			out.Add("shared_ns", shared)
			out.Add("own_ns", own)
			out.Add("share", 100*own/shared)
		}
	}
}
