package ratelimit_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/orga-session/orga-session/core/ratelimit"
)

func TestParseQuotas(t *testing.T) {
	for s, want := range map[string]ratelimit.Quotas{
		"30/1m":               {{N: 30, Per: time.Minute}},
		"1/1s":                {{N: 1, Per: time.Second}},
		"60/1h":               {{N: 60, Per: time.Hour}},
		"2/500ms":             {{N: 2, Per: 500 * time.Millisecond}},
		"30/1m,500/24h":       {{N: 30, Per: time.Minute}, {N: 500, Per: 24 * time.Hour}},
		"30/1m , 9999/8784h":  {{N: 30, Per: time.Minute}, {N: 9999, Per: 366 * 24 * time.Hour}},
		"2147483647/24h":      {{N: 2147483647, Per: 24 * time.Hour}},
		"1000/1ms":            {{N: 1000, Per: time.Millisecond}},
		"2/1s,2/1000000001ns": {{N: 2, Per: time.Second}, {N: 2, Per: time.Second + 1}},
		"off":                 ratelimit.Off,
	} {
		if got, err := ratelimit.ParseQuotas(s); err != nil || !slices.Equal(got, want) {
			t.Errorf("%s: %v, %v", s, got, err)
		}
	}
	for _, s := range []string{
		"", "30", "30/", "/1m", "0/1m", "-1/1m", "+/1m", "1.5/1m", "30/0s", "30/-1m", "30/m", "30/1", "30/1m/2", "30 /1m", "OFF", "off,30/1m", "30/1m,off",
		"99999999999/1m", "2147483648/24h", "1000/1us1ns1", "1001/1ms", "2000000000/1s", "30/1m secret", "30/1m,", ",30/1m", "30/1m;500/24h",
		"1/8784h1s", "1/100000h", "30/1m,0/24h", "30/1m,30/60s", "1/500ms,1/1s", // fault 72
	} {
		got, err := ratelimit.ParseQuotas(s)
		if err == nil || got != nil {
			t.Errorf("%q passes as %v", s, got)
		} else if len(s) > 6 && strings.Contains(err.Error(), s) {
			t.Errorf("%q is in the error: %v", s, err)
		}
	}
}
