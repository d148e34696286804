package strictjson_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/orga-session/orga-session/core/internal/strictjson"
)

func TestParse(t *testing.T) {
	for _, tt := range []struct {
		document string
		want     string // members as name=value
		err      error
	}{
		{`{}`, "", nil},
		{" {\"b\" : 1 ,\n\"a\":{\"x\":[1, 2]}} \r\n\t", `b=1 a={"x":[1, 2]}`, nil},
		{`{"\u0061":"\u0062"}`, `a="\u0062"`, nil},
		{`{"a":1,"A":2}`, "a=1 A=2", nil},
		{`{"":null}`, "=null", nil},
		{`{"a":{"b":1,"b":2}}`, `a={"b":1,"b":2}`, nil}, // its own Parse will tell

		{``, "", strictjson.ErrNotObject},
		{`null`, "", strictjson.ErrNotObject},
		{`"x"`, "", strictjson.ErrNotObject},
		{`[{"a":1}]`, "", strictjson.ErrNotObject},
		{`sk_orga_ai_x`, "", strictjson.ErrNotObject},
		{"\ufeff{}", "", strictjson.ErrNotObject},

		{`{`, "", strictjson.ErrSyntax},
		{`{"a"`, "", strictjson.ErrSyntax},
		{`{"a":`, "", strictjson.ErrSyntax},
		{`{"a":1`, "", strictjson.ErrSyntax},
		{`{"a":1,`, "", strictjson.ErrSyntax},
		{`{"a":1,}`, "", strictjson.ErrSyntax},
		{`{,}`, "", strictjson.ErrSyntax},
		{`{"a":1]`, "", strictjson.ErrSyntax},
		{`{"a":01}`, "", strictjson.ErrSyntax},
		{`{"a" 1}`, "", strictjson.ErrSyntax},
		{`{1:1}`, "", strictjson.ErrSyntax},
		{`{null:1}`, "", strictjson.ErrSyntax},
		{`{'a':1}`, "", strictjson.ErrSyntax},
		{`{"a":1}{}`, "", strictjson.ErrSyntax},
		{`{"a":1}}`, "", strictjson.ErrSyntax},
		{`{"a":1} x`, "", strictjson.ErrSyntax},
		{`{"a":1}` + "\x00", "", strictjson.ErrSyntax},
	} {
		members, err := strictjson.Parse([]byte(tt.document))
		if got := list(members); got != tt.want || !errors.Is(err, tt.err) {
			t.Errorf("%s: %s, %v; want %s, %v", tt.document, got, err, tt.want, tt.err)
		}
	}
}

func list(members strictjson.Members) string {
	var all []string
	for _, m := range members {
		all = append(all, m.Name+"="+string(m.Value))
	}
	return strings.Join(all, " ")
}

func TestParseDuplicates(t *testing.T) {
	members, err := strictjson.Parse([]byte(`{"a":1,"sk_orga_ai_x":2,"\u0061":3,"a":4,"b":5,"sk_orga_ai_x":6}`))
	duplicate, ok := errors.AsType[*strictjson.DuplicateError](err)
	if !ok || !slices.Equal(duplicate.Names, []string{"a", "sk_orga_ai_x"}) {
		t.Fatalf("the error is %#v", err)
	}
	if got, want := list(members), "a=1 sk_orga_ai_x=2 b=5"; got != want {
		t.Errorf("the members are %s, want %s", got, want)
	}
	if strings.Contains(fmt.Sprintf("%v %+v", err, err), "sk_") {
		t.Errorf("the error repeats a name: %v", err)
	}
}

func TestGet(t *testing.T) {
	members, err := strictjson.Parse([]byte(`{"a":1,"b":null}`))
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{"a": "1", "b": "null", "A": "", "": ""} {
		if got, ok := members.Get(name); string(got) != want || ok != (want != "") {
			t.Errorf("%q: %s, %t", name, got, ok)
		}
	}
}

func TestString(t *testing.T) {
	for value, want := range map[string]string{`"x"`: "x", `"\u0061\n"`: "a\n", `""`: ""} {
		if got, ok := strictjson.String(json.RawMessage(value)); got != want || !ok {
			t.Errorf("%s: %q, %t", value, got, ok)
		}
	}
	for _, value := range []string{`null`, `1`, `true`, `["x"]`, `{"x":"x"}`, ``, `"x`} {
		if got, ok := strictjson.String(json.RawMessage(value)); got != "" || ok {
			t.Errorf("%s: %q, %t", value, got, ok)
		}
	}
}

// FuzzParse compares Parse with encoding/json: both must accept the same objects.
func FuzzParse(f *testing.F) {
	f.Add([]byte(`{"a":1,"b":[{}]}`))
	f.Add([]byte(`{"a":1,"\u0061":2} `))
	f.Add([]byte(`{"a":1}{}`))
	f.Fuzz(func(t *testing.T, document []byte) {
		members, err := strictjson.Parse(document)
		_, twice := errors.AsType[*strictjson.DuplicateError](err)
		var standard map[string]json.RawMessage
		valid := json.Unmarshal(document, &standard) == nil && standard != nil
		if valid != (err == nil || twice) {
			t.Fatalf("Parse says %v, encoding/json says %t", err, valid)
		}
		if len(members) != len(standard) {
			t.Errorf("%d members, encoding/json has %d", len(members), len(standard))
		}
		for _, m := range members {
			if _, ok := standard[m.Name]; !ok {
				t.Errorf("encoding/json has no member %q", m.Name)
			}
		}
	})
}
