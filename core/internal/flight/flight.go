// Package flight runs calls that many goroutines wait for and that none of them owns: a canceled waiter does not end the
// call for the others, and a call that never returns is abandoned.
package flight

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"
)

// Group starts calls for one owner, such as a cache, and bounds those that hang. The owner decides when to start a call,
// and keeps the [Flight] for others to join. A Group is safe for concurrent use and must not be copied after first use.
type Group[T any] struct {
	// Timeout bounds a Flight, even if its call ignores the context.
	Timeout time.Duration
	// MaxAbandoned bounds the calls that continue after their Flight has ended, at least 1: a hung source must not leak a
	// goroutine per call. Further flights fail immediately until one of them returns.
	MaxAbandoned int32

	running atomic.Int32 // calls in progress, including abandoned ones
}

// Flight is one call and its outcome.
type Flight[T any] struct {
	done  chan struct{} // closed once the outcome is set
	value T
	err   error
}

// Start runs call in a new goroutine. Its context has the values of ctx, but not its deadline or cancellation, and ends
// after the Timeout.
//
// When the Flight ends, land is called once with the outcome, before any waiter is released, so that the owner can store
// the outcome first. If the call timed out, the error wraps [context.DeadlineExceeded], and its later result is dropped;
// if it panicked, the error says so without the panic's value, which may be private. Start may be called while holding a
// lock that land takes.
func (g *Group[T]) Start(ctx context.Context, call func(context.Context) (T, error), land func(T, error)) *Flight[T] {
	f := &Flight[T]{done: make(chan struct{})}
	end := func(value T, err error) {
		defer close(f.done) // last, because the instance may be frozen once waiters have answered
		f.value, f.err = value, err
		land(value, err)
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), g.Timeout)
	stop := context.AfterFunc(ctx, func() {
		var none T
		end(none, fmt.Errorf("no answer within %v: %w", g.Timeout, context.DeadlineExceeded))
	})
	go func() {
		defer cancel()
		value, err := g.run(ctx, call)
		if inTime := ctx.Err() == nil && stop(); inTime { // a context releases the call that heeds it before it runs its AfterFunc
			end(value, err)
		}
	}()
	return f
}

// run runs call, bounded in number, and recovers its panics.
func (g *Group[T]) run(ctx context.Context, call func(context.Context) (T, error)) (value T, err error) {
	running := g.running.Add(1)
	defer func() {
		g.running.Add(-1)
		if recover() != nil { // without the value, which may be private
			err = errors.New("the call panicked")
		}
	}()
	if running > g.MaxAbandoned {
		return value, fmt.Errorf("%d earlier calls still hang: %w", running-1, context.DeadlineExceeded)
	}
	return call(ctx)
}

// Wait waits for f. It returns ctx's error if ctx ends first.
func (f *Flight[T]) Wait(ctx context.Context) error {
	select {
	case <-f.done:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// WaitShare is Wait for at most a share of ctx's remaining time.
func (f *Flight[T]) WaitShare(ctx context.Context, share float64) error {
	if deadline, ok := ctx.Deadline(); ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, time.Duration(share*float64(time.Until(deadline))))
		defer cancel()
	}
	return f.Wait(ctx)
}

// Result returns the outcome of f. It must be called only after Wait has returned nil.
func (f *Flight[T]) Result() (T, error) { return f.value, f.err }
