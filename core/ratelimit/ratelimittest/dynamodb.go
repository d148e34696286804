package ratelimittest

import (
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
)

// DynamoDB is a fake of Amazon DynamoDB, an [http.Handler]: UpdateItem of the JSON 1.0 protocol, on one table with a key
// called id. It supports the conditions and updates that counters need: SET with + and -, comparisons of numbers,
// attribute_exists, attribute_not_exists, AND, OR and parentheses. It is atomic, and requires a signature without
// verifying it.
//
// Set its fields before the first request. It is safe for concurrent use.
type DynamoDB struct {
	Table string
	// Intercept may answer a request instead of the service, and reports whether it did; nil answers none.
	Intercept func(w http.ResponseWriter, r *http.Request) bool

	mu    sync.Mutex
	items map[string]Item
	calls int
}

// Item has the numeric attributes of an item.
type Item map[string]int64

// Calls returns the number of requests.
func (d *DynamoDB) Calls() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.calls
}

// Items calls f with each item; f may change it.
func (d *DynamoDB) Items(f func(id string, item Item)) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for id, item := range d.items {
		f(id, item)
	}
}

type attributeValue struct {
	S string `json:",omitempty"`
	N string `json:",omitempty"`
}

type updateItem struct {
	TableName                           string
	Key                                 map[string]attributeValue
	ConditionExpression                 string
	UpdateExpression                    string
	ExpressionAttributeNames            map[string]string
	ExpressionAttributeValues           map[string]attributeValue
	ReturnValues                        string
	ReturnValuesOnConditionCheckFailure string
}

func (d *DynamoDB) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	d.mu.Lock()
	d.calls++
	d.mu.Unlock()
	var in updateItem
	body, _ := io.ReadAll(r.Body) // read first: otherwise the context does not end when the client disconnects
	if d.Intercept != nil && d.Intercept(w, r) {
		return
	}
	switch {
	case r.Header.Get("X-Amz-Target") != "DynamoDB_20120810.UpdateItem", r.Header.Get("Content-Type") != "application/x-amz-json-1.0":
		DynamoDBError(w, http.StatusBadRequest, "AccessDeniedException", nil)
	case !strings.Contains(r.Header.Get("Authorization"), "/dynamodb/aws4_request"):
		DynamoDBError(w, http.StatusBadRequest, "MissingAuthenticationTokenException", nil)
	case json.Unmarshal(body, &in) != nil, in.Key["id"].S == "", len(in.Key) != 1, !in.usesWhatItDefines():
		DynamoDBError(w, http.StatusBadRequest, "ValidationException", nil)
	case in.TableName != d.Table:
		DynamoDBError(w, http.StatusBadRequest, "ResourceNotFoundException", nil)
	default:
		d.update(w, &in)
	}
}

// usesWhatItDefines reports whether the expressions use all names and values that the request defines, and no others.
func (in *updateItem) usesWhatItDefines() bool {
	used := make(map[string]bool)
	for _, token := range tokens(in.ConditionExpression + " " + in.UpdateExpression) {
		switch token[0] {
		case '#':
			used[token] = in.ExpressionAttributeNames[token] != ""
		case ':':
			used[token] = in.ExpressionAttributeValues[token].N != ""
		}
	}
	return len(used) == len(in.ExpressionAttributeNames)+len(in.ExpressionAttributeValues) && !slices.Contains(slices.Collect(maps.Values(used)), false)
}

// DynamoDBError answers with an error of DynamoDB; item may be nil.
func DynamoDBError(w http.ResponseWriter, status int, code string, item map[string]any) {
	answer := map[string]any{"__type": "com.amazonaws.dynamodb.v20120810#" + code, "message": code}
	if item != nil {
		answer["Item"] = item
	}
	respond(w, status, answer)
}

func respond(w http.ResponseWriter, status int, answer any) {
	w.Header().Set("Content-Type", "application/x-amz-json-1.0")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(answer) // fails if the client has disconnected
}

