package ratelimit

import (
	"errors"
	"strconv"
	"strings"
	"time"
)

// Quota allows N requests in a period. All N may be used at once; one becomes available again every Per/N.
type Quota struct {
	N   int
	Per time.Duration
}

func (q Quota) String() string { return strconv.Itoa(q.N) + "/" + q.Per.String() }

// Quotas are windows, such as 30/1m,500/24h; a request must fit into all of them. Empty means unset; [Off] means no
// limit.
type Quotas []Quota

// Off means no limit.
var Off = Quotas{{}}

// maxPeriod is the longest Per.
const maxPeriod = 366 * 24 * time.Hour

// ParseQuotas parses "30/1m", "30/1m,500/24h" or "off". Its error does not repeat s.
func ParseQuotas(s string) (Quotas, error) {
	if s == "off" {
		return Off, nil
	}
	var quotas Quotas
	for window := range strings.SplitSeq(s, ",") {
		number, period, _ := strings.Cut(strings.TrimSpace(window), "/")
		n, err := strconv.ParseInt(number, 10, 32)
		per, perErr := time.ParseDuration(period)
		if err != nil || perErr != nil {
			return nil, errors.New("want COUNT/PERIOD, such as 30/1m or 30/1m,500/24h, or off")
		}
		quotas = append(quotas, Quota{N: int(n), Per: per})
	}
	if err := quotas.Check(); err != nil {
		return nil, err
	}
	return quotas, nil
}

// Check returns why quotas that were not parsed are invalid.
func (qs Quotas) Check() error {
	if qs.IsOff() {
		return nil
	}
	seconds := make(map[time.Duration]bool)
	for _, q := range qs {
		w := (q.Per + time.Second - 1) / time.Second // rounded up, as in the policies' names
		switch {
		case q.N < 1:
			return errors.New("want a count of at least 1, such as 30/1m; for no limit, off")
		case q.Per > maxPeriod:
			return errors.New("want a period of at most 366 days (8784h)")
		case q.Per.Microseconds() < int64(q.N):
			return errors.New("want a period of at least a microsecond a request, such as 30/1m")
		case seconds[w]:
			return errors.New("want windows with different periods, such as 30/1m,500/24h")
		}
		seconds[w] = true
	}
	return nil
}

// IsOff reports whether there is no limit: the quotas are empty or [Off].
func (qs Quotas) IsOff() bool { return len(qs) == 0 || len(qs) == 1 && qs[0] == Quota{} }
