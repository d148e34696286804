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
	"net"
	"net/http"
	"os"
	"os/signal"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/orga-session/orga-session/core"
	"github.com/orga-session/orga-session/tools/bench/stats"
	"github.com/orga-session/orga-session/tools/fakeorga"
)

func main() {
	long := flag.Duration("for", 10*time.Minute, "how long")
	clients := flag.Int("clients", 64, "how many clients send requests")
	cutEvery := flag.Duration("cut", 20*time.Second, "how often all connections to Orga end")
	pause := flag.Duration("pause", 100*time.Millisecond, "the longest pause of a client between two requests")
	flag.Parse()
	if err := run(*long, *clients, *cutEvery, *pause); err != nil {
		fmt.Fprintln(os.Stderr, "soak:", err)
		os.Exit(1)
	}
}

func run(long time.Duration, clients int, cutEvery, pause time.Duration) error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	ctx, cancel := context.WithTimeout(ctx, long)
	defer cancel()
	ledgers := newLedgers(clients)
	orga, err := fakeorga.Start(fakeorga.Options{Fault: ledgers.fault})
	if err != nil {
		return err
	}
	defer orga.Close()
	orga.SetDelay(5 * time.Millisecond)

	errorLog := new(errorLines)
	cfg := core.ConfigFromEnv(settings(orga.URL, clients))
	cfg.Log = slog.New(errorLog)
	handler := core.New(ctx, cfg, core.Drivers{})
	if err := handler.Faults(); err != nil {
		return err
	}
	endpoint, err := serve(handler)
	if err != nil {
		return err
	}
	defer endpoint.Close()

	before := runtime.NumGoroutine()
	transport := &http.Transport{MaxIdleConnsPerHost: clients}
	tally := newTally()
	var wg sync.WaitGroup
	wg.Go(func() { cut(ctx, orga, ledgers, cutEvery) })
	for i := range clients {
		c := client{
			http:   &http.Client{Transport: transport, Timeout: 10 * time.Second}, // as long as Orga's widget waits
			url:    "http://" + endpoint.Addr + "/api/orga-client-secrets/" + tenant(i),
			ledger: ledgers[key(i)],
		}
		wg.Go(func() {
			for ctx.Err() == nil {
				tally.add(c.ask())
				select {
				case <-time.After(rand.N(pause)):
				case <-ctx.Done():
				}
			}
		})
	}
	wg.Wait()
	transport.CloseIdleConnections()
	after := settle(before)

	tally.print(os.Stdout)
	fmt.Printf("Orga: %d calls, %d connections; goroutines: %d before, %d after; error lines: %d\n",
		orga.Calls(), orga.Opened(), before, after, errorLog.n.Load())
	var failed []error
	if n := len(tally.lost); n > 0 {
		failed = append(failed, fmt.Errorf("%d requests were lost that could have been answered", n))
	}
	if after > before {
		stacks := make([]byte, 1<<20)
		failed = append(failed, fmt.Errorf("%d goroutines leaked:\n%s", after-before, stacks[:runtime.Stack(stacks, true)]))
	}
	if n := errorLog.n.Load(); n > 0 {
		failed = append(failed, fmt.Errorf("%d error lines, the first: %s", n, *errorLog.first.Load()))
	}
	return errors.Join(failed...)
}

// cut repeatedly closes all connections to Orga, alternating between closing and resetting them.
func cut(ctx context.Context, orga *fakeorga.API, clients ledgers, every time.Duration) {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for reset := false; ; reset = !reset {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		for _, l := range clients {
			l.add("cut")
		}
		orga.CloseConnections(reset)
	}
}

// settle waits until there are no more goroutines than before, at most until the endpoint must have closed its
// idle connections (25 s).
func settle(before int) int {
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
	ledger *ledger
}

// outcome is the outcome of a request.
type outcome struct {
	status int // 0: no response
	took   time.Duration
	met    faults
	lost   bool // although an endpoint could have answered
}

func (c client) ask() outcome {
	c.ledger.open()
	start := time.Now()
	o := outcome{}
	resp, err := c.http.Get(c.url)
	if err == nil {
		_, err = io.Copy(io.Discard, resp.Body)
		_ = resp.Body.Close()
		o.status = resp.StatusCode
	}
	if err != nil {
		o.status = 0
	}
	o.took = time.Since(start)
	o.met = c.ledger.close()
	o.lost = o.status != http.StatusOK && !o.met.hopeless()
	return o
}

// tally counts outcomes.
type tally struct {
	mu       sync.Mutex
	statuses map[int]int
	took     []time.Duration
	won      int // answered although a call failed
	hopeless int
	lost     []outcome
}

func newTally() *tally { return &tally{statuses: map[int]int{}} }

func (t *tally) add(o outcome) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.statuses[o.status]++
	t.took = append(t.took, o.took)
	switch {
	case o.lost:
		t.lost = append(t.lost, o)
	case o.status != http.StatusOK:
		t.hopeless++
	case len(o.met) > 0:
		t.won++
	}
}

func (t *tally) print(w io.Writer) {
	slices.Sort(t.took)
	at := func(q float64) time.Duration { return time.Duration(stats.Quantile(t.took, q)).Round(time.Millisecond) }
	_, _ = fmt.Fprintf(w, "requests: %d, by status %v; p50 %v, p99 %v, longest %v\n", len(t.took), t.statuses, at(0.5), at(0.99), at(1))
	_, _ = fmt.Fprintf(w, "after a failed call: %d answered, %d could not be answered, %d lost\n", t.won, t.hopeless, len(t.lost))
	for _, o := range t.lost[:min(10, len(t.lost))] {
		_, _ = fmt.Fprintf(w, "  lost: %d after %v; met %v\n", o.status, o.took, o.met)
	}
}

// errorLines is a slog.Handler that counts error lines and drops the others.
type errorLines struct {
	n     atomic.Int64
	first atomic.Pointer[string]
}

func (e *errorLines) Enabled(_ context.Context, level slog.Level) bool {
	return level >= slog.LevelError
}

func (e *errorLines) Handle(_ context.Context, r slog.Record) error {
	text := r.Message
	r.Attrs(func(a slog.Attr) bool {
		text += " " + a.String()
		return true
	})
	e.first.CompareAndSwap(nil, &text)
	e.n.Add(1)
	return nil
}

func (e *errorLines) WithAttrs([]slog.Attr) slog.Handler { return e }
func (e *errorLines) WithGroup(string) slog.Handler      { return e }

// serve listens on a free port, which is in the server's Addr.
func serve(h http.Handler) (*http.Server, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	s := &http.Server{Addr: listener.Addr().String(), Handler: h, ErrorLog: log.New(io.Discard, "", 0), ReadHeaderTimeout: 10 * time.Second}
	go func() { _ = s.Serve(listener) }()
	return s, nil
}
