// Package lambdaruntime is a fake of AWS Lambda's Runtime API. A function's binary runs against it as on Lambda:
// one process, the same protocol, one event after another. It does not freeze or end the process; that is up to
// the caller.
package lambdaruntime

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"sync"
	"time"
)

// DefaultTimeout is the timeout of an invocation if Options set none.
const DefaultTimeout = 10 * time.Second

// Options describe an invocation. The zero value has the defaults.
type Options struct {
	RequestID     string        // "" generates one
	Timeout       time.Duration // of the invocation; 0 is DefaultTimeout
	ClientContext []byte        // JSON; nil for none
}

// FunctionError is what the function reported instead of a response.
type FunctionError struct {
	Type    string `json:"errorType"`
	Message string `json:"errorMessage"`
}

func (e *FunctionError) Error() string { return e.Type + ": " + e.Message }

// ErrTimedOut means that the function did not respond in time. Lambda would end its process; here, a late response
// is dropped.
var ErrTimedOut = errors.New("the function gave no response in time")

// API serves the Runtime API on one address. It is safe for concurrent use. A function that takes one event at a
// time handles concurrent invocations one after another, as one instance does.
type API struct {
	server  http.Server
	addr    string
	pending chan *invocation
	ready   chan struct{} // closed at the first request for an event
	once    sync.Once

	mu      sync.Mutex
	running map[string]*invocation
}

type invocation struct {
	event   []byte
	options Options
	taken   chan struct{} // closed when the function has the event
	done    chan result   // buffered: the function never waits for Invoke
}

type result struct {
	response []byte
	err      error
}

// Start serves on addr; port 0 chooses a free port.
func Start(addr string) (*API, error) {
	listener, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, err
	}
	a := &API{
		addr:    listener.Addr().String(),
		pending: make(chan *invocation),
		ready:   make(chan struct{}),
		running: make(map[string]*invocation),
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /2018-06-01/runtime/invocation/next", a.next)
	mux.HandleFunc("POST /2018-06-01/runtime/invocation/{id}/response", a.response)
	mux.HandleFunc("POST /2018-06-01/runtime/invocation/{id}/error", a.failure)
	a.server.Handler = mux
	go func() { _ = a.server.Serve(listener) }() // ends with Close
	return a, nil
}

// Addr returns host:port, as in AWS_LAMBDA_RUNTIME_API.
func (a *API) Addr() string { return a.addr }

// Env returns the variables that Lambda sets for a function, including this API's address.
func (a *API) Env() []string {
	return []string{
		"AWS_LAMBDA_RUNTIME_API=" + a.addr,
		"AWS_LAMBDA_FUNCTION_NAME=local",
		"AWS_LAMBDA_FUNCTION_VERSION=$LATEST",
		"AWS_LAMBDA_FUNCTION_MEMORY_SIZE=128",
	}
}

// Ready is closed when the function first requests an event, at the end of its init.
func (a *API) Ready() <-chan struct{} { return a.ready }

// Close stops the API. A function that waits for an event finds its connection closed, and exits.
func (a *API) Close() error { return a.server.Close() }

// Invoke passes event to the function and returns its response. The error is a *FunctionError if the function
// reported one, ErrTimedOut if the invocation timed out, and ctx's if ctx ended first. The timeout starts when the
// function takes the event.
func (a *API) Invoke(ctx context.Context, event []byte, options Options) ([]byte, error) {
	if options.RequestID == "" {
		options.RequestID = rand.Text()
	}
	if options.Timeout == 0 {
		options.Timeout = DefaultTimeout
	}
	inv := &invocation{event, options, make(chan struct{}), make(chan result, 1)}
	select {
	case a.pending <- inv:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	defer a.take(options.RequestID)
	<-inv.taken
	expired := time.NewTimer(options.Timeout)
	defer expired.Stop()
	select {
	case r := <-inv.done:
		return r.response, r.err
	case <-expired.C:
		return nil, ErrTimedOut
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// take removes an invocation, so that it ends only once. It returns nil if it has ended already.
func (a *API) take(id string) *invocation {
	a.mu.Lock()
	defer a.mu.Unlock()
	inv := a.running[id]
	delete(a.running, id)
	return inv
}

func (a *API) next(w http.ResponseWriter, r *http.Request) {
	a.once.Do(func() { close(a.ready) })
	select {
	case inv := <-a.pending:
		a.mu.Lock()
		a.running[inv.options.RequestID] = inv
		a.mu.Unlock()
		h := w.Header()
		h.Set("Content-Type", "application/json")
		h.Set("Lambda-Runtime-Aws-Request-Id", inv.options.RequestID)
		h.Set("Lambda-Runtime-Deadline-Ms", strconv.FormatInt(time.Now().Add(inv.options.Timeout).UnixMilli(), 10))
		h.Set("Lambda-Runtime-Invoked-Function-Arn", "arn:aws:lambda:eu-central-1:000000000000:function:local")
		if inv.options.ClientContext != nil {
			h.Set("Lambda-Runtime-Client-Context", string(inv.options.ClientContext))
		}
		close(inv.taken)
		_, _ = w.Write(inv.event) // if the function is gone, Invoke times out
	case <-r.Context().Done():
	}
}

func (a *API) response(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	a.finish(w, r, result{body, err})
}

func (a *API) failure(w http.ResponseWriter, r *http.Request) {
	e := new(FunctionError)
	if err := json.NewDecoder(r.Body).Decode(e); err != nil {
		e.Type, e.Message = "Runtime.Unknown", fmt.Sprintf("the error report is not JSON: %v", err)
	}
	a.finish(w, r, result{nil, e})
}

func (a *API) finish(w http.ResponseWriter, r *http.Request, res result) {
	if inv := a.take(r.PathValue("id")); inv != nil {
		inv.done <- res
	}
	w.WriteHeader(http.StatusAccepted)
}
