package strictjson

import "encoding/json"

// Lookup returns the member of object called path. If there is none, it tries path as a path: at each dot, the part before
// it may be the name of a nested object.
func Lookup(object any, path string) (any, bool) {
	if v, ok := member(object, path); ok {
		return v, true
	}
	for i := range len(path) {
		if path[i] != '.' {
			continue
		}
		if inner, ok := member(object, path[:i]); ok {
			if v, ok := Lookup(inner, path[i+1:]); ok {
				return v, true
			}
		}
	}
	return nil, false
}

// member returns a member of v, which may be a decoded or an encoded object.
func member(v any, name string) (any, bool) {
	switch v := v.(type) {
	case map[string]any:
		inner, ok := v[name]
		return inner, ok
	case Members:
		inner, ok := v.Get(name)
		return inner, ok
	case json.RawMessage:
		members, err := Parse(v)
		if err != nil {
			return nil, false
		}
		return member(members, name)
	}
	return nil, false
}
