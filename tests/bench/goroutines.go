// The load of the benchmark's rows for Go: COUNT goroutines, 13 frames each, SWITCHING of them handing on values, and an HTTP server
// on a Unix socket for Go's own ways to show them: /pprof1 and /pprof2 (the goroutine profile, debug=1 and 2) and /stack (runtime.Stack). Each answer ends
// with a line that tells for how long, at most, no other goroutine got to run meanwhile.
//
// usage: goroutines COUNT SWITCHING SOCKET
package main

import (
	"fmt"
	"net"
	"net/http"
	"os"
	"runtime"
	"runtime/pprof"
	"strconv"
	"sync/atomic"
	"time"
)

//go:noinline
func deep(levels int, then func()) {
	if levels > 0 {
		deep(levels-1, then)
		return
	}
	then()
}

var longestGap int64

func watch() {
	for last := time.Now(); ; {
		time.Sleep(200 * time.Microsecond)
		now := time.Now()
		if gap := int64(now.Sub(last)); gap > atomic.LoadInt64(&longestGap) {
			atomic.StoreInt64(&longestGap, gap)
		}
		last = now
	}
}

func measured(show func(http.ResponseWriter)) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		time.Sleep(10 * time.Millisecond)
		atomic.StoreInt64(&longestGap, 0)
		show(w)
		time.Sleep(time.Millisecond)
		fmt.Fprintf(w, "\ngap %d us\n", atomic.LoadInt64(&longestGap)/1000)
	}
}

func stack(w http.ResponseWriter) {
	for size := 64 << 20; ; size *= 2 {
		text := make([]byte, size)
		if n := runtime.Stack(text, true); n < size {
			w.Write(text[:n])
			return
		}
	}
}

func main() {
	count, _ := strconv.Atoi(os.Args[1])
	switching, _ := strconv.Atoi(os.Args[2])
	never := make(chan int)
	for i := 0; i < count-switching; i++ {
		go deep(9, func() { <-never })
	}
	for i := 0; i < switching; i += 2 {
		a, b := make(chan int), make(chan int)
		go deep(9, func() {
			for {
				b <- <-a
				time.Sleep(time.Millisecond)
			}
		})
		go deep(9, func() {
			for {
				a <- <-b
				time.Sleep(time.Millisecond)
			}
		})
		go func() { a <- 1 }()
	}
	go watch()
	listener, err := net.Listen("unix", os.Args[3])
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	http.HandleFunc("/stack", measured(stack))
	for _, debug := range []int{1, 2} {
		debug := debug
		http.HandleFunc(fmt.Sprintf("/pprof%d", debug), measured(func(w http.ResponseWriter) { pprof.Lookup("goroutine").WriteTo(w, debug) }))
	}
	time.Sleep(time.Second)
	fmt.Println("ready")
	http.Serve(listener, nil)
}
