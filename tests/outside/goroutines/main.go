// A Go program whose goroutines stand still in every way they can: what gmr must find from outside. SIGUSR1 ends it.
//
// usage: goroutines [COUNT]     COUNT more goroutines, ten calls deep
//
//	goroutines switch       pairs of goroutines that hand on a value without an end, each time from another depth
package main

import (
	"fmt"
	"net"
	"os"
	"os/signal"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
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

type pair[T any] struct{ value T }

func (p *pair[T]) wait(ch chan T) T {
	return <-ch
}

//go:noinline
func descend(levels uint32, from, to chan uint32) uint32 {
	if levels > 0 {
		return descend(levels-1, from, to) + 1
	}
	value := <-from
	to <- value + 1
	return value
}

var started sync.WaitGroup

// How often each has handed on; the two of a pair beside each other, pairs in cache lines of their own.
var turns [200][8]uint64

func player(number uint32, from, to chan uint32, turns *uint64) {
	started.Done()
	for {
		atomic.AddUint64(turns, 1)
		number = number*1664525 + 1013904223
		number += descend(number>>24%32, from, to)
	}
}

func switchWithoutEnd() {
	started.Add(400)
	for i := uint32(0); i < 200; i++ {
		a, b := make(chan uint32), make(chan uint32)
		go player(i, a, b, &turns[i][0])
		go player(i+1000, b, a, &turns[i][1])
		if i%4 == 0 {
			go func() { a <- 1 }()
		}
	}
	started.Wait()
}

// How many turns there were, and in how many pairs one was lost: the two of a pair are never more than a step apart, and those that were given a
// value go on for ever.
func account() (sum uint64, uneven, stuck int) {
	for i := range turns {
		before := atomic.LoadUint64(&turns[i][0])
		other := atomic.LoadUint64(&turns[i][1])
		after := atomic.LoadUint64(&turns[i][0])
		sum += before + other
		if other+2 < before || other > after+2 {
			uneven++
		}
		for tries := 0; i%4 == 0 && atomic.LoadUint64(&turns[i][0]) == before; tries++ {
			if tries == 6000 {
				stuck++
				break
			}
			time.Sleep(10 * time.Millisecond)
		}
	}
	return
}

var spins int

func spin() {
	for {
		spins++
	}
}

func main() {
	ch := make(chan int)
	var mu sync.Mutex
	mu.Lock()
	var wg sync.WaitGroup
	wg.Add(1)
	for i := 0; i < 5; i++ {
		go deep(i*20, func() { <-ch })
	}
	go func() { other := make(chan string); other <- "x" }()
	go func() { select {} }()
	go func() { mu.Lock() }()
	go func() { wg.Wait() }()
	go func() { time.Sleep(time.Hour) }()
	go func() {
		select {
		case <-ch:
		case <-time.After(time.Hour):
		}
	}()
	go func() { (&pair[int]{}).wait(ch) }()
	listener, _ := net.Listen("tcp", "127.0.0.1:0")
	go func() { listener.Accept() }()
	go func() { var b [1]byte; syscall.Read(0, b[:]) }()
	if len(os.Args) > 1 && os.Args[1] == "switch" {
		switchWithoutEnd()
	} else if len(os.Args) > 1 {
		count, _ := strconv.Atoi(os.Args[1])
		for i := 0; i < count; i++ {
			go deep(10, func() { <-ch })
		}
	} else {
		go spin()
	}
	end := make(chan os.Signal, 1)
	signal.Notify(end, syscall.SIGUSR1)
	time.Sleep(300 * time.Millisecond)
	fmt.Println("ready")
	<-end
	fmt.Println(account())
}
