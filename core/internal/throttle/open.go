package throttle

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/orga-session/orga-session/core/ratelimit"
)

// Open opens the store named by a setting, as a [Store]; "" means memory. drivers are keyed by scheme, the part of the
// setting before its first colon; memory needs none. The error is a fault of the setting.
func Open(drivers map[string]ratelimit.Driver, setting string, o StoreOptions) (*Store, error) {
	if setting == "" || setting == "memory" {
		return NewStore(nil, o), nil
	}
	scheme, _, found := strings.Cut(setting, ":")
	driver := drivers[scheme]
	if !found || driver == nil {
		return nil, fmt.Errorf("unknown store: use %s", list(drivers))
	}
	l, err := driver(setting)
	if err != nil {
		return nil, err
	}
	if l == nil {
		return nil, errors.New("the driver opened no store")
	}
	return NewStore(l, o), nil
}

// list returns the valid schemes.
func list(drivers map[string]ratelimit.Driver) string {
	names := []string{"memory"}
	for _, scheme := range slices.Sorted(maps.Keys(drivers)) {
		names = append(names, scheme+":")
	}
	if len(names) == 1 {
		return names[0]
	}
	return strings.Join(names[:len(names)-1], ", ") + " or " + names[len(names)-1]
}
