package throttle_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/orga-session/orga-session/core/internal/throttle"
	"github.com/orga-session/orga-session/core/ratelimit"
)

// pinged is a Limiter with Ping and Close.
type pinged struct {
	*throttle.Memory
	pings, closes int
}

func (p *pinged) Ping(context.Context) error { p.pings++; return errors.New("nobody there") }

func (p *pinged) Close() error { p.closes++; return nil }

// Fault 72: an unlinked scheme is a fault that lists the linked ones, without quoting the setting.
func TestDrivers(t *testing.T) {
	opened := &pinged{Memory: throttle.NewMemory()}
	drivers := map[string]ratelimit.Driver{
		"redis":    func(string) (ratelimit.Limiter, error) { return opened, nil },
		"nothing":  func(string) (ratelimit.Limiter, error) { return nil, nil },
		"dynamodb": func(string) (ratelimit.Limiter, error) { return nil, errors.New("want a table") },
	}
	for _, tt := range []struct {
		drivers          map[string]ratelimit.Driver
		setting, contain string
	}{
		{drivers, "valkey://:canary@host", "unknown store: use memory, dynamodb:, nothing: or redis:"},
		{drivers, "redis", "unknown store: use memory, dynamodb:, nothing: or redis:"},
		{drivers, "canary", "unknown store: use memory, dynamodb:, nothing: or redis:"},
		{drivers, "dynamodb:", "want a table"},
		{drivers, "nothing:", "the driver opened no store"},
		{nil, "redis://:canary@host", "unknown store: use memory"},
	} {
		if _, err := throttle.Open(tt.drivers, tt.setting, throttle.StoreOptions{}); err == nil || err.Error() != tt.contain || strings.Contains(err.Error(), "canary") {
			t.Errorf("%s: %v, want %s", tt.setting, err, tt.contain)
		}
	}
	for _, setting := range []string{"", "memory"} {
		store, err := throttle.Open(nil, setting, throttle.StoreOptions{})
		if err != nil || store.Ping(t.Context()) != nil || store.Close() != nil {
			t.Errorf("%q: %v", setting, err)
		}
	}
	store, err := throttle.Open(drivers, "redis://host", throttle.StoreOptions{})
	if err != nil || store.Ping(t.Context()) == nil || store.Close() != nil || opened.pings != 1 || opened.closes != 1 {
		t.Errorf("%v; %d pings, %d closes", err, opened.pings, opened.closes)
	}
}
