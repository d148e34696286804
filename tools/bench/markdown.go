package main

import (
	"fmt"
	"strings"
	"time"
)

// grid is a table, its first line the header.
type grid [][]string

func (g grid) String() string {
	var b strings.Builder
	for i, cells := range g {
		b.WriteString("| " + strings.Join(cells, " | ") + " |\n")
		if i == 0 {
			b.WriteString(strings.Repeat("| --- ", len(cells)) + "|\n")
		}
	}
	return b.String()
}

// table is the comparison, row by row, and the reasons of rows that are not met.
func (r *results) table() string {
	g := grid{{"figure", "asked for", "this bundle", "Node peer", "measured", ""}}
	var reasons strings.Builder
	for _, row := range r.rows() {
		g = append(g, []string{row.Figure, row.Target, row.Ours, row.Theirs, row.Measured, row.Verdict})
		if row.Reason != "" {
			fmt.Fprintf(&reasons, "\n- *%s* is %s: %s.", row.Figure, row.Verdict, row.Reason)
		}
	}
	if reasons.Len() > 0 {
		return g.String() + reasons.String() + "\n"
	}
	return g.String()
}

// markdown is the whole report.
func (r *results) markdown() string {
	m := r.Machine
	replace := strings.NewReplacer(
		"{date}", r.Began.UTC().Format("2 January 2006, 15:04 MST"),
		"{took}", r.Took.Round(time.Second).String(),
		"{rounds}", fmt.Sprint(r.Plan.rounds), "{slot}", r.Plan.slot.String(), "{slow}", r.Plan.slow.String(),
		"{starts}", fmt.Sprint(r.Plan.coldStarts), "{invocations}", fmt.Sprint(r.Plan.invocations),
		"{small}", fmt.Sprint(r.Plan.smallStarts), "{smallInvocations}", fmt.Sprint(r.Plan.invocations/8),
		"{quick}", map[bool]string{true: "\nA **quick** run: fewer rounds, wider spreads.\n"}[r.Quick],
		"{table}", r.table(), "{servers}", r.serverTables(), "{lambda}", r.lambdaTables(),
		"{clients}", r.clientTable().String(), "{tenants}", r.tenantTable().String(),
		"{policies}", r.policyTable().String(), "{profile}", r.profileTable().String(),
		"{cpu}", m.CPU, "{memory}", m.Memory, "{kernel}", m.Kernel, "{arch}", m.Arch, "{go}", m.Go, "{node}", m.Node,
		"{packages}", strings.Join(m.Packages, ", "),
	)
	return replace.Replace(report)
}

const report = `# Benchmarks

Written by ` + "`make bench`" + ` on {date}; the run took {took}. Every figure below is of that one run, on one
machine, with both sides measured in turns. Medians, with the smallest and the largest round in
brackets; ratios are formed inside a round.
{quick}
## What was asked for, and what is

{table}
## How it is measured

- **The peers.** *This bundle* is ` + "`core`" + ` in a plain net/http server, with settings as a user would have
  them: anonymous callers, one CORS origin that the requests name, a limit in memory (set too high to
  refuse), one log line a request. *Express* makes the same two calls with fetch, ten seconds each, as
  @orga-ai/node does; it has no CORS, no limit and no log. The licence of @orga-ai/node's npm builds keeps
  the package itself out of benchmarks. The *direct client* makes the two calls itself, on bare sockets:
  the floor, which no endpoint can be below. Standard output and error of all go to /dev/null.
- **The cores.** The process under test is alone on one core; the load generator and the stand-in for Orga,
  both on bare sockets, share the other. Peers take turns of {slot} ({slow} where Orga has a delay), after an
  unmeasured beginning, {rounds} rounds long, each round beginning with another peer.
- **The stand-in for Orga** answers at once or after 25 ms, plain or over TLS with an authority of its
  own. Each answer that an endpoint gives is checked: the ICE credential must be the one that was handed
  out for the token beside it. One wrong answer ends the run.
- **CPU a request** is what the scheduler counted for all threads of the process
  (/proc/PID/task/*/schedstat), divided by its requests: the figure that a noisy machine moves least.
  *Memory* is the peak of the resident set (VmHWM). *Connections* are those that the stand-in accepted
  since the process started. *Latency over the delays* is the latency less twice the delay that the stand-in really kept.
- **Lambda** is the real binary behind a stand-in for the Runtime API, and the same two calls in a
  handler on aws-lambda-ric (polling with its client in JavaScript, as its native one crashes under Node
  20), its AWS SDK unbundled; Orga is over TLS without delay. Both fetch the key from a
  stand-in for Secrets Manager in their init. {starts} instances each, in turns, {invocations} invocations after the
  first. At *128 MB* the process has the CPU that Lambda gives such a function, 1.444 ms in every 20, from its
  spawn on ({small} instances, {smallInvocations} invocations): Lambda itself is more generous during init.
  After a *freeze* (SIGSTOP), the connections to Orga are closed, and an event waits when the instance goes on.

## Servers

{servers}
## Lambda functions

{lambda}
## What growth costs

Clients, Orga plain and without delay:

{clients}
Tenants, 16 clients asking each in turn:

{tenants}
Policies, 16 clients:

{policies}
## Where the CPU goes

A profile of this bundle with 16 clients, Orga plain and without delay. Shares overlap: what net/http
writes is a system call, too.

{profile}
## Machine and versions

{cpu}, two cores used; {memory} of memory; Linux {kernel}, {arch}. {go}; Node {node}; {packages}.

## Again

    make bench                         # about ten minutes, writes this file
    cd tools && go run ./bench -quick  # about two, prints the first table

It needs Linux, two cores, Go, Node and npm; aws-lambda-ric builds native code with cmake, make and a C++
compiler, and without those the Node function is left out. The 128 MB rows need a writable cgroup, so
usually root. Other work on the machine widens the spreads; the ratios move least.
`
