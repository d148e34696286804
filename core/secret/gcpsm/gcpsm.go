// Package gcpsm fetches secrets from Google Secret Manager. A source is "gcpsm:projects/P/secrets/S", with "/versions/V"
// appended for a fixed version; a regional secret is projects/P/locations/L/secrets/S.
//
// A fetch is one GET of the REST API. The gRPC client would add 9 MB to the binary (docs/secrets.md has the numbers).
package gcpsm

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"path"
	"regexp"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/orga-session/orga-session/core/internal/netaddr"
	"github.com/orga-session/orga-session/core/internal/storehttp"
	"github.com/orga-session/orga-session/core/secret"
)

const (
	attempts = 3                      // per fetch, which has 2 s (secretcache.Cache)
	damages  = 2                      // of these, answers with a wrong checksum
	backoff  = 100 * time.Millisecond // before the second, ±50 %; three times that before the third

	// maxAnswer fits a payload of 64 KiB, Google's limit, in base64, with the surrounding JSON.
	maxAnswer = 96 << 10

	maxVersion = 64 // bytes; Google's are numbers
)

// Open returns the driver of "gcpsm:". lookup reads the environment ([os.LookupEnv] in a program).
//
// The credentials are those in the file named by GOOGLE_APPLICATION_CREDENTIALS, else gcloud's in the home folder, else
// the metadata server's (on Google Cloud, the function's own). ORGA_GCPSM_ENDPOINT replaces Google's address; with http, it
// must be a loopback host, to which no credentials are sent.
func Open(lookup func(string) (string, bool)) secret.Driver {
	return open(lookup, storehttp.NewWithoutKeepAlives())
}

func open(lookup func(string) (string, bool), client *http.Client) secret.Driver {
	return func(ref secret.Ref) (secret.Source, error) {
		version, google, noName := resource(ref.Name)
		endpoint, noAddress := endpointOr(lookup, google)
		s := &source{http: client, endpoint: endpoint, name: version}
		var noCredentials error
		if !strings.HasPrefix(strings.ToLower(endpoint), "http:") {
			s.token, noCredentials = findCredentials(lookup, client)
		}
		if err := errors.Join(noName, noAddress, noCredentials); err != nil {
			return nil, err
		}
		return s, nil
	}
}

// names matches resource names, with groups for the location and the version.
var names = regexp.MustCompile(`^projects/[a-z0-9][a-z0-9.:-]*(?:/locations/([a-z0-9-]+))?/secrets/[A-Za-z0-9_-]{1,255}(?:/versions/([A-Za-z0-9_-]+))?$`)

// resource returns the version named by a source, by default the latest, and Google's address for it.
func resource(name string) (version, endpoint string, err error) {
	parts := names.FindStringSubmatch(name)
	if parts == nil {
		return "", "", fmt.Errorf("%w: gcpsm: want projects/P/secrets/S, with /locations/L after P for a regional secret and /versions/V at the end for one version", secret.ErrMisconfigured)
	}
	endpoint = "https://secretmanager.googleapis.com"
	if location := parts[1]; location != "" {
		endpoint = "https://secretmanager." + location + ".rep.googleapis.com"
	}
	if parts[2] == "" {
		name += "/versions/latest"
	}
	return name, endpoint, nil
}

// endpointOr returns ORGA_GCPSM_ENDPOINT, or standard if it is not set.
func endpointOr(lookup func(string) (string, bool), standard string) (string, error) {
	other, _ := lookup("ORGA_GCPSM_ENDPOINT")
	switch other = strings.TrimSpace(other); {
	case other == "":
		return standard, nil
	case !isEndpoint(other):
		return standard, fmt.Errorf("%w: ORGA_GCPSM_ENDPOINT: want an https:// URL, or http:// with a loopback host", secret.ErrMisconfigured)
	}
	return strings.TrimSuffix(other, "/"), nil
}

func isEndpoint(s string) bool {
	u, err := url.Parse(s)
	if err != nil || u.Hostname() == "" || u.RawQuery != "" || u.Fragment != "" || u.User != nil {
		return false
	}
	return netaddr.IsSecure(u)
}

