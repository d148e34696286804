package secrettest

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/orga-session/orga-session/core/secret"
)

// Store is one secret in a store, seen from its owner's side. Put and Delete end the test that cannot
// go on without them.
type Store interface {
	// Source is the Source under test, of this secret.
	Source() secret.Source
	// Put makes content the secret's current version; the first Put makes the secret.
	Put(t testing.TB, content string)
	// Delete takes the secret away.
	Delete(t testing.TB)
}

// prompt is how soon a Fetch that may not go on returns.
const prompt = time.Second

// Conformance tests whether a Source keeps what secret.Source promises. Each test has a store of its
// own from open.
func Conformance(t *testing.T, open func(t *testing.T) Store) {
	t.Helper()
	for _, tt := range []struct {
		name string
		test func(*testing.T, Store)
	}{
		{"the content comes as it was put", exact},
		{"a version stands for one content", versions},
		{"a rotation is seen at the next fetch", rotation},
		{"a secret that is not there is an error of a kind", absent},
		{"a caller that left is not waited for", left},
		{"callers do not mix", together},
		{"nothing that is printed holds the content", silent},
	} {
		t.Run(tt.name, func(t *testing.T) { tt.test(t, open(t)) })
	}
}

// fetch is a Fetch that must succeed.
func fetch(t *testing.T, src secret.Source) secret.Secret {
	t.Helper()
	got, err := src.Fetch(t.Context())
	if err != nil {
		t.Fatalf("Fetch: %v", err)
	}
	return got
}

func exact(t *testing.T, s Store) {
	for name, content := range map[string]string{
		"a key":          "sk_orga_ai_test_conformance",
		"a line break":   "sk_orga_ai_test_conformance\n",
		"a document":     "{\"apiKey\": \"a\\u0062c\",\r\n\t\"é\": \"\U0001F511\"}",
		"a byte order":   "\ufeffsk_orga_ai_test_conformance",
		"almost 64 KiB":  strings.Repeat("0123456789abcdef", 4<<10-1),
		"one letter":     "x",
		"blanks outside": "  x  ",
	} {
		s.Put(t, content)
		if got := fetch(t, s.Source()); got.Value.Reveal() != content {
			t.Errorf("%s: the content, %d bytes, came as %d others", name, len(content), len(got.Value.Reveal()))
		}
	}
}

func versions(t *testing.T, s Store) {
	s.Put(t, "first content")
	src := s.Source()
	first := fetch(t, src)
	if first.Version == "" {
		t.Error("a version is empty")
	}
	if again := fetch(t, src); again.Version != first.Version {
		t.Errorf("one content has the versions %q and %q", first.Version, again.Version)
	}
	if other := fetch(t, s.Source()); other.Version != first.Version {
		t.Errorf("another Source of the same secret has the version %q, not %q", other.Version, first.Version)
	}
	s.Put(t, "second content")
	if second := fetch(t, src); second.Version == first.Version {
		t.Errorf("two contents have one version, %q", first.Version)
	}
}

func rotation(t *testing.T, s Store) {
	s.Put(t, "old content")
	src := s.Source()
	fetch(t, src)
	for n := range 3 {
		content := fmt.Sprint("content after rotation ", n)
		s.Put(t, content)
		if got := fetch(t, src); got.Value.Reveal() != content {
			t.Fatalf("after rotation %d the content is another", n)
		}
	}
}

func absent(t *testing.T, s Store) {
	check := func(when string) {
		t.Helper()
		got, err := s.Source().Fetch(t.Context())
		if !errors.Is(err, secret.ErrPermanent) && !errors.Is(err, secret.ErrMisconfigured) {
			t.Errorf("%s: the error is %v, neither ErrPermanent nor ErrMisconfigured", when, err)
		}
		if got.Version != "" || got.Value.Reveal() != "" {
			t.Errorf("%s: an error came with a secret", when)
		}
	}
	check("before it was put")
	s.Put(t, "content")
	fetch(t, s.Source())
	s.Delete(t)
	check("deleted")
}

func left(t *testing.T, s Store) {
	s.Put(t, "content")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	start := time.Now()
	_, err := s.Source().Fetch(ctx)
	if err != nil && !errors.Is(err, context.Canceled) {
		t.Errorf("the error is %v, not the context's", err)
	}
	if took := time.Since(start); took > prompt {
		t.Errorf("it took %v", took)
	}
}

func together(t *testing.T, s Store) {
	s.Put(t, "content")
	src := s.Source()
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			if got, err := src.Fetch(t.Context()); err != nil || got.Value.Reveal() != "content" {
				t.Errorf("one of 20 callers failed, or has another's content: %v", err)
			}
		})
	}
	wg.Wait()
}

func silent(t *testing.T, s Store) {
	const content = "sk_orga_ai_test_canary_of_conformance"
	s.Put(t, content)
	src := s.Source()
	got := fetch(t, src)
	s.Delete(t)
	_, err := src.Fetch(t.Context())
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q"} {
		for what, v := range map[string]any{"the Source": src, "a Secret": got, "an error": err} {
			if how := Leak(fmt.Sprintf(verb, v), content); how != "" {
				t.Errorf("%s, printed with %s, holds the content in %s", what, verb, how)
			}
		}
	}
}
