package orga

import (
	"encoding/json"
	"slices"
)

// members are a JSON object's, by their exact names: encoding/json would match a struct's without
// regard to case, a browser does not.
type members map[string]json.RawMessage

func isNull(raw json.RawMessage) bool { return string(raw) == "null" }

// has tells whether the member is there and not null.
func (m members) has(name string) bool {
	raw, ok := m[name]
	return ok && !isNull(raw)
}

// text is a member that is a string, else "".
func (m members) text(name string) string {
	var s string
	if raw := m[name]; len(raw) == 0 || raw[0] != '"' || json.Unmarshal(raw, &s) != nil {
		return ""
	}
	return s
}

// urls are the addresses of an ICE server, written as one string or a list; none if one is empty.
func (m members) urls() []string {
	if one := m.text("urls"); one != "" {
		return []string{one}
	}
	var list []string
	if json.Unmarshal(m["urls"], &list) != nil || slices.Contains(list, "") {
		return nil
	}
	return list
}
