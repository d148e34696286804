//go:build !linux

// Command bench compares the endpoint with the same calls in Node. It runs only on Linux.
package main

import (
	"fmt"
	"os"
)

func main() {
	fmt.Fprintln(os.Stderr, "bench: runs on Linux only: it pins processes to cores and reads their CPU time from /proc; use a container or a virtual machine")
	os.Exit(1)
}
