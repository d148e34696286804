package proc

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"time"
)

// CPU is the time that all threads of the process have run, in the kernel and outside of it, as the
// scheduler counts it: in nanoseconds, not in the ticks of /proc/PID/stat. A thread that has ended is
// not in the sum; neither Go nor Node ends threads under load.
func (p *Process) CPU() (time.Duration, error) {
	files, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/schedstat", p.cmd.Process.Pid))
	if err != nil {
		return 0, err
	}
	if len(files) == 0 {
		return 0, errors.New("the process has ended")
	}
	var total time.Duration
	for _, file := range files {
		line, err := os.ReadFile(file)
		if errors.Is(err, os.ErrNotExist) {
			continue // the thread has just ended
		}
		if err != nil {
			return 0, err
		}
		first, _, _ := bytes.Cut(line, []byte{' '})
		ran, err := strconv.ParseInt(string(first), 10, 64)
		if err != nil {
			return 0, fmt.Errorf("%s: %w", file, err)
		}
		total += time.Duration(ran)
	}
	return total, nil
}

// Memory is what a process held at its peak, in bytes, and how much of what it holds now are pages of
// its files (program text, shared with other processes of it) rather than its own.
type Memory struct{ Peak, Files int64 }

// Memory reads the process's resident set.
func (p *Process) Memory() (Memory, error) {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	if err != nil {
		return Memory{}, err
	}
	field := func(name string) int64 {
		_, rest, _ := bytes.Cut(status, []byte("\n"+name+":"))
		var kib int64
		_, _ = fmt.Sscan(string(rest), &kib) // checked below: nothing resident means nothing was read
		return kib << 10
	}
	m := Memory{Peak: field("VmHWM"), Files: field("RssFile")}
	if m.Peak == 0 {
		return Memory{}, errors.New("the process has ended")
	}
	return m, nil
}
