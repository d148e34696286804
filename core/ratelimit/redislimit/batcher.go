package redislimit

import (
	"context"
	"errors"
	"strings"
	"sync"

	"github.com/redis/go-redis/v9"

	"github.com/orga-session/orga-session/core/ratelimit/internal/redisscript"
)

// maxRuns is the number of concurrent batches, and so of an instance's connections: with one, a caller who just misses a
// batch would wait for two.
const maxRuns = 4

// batcher sends concurrent decisions in one pipeline. With a connection for each, a burst of callers would spend its time on
// connecting, which over a long distance or on a small machine takes longer than a decision may.
type batcher struct {
	client *redis.Client

	mu      sync.Mutex
	waiting []*call
	runs    int // in progress
}

// call is one run of the script; reply and err are set once done is closed.
type call struct {
	ctx   context.Context
	args  []string // after the script
	done  chan struct{}
	reply []int64
	err   error
}

// eval runs the script with args.
func (b *batcher) eval(ctx context.Context, args []string) ([]int64, error) {
	c := &call{ctx: ctx, args: args, done: make(chan struct{})}
	b.mu.Lock()
	b.waiting = append(b.waiting, c)
	if b.runs < maxRuns {
		b.runs++
		go b.run()
	}
	b.mu.Unlock()
	select {
	case <-c.done:
		return c.reply, c.err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// run flushes batches until no call waits.
func (b *batcher) run() {
	for {
		b.mu.Lock()
		calls := b.waiting
		b.waiting = nil
		if len(calls) == 0 {
			b.runs--
			b.mu.Unlock()
			return
		}
		b.mu.Unlock()
		b.flush(calls)
	}
}

// flush sends calls and waits for their answers. It has its own timeout, because it belongs to no single caller.
func (b *batcher) flush(calls []*call) {
	defer func() {
		for _, c := range calls {
			close(c.done)
		}
	}()
	ctx, cancel := context.WithTimeout(context.Background(), budget)
	defer cancel()
	b.pipeline(ctx, calls, "evalsha", redisscript.SHA1)
	var again []*call
	for _, c := range calls {
		if refusal, ok := errors.AsType[redis.Error](c.err); ok && strings.HasPrefix(refusal.Error(), "NOSCRIPT") {
			again = append(again, c)
		}
	}
	if len(again) > 0 { // the server has just started
		b.pipeline(ctx, again, "eval", redisscript.Source)
	}
}

func (b *batcher) pipeline(ctx context.Context, calls []*call, command, script string) {
	pipe := b.client.Pipeline()
	cmds := make([]*redis.Cmd, len(calls))
	for i, c := range calls {
		if c.ctx.Err() != nil {
			c.err = c.ctx.Err() // its caller has given up
			continue
		}
		args := make([]any, 0, 2+len(c.args))
		args = append(args, command, script)
		for _, arg := range c.args {
			args = append(args, arg)
		}
		cmds[i] = redis.NewCmd(ctx, args...)
		_ = pipe.Process(ctx, cmds[i]) // only queues the command
	}
	_, err := pipe.Exec(ctx)
	for i, c := range calls {
		if cmds[i] == nil {
			continue
		}
		if c.err = cmds[i].Err(); c.err == nil && cmds[i].Val() == nil {
			c.err = err // the connection's error, such as a rejected password
		}
		if c.err == nil {
			c.reply, c.err = cmds[i].Int64Slice()
		}
	}
}
