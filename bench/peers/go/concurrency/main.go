// go_concurrency SCENARIO [key=value ...]: the workloads of bench/concurrency in Go, word for word. What each
// measures and prints stands in workloads.h and baton_concurrency.cc; here is said only what differs.
package main

import (
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"baton/bench/peers/scenario"
)

type (
	arguments = scenario.Arguments
	report    = scenario.Report
)

func measure(a arguments, out report, ops int, body func()) {
	runtime.GOMAXPROCS(a.Number("procs", 1))
	times := a.Number("times", 5)
	for i := 0; i <= times; i++ {
		begin := scenario.Now()
		body()
		if i > 0 {
			out.Add("op_ns", float64(scenario.Now()-begin)/float64(ops))
		}
	}
}

func yield(a arguments, out report) {
	fibers := a.Number("fibers", 2)
	each := a.Number("ops", 1000000) / fibers
	measure(a, out, each*fibers, func() {
		var all sync.WaitGroup
		for i := 0; i < fibers; i++ {
			all.Add(1)
			go func() {
				defer all.Done()
				for n := 0; n < each; n++ {
					runtime.Gosched()
				}
			}()
		}
		all.Wait()
	})
}

// A goroutine cannot be joined: a wait group does it.
func spawnJoin(a arguments, out report) {
	ops := a.Number("ops", 100000)
	measure(a, out, ops, func() {
		for i := 0; i < ops; i++ {
			var one sync.WaitGroup
			one.Add(1)
			go func() { one.Done() }()
			one.Wait()
		}
	})
}

func pingPong(a arguments, out report) {
	ops := a.Number("ops", 200000)
	measure(a, out, ops, func() {
		there, back := make(chan int), make(chan int)
		go func() {
			for v := range there {
				back <- v
			}
			close(back)
		}()
		for i := 0; i < ops; i++ {
			there <- i
			<-back
		}
		close(there)
		<-back
	})
}

func items(a arguments, out report) {
	producers, consumers := a.Number("producers", 1), a.Number("consumers", 1)
	each := a.Number("ops", 1000000) / producers
	measure(a, out, each*producers, func() {
		c := make(chan int64, a.Number("capacity", 128))
		var sum int64
		var makers, takers sync.WaitGroup
		for i := 0; i < consumers; i++ {
			takers.Add(1)
			go func() {
				defer takers.Done()
				mine := int64(0)
				for v := range c {
					mine += v
				}
				atomic.AddInt64(&sum, mine)
			}()
		}
		for i := 0; i < producers; i++ {
			makers.Add(1)
			go func() {
				defer makers.Done()
				for v := 1; v <= each; v++ {
					c <- int64(v)
				}
			}()
		}
		makers.Wait()
		close(c)
		takers.Wait()
		if sum != int64(each)*int64(each+1)/2*int64(producers) {
			scenario.Die("items were lost")
		}
	})
}

func mutex(a arguments, out report) {
	fibers := a.Number("fibers", 100)
	each := a.Number("ops", 1000000) / fibers
	measure(a, out, each*fibers, func() {
		var lock sync.Mutex
		var all sync.WaitGroup
		count := 0
		for i := 0; i < fibers; i++ {
			all.Add(1)
			go func() {
				defer all.Done()
				for n := 0; n < each; n++ {
					lock.Lock()
					count++
					lock.Unlock()
				}
			}()
		}
		all.Wait()
		if count != each*fibers {
			scenario.Die("the lock does not lock")
		}
	})
}

func condition(a arguments, out report) {
	ops := a.Number("ops", 200000)
	measure(a, out, ops, func() {
		var lock sync.Mutex
		changed := sync.NewCond(&lock)
		turn := 0
		takeTurns := func(me int) {
			for i := 0; i < ops; i++ {
				lock.Lock()
				for turn != me {
					changed.Wait()
				}
				turn = 1 - me
				lock.Unlock()
				changed.Signal()
			}
		}
		var other sync.WaitGroup
		other.Add(1)
		go func() {
			takeTurns(1)
			other.Done()
		}()
		takeTurns(0)
		other.Wait()
	})
}

