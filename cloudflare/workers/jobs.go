//go:build js && wasm

package workers

import (
	"context"
	"errors"
	"net"
	"strings"
	"syscall/js"
)

// host is the Instance in host.mjs, which is there while the program starts. It hands back results from then on; what
// else it may call, Serve tells it.
var host = connect()

func connect() js.Value {
	host := js.Global().Get("orgaHost")
	if !host.IsUndefined() { // as in a test
		host.Set("settle", function(func(args []js.Value) { settle(args[0].Int(), args[1]) }))
	}
	return host
}

type invocationKey struct{}

// withInvocation returns a context whose jobs belong to the request with that id. context.WithoutCancel keeps
// the id.
func withInvocation(ctx context.Context, id int) context.Context {
	return context.WithValue(ctx, invocationKey{}, id)
}

// Background returns a context for what a program does before it serves. Its jobs belong to the request that
// started the program.
func Background() context.Context {
	return withInvocation(context.Background(), host.Get("starter").Int())
}

// Env returns the variables and secrets of the Worker by name, as an environment.
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

// Jobs that wait for their result, by id. Everything here runs on one thread, and js/wasm does not preempt
// goroutines: maps need no lock.
var (
	lastJob int
	waiting = make(map[int]chan<- js.Value)
)

// do leaves a job with the request that ctx belongs to, and waits for its result until ctx ends.
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
	if kind == "body" { // of one request, which no other can read
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

// stop ends a job, or the body that its result left open.
func stop(id int) { host.Call("stop", id) }

// settle hands a result to the goroutine that waits for it, if it still does.
func settle(id int, result js.Value) {
	if settled := waiting[id]; settled != nil {
		settled <- result
		delete(waiting, id)
	}
}

// jobError returns the error of a job that failed. The runtime's text may quote an address with its query, which
// is cut off.
func jobError(kind, text string) error {
	text, _, _ = strings.Cut(text, "http")
	return &net.OpError{Op: kind, Err: errors.New(strings.TrimSpace(text))}
}
