// Package awssm fetches secrets from AWS Secrets Manager. A source is "awssm:NAME" or "awssm:ARN"; the ARN may name
// another region or account.
//
// It uses the SDK's Secrets Manager client, but not the SDK's config package, which would add 2.1 MB to the binary and a
// third to the time until the first secret (docs/secrets.md has the numbers), for kinds of credentials that a Lambda
// function does not need.
package awssm

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"github.com/orga-session/orga-session/core/internal/awsenv"
	"github.com/orga-session/orga-session/core/internal/storehttp"
	"github.com/orga-session/orga-session/core/secret"
)

const (
	attempts   = 3                      // per fetch, which has 2 s (secretcache.Cache)
	maxBackoff = 300 * time.Millisecond // between them; the SDK's own is 20 s

	// maxAnswer fits a secret of 64 KiB, AWS's limit, with every byte escaped in JSON.
	maxAnswer = 512 << 10

	maxVersion = 64 // bytes of a version ID, AWS's limit

	current = "AWSCURRENT" // never AWSPREVIOUS, never AWSPENDING
)

// Open returns the driver of "awssm:". lookup reads the environment ([os.LookupEnv] in a program).
//
// The credentials are ORGA_AWS_ACCESS_KEY_ID, ORGA_AWS_SECRET_ACCESS_KEY and, for temporary credentials,
// ORGA_AWS_SESSION_TOKEN, with ORGA_AWS_REGION; setting only some of them is [secret.ErrMisconfigured]. If none is set and
// ambient is true, they are the platform's own, AWS_ACCESS_KEY_ID and so on, as set by Lambda. ambient must be false where
// those belong to somebody else, as on Netlify. An ARN's region takes precedence.
//
// The SDK's endpoint variables are honored: AWS_ENDPOINT_URL_SECRETS_MANAGER, AWS_ENDPOINT_URL,
// AWS_IGNORE_CONFIGURED_ENDPOINT_URLS, AWS_USE_FIPS_ENDPOINT and AWS_USE_DUALSTACK_ENDPOINT.
func Open(lookup func(string) (string, bool), ambient bool) secret.Driver {
	client := storehttp.NewWithoutKeepAlives()
	client.Transport = bounded{client.Transport}
	return open(lookup, ambient, client)
}

func open(lookup func(string) (string, bool), ambient bool, client *http.Client) secret.Driver {
	return func(ref secret.Ref) (secret.Source, error) {
		region, noRegion := regionOf(ref.Name)
		env, noEnv := awsenv.Read(lookup, awsenv.Service{
			Driver: "awssm", EndpointVariable: "AWS_ENDPOINT_URL_SECRETS_MANAGER", Region: region,
		}, ambient)
		if err := errors.Join(noRegion, noEnv); err != nil {
			return nil, fmt.Errorf("%w: %w", secret.ErrMisconfigured, err)
		}
		return &source{
			name: ref.Name,
			api: secretsmanager.New(secretsmanager.Options{
				Region:       env.Region,
				BaseEndpoint: env.Endpoint,
				Credentials:  env.Credentials,
				EndpointOptions: secretsmanager.EndpointResolverOptions{
					UseFIPSEndpoint: env.FIPS, UseDualStackEndpoint: env.DualStack,
				},
				HTTPClient: client,
				Retryer: retry.NewStandard(func(o *retry.StandardOptions) {
					o.MaxAttempts, o.MaxBackoff = attempts, maxBackoff
				}),
			}),
		}, nil
	}
}

// bounded is a transport that ends answers with an error after maxAnswer bytes, because the SDK has no bound.
type bounded struct{ http.RoundTripper }

func (b bounded) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := b.RoundTripper.RoundTrip(r)
	if err == nil {
		resp.Body = http.MaxBytesReader(nil, resp.Body, maxAnswer)
	}
	return resp, err
}

// regionOf returns an ARN's region; "" for a plain name.
func regionOf(name string) (string, error) {
	if !strings.HasPrefix(name, "arn:") {
		return "", nil
	}
	// arn:aws:secretsmanager:eu-central-1:123456789012:secret:orga-6RandC
	parts := strings.Split(name, ":")
	if len(parts) != 7 || parts[2] != "secretsmanager" || !awsenv.IsRegion(parts[3]) || parts[5] != "secret" || parts[6] == "" {
		return "", errors.New("awssm: want a secret's name or its ARN, such as arn:aws:secretsmanager:REGION:ACCOUNT:secret:NAME")
	}
	return parts[3], nil
}

type source struct {
	name string // or ARN
	api  *secretsmanager.Client
}

// Fetch fetches the current version.
func (s *source) Fetch(ctx context.Context) (secret.Secret, error) {
	out, err := s.api.GetSecretValue(ctx, &secretsmanager.GetSecretValueInput{
		SecretId:     &s.name,
		VersionStage: aws.String(current),
	})
	if err != nil {
		return secret.Secret{}, kind(err)
	}
	text := aws.ToString(out.SecretString)
	switch {
	case out.SecretString == nil && out.SecretBinary == nil:
		return secret.Secret{}, fmt.Errorf("%w: the store's answer has no value", secret.ErrMalformed)
	case out.SecretString == nil && !utf8.Valid(out.SecretBinary):
		return secret.Secret{}, fmt.Errorf("%w: it must be UTF-8 text", secret.ErrMalformed)
	case out.SecretString == nil:
		text = string(out.SecretBinary)
	}
	version := secret.Version(aws.ToString(out.VersionId))
	if version == "" || len(version) > maxVersion {
		version = secret.Fingerprint(text)
	}
	return secret.Secret{Value: secret.NewValue(text), Version: version}, nil
}

// final are error codes that persist until somebody changes something at AWS. ExpiredTokenException is not one of them,
// because the platform renews its credentials.
var final = map[string]bool{
	"AccessDenied":                true,
	"AccessDeniedException":       true, // also: no permission to decrypt with the KMS key
	"DecryptionFailure":           true, // the KMS key is disabled or deleted
	"InvalidClientTokenId":        true, // the access key is deleted or inactive
	"InvalidParameterException":   true,
	"InvalidRequestException":     true, // marked for deletion
	"ResourceNotFoundException":   true, // also: it has no current version
	"UnrecognizedClientException": true,
	"ValidationException":         true,
}

// kind converts an SDK error to one of package secret's kinds. The text has the error code, but nothing else from the
// answer.
func kind(err error) error {
	if e, ok := errors.AsType[smithy.APIError](err); ok {
		switch code := e.ErrorCode(); {
		case final[code]:
			return fmt.Errorf("%w: %s", secret.ErrPermanent, code)
		case awsenv.IsErrorCode(code) && code != "UnknownError": // the SDK's placeholder for an answer without a code
			return fmt.Errorf("the store answered %s", code)
		}
	}
	status := 0
	if e, ok := errors.AsType[*smithyhttp.ResponseError](err); ok {
		status = e.HTTPStatusCode()
	}
	switch {
	case status == 0, status == http.StatusOK && isBroken(err):
		return secret.Unavailable(err)
	case status == http.StatusOK:
		return errors.New("the store's answer does not parse") // it may come from a proxy, and be temporary
	}
	return fmt.Errorf("the store answered HTTP %d", status)
}

// isBroken reports whether the answer was cut off by a deadline or a closed connection, rather than complete and
// invalid.
func isBroken(err error) bool {
	_, ok := errors.AsType[net.Error](err) // includes deadlines
	return ok || errors.Is(err, context.Canceled) || errors.Is(err, io.ErrUnexpectedEOF)
}
