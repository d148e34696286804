// Command soak keeps the endpoint under load while Orga fails at random. It fails if a request was lost that
// the endpoint could have answered in time, or if goroutines leak.
//
//	go run ./soak -for 10m
//
// 64 clients send requests without end. Of the calls to Orga, 5 % are reset, 5 % are answered with 503 and 2 %
// hang; every 20 s all connections to it are closed or reset. Everything runs on 127.0.0.1, in this process.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"os/signal"
	"runtime"
	"slices"
	"sync"
	"time"

	"github.com/orga-session/orga-session/core"
	"github.com/orga-session/orga-session/tools/bench/stats"
	"github.com/orga-session/orga-session/tools/fakeorga"
)

func main() {
	long := flag.Duration("for", 10*time.Minute, "how long")
	clients := flag.Int("clients", 64, "how many clients send requests")
	flag.Parse()
	if err := run(*long, *clients); err != nil {
		fmt.Fprintln(os.Stderr, "soak:", err)
		os.Exit(1)
	}
}

const (
	maxPause = 100 * time.Millisecond // of a client between two requests
	cutEvery = 20 * time.Second       // between cuts of all connections to Orga
)

func run(long time.Duration, clients int) error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	ctx, cancel := context.WithTimeout(ctx, long)
	defer cancel()
	logs := newFaultLogs(clients)
	orga, err := fakeorga.Start(fakeorga.Options{Fault: logs.fault})
	if err != nil {
		return err
	}
	defer orga.Close()
	orga.SetDelay(5 * time.Millisecond)

	errorLog := new(errorLines)
	cfg := core.ConfigFromEnv(settings(orga.URL, clients))
	cfg.Log = slog.New(slog.NewTextHandler(errorLog, &slog.HandlerOptions{Level: slog.LevelError}))
	handler := core.New(ctx, cfg, core.Drivers{})
	if err := handler.Faults(); err != nil {
		return err
	}
	endpoint := httptest.NewUnstartedServer(handler)
	endpoint.Config.ErrorLog = log.New(io.Discard, "", 0)
	endpoint.Start()
	defer endpoint.Close()

	before := runtime.NumGoroutine()
	transport := &http.Transport{MaxIdleConnsPerHost: clients}
	results := &results{statuses: map[int]int{}}
	var wg sync.WaitGroup
	wg.Go(func() { cutConnections(ctx, orga, logs) })
	for i := range clients {
		c := client{
			http:   &http.Client{Transport: transport, Timeout: 10 * time.Second}, // as long as Orga's widget waits
			url:    endpoint.URL + "/api/orga-client-secrets/" + tenant(i),
			faults: logs[key(i)],
		}
		wg.Go(func() {
			for ctx.Err() == nil {
				results.add(c.get())
				select {
				case <-time.After(rand.N(maxPause)):
				case <-ctx.Done():
				}
			}
		})
	}
	wg.Wait()
	transport.CloseIdleConnections()
	after := waitForGoroutines(before)

	results.print(os.Stdout)
	fmt.Printf("Orga: %d calls, %d connections; goroutines: %d before, %d after; error lines: %d\n",
		orga.Calls(), orga.Opened(), before, after, errorLog.n)
	var failed []error
	if n := len(results.lost); n > 0 {
		failed = append(failed, fmt.Errorf("%d requests were lost that could have been answered", n))
	}
	if after > before {
		stacks := make([]byte, 1<<20)
		failed = append(failed, fmt.Errorf("%d goroutines leaked:\n%s", after-before, stacks[:runtime.Stack(stacks, true)]))
	}
	if errorLog.n > 0 {
		failed = append(failed, fmt.Errorf("%d error lines, the first: %s", errorLog.n, errorLog.first))
	}
	return errors.Join(failed...)
}

// cutConnections repeatedly closes all connections to Orga, alternating between closing and resetting them.
func cutConnections(ctx context.Context, orga *fakeorga.API, logs faultLogs) {
	tick := time.NewTicker(cutEvery)
	defer tick.Stop()
	for reset := false; ; reset = !reset {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		for _, l := range logs {
			l.add("cut")
		}
		orga.CloseConnections(reset)
	}
}

// waitForGoroutines waits until there are no more goroutines than before, at most until the endpoint must have closed
// its idle connections (25 s).
func waitForGoroutines(before int) int {
	for range 80 {
		if runtime.NumGoroutine() <= before {
			break
		}
		time.Sleep(500 * time.Millisecond)
	}
	return runtime.NumGoroutine()
}

// client sends requests one after another.
type client struct {
	http   *http.Client
	url    string
	faults *faultLog
}

// outcome is the outcome of a request.
type outcome struct {
	status int // 0: no response
	took   time.Duration
	faults faults // of its calls
	lost   bool   // although an endpoint could have answered
}

func (c client) get() (o outcome) {
	c.faults.reset()
	start := time.Now()
	resp, err := c.http.Get(c.url)
	if err == nil {
		_, err = io.Copy(io.Discard, resp.Body)
		_ = resp.Body.Close()
	}
	if err == nil {
		o.status = resp.StatusCode
	}
	o.took, o.faults = time.Since(start), c.faults.list()
	o.lost = o.status != http.StatusOK && !o.faults.unanswerable()
	return o
}

// results counts outcomes.
type results struct {
	mu                      sync.Mutex
	statuses                map[int]int
	took                    []time.Duration
	recovered, unanswerable int // of the requests with a failed call
	lost                    []outcome
}

func (r *results) add(o outcome) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.statuses[o.status]++
	r.took = append(r.took, o.took)
	switch {
	case o.lost:
		r.lost = append(r.lost, o)
	case o.status != http.StatusOK:
		r.unanswerable++
	case len(o.faults) > 0:
		r.recovered++
	}
}

func (r *results) print(w io.Writer) {
	slices.Sort(r.took)
	at := func(q float64) time.Duration { return time.Duration(stats.Quantile(r.took, q)).Round(time.Millisecond) }
	_, _ = fmt.Fprintf(w, "requests: %d, by status %v; p50 %v, p99 %v, longest %v\n", len(r.took), r.statuses, at(0.5), at(0.99), at(1))
	_, _ = fmt.Fprintf(w, "after a failed call: %d answered, %d could not be answered, %d lost\n", r.recovered, r.unanswerable, len(r.lost))
	for _, o := range r.lost[:min(10, len(r.lost))] {
		_, _ = fmt.Fprintf(w, "  lost: %d after %v; faults %v\n", o.status, o.took, o.faults)
	}
}

// errorLines counts the lines that a logger writes.
type errorLines struct {
	mu    sync.Mutex
	n     int
	first string
}

func (e *errorLines) Write(line []byte) (int, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.n++; e.n == 1 {
		e.first = string(line)
	}
	return len(line), nil
}
