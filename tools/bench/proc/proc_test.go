package proc_test

import (
	"testing"
	"time"

	"github.com/orga-session/orga-session/tools/bench/proc"
)

// A process that does nothing but run is seen to run, to hold memory, and to end when it is told.
func TestUsage(t *testing.T) {
	cores, err := proc.TwoCores()
	if err != nil {
		t.Skip(err)
	}
	p, err := proc.Start(t.Context(), proc.Place{Cores: cores}, "", nil, "/bin/sh", "-c", "while :; do :; done")
	if err != nil {
		t.Fatal(err)
	}
	const enough = 20 * time.Millisecond
	limit := time.NewTimer(10 * time.Second)
	defer limit.Stop()
	for ran := time.Duration(0); ran < enough; {
		if ran, err = p.CPU(); err != nil {
			t.Fatal(err)
		}
		select {
		case <-limit.C:
			t.Fatalf("it ran for %v in ten seconds", ran)
		default:
		}
	}
	if m, err := p.Memory(); err != nil || m.Peak < 100<<10 || m.Files > m.Peak {
		t.Errorf("memory %+v, error %v", m, err)
	}
	p.Stop()
	if _, err := p.CPU(); err == nil {
		t.Error("a process that has ended still has a CPU time")
	}
}
