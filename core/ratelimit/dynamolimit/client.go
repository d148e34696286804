package dynamolimit

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"

	"github.com/orga-session/orga-session/core/internal/awsenv"
	"github.com/orga-session/orga-session/core/ratelimit/internal/storehttp"
)

// maxAnswer bounds what is read of an answer, in bytes. An item is smaller than 1 KB.
const maxAnswer = 64 << 10

// client calls UpdateItem, with the SDK's signer and without its client of DynamoDB (1.74.0): that builds the schemas
// of all operations in its init, 1.3 ms of every cold start, also of those that count elsewhere. Without it, the zip
// is 0.17 MB smaller, and a call takes 195 allocations instead of 421.
type client struct {
	url         string
	region      string
	credentials aws.CredentialsProvider
	signer      *v4.Signer
	http        *http.Client
}

func newClient(env awsenv.Config) *client {
	url := endpoint(env)
	if env.Endpoint != nil {
		url = strings.TrimSuffix(*env.Endpoint, "/") + "/"
	}
	return &client{
		url: url, region: env.Region, credentials: env.Credentials, signer: v4.NewSigner(),
		http: storehttp.New(),
	}
}

// endpoint is DynamoDB's address in a region.
func endpoint(env awsenv.Config) string {
	domain, dualStack := "amazonaws.com", "api.aws"
	switch {
	case strings.HasPrefix(env.Region, "cn-"):
		domain, dualStack = "amazonaws.com.cn", "api.amazonwebservices.com.cn"
	case strings.HasPrefix(env.Region, "eusc-"):
		domain, dualStack = "amazonaws.eu", "api.amazonwebservices.eu"
	}
	service, isDualStack := "dynamodb", env.DualStack == aws.DualStackEndpointStateEnabled
	if env.FIPS == aws.FIPSEndpointStateEnabled && (isDualStack || !strings.HasPrefix(env.Region, "us-gov-")) { // there, the plain one is it
		service = "dynamodb-fips"
	}
	if isDualStack {
		domain = dualStack
	}
	return "https://" + service + "." + env.Region + "." + domain + "/"
}

// value is an attribute's: a string or a number.
type value struct {
	S string `json:",omitempty"`
	N string `json:",omitempty"`
}

// updateItem is the request of UpdateItem.
type updateItem struct {
	TableName                           string
	Key                                 map[string]value
	ConditionExpression                 string
	UpdateExpression                    string
	ExpressionAttributeNames            map[string]string
	ExpressionAttributeValues           map[string]value
	ReturnValues                        string `json:",omitempty"`
	ReturnValuesOnConditionCheckFailure string `json:",omitempty"`
}

var (
	// errCondition is that the condition did not hold.
	errCondition = errors.New("dynamodb: ConditionalCheckFailedException")
	// errAnswer is an answer that is not DynamoDB's: a broken proxy's, or another server's.
	errAnswer = errors.New("dynamodb: unexpected answer")
)

// update calls UpdateItem. It returns the new attributes, or with errCondition the old ones, as far as in asks for them.
// Any other error has nothing of an answer in it but its code.
func (c *client) update(ctx context.Context, in *updateItem) (map[string]value, error) {
	body, err := json.Marshal(in)
	if err != nil {
		return nil, err
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, c.url, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	r.Header.Set("Content-Type", "application/x-amz-json-1.0")
	r.Header.Set("X-Amz-Target", "DynamoDB_20120810.UpdateItem")
	credentials, err := c.credentials.Retrieve(ctx)
	if err != nil {
		return nil, err
	}
	hash := sha256.Sum256(body)
	if err := c.signer.SignHTTP(ctx, credentials, r, hex.EncodeToString(hash[:]), "dynamodb", c.region, time.Now()); err != nil {
		return nil, err
	}
	// net/http sends it again when a kept connection turns out to be closed. That counts a request twice at worst.
	r.Header["Idempotency-Key"] = nil // not sent
	resp, err := c.http.Do(r)
	if err != nil {
		if ctx.Err() != nil {
			c.http.CloseIdleConnections() // what swallowed one request may swallow more
			return nil, fmt.Errorf("dynamodb: %w", ctx.Err())
		}
		return nil, fmt.Errorf("dynamodb: %w", errors.Unwrap(err)) // without the address
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return nil, fmt.Errorf("dynamodb: %w", err)
	}
	var answer struct {
		Attributes, Item map[string]value
		Type             string `json:"__type"`
	}
	parsed := json.Unmarshal(text, &answer) == nil
	if resp.StatusCode == http.StatusOK && parsed {
		return answer.Attributes, nil
	}
	switch code := answer.Type[strings.LastIndexByte(answer.Type, '#')+1:]; {
	case code == "ConditionalCheckFailedException":
		return answer.Item, errCondition
	case isCode(code):
		return nil, fmt.Errorf("dynamodb: %s", code)
	case resp.StatusCode != http.StatusOK:
		return nil, fmt.Errorf("dynamodb: HTTP %d", resp.StatusCode)
	}
	return nil, errAnswer
}

// isCode reports whether s looks like AWS's error codes: letters only. Anything else is not repeated.
func isCode(s string) bool {
	letters := strings.Trim(s, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz") == ""
	return letters && s != "" && len(s) <= 64
}
