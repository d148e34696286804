package secret

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"
)

// flight is a fetch under way; its outcome is set before done is closed.
type flight struct {
	done    chan struct{}
	started int64 // nanoseconds of the wall clock
	forced  bool
	secret  Secret
	err     error
}

// wait waits until f is over, or a caller leaves: then its error is ctx's.
func (f *flight) wait(ctx context.Context) error {
	select {
	case <-f.done:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// staleWait bounds ctx for a caller that waits for a newer value while a stale one is at hand: a third of
// the remaining time, since the caller needs the rest for what it does with the value.
func staleWait(ctx context.Context) (context.Context, context.CancelFunc) {
	deadline, ok := ctx.Deadline()
	if !ok {
		return context.WithCancel(ctx)
	}
	return context.WithTimeout(ctx, time.Until(deadline)/3)
}

// maxAbandoned is how many abandoned fetches may run at once: a hung source must not leak a goroutine per
// fetch.
const maxAbandoned = 8

// start sends a fetch on its way, on a context that no caller can cancel. A source that does not heed
// that context is left behind when its time is over, and what it says later is not heard. c.mu is held.
func (c *Cache) start(ctx context.Context, now int64, forced bool) *flight {
	f := &flight{done: make(chan struct{}), started: now, forced: forced}
	c.flight = f
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), fetchTimeout)
	stop := context.AfterFunc(ctx, func() { c.settle(f, Secret{}, Unavailable(ctx.Err())) })
	go func() {
		defer cancel()
		running := c.running.Add(1)
		err := errors.New("the source panicked") // unless Fetch returns
		var s Secret
		defer func() {
			_ = recover() // a panic here would end the process; its text may hold the secret
			c.running.Add(-1)
			if inTime := stop(); inTime {
				c.settle(f, s, err)
			}
		}()
		if running > maxAbandoned {
			err = Unavailable(context.DeadlineExceeded) // as all of those before
			return
		}
		s, err = c.src.Fetch(ctx)
		if old := c.current.Load(); err == nil && c.onChange != nil && (old == nil || old.secret.Version != s.Version) {
			c.onChange(s)
		}
	}()
	return f
}

func (c *Cache) settle(f *flight, s Secret, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	defer close(f.done) // last: who waits may be answered, and the instance frozen, before another line
	f.secret, f.err = s, err
	c.flight = nil
	if err != nil {
		now := c.now().UnixNano()
		c.failures++
		c.failed, c.failedAt = err, now
		c.gone = c.gone || errors.Is(err, ErrPermanent)
		c.rebase(now)
		c.warn(now)
		return
	}
	c.tell(s)
	// The answer is as old as the question, at most: a freeze may lie between them.
	jittered := time.Duration(float64(c.ttl) * (0.8 + 0.4*rand.Float64()))
	c.current.Store(&entry{s, f.started, f.started + int64(jittered)})
	c.failures, c.failed, c.gone = 0, nil, false
}
