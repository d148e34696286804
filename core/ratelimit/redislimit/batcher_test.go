package redislimit

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"sync/atomic"
	"testing"
	"testing/synctest"
)

// A caller who gives up while waiting for a batch is not counted, and costs the batch's other callers nothing.
func TestCallerGivesUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var scripts atomic.Int32
		release := make(chan struct{})
		l, err := Open("redis://store.example")
		if err != nil {
			t.Fatal(err)
		}
		options := l.(*limiter).options
		options.Dialer = func(context.Context, string, string) (net.Conn, error) {
			client, server := net.Pipe()
			go func() {
				for lines := bufio.NewScanner(server); lines.Scan(); {
					switch lines.Text() {
					case "hello":
						_, _ = io.WriteString(server, "-ERR unknown command\r\n")
					case "key": // the last line of a script's arguments
						scripts.Add(1)
						<-release
						_, _ = io.WriteString(server, "*2\r\n:1\r\n:7\r\n")
					}
				}
			}()
			return client, nil
		}
		b := l.(*limiter).connect()
		defer b.client.Close()
		eval := func(ctx context.Context) <-chan error {
			result := make(chan error, 1)
			go func() {
				reply, err := b.eval(ctx, []string{"key"})
				if err == nil && (len(reply) != 2 || reply[1] != 7) {
					err = errors.New("another reply")
				}
				result <- err
			}()
			synctest.Wait()
			return result
		}
		var results []<-chan error
		for range maxRuns {
			results = append(results, eval(t.Context()))
		}
		ctx, cancel := context.WithCancel(t.Context())
		gone := eval(ctx)
		results = append(results, eval(t.Context()))
		cancel()
		if err := <-gone; !errors.Is(err, context.Canceled) {
			t.Errorf("the caller who gave up got %v", err)
		}
		close(release)
		for i, result := range results {
			if err := <-result; err != nil {
				t.Errorf("caller %d: %v", i, err)
			}
		}
		if n := scripts.Load(); n != maxRuns+1 {
			t.Errorf("%d callers are counted, want %d", n, maxRuns+1)
		}
	})
}
