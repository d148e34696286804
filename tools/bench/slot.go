package main

import (
	"fmt"
	"net/url"
	"time"

	"github.com/orga-session/orga-session/tools/bench/load"
	"github.com/orga-session/orga-session/tools/bench/proc"
	"github.com/orga-session/orga-session/tools/bench/standin"
)

// mode is how the stand-in for Orga is reached, and how long it takes.
type mode struct {
	name  string
	delay time.Duration
	tls   bool
}

var (
	plain     = mode{"plain, no delay", 0, false}
	secure    = mode{"TLS, no delay", 0, true}
	plainSlow = mode{"plain, 25 ms", 25 * time.Millisecond, false}
	slow      = mode{"TLS, 25 ms", 25 * time.Millisecond, true}
)

// slot is what one peer did in its turn of one round.
type slot struct {
	Rate     float64 // requests a second
	CPU      float64 // microseconds a request, all of the process's threads, kernel included
	P50, P99 float64 // latency, milliseconds
	// Added50 and Added99 are the latency over the delays that the stand-in really kept.
	Added50, Added99 float64
}

// subject is what takes turns in a round: a process, or (without one) the direct client.
type subject struct {
	name    string
	process *proc.Process
	orga    *standin.Orga
	dial    func() (*load.Conn, error)
	do      load.Exchange
}

// subject makes a server one, asked at the paths given with the header lines given.
func (s *server) subject(name string, paths []string, header string) subject {
	u, _ := url.Parse(s.url) // made by us
	return subject{name, s.Process, s.orga,
		func() (*load.Conn, error) { return load.Dial(s.url, nil) },
		load.Mint(u.Host, paths, header)}
}

var (
	defaultPath  = []string{"/api/orga-client-secrets"}
	originHeader = "Origin: " + origin + "\r\n"
)

// floor is the direct client: what the two calls cost without an endpoint in between.
func (l *lab) floor(orga *standin.Orga) subject {
	u, _ := url.Parse(orga.URL) // made by us
	return subject{peerFloor, nil, orga,
		func() (*load.Conn, error) { return load.Dial(orga.URL, l.trust) },
		load.Direct(u.Host)}
}

// take gives a subject its turn.
func (s subject) take(clients int, warm, measured time.Duration) (slot, error) {
	c, err := load.Connect(clients, s.dial, s.do)
	if err != nil {
		return slot{}, fmt.Errorf("%s: %w", s.name, err)
	}
	defer c.Close()
	if _, err := c.Run(warm); err != nil {
		return slot{}, fmt.Errorf("%s: %w", s.name, err)
	}
	s.orga.Held()
	began, err := s.cpu()
	if err != nil {
		return slot{}, err
	}
	r, err := c.Run(measured)
	if err != nil {
		return slot{}, fmt.Errorf("%s: %w", s.name, err)
	}
	ended, err := s.cpu()
	if err != nil {
		return slot{}, err
	}
	delays := milliseconds(2 * s.orga.Held())
	p50, p99 := milliseconds(r.Latency(0.5)), milliseconds(r.Latency(0.99))
	return slot{
		Rate: r.Rate(), CPU: float64((ended - began).Nanoseconds()) / 1e3 / float64(r.Requests),
		P50: p50, P99: p99, Added50: p50 - delays, Added99: p99 - delays,
	}, nil
}

func (s subject) cpu() (time.Duration, error) {
	if s.process == nil {
		return 0, nil
	}
	return s.process.CPU()
}

func milliseconds(d time.Duration) float64 { return float64(d.Nanoseconds()) / 1e6 }

// rounds lets the subjects take turns, each round beginning with another one, for each number of
// clients. What they did is handed to keep.
func (l *lab) rounds(subjects []subject, clients []int, measured time.Duration, keep func(s subject, clients int, did slot)) error {
	for round := range l.plan.rounds {
		for _, n := range clients {
			for i := range subjects {
				s := subjects[(i+round)%len(subjects)]
				did, err := s.take(n, l.warm, measured)
				if err != nil {
					return err
				}
				keep(s, n, did)
			}
		}
	}
	return nil
}

// firstTurns is what nobody measures: the peers' compilers and caches at their beginning.
func (l *lab) firstTurns(subjects []subject, clients int) error {
	for _, s := range subjects {
		if _, err := s.take(clients, l.warm, l.firstWarm); err != nil {
			return err
		}
	}
	return nil
}
