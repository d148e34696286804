// Package lambdaruntime is a stand-in for AWS Lambda's Runtime API, so that a function's binary runs
// here as it runs there: the same process, the same protocol, one event after another. Of the real
// one it leaves out the sandbox: nothing freezes or ends the process but the caller.
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

// DefaultTimeout is how long an invocation may take when Options say nothing.
const DefaultTimeout = 10 * time.Second

// Options are what Lambda says of an invocation beside the event. The zero value is a plain one.
type Options struct {
	RequestID     string        // "" makes a fresh one
	TraceID       string        // X-Ray's "Root=…;Parent=…;Sampled=…"; "" sends none
	Timeout       time.Duration // of the invocation; 0 is DefaultTimeout
	ClientContext []byte        // JSON; nil sends none
}

// FunctionError is what the function reported instead of a response.
type FunctionError struct {
	Type    string `json:"errorType"`
	Message string `json:"errorMessage"`
}

func (e *FunctionError) Error() string { return e.Type + ": " + e.Message }

// ErrTimedOut says that the function gave no response in time. Lambda would have ended its process; a
// response that still comes is dropped.
var ErrTimedOut = errors.New("the function gave no response in time")

// API serves the Runtime API on one address. It is safe for concurrent use; when the function takes
// one event at a time, concurrent invocations wait for each other, as those of one instance do.
type API struct {
	server  http.Server
	addr    string
	pending chan *invocation
	ready   chan struct{} // closed at the first request for an event
	once    sync.Once
	failed  chan *FunctionError // what init reported

	mu      sync.Mutex
	running map[string]*invocation
}

type invocation struct {
	event   []byte
	options Options
	taken   chan struct{} // closed when the function has the event
	done    chan result   // of one element: the function never waits for Invoke
}

type result struct {
	response []byte
	err      error
}

// Start serves on addr; "127.0.0.1:0" lets the system choose the port.
func Start(addr string) (*API, error) {
	listener, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, err
	}
	a := &API{
		addr:    listener.Addr().String(),
		pending: make(chan *invocation),
		ready:   make(chan struct{}),
		failed:  make(chan *FunctionError, 1),
		running: make(map[string]*invocation),
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /2018-06-01/runtime/invocation/next", a.next)
	mux.HandleFunc("POST /2018-06-01/runtime/invocation/{id}/response", a.response)
	mux.HandleFunc("POST /2018-06-01/runtime/invocation/{id}/error", a.failure)
	mux.HandleFunc("POST /2018-06-01/runtime/init/error", a.initError)
	a.server.Handler = mux
	go func() { _ = a.server.Serve(listener) }() // ends with Close
	return a, nil
}

// Addr is host:port, as AWS_LAMBDA_RUNTIME_API wants it.
func (a *API) Addr() string { return a.addr }

// Env are the variables that Lambda itself sets for a function, this API's address among them.
func (a *API) Env() []string {
	return []string{
		"AWS_LAMBDA_RUNTIME_API=" + a.addr,
		"AWS_LAMBDA_FUNCTION_NAME=local",
		"AWS_LAMBDA_FUNCTION_VERSION=$LATEST",
		"AWS_LAMBDA_FUNCTION_MEMORY_SIZE=128",
	}
}

// Ready is closed when the function first asks for an event: its init is over.
func (a *API) Ready() <-chan struct{} { return a.ready }

// Close ends the API. A function that waits for an event finds its connection closed, and ends itself.
func (a *API) Close() error { return a.server.Close() }

// Invoke hands event to the function and waits for its response. The error is a *FunctionError when
// the function reported one, ErrTimedOut when the invocation's time ran out, and ctx's when ctx ended
// first. The invocation's time begins when the function takes the event.
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
	case err := <-a.failed:
		a.failed <- err // for the next caller: a failed init stays failed
		return nil, err
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

// take removes an invocation, so that it ends once; nil when it has ended.
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
		if inv.options.TraceID != "" {
			h.Set("Lambda-Runtime-Trace-Id", inv.options.TraceID)
		}
		if inv.options.ClientContext != nil {
			h.Set("Lambda-Runtime-Client-Context", string(inv.options.ClientContext))
		}
		close(inv.taken)
		_, _ = w.Write(inv.event) // a function that is gone gives no response: Invoke times out
	case <-r.Context().Done():
	}
}

func (a *API) response(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	a.finish(w, r, result{body, err})
}

func (a *API) failure(w http.ResponseWriter, r *http.Request) {
	a.finish(w, r, result{nil, readError(r)})
}

func (a *API) finish(w http.ResponseWriter, r *http.Request, res result) {
	if inv := a.take(r.PathValue("id")); inv != nil {
		inv.done <- res
	}
	w.WriteHeader(http.StatusAccepted)
}

func (a *API) initError(w http.ResponseWriter, r *http.Request) {
	select {
	case a.failed <- readError(r):
	default: // the first one counts
	}
	w.WriteHeader(http.StatusAccepted)
}

func readError(r *http.Request) *FunctionError {
	e := new(FunctionError)
	if err := json.NewDecoder(r.Body).Decode(e); err != nil {
		e.Type, e.Message = "Runtime.Unknown", fmt.Sprintf("the error report is no JSON: %v", err)
	}
	return e
}
