package main

import (
	"io"
	"os"
	"os/exec"

	"baton/bench/peers/scenario"
)

func timedRoundTrips(ops int, there io.Writer, back io.Reader) int64 {
	const warmUp = 100
	byteThere, byteBack := []byte{'x'}, make([]byte, 1)
	begin := int64(0)
	for i := 0; i < warmUp+ops; i++ {
		if i == warmUp {
			begin = scenario.Now()
		}
		_, err := there.Write(byteThere)
		check(err)
		_, err = back.Read(byteBack)
		check(err)
	}
	return scenario.Now() - begin
}

func pipe(a arguments, out report) {
	ops := a.Number("ops", 10000)
	blocks(a, out, "us", 1e3, ops, func() int64 {
		reader, there, err := os.Pipe()
		check(err)
		back, writer, err := os.Pipe()
		check(err)
		ended := make(chan bool)
		go func() {
			buffer := make([]byte, 1)
			for {
				if _, err := reader.Read(buffer); err != nil {
					break
				}
				if _, err := writer.Write(buffer); err != nil {
					break
				}
			}
			ended <- true
		}()
		took := timedRoundTrips(ops, there, back)
		there.Close()
		<-ended
		for _, end := range []*os.File{reader, writer, back} {
			end.Close()
		}
		return took
	})
}

func pipeChild(a arguments, out report) {
	ops := a.Number("ops", 10000)
	blocks(a, out, "us", 1e3, ops, func() int64 {
		child := exec.Command(a.Text("child", ""), "echo")
		there, err := child.StdinPipe()
		check(err)
		back, err := child.StdoutPipe()
		check(err)
		check(child.Start())
		took := timedRoundTrips(ops, there, back)
		there.Close()
		check(child.Wait())
		return took
	})
}