func selectOfFour(a arguments, out report) {
	each := a.Number("ops", 400000) / 4
	measure(a, out, each*4, func() {
		var c [4]chan int64
		for i := range c {
			one := make(chan int64, a.Number("capacity", 128))
			c[i] = one
			go func() {
				for v := 1; v <= each; v++ {
					one <- int64(v)
				}
			}()
		}
		sum := int64(0)
		for i := 0; i < each*4; i++ {
			select {
			case v := <-c[0]:
				sum += v
			case v := <-c[1]:
				sum += v
			case v := <-c[2]:
				sum += v
			case v := <-c[3]:
				sum += v
			}
		}
		if sum != int64(each)*int64(each+1)/2*4 {
			scenario.Die("items were lost")
		}
	})
}

func timer(a arguments, out report) {
	ops := a.Number("ops", 500000)
	measure(a, out, ops, func() {
		for i := 0; i < ops; i++ {
			if !time.AfterFunc(time.Hour, func() {}).Stop() {
				scenario.Die("a timer of an hour has fired")
			}
		}
	})
}

func readLock(a arguments, out report) {
	ops := a.Number("ops", 1000000)
	var lock sync.RWMutex
	measure(a, out, ops, func() {
		for i := 0; i < ops; i++ {
			lock.RLock()
			lock.RUnlock()
		}
	})
}

func sleepers(a arguments, out report) {
	runtime.GOMAXPROCS(a.Number("procs", 1))
	length := int64(a.Number("seconds", 4)) * 1000 * scenario.Ms
	var lock sync.Mutex
	var all sync.WaitGroup
	begin := scenario.Now()
	for i := 0; i < a.Number("fibers", 100000); i++ {
		all.Add(1)
		go func(i int) {
			defer all.Done()
			dice := uint32(i)*2654435761 + 1
			var late []float64
			for scenario.Now()-begin < length {
				dice = dice*1664525 + 1013904223
				sleep := time.Duration(1+(dice>>16)%1000) * time.Millisecond
				until := time.Now().Add(sleep)
				time.Sleep(sleep)
				lateness := time.Since(until)
				if i%100 == 0 && scenario.Now()-begin > 1500*scenario.Ms {
					late = append(late, float64(lateness)/1e3)
				}
			}
			lock.Lock()
			for _, v := range late {
				out.Add("late_us", v)
			}
			lock.Unlock()
		}(i)
	}
	all.Wait()
}

func skynetNode(sum chan int64, number, size int64) {
	if size == 1 {
		sum <- number
		return
	}
	children := make(chan int64, 10)
	for i := int64(0); i < 10; i++ {
		go skynetNode(children, number+i*(size/10), size/10)
	}
	total := int64(0)
	for i := 0; i < 10; i++ {
		total += <-children
	}
	sum <- total
}

func skynet(a arguments, out report) {
	runtime.GOMAXPROCS(a.Number("procs", 1))
	leaves := int64(a.Number("leaves", 1000000))
	for i := 0; i <= a.Number("times", 2); i++ {
		top := make(chan int64, 1)
		begin := scenario.Now()
		go skynetNode(top, 0, leaves)
		sum := <-top
		name := "again_ms"
		if i == 0 {
			name = "first_ms"
		}
		out.Add(name, float64(scenario.Now()-begin)/1e6)
		if sum != leaves*(leaves-1)/2 {
			scenario.Die("skynet's sum is wrong")
		}
	}
}

func main() {
	scenario.Run(map[string]func(arguments, report){
		"yield": yield, "spawn_join": spawnJoin, "ping_pong": pingPong, "items": items, "mutex": mutex,
		"condition": condition, "select": selectOfFour, "timer": timer, "read_lock": readLock,
		"sleepers": sleepers, "skynet": skynet, "contexts": contexts, "storm": storm,
	})
}
