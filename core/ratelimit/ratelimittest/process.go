package ratelimittest

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"sync"
	"testing"
	"time"

	"github.com/orga-session/orga-session/core/internal/throttle"
	"github.com/orga-session/orga-session/core/ratelimit"
)

const (
	processCount = 8
	callsEach    = 25
	// processArgument, followed by a setting, turns a test binary into one of the processes.
	processArgument = "ratelimittest-process"
)

// shared is the quota of faults 28 and 70. Its period is long, so that no quota is regained during the test.
var shared = quota(50, 10*time.Hour)

// Main is for TestMain in the package of a test that sets Harness.Setting. open opens the setting in the other processes.
func Main(m *testing.M, open ratelimit.Driver) {
	if len(os.Args) == 3 && os.Args[1] == processArgument {
		process(open, os.Args[2], os.Stdin, os.Stdout)
		return
	}
	os.Exit(m.Run())
}

// process makes 25 concurrent requests for each line of in (a key), and writes how many were allowed, refused and not
// decided.
func process(open ratelimit.Driver, setting string, in io.Reader, out io.Writer) {
	l, err := open(setting)
	if err != nil {
		panic(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	_ = throttle.NewStore(l, throttle.StoreOptions{}).Ping(ctx) // a failure shows in the counts
	fmt.Fprintln(out, "ready")
	for lines := bufio.NewScanner(in); lines.Scan(); {
		var wg sync.WaitGroup
		var mu sync.Mutex
		var allowed, refused, undecided int
		for range callsEach {
			wg.Go(func() {
				decisions, err := l.Allow(ctx, []ratelimit.Bucket{{Key: lines.Text(), Quota: shared}})
				mu.Lock()
				defer mu.Unlock()
				switch {
				case err != nil:
					undecided++
				case isAllowed(decisions):
					allowed++
				default:
					refused++
				}
			})
		}
		wg.Wait()
		fmt.Fprintln(out, allowed, refused, undecided)
	}
}

func (h Harness) processes(t *testing.T) {
	type process struct {
		in  io.Writer
		out *bufio.Reader
	}
	var processes []process
	for range processCount {
		cmd := exec.CommandContext(t.Context(), os.Args[0], processArgument, h.Setting)
		cmd.Env = append(cmd.Environ(), "GORACE=atexit_sleep_ms=0") // otherwise it sleeps for a second
		in, err := cmd.StdinPipe()
		if err != nil {
			t.Fatal(err)
		}
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			_ = in.Close() // ends the process
			_ = cmd.Wait()
		})
		processes = append(processes, process{in, bufio.NewReader(out)})
	}
	for _, p := range processes {
		if line, err := p.out.ReadString('\n'); line != "ready\n" {
			t.Fatalf("a process says %q, %v", line, err)
		}
	}
	h.run(t, func(r *run) {
		for _, p := range processes {
			fmt.Fprintln(p.in, "acme:"+r.name("ada"))
		}
		var allowed, refused, undecided int
		for _, p := range processes {
			var a, f, u int
			if _, err := fmt.Fscanln(p.out, &a, &f, &u); err != nil {
				t.Fatal(err)
			}
			allowed, refused, undecided = allowed+a, refused+f, undecided+u
		}
		r.undecided = undecided > 0
		if r.undecided {
			t.Logf("%d of %d were not decided in time", undecided, processCount*callsEach)
		}
		if allowed > shared.N {
			t.Fatalf("%d allowed, %d refused, %d undecided; want at most %d allowed", allowed, refused, undecided, shared.N)
		}
		if want := processCount*callsEach - shared.N; allowed != shared.N || refused != want {
			r.errorf("%d allowed and %d refused, want %d and %d", allowed, refused, shared.N, want)
		}
	})
}
