package procgroup

import (
	"bytes"
	"context"
	"fmt"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"time"
)

// Process is a running program with those that it has started.
type Process struct {
	Cmd  *exec.Cmd
	Done chan struct{} // closed when it has ended
	Log  *Log          // its output
}

// Start starts cmd in a new process group, which ends with its context or with [Process.Stop].
func Start(cmd *exec.Cmd) (*Process, error) {
	p := &Process{Cmd: cmd, Done: make(chan struct{}), Log: new(Log)}
	Set(cmd)
	cmd.Cancel = func() error { return Signal(cmd, syscall.SIGKILL) }
	cmd.Stdout, cmd.Stderr = p.Log, p.Log
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	go func() {
		_ = cmd.Wait() // the log shows how it ended
		close(p.Done)
	}()
	return p, nil
}

// Await polls until ready returns true, for two minutes at most. It stops a program that does not get ready.
func (p *Process) Await(ctx context.Context, ready func(context.Context) bool) error {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for !ready(ctx) {
		select {
		case <-tick.C:
		case <-p.Done:
			return fmt.Errorf("%s ended:\n%s", p.Cmd.Path, p.Log.Tail())
		case <-ctx.Done():
			p.Stop()
			return fmt.Errorf("%s did not come up:\n%s", p.Cmd.Path, p.Log.Tail())
		}
	}
	return nil
}

// Stop asks the group to end, and kills it after three seconds.
func (p *Process) Stop() {
	_ = Signal(p.Cmd, syscall.SIGTERM) // it may have ended already
	select {
	case <-p.Done:
	case <-time.After(3 * time.Second):
	}
	_ = Signal(p.Cmd, syscall.SIGKILL)
	<-p.Done
}

// Log collects output. It is safe for concurrent use.
type Log struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *Log) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

func (l *Log) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

// Tail returns the last lines, indented.
func (l *Log) Tail() string {
	lines := strings.Split(strings.TrimSpace(l.String()), "\n")
	return "      | " + strings.Join(lines[max(0, len(lines)-12):], "\n      | ")
}
