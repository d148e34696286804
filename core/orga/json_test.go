package orga

import (
	"encoding/json"
	"maps"
	"slices"
	"testing"
	"unicode/utf8"
)

// FuzzJSON compares the JSON functions with encoding/json: the same members, elements and texts.
func FuzzJSON(f *testing.F) {
	for _, s := range []string{`{}`, ` { "a" : 1 , "b\u0020\"" : [ "x" , { } ] , "" : null }`, `[]`, `[ [ ] , "]" , -1.5e3 , true ]`,
		`"a\\"`, "\"\xff\"", `{"a":"\\","a":"}"}`, `1`, ` "x" `, `{"é":"\ud800"}`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		value, ok := document(body)
		if ok != (json.Valid(body) && utf8.Valid(body)) {
			t.Fatalf("document: %v", ok)
		}
		if !ok {
			return
		}
		var object map[string]json.RawMessage
		_ = json.Unmarshal(body, &object)
		got := map[string]json.RawMessage{}
		for m := range members(value) {
			got[string(m.name)] = m.value
			if !json.Valid(slices.Concat([]byte("{"), m.raw, []byte("}"))) {
				t.Errorf("raw: %s", m.raw)
			}
		}
		same := func(a, b json.RawMessage) bool { return string(a) == string(b) }
		// A name with half a surrogate pair is decoded differently.
		if valid := func(m map[string]json.RawMessage) bool {
			return !slices.ContainsFunc(slices.Collect(maps.Keys(m)), func(k string) bool { return slices.Contains([]rune(k), '\uFFFD') })
		}; valid(object) && valid(got) && !maps.EqualFunc(got, object, same) {
			t.Errorf("members %s, want %s", got, object)
		}
		var array []json.RawMessage
		_ = json.Unmarshal(body, &array)
		var list []json.RawMessage
		for each := range elements(value) {
			list = append(list, each)
		}
		if !slices.EqualFunc(list, array, same) {
			t.Errorf("elements %s, want %s", list, array)
		}
		var s string
		if json.Unmarshal(body, &s) != nil {
			s = ""
		}
		if got := text(value); got != s && !slices.Contains([]rune(s), '\uFFFD') {
			t.Errorf("text %q, want %q", got, s)
		}
	})
}
