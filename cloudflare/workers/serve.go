//go:build js && wasm

package workers

import (
	"context"
	"net/http"
	"syscall/js"
)

// Serve answers all requests with h, and does not return.
func Serve(h http.Handler) {
	cancels := make(map[int]context.CancelFunc)
	host.Call("serve", map[string]any{
		"request": function(func(args []js.Value) {
			id := args[0].Int()
			ctx, cancel := context.WithCancel(withInvocation(context.Background(), id))
			cancels[id] = cancel
			go func() {
				w := newResponseWriter()
				if r := newRequest(ctx, w, args); r != nil {
					h.ServeHTTP(w, r)
				} else {
					w.WriteHeader(http.StatusRequestHeaderFieldsTooLarge)
				}
				cancel()
				delete(cancels, id)
				host.Call("post", id, w.reply(args[1].String()))
			}()
		}),
		"cancel": function(func(args []js.Value) {
			if cancel, ok := cancels[args[0].Int()]; ok {
				cancel()
			}
		}),
	})
	select {}
}

// function returns f for JavaScript. f must not block.
func function(f func(args []js.Value)) js.Func {
	return js.FuncOf(func(_ js.Value, args []js.Value) any {
		f(args)
		return nil
	})
}