func (d *DynamoDB) update(w http.ResponseWriter, in *updateItem) {
	d.mu.Lock()
	defer d.mu.Unlock()
	id := in.Key["id"].S
	item := d.items[id]
	e := &expression{in: in, item: item}
	holds := e.parse(in.ConditionExpression, e.or)
	updated := make(Item)
	if holds {
		e.parse(in.UpdateExpression, func() bool { return e.set(updated) })
	}
	switch {
	case e.fault != "":
		DynamoDBError(w, http.StatusBadRequest, "ValidationException", nil)
	case !holds && in.ReturnValuesOnConditionCheckFailure == "ALL_OLD" && item != nil:
		DynamoDBError(w, http.StatusBadRequest, "ConditionalCheckFailedException", encode(id, item))
	case !holds:
		DynamoDBError(w, http.StatusBadRequest, "ConditionalCheckFailedException", nil)
	default:
		if item == nil {
			item = make(Item)
		}
		maps.Copy(item, updated)
		if d.items == nil {
			d.items = make(map[string]Item)
		}
		d.items[id] = item
		answer := map[string]any{}
		if in.ReturnValues == "UPDATED_NEW" {
			answer["Attributes"] = encode("", updated)
		}
		respond(w, http.StatusOK, answer)
	}
}

func encode(id string, item Item) map[string]any {
	encoded := make(map[string]any)
	if id != "" {
		encoded["id"] = attributeValue{S: id}
	}
	for name, n := range item {
		encoded[name] = attributeValue{N: strconv.FormatInt(n, 10)}
	}
	return encoded
}

// expression evaluates a condition or an update by recursive descent.
type expression struct {
	in     *updateItem
	item   Item
	tokens []string
	fault  string
}

func tokens(text string) []string {
	for _, separate := range []string{"(", ")", ",", "+", "-"} {
		text = strings.ReplaceAll(text, separate, " "+separate+" ")
	}
	return strings.Fields(text)
}

func (e *expression) parse(text string, rule func() bool) bool {
	e.tokens = tokens(text)
	result := rule()
	if len(e.tokens) > 0 {
		e.fault = "unexpected " + e.tokens[0]
	}
	return result
}

// next returns the next token; "" after the last one.
func (e *expression) next() string {
	if len(e.tokens) == 0 {
		return ""
	}
	token := e.tokens[0]
	e.tokens = e.tokens[1:]
	return token
}

// take consumes the next token if it is want.
func (e *expression) take(want string) bool {
	if len(e.tokens) == 0 || e.tokens[0] != want {
		return false
	}
	e.next()
	return true
}

func (e *expression) expect(want string) {
	if !e.take(want) {
		e.fault = "no " + want
	}
}

func (e *expression) or() bool {
	holds := e.and()
	for e.take("OR") {
		also := e.and()
		holds = holds || also
	}
	return holds
}

func (e *expression) and() bool {
	holds := e.term()
	for e.take("AND") {
		also := e.term()
		holds = holds && also
	}
	return holds
}

func (e *expression) term() bool {
	if e.take("(") {
		holds := e.or()
		e.expect(")")
		return holds
	}
	if f := e.tokens; len(f) > 0 && strings.HasPrefix(f[0], "attribute_") {
		f := e.next()
		e.expect("(")
		name := e.attribute(e.next())
		e.expect(")")
		_, exists := e.item[name]
		exists = exists || name == "id" && e.item != nil
		return exists == (f == "attribute_exists")
	}
	a, aExists := e.operand()
	operator := e.next()
	b, bExists := e.operand()
	if !aExists || !bExists {
		return false
	}
	switch operator {
	case "<=":
		return a <= b
	case ">":
		return a > b
	case "=":
		return a == b
	}
	e.fault = "unknown operator " + operator
	return false
}

// set evaluates a SET of several attributes.
func (e *expression) set(updated Item) bool {
	e.expect("SET")
	for more := true; more; more = e.take(",") {
		name := e.attribute(e.next())
		e.expect("=")
		n, exists := e.operand()
		for len(e.tokens) > 0 && (e.tokens[0] == "+" || e.tokens[0] == "-") {
			sign := int64(1)
			if e.next() == "-" {
				sign = -1
			}
			m, also := e.operand()
			n, exists = n+sign*m, exists && also
		}
		if !exists {
			e.fault = "an attribute that does not exist"
		}
		updated[name] = n
	}
	return true
}

func (e *expression) attribute(placeholder string) string {
	name, ok := e.in.ExpressionAttributeNames[placeholder]
	if !ok {
		e.fault = "unknown name " + placeholder
	}
	return name
}

func (e *expression) operand() (n int64, exists bool) {
	token := e.next()
	if strings.HasPrefix(token, "#") {
		n, exists = e.item[e.attribute(token)]
		return n, exists
	}
	n, err := strconv.ParseInt(e.in.ExpressionAttributeValues[token].N, 10, 64)
	if err != nil {
		e.fault = "no number " + token
	}
	return n, true
}
