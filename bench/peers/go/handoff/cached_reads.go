package main

import (
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
)

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

func cachedReads(a arguments, out report) {
	const blockSize = 4096
	runtime.GOMAXPROCS(a.Number("procs", 2))
	length := int64(a.Number("ms", 300)) * ms
	file, err := os.Open(a.Text("file", ""))
	if err != nil {
		die(err.Error())
	}
	stat, err := file.Stat()
	if err != nil {
		die(err.Error())
	}
	blocks := uint32(stat.Size() / blockSize)
	warmUp := 300 * ms
	for segment := -1; segment < a.Number("segments", 2); segment++ {
		length := length
		if segment < 0 {
			length = warmUp
		}
		var reads atomic.Int64
		var all sync.WaitGroup
		begin, cpu := now(), processCPU()
		for i := 0; i < a.Number("fibers", 64); i++ {
			all.Add(1)
			go func(i int) {
				defer all.Done()
				dice := uint32(i)*2654435761 + 1
				buffer := make([]byte, blockSize)
				mine := int64(0)
				for ; now()-begin < length; mine++ {
					dice = dice*1664525 + 1013904223
					if n, _ := file.ReadAt(buffer, int64((dice>>8)%blocks)*blockSize); n != blockSize {
						die("cannot read")
					}
				}
				reads.Add(mine)
			}(i)
		}
		all.Wait()
		if segment < 0 {
			continue
		}
		out.Add("reads_per_s", float64(reads.Load())*1e6/float64(now()-begin))
		out.Add("cpu_ns", float64(processCPU()-cpu)/float64(reads.Load()))
		out.Add("threads", threadsOfProcess())
	}
}
