//go:build linux

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net/http"
	"net/http/httptest"
	"slices"
	"syscall"
	"time"

	"github.com/orga-session/orga-session/core/secret/secrettest"
	"github.com/orga-session/orga-session/tools/fakeorga"
	"github.com/orga-session/orga-session/tools/lambdaevent"
	"github.com/orga-session/orga-session/tools/lambdaruntime"
)

// life is one instance of a Lambda function, from start to end.
type life struct {
	Init    float64 // ms from the spawn until it asked for an event
	First   float64 // ms from the spawn until its first answer
	Used    float64 // ms of CPU until then
	CPU     float64 // µs of a warm invocation
	Peak    float64 // MB resident
	latency []time.Duration
}

func initTime(s life) float64    { return s.Init }
func used(s life) float64        { return s.Used }
func warmCPU(s life) float64     { return s.CPU }
func peak(s life) float64        { return s.Peak }
func firstAnswer(s life) float64 { return s.First }
func warmP50(s life) float64     { return quantile(s.latency, 0.5) }

// billed returns the mean billed duration of warm invocations, each rounded up to a millisecond.
func billed(s life) float64 {
	var sum float64
	for _, d := range s.latency {
		sum += math.Ceil(float64(d) / 1e6)
	}
	return sum / float64(len(s.latency))
}

// instance is a running Lambda function. Its Orga and its Secrets Manager use TLS.
type instance struct {
	*process
	api     *lambdaruntime.API
	orga    *fakeorga.API
	secrets *httptest.Server
}

