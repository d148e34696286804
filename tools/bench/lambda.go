//go:build linux

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/http/httptest"
	"slices"
	"syscall"
	"time"

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

// function is a running instance. Its Orga and its Secrets Manager use TLS.
type function struct {
	*process
	api     *lambdaruntime.API
	orga    *fakeorga.API
	secrets *httptest.Server
}

func (l *lab) startFunction(name string, q *quota, wait time.Duration) (*function, error) {
	orga, err := fakeorga.Start(fakeorga.Options{Certificate: &l.certificate})
	if err != nil {
		return nil, err
	}
	orga.SetDelay(wait)
	api, err := lambdaruntime.Start("127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	f := &function{orga: orga, api: api, secrets: secretsManager()}
	env := slices.Concat(l.environment(orga), api.Env(), usual, []string{
		"AWS_REGION=eu-central-1", "AWS_ACCESS_KEY_ID=AKIDEXAMPLE", "AWS_SECRET_ACCESS_KEY=example",
		"AWS_ENDPOINT_URL_SECRETS_MANAGER=" + f.secrets.URL, "ORGA_API_KEY_SOURCE=awssm:orga-api-key",
	})
	argv, dir := []string{l.function}, l.scratch
	if name == node {
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
func (f *function) close() {
	f.stop()
	_ = f.api.Close()
	f.secrets.Close()
	f.orga.Close()
}

// secretsManager serves the API key under any name. httptest's certificate is trusted by the programs under test.
func secretsManager() *httptest.Server {
	return httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/x-amz-json-1.1")
		_, _ = io.WriteString(w, `{"ARN":"arn:aws:secretsmanager:eu-central-1:000000000000:secret:orga-api-key-abcdef","Name":"orga-api-key",`+
			`"SecretString":"`+fakeorga.Key+`","VersionId":"11111111-2222-3333-4444-555555555555","VersionStages":["AWSCURRENT"],"CreatedDate":1795420800}`)
	}))
}

// invoke runs one invocation and checks its answer.
func (f *function) invoke(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	go func() {
		select {
		case <-f.done:
			cancel() // an instance that has ended takes no event
		case <-ctx.Done():
		}
	}()
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
	var answer struct {
		StatusCode int    `json:"statusCode"`
		Body       string `json:"body"`
	}
	if err := json.Unmarshal(response, &answer); err != nil {
		return err
	}
	if answer.StatusCode != http.StatusOK {
		return fmt.Errorf("status %d: %s; output: %s", answer.StatusCode, answer.Body, &f.output)
	}
	return fakeorga.Check([]byte(answer.Body))
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
	case <-f.done:
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
	ended, cerr := f.cpu()
	s.CPU = float64((ended - began).Nanoseconds()) / 1e3 / float64(invocations)
	var merr error
	s.Peak, merr = f.memory()
	return s, errors.Join(cerr, merr)
}

func milliseconds(d time.Duration) float64 { return float64(d.Nanoseconds()) / 1e6 }

// lives are the instances of one function, one per round.
type lives []life

// instances lets the two functions take turns.
func (l *lab) instances(q *quota, at size, starts, invocations int) (map[string]lives, error) {
	all, names := make(map[string]lives), []string{ours, node}
	for round := range starts {
		for i := range names {
			name := names[(i+round)%len(names)]
			s, err := l.live(name, q, at, invocations)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", name, err)
			}
			all[name] = append(all[name], s)
		}
	}
	return all, nil
}

func (l *lab) measureLambda(r *results) (err error) {
	r.Lambda, err = l.instances(nil, size{}, l.starts, l.invocations)
	return err
}

// size is a Lambda function's memory, which determines its CPU, with other parameters of a measurement.
type size struct {
	megabytes int
	delay     time.Duration // of Orga
	fastInit  bool          // init has a whole core, as on Lambda; otherwise its share of one
}

// small is the size for the goals; usersSizes are typical sizes.
var (
	small      = size{128, 0, false}
	usersSizes = []size{{128, delay, true}, {256, delay, true}}
)

// measureSmallLambda compares the functions with the CPU of small Lambda functions.
func (l *lab) measureSmallLambda(r *results) error {
	for _, at := range append(usersSizes, small) {
		q, err := newQuota(at.megabytes)
		if err != nil {
			r.NoQuota = fmt.Sprintf("cgroups cannot be written here, which takes root (%v)", err)
			return nil // the report says so, and has the other results
		}
		l.progress("  %d MB, Orga's delay %v", at.megabytes, at.delay)
		r.Small[at], err = l.instances(q, at, l.smallStarts, l.smallInvocations)
		if err := errors.Join(err, q.close()); err != nil {
			return err
		}
	}
	return nil
}

// measureFreezes stops an instance, closes its connections to Orga, sends it an event and continues it, as Lambda thaws an
// instance whose connections have been closed meanwhile.
func (l *lab) measureFreezes(r *results) error {
	for _, name := range []string{ours, node} {
		f, err := l.startFunction(name, nil, 0)
		if err != nil {
			return err
		}
		defer f.close()
		if err := f.invoke(l.ctx); err != nil {
			return err
		}
		for range l.freezes {
			time.Sleep(2 * time.Millisecond)
			f.signal(syscall.SIGSTOP)
			f.orga.CloseConnections(false)
			answered := make(chan error, 1)
			go func() { answered <- f.invoke(l.ctx) }()
			time.Sleep(5 * time.Millisecond) // the event and the ends of the connections arrive before it wakes
			f.signal(syscall.SIGCONT)
			if <-answered != nil {
				r.Failures[name]++
			}
		}
	}
	return nil
}
