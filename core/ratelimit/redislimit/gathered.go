package redislimit

import (
	"context"
	"sync"

	"github.com/redis/go-redis/v9"
)

// maxTrips is how many round trips are under way at once, and so the connections of an instance: with one,
// a caller who comes just too late for it would wait for two whole ones.
const maxTrips = 4

// gathered is a client whose scripts travel together when many are called at once. Each by itself would
// want a connection of its own, and a burst of callers would spend its time on opening those: from far
// away, or on a small machine, more than a decision may take.
type gathered struct {
	*redis.Client

	mu      sync.Mutex
	waiting []*call // for a trip
	trips   int     // under way
}

// call is a script that is called; cmd has its outcome once done is closed.
type call struct {
	ctx  context.Context
	cmd  *redis.Cmd
	done chan struct{}
}

// Eval calls a script by its text.
func (g *gathered) Eval(ctx context.Context, script string, keys []string, args ...any) *redis.Cmd {
	return g.call(ctx, "eval", script, keys, args)
}

// EvalSha calls a script that the server knows.
func (g *gathered) EvalSha(ctx context.Context, sha1 string, keys []string, args ...any) *redis.Cmd {
	return g.call(ctx, "evalsha", sha1, keys, args)
}

func (g *gathered) call(ctx context.Context, name, script string, keys []string, args []any) *redis.Cmd {
	all := []any{name, script, len(keys)}
	for _, key := range keys {
		all = append(all, key)
	}
	c := &call{ctx, redis.NewCmd(ctx, append(all, args...)...), make(chan struct{})}
	g.mu.Lock()
	g.waiting = append(g.waiting, c)
	if g.trips < maxTrips {
		g.trips++
		go g.travel()
	}
	g.mu.Unlock()
	select {
	case <-c.done:
		return c.cmd
	case <-ctx.Done():
		left := redis.NewCmd(ctx) // the other may yet be written to
		left.SetErr(ctx.Err())
		return left
	}
}

// travel makes trips until nobody waits for one.
func (g *gathered) travel() {
	for {
		g.mu.Lock()
		calls := g.waiting
		g.waiting = nil
		if len(calls) == 0 {
			g.trips--
			g.mu.Unlock()
			return
		}
		g.mu.Unlock()
		g.trip(calls)
	}
}

// trip brings calls there and back, in a budget of its own: it belongs to none of their callers.
func (g *gathered) trip(calls []*call) {
	defer func() {
		broke := recover() != nil // here it would end the process
		for _, c := range calls {
			if broke {
				c.cmd.SetErr(errShape)
			}
			close(c.done)
		}
	}()
	ctx, cancel := context.WithTimeout(context.Background(), budget)
	defer cancel()
	pipe := g.Pipeline()
	for _, c := range calls {
		if c.ctx.Err() == nil {
			_ = pipe.Process(ctx, c.cmd) // it only queues
		}
	}
	_, _ = pipe.Exec(ctx) // each command has its own outcome
}
