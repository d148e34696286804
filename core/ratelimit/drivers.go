package ratelimit

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Driver opens the store that a setting such as redis://host names. It connects to nothing yet. Its error repeats
// nothing of the setting, which may hold a password.
type Driver func(setting string) (Limiter, error)

// Drivers are the stores that a program links, by scheme: what stands before the first colon of a setting. The
// store memory is always there.
type Drivers map[string]Driver

// Open opens the store that a setting names, and makes a [Store] of it; "" is memory. Its error is a fault of the
// setting.
func (d Drivers) Open(setting string, o StoreOptions) (*Store, error) {
	if setting == "" || setting == "memory" {
		return NewStore(nil, o), nil
	}
	scheme, _, found := strings.Cut(setting, ":")
	driver := d[scheme]
	if !found || driver == nil {
		return nil, fmt.Errorf("unknown store: use %s", d.list())
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

// list is what a setting may start with.
func (d Drivers) list() string {
	names := []string{"memory"}
	for _, scheme := range slices.Sorted(maps.Keys(d)) {
		names = append(names, scheme+":")
	}
	if len(names) == 1 {
		return names[0]
	}
	return strings.Join(names[:len(names)-1], ", ") + " or " + names[len(names)-1]
}
