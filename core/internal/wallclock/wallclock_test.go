package wallclock_test

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/orga-session/orga-session/core/internal/wallclock"
)

func TestNowHasNoMonotonicHalf(t *testing.T) {
	if text := wallclock.Now().String(); strings.Contains(text, "m=") {
		t.Error(text)
	}
}

func TestWithin(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		now := wallclock.Now()
		for _, tt := range []struct {
			name string
			then time.Time
			want bool
		}{
			{"now", now, true},
			{"almost a minute ago", now.Add(1 - time.Minute), true},
			{"a minute ago", now.Add(-time.Minute), false},
			{"in the future: the clock was set back", now.Add(1), false},
			{"never", time.Time{}, false},
		} {
			if got := wallclock.Within(tt.then, time.Minute); got != tt.want {
				t.Errorf("%s: %t", tt.name, got)
			}
			if got := wallclock.WithinAt(now, tt.then, time.Minute); got != tt.want {
				t.Errorf("%s, at a time: %t", tt.name, got)
			}
		}
		if then := now.Add(time.Hour); !wallclock.WithinAt(then, then, 1) {
			t.Error("WithinAt does not use its time")
		}
	})
}
