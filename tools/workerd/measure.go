package workerd

import (
	"context"
	"maps"
	"net/http"
	"slices"
	"time"
)

// Figures measure the Worker in workerd on one machine. CPU is that of the isolate's thread.
type Figures struct {
	Cold, FirstAnswer time.Duration // CPU of an isolate's first mint, and its duration; medians over the starts
	Warm              time.Duration // CPU of a mint, one at a time
	Busy              time.Duration // CPU of a mint, 100 at a time
	Rate              float64       // mints per second, 100 at a time
	Memory            int           // of the Go program afterwards, in bytes
	Resident          int           // of the whole process, in bytes
}

// Measure measures anonymous mints, with an Orga that answers at once. Options.Dir is the output of Stage.
func Measure(ctx context.Context, o Options, starts, mints int) (f Figures, err error) {
	o.Vars = maps.Clone(o.Vars)
	if o.Vars == nil {
		o.Vars = make(map[string]string)
	}
	o.Vars["ORGA_AUTH"] = "anonymous"
	var cold, first []time.Duration
	for range starts {
		t := Trial{timeout: 30 * time.Second, run: func(ctx context.Context, s *testbed) (string, error) {
			before, began := s.cpu(), time.Now()
			if err := s.mintAll(ctx, 1, 1, http.StatusOK); err != nil {
				return "", err
			}
			first, cold = append(first, time.Since(began)), append(cold, s.cpu()-before)
			return "", nil
		}}
		if _, err := t.Run(ctx, Conditions{Options: o}); err != nil {
			return f, err
		}
	}
	f.Cold, f.FirstAnswer = median(cold), median(first)
	t := Trial{timeout: 30 * time.Second, run: func(ctx context.Context, s *testbed) (string, error) {
		if err := s.mintAll(ctx, mints/2, 100, http.StatusOK); err != nil { // V8 optimizes the code meanwhile
			return "", err
		}
		before := s.cpu()
		if err := s.mintAll(ctx, 100, 1, http.StatusOK); err != nil {
			return "", err
		}
		f.Warm = (s.cpu() - before) / 100
		before, began := s.cpu(), time.Now()
		if err := s.mintAll(ctx, mints, 100, http.StatusOK); err != nil {
			return "", err
		}
		f.Busy, f.Rate, f.Resident = (s.cpu()-before)/time.Duration(mints), float64(mints)/time.Since(began).Seconds(), int(s.resident())
		f.Memory, err = s.memory(ctx)
		return "", err
	}}
	_, err = t.Run(ctx, Conditions{Options: o})
	return f, err
}

func median(all []time.Duration) time.Duration {
	slices.Sort(all)
	return all[len(all)/2]
}
