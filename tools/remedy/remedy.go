// Package remedy has the remedies for the endpoint's error codes.
package remedy

import (
	"bytes"
	_ "embed"
	"encoding/json"
)

// Module is a JavaScript module whose default export maps each code to its remedy.
//
//go:embed remedies.js
var Module []byte

// ByCode returns the remedies by code.
func ByCode() map[string]string {
	var byCode map[string]string
	object := bytes.TrimRight(Module[bytes.IndexByte(Module, '{'):], ";\n")
	if err := json.Unmarshal(object, &byCode); err != nil {
		panic(err) // embedded and tested
	}
	return byCode
}
