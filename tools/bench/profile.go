//go:build linux

package main

import (
	"errors"
	"net"
	"strings"
	"time"
)

// profiledServer is the endpoint with a profiler linked in.
const profiledServer = "profiled"

// parts are the functions that the report shows, as a pattern for pprof.
var parts = strings.Join([]string{
	`^internal/runtime/syscall.*\.Syscall6$`, `^runtime\.futex$`, // sockets, wake-ups, the log line
	`^net/http\.\(\*conn\)\.(serve|readRequest)$`, `^net/http\.\(\*response\)\.finishRequest$`, // the server
	`^net/http\.\(\*Transport\)\.RoundTrip$`, `^net/http\.\(\*persistConn\)\.(readLoop|writeLoop)$`, // the client
	`^encoding/json\.(Unmarshal|Marshal|\(\*(En|De)coder\)\.(Encode|Decode|Token))$`,
	`^runtime\.(mallocgc|gcBgMarkWorker|schedule)$`,
	`^log/slog\.\(\*Logger\)\.LogAttrs$`,
}, "|")

// measureProfile finds where the endpoint's CPU time goes with 16 clients and no delay.
func (l *lab) measureProfile(r *results) error {
	addr, err := freeAddr()
	if err != nil {
		return err
	}
	_, port, _ := net.SplitHostPort(addr) // made by freeAddr
	s, err := l.start(profiledServer, nil, append([]string{"PPROF_PORT=" + port}, usual...)...)
	if err != nil {
		return err
	}
	profiled := make(chan error)
	go func() {
		top, err := l.command(l.scratch, []string{"PPROF_TMPDIR=" + l.scratch},
			"go", "tool", "pprof", "-top", "-cum", "-show", parts, "-nodefraction=0", "-seconds=2", "http://"+addr)
		_, r.Profile, _ = strings.Cut(top, " total\n")
		profiled <- err
	}()
	_, err = s.take(16, time.Second/2, 3*time.Second)
	return errors.Join(<-profiled, err)
}
