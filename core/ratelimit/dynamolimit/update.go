package dynamolimit

import (
	"strconv"
	"strings"
)

// update builds an UpdateItem call.
type update struct {
	in         updateItem
	conditions []string
	sets       []string
}

func (l *limiter) update(key string) *update {
	return &update{in: updateItem{
		TableName:                 l.table,
		Key:                       map[string]value{idAttribute: {S: id(key)}},
		ExpressionAttributeNames:  make(map[string]string),
		ExpressionAttributeValues: make(map[string]value),
	}}
}

func (u *update) name(placeholder, attribute string) {
	u.in.ExpressionAttributeNames[placeholder] = attribute
}

func (u *update) number(placeholder string, n int64) {
	u.in.ExpressionAttributeValues[placeholder] = value{N: strconv.FormatInt(n, 10)}
}

func (u *update) require(condition string) { u.conditions = append(u.conditions, condition) }

func (u *update) set(assignment string) { u.sets = append(u.sets, assignment) }

func (u *update) done() *updateItem {
	u.in.ConditionExpression, u.in.UpdateExpression = strings.Join(u.conditions, " AND "), "SET "+strings.Join(u.sets, ", ")
	return &u.in
}
