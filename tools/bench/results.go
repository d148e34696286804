package main

import (
	"time"

	"github.com/orga-session/orga-session/tools/bench/proc"
)

// The peers, as the report names them.
const (
	peerOrga    = "this bundle"
	peerExpress = "Express"
	peerNode    = "Node"
	peerFloor   = "direct client"
)

// key names a series of slots, one a round.
type key struct {
	mode    string
	peer    string
	clients int
}

// results are everything that a run measured.
type results struct {
	Plan    plan
	Quick   bool
	Began   time.Time
	Took    time.Duration
	Machine machine

	Servers map[key][]slot
	Ends    map[key]end // by mode and peer

	Clients  map[key][]slot
	Tenants  []variant
	Policies []variant
	Profile  []share

	Lambda     map[string][]start // by peer
	Small      map[string][]start // the same under the quota
	SmallError string             // why there is none
	NodeError  string             // why there is no Node function
	Failures   map[string]int     // invocations that failed after a freeze, by peer
	Zip        int64
}

// end is what a server had used when all its turns were over.
type end struct {
	Memory proc.Memory
	Opened int // connections to its Orga, since it started
	Steady int // of those, the ones after its unmeasured beginning
}

// variant is the endpoint with other settings.
type variant struct {
	Name   string
	Did    []slot
	Memory proc.Memory
	Start  time.Duration // until it listened
}

// values picks one figure out of a series.
func values[T any](series []T, figure func(T) float64) []float64 {
	out := make([]float64, 0, len(series))
	for _, s := range series {
		out = append(out, figure(s))
	}
	return out
}

func rate(s slot) float64    { return s.Rate }
func cpu(s slot) float64     { return s.CPU }
func p50(s slot) float64     { return s.P50 }
func p99(s slot) float64     { return s.P99 }
func added50(s slot) float64 { return s.Added50 }
func added99(s slot) float64 { return s.Added99 }
