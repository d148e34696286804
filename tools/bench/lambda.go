package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"time"

	"github.com/orga-session/orga-session/tools/bench/proc"
	"github.com/orga-session/orga-session/tools/bench/standin"
	"github.com/orga-session/orga-session/tools/bench/stats"
	"github.com/orga-session/orga-session/tools/lambdaruntime"
)

// start is what one instance of a Lambda function did, from its spawn to its end.
type start struct {
	Init   float64 // until it asked for an event, milliseconds
	First  float64 // until its first answer, the key fetched, milliseconds
	Warm50 float64 // of the invocations after that, milliseconds
	Warm99 float64
	CPU    float64 // of each of those, microseconds
	Peak   float64 // resident memory, MB
}

// function is a running instance. Its Orga speaks TLS and does not wait.
type function struct {
	*proc.Process
	api     *lambdaruntime.API
	orga    *standin.Orga
	secrets func() // stops the Secrets Manager
}

func (l *lab) startFunction(peer string, quota *proc.Quota) (*function, error) {
	orga, err := l.startStandin(secure)
	if err != nil {
		return nil, err
	}
	secretsURL, stop, err := standin.StartSecretsManager()
	if err != nil {
		orga.Close()
		return nil, err
	}
	f := &function{orga: orga, secrets: stop}
	if f.api, err = lambdaruntime.Start("127.0.0.1:0"); err != nil {
		f.Stop()
		return nil, err
	}
	env := append(l.environment(orga), f.api.Env()...)
	env = append(env, "AWS_REGION=eu-central-1", "AWS_ACCESS_KEY_ID=AKIDEXAMPLE", "AWS_SECRET_ACCESS_KEY=example",
		"AWS_ENDPOINT_URL_SECRETS_MANAGER="+secretsURL, "ORGA_API_KEY_SOURCE=awssm:orga-api-key")
	argv, dir := []string{l.function}, l.scratch
	if peer == peerNode {
		argv, dir = []string{"node", "node_modules/aws-lambda-ric/index.mjs"}, l.node
		// It polls with its client in JavaScript: its native one crashes under Node 20.
		env = append(env, "_HANDLER=lambda.handler", "LAMBDA_TASK_ROOT="+l.node, "AWS_LAMBDA_NODEJS_USE_ALTERNATIVE_CLIENT_1=true",
			"AWS_LAMBDA_LOG_GROUP_NAME=/aws/lambda/local", "AWS_LAMBDA_LOG_STREAM_NAME=local")
	}
	if f.Process, err = proc.Start(l.ctx, proc.Place{Cores: l.cores, Quota: quota}, dir, append(env, usual...), argv...); err != nil {
		f.Stop()
		return nil, err
	}
	return f, nil
}

// Stop ends the instance and what it called; it can be half started.
func (f *function) Stop() {
	if f.Process != nil {
		f.Process.Stop()
	}
	if f.api != nil {
		_ = f.api.Close()
	}
	f.secrets()
	f.orga.Close()
}

// event is an HTTP API's (payload version 2.0).
var event, _ = json.Marshal(map[string]any{ // plain values always marshal
	"version": "2.0", "routeKey": "$default", "rawPath": defaultPath[0], "rawQueryString": "",
	"headers": map[string]string{"accept": "*/*", "host": "api.example.com", "origin": origin, "user-agent": "bench"},
	"requestContext": map[string]any{
		"accountId": "000000000000", "apiId": "api", "domainName": "api.example.com", "domainPrefix": "api",
		"http":      map[string]string{"method": "GET", "path": defaultPath[0], "protocol": "HTTP/1.1", "sourceIp": "203.0.113.7", "userAgent": "bench"},
		"requestId": "JKJaXmPLvHcESHA=", "routeKey": "$default", "stage": "$default",
		"time": "23/Nov/2026:08:00:00 +0000", "timeEpoch": 1795420800000,
	},
	"isBase64Encoded": false,
})

// invoke runs one invocation and checks its answer.
func (f *function) invoke(l *lab) error {
	ctx, cancel := context.WithTimeout(l.ctx, time.Minute)
	defer cancel()
	go func() {
		select {
		case <-f.Done():
			cancel() // an instance that has ended takes no event
		case <-ctx.Done():
		}
	}()
	response, err := f.api.Invoke(ctx, event, lambdaruntime.Options{Timeout: time.Minute})
	if ctx.Err() != nil && l.ctx.Err() == nil {
		return errors.New("the instance ended, or gave no answer in a minute")
	}
	if err != nil {
		return err
	}
	var answer struct {
		StatusCode int    `json:"statusCode"`
		Body       string `json:"body"`
	}
	if err := json.Unmarshal(response, &answer); err != nil {
		return err
	}
	if answer.StatusCode != 200 {
		return fmt.Errorf("status %d: %s", answer.StatusCode, answer.Body)
	}
	return standin.Check([]byte(answer.Body))
}

