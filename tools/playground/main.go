// Command playground runs the endpoint on this machine, with a local Orga Cloud behind it and a page in front
// of it that opens a session as Orga's client does and shows each step.
//
//	go run ./playground
//
// With an API key, it uses the real Orga instead (see -help).
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/orga-session/orga-session/core"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], core.Environ(os.Environ()), os.Stdout)
	stop()
	switch {
	case errors.Is(err, flag.ErrHelp):
	case err != nil:
		fmt.Fprintln(os.Stderr, "playground:", err)
		os.Exit(1)
	}
}
