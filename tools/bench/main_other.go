//go:build !linux

// Command bench measures the endpoint against its Node peer. It runs on Linux only.
package main

import (
	"fmt"
	"os"
)

func main() {
	fmt.Fprintln(os.Stderr, "bench: runs on Linux only: it pins processes to cores and reads their CPU time from /proc; use a container or a virtual machine")
	os.Exit(1)
}
