package flight_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/orga-session/orga-session/core/internal/flight"
)

const timeout = 2 * time.Second

// none is a land function that stores nothing.
func none(string, error) {}

func group() *flight.Group[string] { return &flight.Group[string]{Timeout: timeout, MaxAbandoned: 3} }

func TestFlight(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		failed := errors.New("failed")
		for _, want := range []struct {
			value string
			err   error
		}{{"value", nil}, {"", failed}} {
			var mu sync.Mutex
			landed := 0
			mu.Lock()
			f := group().Start(t.Context(), func(context.Context) (string, error) {
				time.Sleep(timeout - 1)
				return want.value, want.err
			}, func(value string, err error) {
				mu.Lock() // held until Start has returned
				defer mu.Unlock()
				if landed++; value != want.value || !errors.Is(err, want.err) {
					t.Errorf("landed %q, %v", value, err)
				}
			})
			mu.Unlock()
			start := time.Now()
			var wg sync.WaitGroup
			for range 100 {
				wg.Go(func() {
					if err := f.Wait(t.Context()); err != nil {
						t.Error(err)
					}
					mu.Lock()
					defer mu.Unlock()
					if value, err := f.Result(); landed != 1 || value != want.value || !errors.Is(err, want.err) {
						t.Errorf("landed %d times, then %q, %v", landed, value, err)
					}
				})
			}
			wg.Wait()
			if took := time.Since(start); took != timeout-1 {
				t.Errorf("it took %v", took)
			}
			time.Sleep(time.Hour)
			if landed != 1 {
				t.Errorf("landed %d times", landed)
			}
		}
	})
}

func TestFlightSurvivesCallers(t *testing.T) {
	type key struct{}
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(context.WithValue(t.Context(), key{}, "request 7"), time.Second/2)
		defer cancel()
		f := group().Start(ctx, func(ctx context.Context) (string, error) {
			select {
			case <-time.After(time.Second):
				value, _ := ctx.Value(key{}).(string)
				return value, nil
			case <-ctx.Done():
				return "", ctx.Err()
			}
		}, none)
		if err := f.Wait(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("the first caller has %v", err)
		}
		if err := f.Wait(t.Context()); err != nil {
			t.Error(err)
		}
		if value, err := f.Result(); value != "request 7" || err != nil {
			t.Errorf("%q, %v", value, err)
		}
	})
}

func TestFlightEndsInTime(t *testing.T) {
	for name, call := range map[string]func(context.Context) (string, error){
		"a call that heeds its context": func(ctx context.Context) (string, error) {
			<-ctx.Done()
			return "late", ctx.Err()
		},
		"one that ignores it": func(context.Context) (string, error) {
			time.Sleep(time.Minute)
			return "late", nil
		},
		"one that panics at last": func(context.Context) (string, error) {
			time.Sleep(time.Minute)
			panic("sk_orga_ai_x")
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				landed := 0
				begun := time.Now()
				f := group().Start(t.Context(), call, func(string, error) { landed++ })
				_ = f.Wait(t.Context())
				if took := time.Since(begun); took != timeout {
					t.Errorf("it took %v", took)
				}
				value, err := f.Result()
				if value != "" || !errors.Is(err, context.DeadlineExceeded) || !strings.HasPrefix(err.Error(), "no answer within 2s") {
					t.Errorf("%q, %v", value, err)
				}
				time.Sleep(time.Hour)
				if again, _ := f.Result(); again != "" || landed != 1 {
					t.Errorf("landed %d times, the last with %q", landed, again)
				}
			})
		})
	}
}

func TestFlightPanics(t *testing.T) {
	landed := 0
	f := group().Start(t.Context(), func(context.Context) (string, error) { panic("sk_orga_ai_x") }, func(string, error) { landed++ })
	_ = f.Wait(t.Context())
	if value, err := f.Result(); value != "" || err == nil || err.Error() != "the call panicked" || landed != 1 {
		t.Errorf("%q, %v, landed %d times", value, err, landed)
	}
}

func TestGroupBoundsCallsThatHang(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		back := make(chan struct{}) // closed when the source is back
		var calls atomic.Int32
		g := group()
		fly := func() (string, error) {
			f := g.Start(t.Context(), func(context.Context) (string, error) {
				calls.Add(1)
				<-back
				return "value", nil
			}, none)
			_ = f.Wait(t.Context())
			return f.Result()
		}
		for range 3 {
			if _, err := fly(); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("the error is %v", err)
			}
		}
		begun := time.Now()
		for range 100 {
			_, err := fly()
			if !errors.Is(err, context.DeadlineExceeded) || !strings.HasPrefix(err.Error(), "3 earlier calls still hang") {
				t.Errorf("the error is %v", err)
			}
		}
		if took := time.Since(begun); took != 0 || calls.Load() != 3 {
			t.Errorf("%d calls, the last after %v", calls.Load(), took)
		}
		close(back)
		synctest.Wait()
		for range 10 {
			if value, err := fly(); value != "value" || err != nil {
				t.Errorf("when it is back: %q, %v", value, err)
			}
		}
	})
}
