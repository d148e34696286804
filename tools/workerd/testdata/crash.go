//go:build js && wasm

// crashTrial adds this file to the Worker's package main.
package main

import (
	"os"
	"syscall/js"
)

func init() {
	js.Global().Set("orgaCrash", js.FuncOf(func(_ js.Value, args []js.Value) any {
		go func() {
			if args[0].String() == "exit" {
				os.Exit(3)
			}
			panic("in another goroutine")
		}()
		return nil
	}))
}
