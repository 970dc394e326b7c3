// A Go program with goroutines in C: asleep there, and in Go again that C called back. What gmr must find from outside.
package main

/*
#include <unistd.h>
void backInGo(int levels);
static void __attribute__((noinline)) c_sleep(int levels)
{
	if (levels > 0)
		c_sleep(levels - 1);
	else
		for (;;)
			pause();
	__asm__ volatile("");
}
static void __attribute__((noinline)) c_calls_back(int levels)
{
	backInGo(levels);
	__asm__ volatile("");
}
*/
import "C"

import (
	"fmt"
	"time"
)

var never = make(chan int)

//export backInGo
func backInGo(levels C.int) {
	if levels > 0 {
		C.c_calls_back(levels - 1)
		return
	}
	<-never
}

//go:noinline
func intoC(levels int) {
	if levels > 0 {
		intoC(levels - 1)
		return
	}
	C.c_sleep(3)
}

func main() {
	for i := 0; i < 3; i++ {
		go intoC(2)
	}
	go C.c_calls_back(1)
	time.Sleep(300 * time.Millisecond)
	fmt.Println("ready")
	for {
		time.Sleep(time.Hour)
	}
}
