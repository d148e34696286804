// Package proc runs the processes under test, each alone on a core, and reads from the kernel what
// they used. Linux only.
package proc

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Cores are the two that a measurement needs: one for the process under test, one for all else.
type Cores struct{ Peer, Rest int }

const maxCores = 1024 // in a unix.CPUSet

// TwoCores picks two of those that this process may use.
func TwoCores() (Cores, error) {
	var allowed unix.CPUSet
	if err := unix.SchedGetaffinity(0, &allowed); err != nil {
		return Cores{}, err
	}
	var found []int
	for core := range maxCores {
		if allowed.IsSet(core) {
			found = append(found, core)
		}
	}
	if len(found) < 2 {
		return Cores{}, errors.New("a measurement needs two cores, one for the process under test alone")
	}
	return Cores{Peer: found[0], Rest: found[1]}, nil
}

// Confine keeps this process, with all its threads, on one core.
func Confine(core int) error {
	runtime.GOMAXPROCS(1)
	tasks, err := os.ReadDir("/proc/self/task")
	if err != nil {
		return err
	}
	for _, task := range tasks {
		var tid int
		if _, err := fmt.Sscan(task.Name(), &tid); err != nil {
			return err
		}
		if err := pin(tid, core); err != nil && !errors.Is(err, unix.ESRCH) { // the thread may have ended
			return err
		}
	}
	return nil
}

// pin keeps a thread on a core; 0 is the calling one.
func pin(tid, core int) error {
	var set unix.CPUSet
	set.Set(core)
	return unix.SchedSetaffinity(tid, &set)
}

// Place is where a process runs.
type Place struct {
	Cores Cores
	Quota *Quota // nil for none
}

// Process is a running one.
type Process struct {
	Spawned time.Time
	cmd     *exec.Cmd
	done    chan struct{} // closed when it has ended
	err     error         // of its end
}

// Start runs a program with exactly the environment env, in dir, with its output thrown away. It ends
// with ctx at the latest.
//
// A child inherits the core and the cgroup of the thread that forks it, so that thread goes there for
// the moment: not one instruction of the child runs elsewhere.
func Start(ctx context.Context, place Place, dir string, env []string, argv ...string) (*Process, error) {
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.Dir, cmd.Env = dir, env
	cmd.SysProcAttr = &syscall.SysProcAttr{}

	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	defer func() { _ = pin(0, place.Cores.Rest) }() // it ran there before
	if err := pin(0, place.Cores.Peer); err != nil {
		return nil, err
	}
	leave, err := place.Quota.enter(cmd.SysProcAttr)
	if err != nil {
		return nil, err
	}
	defer leave()

	p := &Process{Spawned: time.Now(), cmd: cmd, done: make(chan struct{})}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	go func() {
		p.err = cmd.Wait()
		close(p.done)
	}()
	return p, nil
}

// Done is closed when the process has ended.
func (p *Process) Done() <-chan struct{} { return p.done }

// Signal sends a signal.
func (p *Process) Signal(s os.Signal) error { return p.cmd.Process.Signal(s) }

// Stop asks the process to end, and ends it when it has not after three seconds.
func (p *Process) Stop() {
	_ = p.Signal(syscall.SIGTERM) // one that has ended needs no signal
	select {
	case <-p.done:
	case <-time.After(3 * time.Second):
		_ = p.cmd.Process.Kill()
		<-p.done
	}
}

// StopAll stops several, the last one first.
func StopAll(processes []*Process) {
	for _, p := range slices.Backward(processes) {
		p.Stop()
	}
}