// live runs an instance: its start, and so many invocations after the first.
func (l *lab) live(peer string, quota *proc.Quota, invocations int) (s start, err error) {
	f, err := l.startFunction(peer, quota)
	if err != nil {
		return s, err
	}
	defer f.Stop()
	ready := make(chan float64, 1)
	go func() {
		select {
		case <-f.api.Ready():
		case <-f.Done():
		}
		ready <- milliseconds(time.Since(f.Spawned))
	}()
	if err := f.invoke(l); err != nil {
		return s, err
	}
	s.First, s.Init = milliseconds(time.Since(f.Spawned)), <-ready

	began, err := f.CPU()
	if err != nil {
		return s, err
	}
	latencies := make([]time.Duration, invocations)
	for i := range latencies {
		time.Sleep(2 * time.Millisecond) // the instance asks for its next event meanwhile, which is no caller's wait
		at := time.Now()
		if err := f.invoke(l); err != nil {
			return s, err
		}
		latencies[i] = time.Since(at)
	}
	ended, cerr := f.CPU()
	memory, merr := f.Memory()
	slices.Sort(latencies)
	s.Warm50, s.Warm99 = stats.Quantile(latencies, 0.5)/1e6, stats.Quantile(latencies, 0.99)/1e6
	s.CPU = float64((ended - began).Nanoseconds()) / 1e3 / float64(invocations)
	s.Peak = float64(memory.Peak) / 1e6
	return s, errors.Join(cerr, merr)
}

// lambdaPeers are those that can run here.
func (l *lab) lambdaPeers(r *results) []string {
	if _, err := os.Stat(filepath.Join(l.node, "node_modules", "aws-lambda-ric", "rapid-client.node")); err != nil {
		r.NodeError = "aws-lambda-ric did not install: it builds native code, with cmake, make and a C++ compiler"
		return []string{peerOrga}
	}
	return []string{peerOrga, peerNode}
}

// measureLambda compares cold starts and what follows them, the peers taking turns.
func (l *lab) measureLambda(r *results) (err error) {
	r.Lambda, err = l.lives(l.lambdaPeers(r), nil, l.coldStarts, l.invocations)
	return err
}

// measureSmallLambda does so with the CPU that Lambda gives a function of 128 MB.
func (l *lab) measureSmallLambda(r *results) error {
	quota, err := proc.NewQuota(1444*time.Microsecond, 20*time.Millisecond)
	if err != nil {
		r.SmallError = "cgroups cannot be written here (it takes root, or a delegated one)"
		return nil
	}
	r.Small, err = l.lives(l.lambdaPeers(r), quota, l.smallStarts, l.invocations/8)
	return errors.Join(err, quota.Close())
}

func (l *lab) lives(peers []string, quota *proc.Quota, starts, invocations int) (map[string][]start, error) {
	lived := make(map[string][]start)
	for round := range starts {
		for i := range peers {
			peer := peers[(i+round)%len(peers)]
			s, err := l.live(peer, quota, invocations)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", peer, err)
			}
			lived[peer] = append(lived[peer], s)
		}
	}
	return lived, nil
}

// measureFreezes stops an instance, closes its connections to Orga, hands it an event and lets it run
// on, as Lambda thaws one whose connections went away meanwhile.
func (l *lab) measureFreezes(r *results) error {
	r.Failures = make(map[string]int)
	for _, peer := range l.lambdaPeers(r) {
		f, err := l.startFunction(peer, nil)
		if err != nil {
			return err
		}
		defer f.Stop()
		if err := f.invoke(l); err != nil {
			return err
		}
		for range l.freezes {
			time.Sleep(2 * time.Millisecond)
			if err := f.Signal(syscall.SIGSTOP); err != nil {
				return err
			}
			f.orga.CloseConnections()
			answered := make(chan error, 1)
			go func() { answered <- f.invoke(l) }()
			time.Sleep(5 * time.Millisecond) // the event and the closed connections are there when it wakes
			if err := f.Signal(syscall.SIGCONT); err != nil {
				return err
			}
			if <-answered != nil {
				r.Failures[peer]++
			}
		}
	}
	return nil
}
