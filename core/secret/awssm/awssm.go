// Package awssm fetches secrets from AWS Secrets Manager: "awssm:name" or "awssm:ARN", which may be of
// another region or account.
//
// It uses the SDK's client for Secrets Manager, yet not the SDK's config package. That one brings
// profiles, SSO, STS, container and instance credentials, none of which a Lambda function needs, for
// 2.1 MB of binary and a third more time until the first secret is there (docs/secrets.md has the
// numbers). A function's credentials are in its environment.
package awssm

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"github.com/orga-session/orga-session/core/secret"
)

const (
	attempts    = 3                      // of one fetch, which has 2 s (secret.Cache)
	maxBackoff  = 300 * time.Millisecond // between them; the SDK's own is 20 s
	dialTimeout = time.Second            // leaves time for another attempt

	// maxAnswer has room for a secret of 64 KiB, AWS's limit, every byte of it escaped in JSON.
	maxAnswer = 512 << 10

	current = "AWSCURRENT" // never AWSPREVIOUS, never AWSPENDING
)

// Open is the driver of "awssm:". lookup reads the environment (os.LookupEnv in a program).
//
// The credentials are ORGA_AWS_ACCESS_KEY_ID, ORGA_AWS_SECRET_ACCESS_KEY and, where they are temporary,
// ORGA_AWS_SESSION_TOKEN, with ORGA_AWS_REGION; only some of them set is secret.ErrMisconfigured. With
// none set, and ambient true, they are the platform's own, AWS_ACCESS_KEY_ID and so on, as Lambda sets
// them. ambient must be false where those belong to somebody else, as on Netlify. An ARN names its
// region itself. AWS_ENDPOINT_URL_SECRETS_MANAGER, or AWS_ENDPOINT_URL, is asked instead of AWS.
func Open(lookup func(string) (string, bool), ambient bool) secret.Driver {
	client := newHTTPClient()
	return func(ref secret.Ref) (secret.Source, error) {
		id, noIdentity := identify(lookup, ambient, isARN(ref.Name))
		region, noRegion := regionOf(ref.Name, id)
		endpoint, noAddress := endpointIn(lookup)
		if err := errors.Join(noIdentity, noRegion, noAddress); err != nil {
			return nil, err
		}
		return &source{
			name: ref.Name,
			api: secretsmanager.New(secretsmanager.Options{
				Region:       region,
				BaseEndpoint: endpoint,
				Credentials:  id,
				HTTPClient:   client,
				Retryer: retry.NewStandard(func(o *retry.StandardOptions) {
					o.MaxAttempts, o.MaxBackoff = attempts, maxBackoff
				}),
			}),
		}, nil
	}
}

// newHTTPClient makes a client that keeps no connection: a secret is fetched every few minutes, and
// what a frozen instance finds of a connection then is dead, maybe without a word. TLS sessions are
// resumed instead.
func newHTTPClient() *http.Client {
	return &http.Client{
		Transport: bounded{&http.Transport{
			DialContext:       (&net.Dialer{Timeout: dialTimeout}).DialContext,
			TLSClientConfig:   &tls.Config{MinVersion: tls.VersionTLS12, ClientSessionCache: tls.NewLRUClientSessionCache(8)},
			DisableKeepAlives: true,
		}},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// bounded is a transport whose answers end at maxAnswer bytes, with an error: the SDK reads what comes.
type bounded struct{ http.RoundTripper }

func (b bounded) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := b.RoundTripper.RoundTrip(r)
	if err == nil {
		resp.Body = http.MaxBytesReader(nil, resp.Body, maxAnswer)
	}
	return resp, err
}

// endpointIn is the address that stands in for AWS's own, nil for none.
func endpointIn(lookup func(string) (string, bool)) (*string, error) {
	for _, name := range []string{"AWS_ENDPOINT_URL_SECRETS_MANAGER", "AWS_ENDPOINT_URL"} {
		v := setting(lookup, name)
		if v == "" {
			continue
		}
		if u, err := url.Parse(v); err != nil || u.Hostname() == "" || u.Scheme != "https" && u.Scheme != "http" {
			return nil, fmt.Errorf("%w: %s is no address with https:// or http://", secret.ErrMisconfigured, name)
		}
		return &v, nil
	}
	return nil, nil
}

func isARN(name string) bool { return strings.HasPrefix(name, "arn:") }

// regionOf is the region an ARN names, or that of id for a plain name.
func regionOf(name string, id identity) (string, error) {
	if !isARN(name) {
		return id.region, nil
	}
	// arn:aws:secretsmanager:eu-central-1:123456789012:secret:orga-6RandC
	parts := strings.Split(name, ":")
	if len(parts) != 7 || parts[2] != "secretsmanager" || !isRegion(parts[3]) || parts[5] != "secret" || parts[6] == "" {
		return "", fmt.Errorf("%w: awssm: takes a secret's name or its ARN, arn:aws:secretsmanager:REGION:ACCOUNT:secret:NAME", secret.ErrMisconfigured)
	}
	return parts[3], nil
}

type source struct {
	name string // or ARN
	api  *secretsmanager.Client
}

// Fetch asks Secrets Manager for the current version.
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
		return secret.Secret{}, fmt.Errorf("%w: it is binary, and no UTF-8 text", secret.ErrMalformed)
	case out.SecretString == nil:
		text = string(out.SecretBinary)
	}
	version := secret.Version(aws.ToString(out.VersionId))
	if version == "" {
		version = secret.Fingerprint(text)
	}
	return secret.Secret{Value: secret.NewValue(text), Version: version}, nil
}

// final are the error codes after which asking again is no use until somebody changes something at
// AWS. ExpiredTokenException is not among them: the platform replaces its credentials by itself.
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

// kind turns an error of the SDK into one of this house. It keeps the error's code and nothing else of
// what the store said.
func kind(err error) error {
	if e, ok := errors.AsType[smithy.APIError](err); ok {
		switch code := e.ErrorCode(); {
		case final[code]:
			return fmt.Errorf("%w: %s", secret.ErrPermanent, code)
		case isCode(code) && code != "UnknownError": // the SDK's word for an answer that names none
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
		return fmt.Errorf("%w: the store's answer does not parse", secret.ErrMalformed)
	}
	return fmt.Errorf("the store answered HTTP %d", status)
}

// isBroken reports whether the answer ended before it was whole, rather than holding something else: its
// time was over, or its connection.
func isBroken(err error) bool {
	_, ok := errors.AsType[net.Error](err) // a deadline is one, too
	return ok || errors.Is(err, context.Canceled) || errors.Is(err, io.ErrUnexpectedEOF)
}

// isCode reports whether s looks like AWS's error codes: letters only. Anything else is not repeated.
func isCode(s string) bool {
	letters := strings.Trim(s, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz") == ""
	return letters && s != "" && len(s) <= 64
}
