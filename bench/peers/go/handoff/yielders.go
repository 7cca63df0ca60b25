package main

import (
	"math/rand"
	"runtime"
	"sync"
	"sync/atomic"
)

type yielders struct {
	stopped atomic.Bool
	group   sync.WaitGroup
}

func startYielders(count int, turn func()) *yielders {
	y := &yielders{}
	y.group.Add(count)
	for i := 0; i < count; i++ {
		go func() {
			defer y.group.Done()
			for !y.stopped.Load() {
				runtime.Gosched()
				turn()
			}
		}()
	}
	return y
}

func (y *yielders) stop() {
	y.stopped.Store(true)
	y.group.Wait()
}

type firstRun struct {
	begin   atomic.Int64
	_       [56]byte
	latency atomic.Int64
}

func (f *firstRun) turn() {
	if f.begin.Load() == 0 {
		return
	}
	t := now()
	if begin := f.begin.Swap(0); begin != 0 {
		f.latency.Store(t - begin)
	}
}

func (f *firstRun) arm() int64 {
	f.latency.Store(0)
	begin := now()
	f.begin.Store(begin)
	return begin
}

func (f *firstRun) latencyNs() int64 {
	for {
		if ns := f.latency.Load(); ns != 0 {
			return ns
		}
		runtime.Gosched()
	}
}

type gaps struct {
	begin   atomic.Int64
	_       [56]byte
	last    atomic.Int64
	longest atomic.Int64
	turns   atomic.Uint64
}

func (g *gaps) turn() {
	t := now()
	since := g.last.Load()
	if begin := g.begin.Load(); begin > since {
		since = begin
	}
	g.last.Store(t)
	if t-since > g.longest.Load() {
		g.longest.Store(t - since)
	}
	g.turns.Store(g.turns.Load() + 1)
}

func (g *gaps) arm() int64 {
	begin := now()
	g.begin.Store(begin)
	g.longest.Store(0)
	return begin
}

func (g *gaps) longestNs() int64 {
	before := g.turns.Load()
	for g.turns.Load() == before {
		runtime.Gosched()
	}
	return g.longest.Load()
}

func pause() {
	until := now() + 2*ms + rand.Int63n(1*ms)
	for now() < until {
		runtime.Gosched()
	}
}
