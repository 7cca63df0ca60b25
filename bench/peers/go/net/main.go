// go_net echo|hello [PORT]: the servers of bench/net as one writes them in Go, with one P. Prints "port N"; port 0
// or none: the kernel chooses one.
package main

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"runtime"
)

func die(err error) {
	fmt.Fprintln(os.Stderr, "go_net:", err)
	os.Exit(1)
}

// A goroutine for each connection. Go sets TCP_NODELAY itself.
func echo(listener net.Listener) error {
	for {
		peer, err := listener.Accept()
		if err != nil {
			return err
		}
		go func() {
			defer peer.Close()
			buffer := make([]byte, 16*1024)
			for {
				n, err := peer.Read(buffer)
				if err != nil {
					return
				}
				if _, err := peer.Write(buffer[:n]); err != nil {
					return
				}
			}
		}()
	}
}

func hello(listener net.Listener) error {
	return http.Serve(listener, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/plain")
		io.WriteString(w, "Hello, World!")
	}))
}

func main() {
	serve := map[string]func(net.Listener) error{"echo": echo, "hello": hello}
	if len(os.Args) < 2 || serve[os.Args[1]] == nil {
		fmt.Fprintln(os.Stderr, "usage: go_net echo|hello [PORT]")
		os.Exit(2)
	}
	port := "0"
	if len(os.Args) > 2 {
		port = os.Args[2]
	}
	runtime.GOMAXPROCS(1)
	listener, err := net.Listen("tcp", "127.0.0.1:"+port)
	if err != nil {
		die(err)
	}
	fmt.Printf("port %d\n", listener.Addr().(*net.TCPAddr).Port)
	die(serve[os.Args[1]](listener))
}
