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

// Store is one secret in a store, with access to change it. Put and Delete fail the test t if they do not succeed.
type Store interface {
	// Source returns the Source under test, for this secret. If the store holds only JSON objects, it unwraps a member in
	// which Put stores the content.
	Source() secret.Source
	// Put makes content the secret's current version; the first Put creates the secret.
	Put(t testing.TB, content string)
	// Delete deletes the secret.
	Delete(t testing.TB)
}

// prompt bounds a Fetch with a canceled context.
const prompt = time.Second

// Conformance tests that a Source meets the requirements of [secret.Source]. open returns a new store for each test.
func Conformance(t *testing.T, open func(t *testing.T) Store) {
	t.Helper()
	for _, tt := range []struct {
		name string
		test func(*testing.T, Store)
	}{
		{"the content is returned as it was put", exact},
		{"a version identifies one content", versions},
		{"the next fetch sees a rotation", rotation},
		{"a missing secret is a permanent error", missing},
		{"a canceled fetch returns promptly", canceled},
		{"concurrent fetches do not mix", concurrent},
		{"nothing printed contains the content", redacted},
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
		"a key":         "sk_orga_ai_test_conformance",
		"a line break":  "sk_orga_ai_test_conformance\n",
		"a document":    "{\"apiKey\": \"a\\u0062c\",\r\n\t\"é\": \"\U0001F511\"}",
		"a byte order":  "\ufeffsk_orga_ai_test_conformance",
		"almost 64 KiB": strings.Repeat("0123456789abcdef", 4<<10-1),
		"one letter":    "x",
		"outer spaces":  "  x  ",
	} {
		s.Put(t, content)
		if got := fetch(t, s.Source()); got.Value.Reveal() != content {
			t.Errorf("%s: put %d bytes, fetched %d other bytes", name, len(content), len(got.Value.Reveal()))
		}
	}
}

func versions(t *testing.T, s Store) {
	s.Put(t, "first content")
	src := s.Source()
	first := fetch(t, src)
	if first.Version == "" {
		t.Error("the version is empty")
	}
	if again := fetch(t, src); again.Version != first.Version {
		t.Errorf("one content has versions %q and %q", first.Version, again.Version)
	}
	if other := fetch(t, s.Source()); other.Version != first.Version {
		t.Errorf("another Source of the same secret has version %q, not %q", other.Version, first.Version)
	}
	s.Put(t, "second content")
	if second := fetch(t, src); second.Version == first.Version {
		t.Errorf("two contents have version %q", first.Version)
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
			t.Fatalf("after rotation %d the content is not the current one", n)
		}
	}
}

func missing(t *testing.T, s Store) {
	check := func(when string) {
		t.Helper()
		got, err := s.Source().Fetch(t.Context())
		if !errors.Is(err, secret.ErrPermanent) && !errors.Is(err, secret.ErrMisconfigured) {
			t.Errorf("%s: the error is %v, want ErrPermanent or ErrMisconfigured", when, err)
		}
		if got.Version != "" || got.Value.Reveal() != "" {
			t.Errorf("%s: the error comes with a secret", when)
		}
	}
	check("before it was put")
	s.Put(t, "content")
	fetch(t, s.Source())
	s.Delete(t)
	check("deleted")
}

func canceled(t *testing.T, s Store) {
	s.Put(t, "content")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	start := time.Now()
	_, err := s.Source().Fetch(ctx)
	if err != nil && !errors.Is(err, context.Canceled) {
		t.Errorf("the error is %v, want the context's", err)
	}
	if took := time.Since(start); took > prompt {
		t.Errorf("it took %v", took)
	}
}

func concurrent(t *testing.T, s Store) {
	s.Put(t, "content")
	src := s.Source()
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			if got, err := src.Fetch(t.Context()); err != nil || got.Value.Reveal() != "content" {
				t.Errorf("one of 20 fetches failed or returned another content: %v", err)
			}
		})
	}
	wg.Wait()
}

func redacted(t *testing.T, s Store) {
	const content = "sk_orga_ai_test_canary_of_conformance"
	s.Put(t, content)
	src := s.Source()
	got := fetch(t, src)
	s.Delete(t)
	_, err := src.Fetch(t.Context())
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q"} {
		for what, v := range map[string]any{"the Source": src, "a Secret": got, "an error": err} {
			if how := Leak(fmt.Sprintf(verb, v), content); how != "" {
				t.Errorf("%s, printed with %s, contains the content in %s", what, verb, how)
			}
		}
	}
}