func (l *lab) startFunction(name string, q *quota, wait time.Duration) (*instance, error) {
	orga, err := fakeorga.Start(fakeorga.Options{Certificate: &l.certificate})
	if err != nil {
		return nil, err
	}
	orga.SetDelay(wait)
	api, err := lambdaruntime.Start("127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	store := new(secrettest.AWS)
	store.Put("orga-api-key", fakeorga.Key)
	f := &instance{orga: orga, api: api, secrets: httptest.NewTLSServer(store)} // whose certificate the programs trust
	env := slices.Concat(l.environment(orga), api.Env(), usual, []string{
		"AWS_REGION=eu-central-1", "AWS_ACCESS_KEY_ID=AKIDEXAMPLE", "AWS_SECRET_ACCESS_KEY=example",
		"AWS_ENDPOINT_URL_SECRETS_MANAGER=" + f.secrets.URL, "ORGA_API_KEY_SOURCE=awssm:orga-api-key",
	})
	argv, dir := []string{l.programs[function]}, l.scratch
	if name == peer {
		argv, dir = []string{l.node, "node_modules/aws-lambda-ric/index.mjs"}, l.nodeDir
		env = append(env, "_HANDLER=lambda.handler", "LAMBDA_TASK_ROOT="+l.nodeDir,
			"AWS_LAMBDA_LOG_GROUP_NAME=/aws/lambda/local", "AWS_LAMBDA_LOG_STREAM_NAME=local")
	}
	if f.process, err = l.launcher.start(l.ctx, q, dir, env, argv...); err != nil {
		return nil, err
	}
	return f, nil
}

// close ends the instance and its upstreams.
func (f *instance) close() {
	f.stop()
	_ = f.api.Close()
	f.secrets.Close()
	f.orga.Close()
}

// invoke runs one invocation and checks its answer.
func (f *instance) invoke(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	defer context.AfterFunc(f.running, cancel)() // an instance that has ended takes no event
	event, err := json.Marshal(lambdaevent.HTTPAPI(lambdaevent.Request{
		Method: http.MethodGet, Path: defaultPath, Host: "api.example.com", Addr: "203.0.113.7", ID: "JKJaXmPLvHcESHA=",
		Header: http.Header{"Accept": {"*/*"}, "Origin": {origin}, "User-Agent": {"bench"}},
	}))
	if err != nil {
		return err
	}
	response, err := f.api.Invoke(ctx, event, lambdaruntime.Options{Timeout: time.Minute})
	if err != nil {
		return fmt.Errorf("%w; output: %s", err, &f.output)
	}
	var answer struct{ Body string }
	if err := errors.Join(json.Unmarshal(response, &answer), fakeorga.Check([]byte(answer.Body))); err != nil {
		return fmt.Errorf("%w: %s; output: %s", err, response, &f.output)
	}
	return nil
}

// live runs an instance: its start, and the given number of invocations after the first.
func (l *lab) live(name string, q *quota, at size, invocations int) (s life, err error) {
	if err := q.set(!at.fastInit); err != nil {
		return s, err
	}
	f, err := l.startFunction(name, q, at.delay)
	if err != nil {
		return s, err
	}
	defer f.close()
	select {
	case <-f.api.Ready():
	case <-f.running.Done():
	}
	s.Init = milliseconds(time.Since(f.spawned))
	if err := q.set(true); err != nil {
		return s, err
	}
	if err := f.invoke(l.ctx); err != nil {
		return s, err
	}
	s.First = milliseconds(time.Since(f.spawned))
	began, err := f.cpu()
	if err != nil {
		return s, err
	}
	s.Used = milliseconds(began)
	for range invocations {
		time.Sleep(2 * time.Millisecond) // the instance requests its next event meanwhile, which no caller waits for
		at := time.Now()
		if err := f.invoke(l.ctx); err != nil {
			return s, err
		}
		s.latency = append(s.latency, time.Since(at))
	}
	ended, cpuErr := f.cpu()
	s.CPU = float64((ended - began).Nanoseconds()) / 1e3 / float64(invocations)
	s.Peak, err = f.memory()
	return s, errors.Join(err, cpuErr)
}

func milliseconds(d time.Duration) float64 { return float64(d.Nanoseconds()) / 1e6 }

// lives are the instances of one function, one per round.
type lives []life

// p95 is that of all instances together, because each has too few invocations.
func (s lives) p95() float64 {
	return pooled(s, func(s life) []time.Duration { return s.latency }, 0.95)
}

// instances lets the two functions take turns.
func (l *lab) instances(q *quota, at size, starts, invocations int) (map[string]lives, error) {
	all := make(map[string]lives)
	return all, takeTurns(starts, []string{ours, peer}, func(name string) error {
		s, err := l.live(name, q, at, invocations)
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		all[name] = append(all[name], s)
		return nil
	})
}

// size is a Lambda function's memory, which determines its CPU, with other parameters of a measurement.
type size struct {
	megabytes int
	delay     time.Duration // of Orga
	fastInit  bool          // init has a whole core, as on Lambda; otherwise its share of one
}

// wholeCore and small are the sizes for the goals; usersSizes are typical sizes.
var (
	wholeCore  = size{megabytes: 1769}
	small      = size{megabytes: 128}
	usersSizes = []size{{128, delay, true}, {256, delay, true}}
)

// measureLambda compares the functions on a whole core and with the CPU of small Lambda functions.
func (l *lab) measureLambda(r *results) (err error) {
	if r.Functions[wholeCore], err = l.instances(nil, wholeCore, l.Starts, l.Invocations); err != nil {
		return err
	}
	for _, at := range append(usersSizes, small) {
		q, err := newQuota(at.megabytes)
		if err != nil {
			r.NoQuota = fmt.Sprintf("cgroups cannot be written here, which takes root (%v)", err)
			return nil // the report says so, and has the other results
		}
		l.progress("  %d MB, Orga's delay %v", at.megabytes, at.delay)
		r.Functions[at], err = l.instances(q, at, l.SmallStarts, l.SmallInvocations)
		if err := errors.Join(err, q.close()); err != nil {
			return err
		}
	}
	return nil
}

// measureFreezes stops an instance, closes its connections to Orga, sends it an event and continues it, as Lambda thaws an
// instance whose connections have been closed meanwhile.
func (l *lab) measureFreezes(r *results) error {
	for _, name := range []string{ours, peer} {
		f, err := l.startFunction(name, nil, 0)
		if err != nil {
			return err
		}
		defer f.close()
		if err := f.invoke(l.ctx); err != nil {
			return err
		}
		for range l.Freezes {
			time.Sleep(2 * time.Millisecond)
			stopped := f.cmd.Process.Signal(syscall.SIGSTOP)
			f.orga.CloseConnections(false)
			answered := make(chan error, 1)
			go func() { answered <- f.invoke(l.ctx) }()
			time.Sleep(5 * time.Millisecond) // the event and the ends of the connections arrive before it wakes
			continued := f.cmd.Process.Signal(syscall.SIGCONT)
			if errors.Join(stopped, continued, <-answered) != nil {
				r.Failures[name]++
			}
		}
	}
	return nil
}
