//go:build js && wasm

package workers

import (
	"context"
	"errors"
	"net"
	"strings"
	"syscall/js"
)

// host is the Instance in host.mjs, which is available while the program starts. It then calls back with results, and with
// requests once Serve has registered its functions.
var host = connect()

func connect() js.Value {
	host := js.Global().Get("orgaHost")
	if !host.IsUndefined() { // undefined in tests
		host.Set("settle", function(func(args []js.Value) { settle(args[0].Int(), args[1]) }))
	}
	return host
}

type invocationKey struct{}

// withInvocation returns a context whose jobs belong to the request with this ID. context.WithoutCancel keeps the ID.
func withInvocation(ctx context.Context, id int) context.Context {
	return context.WithValue(ctx, invocationKey{}, id)
}

// Background returns a context for work before Serve. Its jobs belong to the request that started the program.
func Background() context.Context {
	return withInvocation(context.Background(), host.Get("starter").Int())
}

// Env returns the Worker's variables and secrets as an environment.
func Env() map[string]string {
	env := make(map[string]string)
	bindings := host.Get("env")
	names := js.Global().Get("Object").Call("keys", bindings)
	for i := range names.Length() {
		name := names.Index(i).String()
		if v := bindings.Get(name); v.Type() == js.TypeString {
			env[name] = v.String()
		}
	}
	return env
}

// Pending jobs by ID. The maps need no lock, because everything here runs on one thread, and js/wasm does not preempt
// goroutines.
var (
	lastJob int
	waiting = make(map[int]chan<- js.Value)
)

// do queues a job for ctx's request, and waits for its result until ctx ends.
func do(ctx context.Context, kind string, job map[string]any) (id int, result js.Value, err error) {
	if err := ctx.Err(); err != nil {
		return 0, js.Undefined(), err
	}
	lastJob++
	id = lastJob
	settled := make(chan js.Value, 1)
	waiting[id] = settled
	defer delete(waiting, id)

	leave := "delegate"
	if kind == "body" { // only its own request can read a body
		leave = "post"
	}
	invocation, _ := ctx.Value(invocationKey{}).(int)
	job["kind"], job["id"] = kind, id
	host.Call(leave, invocation, job)
	select {
	case result = <-settled:
		if text := result.Get("error"); !text.IsUndefined() {
			return 0, js.Undefined(), jobError(kind, text.String())
		}
		return id, result, nil
	case <-ctx.Done():
		stop(id)
		return 0, js.Undefined(), ctx.Err()
	}
}

// stop ends a job, or closes the body of its result.
func stop(id int) { host.Call("stop", id) }

// settle delivers a result to the waiting goroutine, if it still waits.
func settle(id int, result js.Value) {
	if settled := waiting[id]; settled != nil {
		settled <- result
		delete(waiting, id)
	}
}

// jobError returns the error of a failed job. It truncates the runtime's text at a query, which it may quote.
func jobError(kind, text string) error {
	text, _, _ = strings.Cut(text, "http")
	return &net.OpError{Op: kind, Err: errors.New(strings.TrimSpace(text))}
}
