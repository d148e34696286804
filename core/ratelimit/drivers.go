package ratelimit

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Driver opens the store that a setting names, such as redis://host, without connecting to it. Its error must
// not repeat the setting, which may hold a password.
type Driver func(setting string) (Limiter, error)

// Drivers are the stores that a program links, by scheme: the part of a setting before its first colon. The
// store memory needs no driver.
type Drivers map[string]Driver

// Open opens the store that a setting names, as a [Store]; "" is memory. Its error is a fault of the setting.
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
