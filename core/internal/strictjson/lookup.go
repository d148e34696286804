package strictjson

import "encoding/json"

// NoObject is the result of [Lookup] if path leads into something that is not an object, such as an object that an API
// Gateway has turned into a string, or one with duplicate members: what it has there cannot be known. It is an empty
// list, and not to be modified.
var NoObject = json.RawMessage("[]")

// Lookup returns the member of object called path. If there is none, it tries path as a path: at each dot, the part before
// it may be the name of a nested object, or [NoObject].
func Lookup(object any, path string) (any, bool) {
	if v, ok := member(object, path); ok {
		return v, true
	}
	blocked := false
	for i := range len(path) {
		if path[i] != '.' {
			continue
		}
		inner, ok := member(object, path[:i])
		if !ok || isNull(inner) {
			continue
		}
		v, ok := Lookup(inner, path[i+1:])
		if raw, unknown := v.(json.RawMessage); ok && !(unknown && &raw[0] == &NoObject[0]) {
			return v, true
		}
		blocked = blocked || ok || !isObject(inner)
	}
	if blocked {
		return NoObject, true
	}
	return nil, false
}

func isNull(v any) bool {
	raw, ok := v.(json.RawMessage)
	return v == nil || ok && string(raw) == "null"
}

func isObject(v any) bool {
	switch v := v.(type) {
	case map[string]any, Members:
		return true
	case json.RawMessage:
		_, err := Parse(v)
		return err == nil
	}
	return false
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
