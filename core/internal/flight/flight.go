// Package flight runs calls that many goroutines wait for and that none of them owns: a caller may leave
// without ending the call for the others, and a call that never returns is abandoned.
package flight

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"
)

// Group starts the calls of one owner, such as a cache, and bounds those that hang. The owner decides
// when to start one and keeps the [Flight] for others to join. A Group is safe for concurrent use and
// must not be copied after first use.
type Group[T any] struct {
	// Timeout is the longest that a Flight lasts, whether its call heeds the context or not.
	Timeout time.Duration
	// MaxAbandoned bounds the calls that run on after their Flight has ended, at least 1: a hung source
	// must not leak a goroutine per call. Further flights fail at once until one of them returns.
	MaxAbandoned int32

	running atomic.Int32 // calls, abandoned ones too
}

// Flight is one call and its outcome.
type Flight[T any] struct {
	done  chan struct{} // closed once the outcome is set
	value T
	err   error
}

// Start calls call in a new goroutine, with a context that has the values of ctx, not its deadline or
// cancellation, and that ends after the Timeout.
//
// When the Flight ends, land is called once with the outcome, before any waiter is released, so that the
// owner can store it first. Where the call did not return in time, the error wraps
// [context.DeadlineExceeded], and what the call returns later is dropped; where it panicked, the error
// says so and leaves out the value of the panic, which may be private. Start may be called with a lock
// held that land takes.
func (g *Group[T]) Start(ctx context.Context, call func(context.Context) (T, error), land func(T, error)) *Flight[T] {
	f := &Flight[T]{done: make(chan struct{})}
	end := func(value T, err error) {
		defer close(f.done) // last: once answered, a waiter's instance may be frozen
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
		if inTime := stop(); inTime {
			end(value, err)
		}
	}()
	return f
}

// run is call, bounded in number and without its panics.
func (g *Group[T]) run(ctx context.Context, call func(context.Context) (T, error)) (value T, err error) {
	running := g.running.Add(1)
	defer func() {
		g.running.Add(-1)
		if recover() != nil { // its value may be private
			err = errors.New("the call panicked")
		}
	}()
	if running > g.MaxAbandoned {
		return value, fmt.Errorf("%d earlier calls still hang: %w", running-1, context.DeadlineExceeded)
	}
	return call(ctx)
}

// Wait waits until f has ended; its error is that of a ctx that ended before.
func (f *Flight[T]) Wait(ctx context.Context) error {
	select {
	case <-f.done:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Result returns the outcome of f. It must be called only after Wait has returned nil.
func (f *Flight[T]) Result() (T, error) { return f.value, f.err }
