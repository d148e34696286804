package main

import (
	"fmt"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// share is the part of the CPU's time that went into something, in percent. Shares overlap: what is
// written to a socket for net/http is a system call, too.
type share struct {
	Name    string
	Percent float64
}

// parts are what a profile is asked for: functions, whose time counts with that of all they call, or
// alone where flat is set.
var parts = []struct {
	name  string
	flat  bool
	funcs []string
}{
	{"system calls (sockets, wake-ups, the log line)", true, []string{"internal/runtime/syscall/linux.Syscall6", "internal/runtime/syscall.Syscall6", "runtime.futex", "runtime.write1"}},
	{"net/http, the server's side without our handler", false, []string{"net/http.(*conn).readRequest", "net/http.(*response).finishRequest"}},
	{"net/http, the client's side, connections' goroutines included", false, []string{"net/http.(*Transport).RoundTrip", "net/http.(*persistConn).readLoop", "net/http.(*persistConn).writeLoop"}},
	{"scheduling of goroutines", false, []string{"runtime.schedule"}},
	{"allocation", false, []string{"runtime.mallocgc"}},
	{"garbage collection", false, []string{"runtime.gcBgMarkWorker"}},
	{"JSON, both ways", false, []string{"encoding/json.Unmarshal", "encoding/json.(*Encoder).Encode", "encoding/json.(*Decoder).Decode", "encoding/json.(*Decoder).Token", "encoding/json.Marshal"}},
	{"the log line", false, []string{"log/slog.(*Logger).LogAttrs"}},
}

// measureProfile says where the endpoint's CPU time goes with 16 clients and no delay.
func (l *lab) measureProfile(r *results) error {
	file := filepath.Join(l.scratch, "cpu.prof")
	s, err := l.startOrga(plain, usual, "-cpuprofile", file)
	if err != nil {
		return err
	}
	subjects := []subject{s.subject(peerOrga, defaultPath, originHeader)}
	err = l.firstTurns(subjects, 16)
	if err == nil {
		err = s.Signal(syscall.SIGUSR1)
	}
	if err == nil {
		_, err = subjects[0].take(16, l.warm, max(l.slow, time.Second))
	}
	s.Stop()
	if err != nil {
		return err
	}
	top, err := l.output(l.scratch, nil, "go", "tool", "pprof", "-top", "-nodecount=100000", "-nodefraction=0", file)
	if err != nil {
		return err
	}
	r.Profile, err = readTop(top)
	return err
}

// readTop adds up the lines of pprof's -top: flat, flat%, sum%, cum, cum%, function.
func readTop(top string) ([]share, error) {
	flat, cum := make(map[string]float64), make(map[string]float64)
	for line := range strings.Lines(top) {
		fields := strings.Fields(line)
		if len(fields) < 6 || !strings.HasSuffix(fields[1], "%") {
			continue
		}
		f, err1 := strconv.ParseFloat(strings.TrimSuffix(fields[1], "%"), 64)
		c, err2 := strconv.ParseFloat(strings.TrimSuffix(fields[4], "%"), 64)
		if err := firstError(err1, err2); err != nil {
			return nil, err
		}
		flat[fields[5]], cum[fields[5]] = f, c
	}
	if len(flat) == 0 {
		return nil, fmt.Errorf("the profile is empty")
	}
	shares := make([]share, len(parts))
	for i, part := range parts {
		shares[i].Name = part.name
		for _, name := range part.funcs {
			if part.flat {
				shares[i].Percent += flat[name]
			} else {
				shares[i].Percent += cum[name]
			}
		}
	}
	return shares, nil
}
