package dynamolimit

import (
	"strconv"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
)

// update puts an UpdateItem call together.
type update struct {
	in         *dynamodb.UpdateItemInput
	conditions []string
	sets       []string
}

func (l *Limiter) update(key string) *update {
	return &update{in: &dynamodb.UpdateItemInput{
		TableName:                 &l.table,
		Key:                       map[string]types.AttributeValue{idAttribute: &types.AttributeValueMemberS{Value: id(key)}},
		ExpressionAttributeNames:  make(map[string]string),
		ExpressionAttributeValues: make(map[string]types.AttributeValue),
	}}
}

func (u *update) name(placeholder, attribute string) {
	u.in.ExpressionAttributeNames[placeholder] = attribute
}

func (u *update) number(placeholder string, n int64) {
	u.in.ExpressionAttributeValues[placeholder] = &types.AttributeValueMemberN{Value: strconv.FormatInt(n, 10)}
}

func (u *update) require(condition string) { u.conditions = append(u.conditions, condition) }

func (u *update) set(assignment string) { u.sets = append(u.sets, assignment) }

func (u *update) done() *dynamodb.UpdateItemInput {
	condition, set := strings.Join(u.conditions, " AND "), "SET "+strings.Join(u.sets, ", ")
	u.in.ConditionExpression, u.in.UpdateExpression = &condition, &set
	return u.in
}
