package main

import (
	"fmt"
	"strings"
)

func (r *results) serverTables() string {
	var b strings.Builder
	for _, m := range []mode{plain, secure, plainSlow, slow} {
		g := grid{{"clients", "peer", "requests a second", "CPU a request", "p50", "p99", "over the delays, p50", "p99"}}
		if m.delay == 0 {
			g = grid{{"clients", "peer", "requests a second", "CPU a request", "p50", "p99"}}
		}
		for _, n := range []int{1, 16, 64} {
			for _, peer := range []string{peerOrga, peerExpress, peerFloor} {
				series := r.Servers[key{m.name, peer, n}]
				if len(series) == 0 {
					continue
				}
				used := spread(values(series, cpu), "µs")
				if peer == peerFloor {
					used = "—" // it shares the load generator's core
				}
				cells := []string{fmt.Sprint(n), peer, spread(values(series, rate), ""), used,
					spread(values(series, p50), "ms"), spread(values(series, p99), "ms")}
				if m.delay > 0 {
					cells = append(cells, spread(values(series, added50), "ms"), spread(values(series, added99), "ms"))
				}
				g = append(g, cells)
			}
		}
		ours, theirs := r.Ends[key{mode: m.name, peer: peerOrga}], r.Ends[key{mode: m.name, peer: peerExpress}]
		fmt.Fprintf(&b, "Orga %s. Peak memory: %s and %s; connections opened to Orga: %d and %d (%s, %s).\n\n%s\n", m.name,
			memory(ours.Memory), memory(theirs.Memory), ours.Opened, theirs.Opened, peerOrga, peerExpress, g)
	}
	return b.String()
}

func (r *results) lambdaTables() string {
	var b strings.Builder
	for _, t := range []struct {
		title string
		lived map[string][]start
		none  string
	}{
		{"A whole core", r.Lambda, ""},
		{"The CPU of 128 MB", r.Small, r.SmallError},
	} {
		if t.none != "" {
			fmt.Fprintf(&b, "%s: not measured, as %s.\n\n", t.title, t.none)
			continue
		}
		g := grid{{"peer", "init", "spawn → first answer", "CPU until then", "warm, p50", "warm, p99", "CPU an invocation", "peak memory"}}
		for _, peer := range []string{peerOrga, peerNode} {
			s := t.lived[peer]
			if len(s) == 0 {
				continue
			}
			g = append(g, []string{peer,
				spread(values(s, func(s start) float64 { return s.Init }), "ms"),
				spread(values(s, func(s start) float64 { return s.First }), "ms"),
				spread(values(s, func(s start) float64 { return s.Used }), "ms"),
				spread(values(s, func(s start) float64 { return s.Warm50 }), "ms"),
				spread(values(s, func(s start) float64 { return s.Warm99 }), "ms"),
				spread(values(s, func(s start) float64 { return s.CPU }), "µs"),
				spread(values(s, func(s start) float64 { return s.Peak }), "MB")})
		}
		fmt.Fprintf(&b, "%s:\n\n%s\n", t.title, g)
	}
	if r.NodeError != "" {
		fmt.Fprintf(&b, "The Node function was not measured, as %s.\n\n", r.NodeError)
	}
	return b.String()
}

func (r *results) clientTable() grid {
	g := grid{{"clients", "peer", "requests a second", "CPU a request", "p50", "p99"}}
	for _, n := range clientCurve {
		for _, peer := range []string{peerOrga, peerExpress} {
			s := r.Clients[key{plain.name, peer, n}]
			g = append(g, []string{fmt.Sprint(n), peer, spread(values(s, rate), ""), spread(values(s, cpu), "µs"),
				spread(values(s, p50), "ms"), spread(values(s, p99), "ms")})
		}
	}
	return g
}

func (r *results) tenantTable() grid {
	g := grid{{"tenants", "start", "CPU a request", "p99", "peak memory"}}
	for _, v := range r.Tenants {
		g = append(g, []string{v.Name, fmt.Sprintf("%.0f ms", milliseconds(v.Start)),
			spread(values(v.Did, cpu), "µs"), spread(values(v.Did, p99), "ms"), memory(v.Memory)})
	}
	return g
}

func (r *results) policyTable() grid {
	g := grid{{"policy", "CPU a request", "p50", "p99"}}
	for _, v := range r.Policies {
		g = append(g, []string{v.Name, spread(values(v.Did, cpu), "µs"), spread(values(v.Did, p50), "ms"), spread(values(v.Did, p99), "ms")})
	}
	return g
}

func (r *results) profileTable() grid {
	g := grid{{"part", "share"}}
	for _, s := range r.Profile {
		g = append(g, []string{s.Name, fmt.Sprintf("%.0f %%", s.Percent)})
	}
	return g
}