type source struct {
	http     *http.Client
	endpoint string
	name     string // projects/P/secrets/S/versions/V
	token    tokens // nil for none
}

// verdict says whether another attempt may succeed.
type verdict int

const (
	final   verdict = iota // it will not
	passing                // it may: the store is down
	damaged                // it may: the checksum was wrong
)

// Fetch fetches the named version, or the latest one.
func (s *source) Fetch(ctx context.Context) (secret.Secret, error) {
	damagedCount := 0
	for n, wait := 1, backoff; ; n, wait = n+1, 3*wait {
		got, next, err := s.access(ctx)
		if next == damaged {
			damagedCount++
		}
		if next == final || n == attempts || damagedCount == damages {
			return got, err
		}
		select {
		case <-time.After(time.Duration(float64(wait) * (0.5 + rand.Float64()))):
		case <-ctx.Done():
			return got, err
		}
	}
}

// access makes one call.
func (s *source) access(ctx context.Context) (got secret.Secret, next verdict, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.endpoint+"/v1/"+s.name+":access", nil)
	if err != nil {
		return got, final, fmt.Errorf("%w: the address of the secret does not parse", secret.ErrMisconfigured)
	}
	if s.token != nil {
		token, err := s.token(ctx)
		if err != nil {
			return got, final, err // these clients have already retried
		}
		req.Header.Set("Authorization", "Bearer "+token)
	}
	resp, err := s.http.Do(req)
	if err != nil {
		return got, passing, secret.Unavailable(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1))
	switch {
	case err != nil:
		return got, passing, secret.Unavailable(err)
	case resp.StatusCode != http.StatusOK:
		next, err = refusal(resp.StatusCode, body)
		return got, next, err
	case len(body) > maxAnswer:
		return got, final, fmt.Errorf("%w: it is larger than 64 KiB", secret.ErrMalformed)
	}
	return read(body)
}

// read extracts the secret from an answer.
func read(body []byte) (got secret.Secret, next verdict, err error) {
	var answer struct {
		Name    string
		Payload *struct {
			Data       []byte
			DataCRC32C *int64 `json:",string"`
		}
	}
	if json.Unmarshal(body, &answer) != nil || answer.Name == "" || answer.Payload == nil {
		return got, final, errors.New("the store's answer does not parse") // it may come from a proxy, and be temporary
	}
	data := answer.Payload.Data
	if sum := answer.Payload.DataCRC32C; sum != nil && *sum != int64(crc32.Checksum(data, castagnoli)) {
		return got, damaged, errors.New("the store's answer is damaged: its checksum differs")
	}
	if !utf8.Valid(data) {
		return got, final, fmt.Errorf("%w: it must be UTF-8 text", secret.ErrMalformed)
	}
	version := secret.Version(path.Base(answer.Name))
	if len(version) > maxVersion {
		version = secret.Fingerprint(string(data))
	}
	return secret.Secret{Value: secret.NewValue(string(data)), Version: version}, final, nil
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// refusal returns the error for an answer other than 200. The text has the status and Google's name for it, but nothing
// else from the answer.
func refusal(status int, body []byte) (next verdict, err error) {
	var answer struct {
		Error struct{ Status string }
	}
	said := fmt.Sprintf("HTTP %d", status)
	if json.Unmarshal(body, &answer) == nil && isStatus(answer.Error.Status) {
		said += " " + answer.Error.Status
	}
	switch {
	case status == http.StatusBadRequest, status == http.StatusForbidden, status == http.StatusNotFound:
		// StatusBadRequest is FAILED_PRECONDITION: the version is disabled or destroyed.
		return final, fmt.Errorf("%w: %s", secret.ErrPermanent, said)
	case status == http.StatusTooManyRequests, status >= 500:
		return passing, fmt.Errorf("the store answered %s", said)
	}
	return final, fmt.Errorf("the store answered %s", said)
}

// isStatus reports whether s has the form of Google's error names, such as NOT_FOUND. Other text is not repeated.
func isStatus(s string) bool {
	return s != "" && len(s) <= 32 && strings.Trim(s, "ABCDEFGHIJKLMNOPQRSTUVWXYZ_") == ""
}
