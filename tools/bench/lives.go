package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"time"

	"github.com/orga-session/orga-session/tools/bench/proc"
	"github.com/orga-session/orga-session/tools/bench/stats"
)

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
	s.Used = milliseconds(began)
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
	s.Peak, s.Files = megabytes(memory.Peak), megabytes(memory.Files)
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
		return nil //nolint:nilerr // the report says so, and has the rest
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
