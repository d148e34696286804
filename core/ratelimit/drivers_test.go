package ratelimit_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/orga-session/orga-session/core/ratelimit"
)

// pinged is a Limiter with a connection.
type pinged struct {
	*ratelimit.Memory
	pings, closes int
}

func (p *pinged) Ping(context.Context) error { p.pings++; return errors.New("nobody there") }

func (p *pinged) Close() error { p.closes++; return nil }

// Fault 72: a scheme that is not linked is a fault, which names those that are and nothing of the setting.
func TestDrivers(t *testing.T) {
	opened := &pinged{Memory: ratelimit.NewMemory()}
	drivers := ratelimit.Drivers{
		"redis":    func(string) (ratelimit.Limiter, error) { return opened, nil },
		"dynamodb": func(string) (ratelimit.Limiter, error) { return nil, errors.New("want a table") },
	}
	for _, tt := range []struct {
		drivers          ratelimit.Drivers
		setting, contain string
	}{
		{drivers, "valkey://:canary@host", "unknown store: use memory, dynamodb: or redis:"},
		{drivers, "redis", "unknown store: use memory, dynamodb: or redis:"},
		{drivers, "canary", "unknown store: use memory, dynamodb: or redis:"},
		{drivers, "dynamodb:", "want a table"},
		{nil, "redis://:canary@host", "unknown store: use memory"},
	} {
		if _, err := tt.drivers.Open(tt.setting, ratelimit.StoreOptions{}); err == nil || err.Error() != tt.contain || strings.Contains(err.Error(), "canary") {
			t.Errorf("%s: %v, want %s", tt.setting, err, tt.contain)
		}
	}
	for _, setting := range []string{"", "memory"} {
		store, err := ratelimit.Drivers(nil).Open(setting, ratelimit.StoreOptions{})
		if err != nil || store.Ping(t.Context()) != nil || store.Close() != nil {
			t.Errorf("%q: %v", setting, err)
		}
	}
	store, err := drivers.Open("redis://host", ratelimit.StoreOptions{})
	if err != nil || store.Ping(t.Context()) == nil || store.Close() != nil || opened.pings != 1 || opened.closes != 1 {
		t.Errorf("%v; %d pings, %d closes", err, opened.pings, opened.closes)
	}
}
