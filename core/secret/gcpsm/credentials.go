package gcpsm

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"runtime"

	"cloud.google.com/go/auth"
	"cloud.google.com/go/auth/credentials"
	"cloud.google.com/go/compute/metadata"

	"github.com/orga-session/orga-session/core/secret"
)

const scope = "https://www.googleapis.com/auth/cloud-platform"

// tokens returns a currently valid access token.
type tokens func(ctx context.Context) (string, error)

// findCredentials looks in the same places as Google's libraries, in the same order, but omits their probe for a metadata
// server, which has no deadline and caches a slow answer for the life of the process. Without a file, the metadata server
// is the only remaining source.
func findCredentials(lookup func(string) (string, bool), client *http.Client) (tokens, error) {
	file, _ := lookup("GOOGLE_APPLICATION_CREDENTIALS")
	if file == "" {
		home, _ := lookup("HOME")
		gcloud := filepath.Join(home, ".config", "gcloud", "application_default_credentials.json")
		if runtime.GOOS == "windows" {
			home, _ = lookup("APPDATA")
			gcloud = filepath.Join(home, "gcloud", "application_default_credentials.json")
		}
		if _, err := os.Stat(gcloud); err == nil {
			file = gcloud
		}
	}
	if file == "" {
		return fromMetadata(client), nil
	}
	return fromFile(file, client)
}

// fromFile uses the credentials in a file: a service account's, a person's, or a workload identity federation's.
func fromFile(file string, client *http.Client) (tokens, error) {
	content, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("%w: Google's credentials cannot be read: %w", secret.ErrMisconfigured, err)
	}
	var kind struct{ Type credentials.CredType }
	_ = json.Unmarshal(content, &kind) // a missing type is refused below
	creds, err := credentials.NewCredentialsFromJSON(kind.Type, content, &credentials.DetectOptions{
		Scopes:              []string{scope},
		Client:              client,
		DisableAsyncRefresh: true, // a frozen instance would stall it
	})
	if err != nil {
		return nil, fmt.Errorf("%w: %s: want Google credentials in JSON", secret.ErrMisconfigured, file)
	}
	return func(ctx context.Context) (string, error) {
		token, err := creds.Token(ctx)
		if err != nil {
			return "", tokenError(err)
		}
		return token.Value, nil
	}, nil
}

// fromMetadata asks the metadata server each time; it runs on the same host and caches tokens itself.
func fromMetadata(client *http.Client) tokens {
	server := metadata.NewClient(client)
	return func(ctx context.Context) (string, error) {
		answer, err := server.GetWithContext(ctx, "instance/service-accounts/default/token")
		if err != nil {
			return "", tokenError(err)
		}
		var token struct {
			AccessToken string `json:"access_token"`
		}
		if json.Unmarshal([]byte(answer), &token) != nil || token.AccessToken == "" {
			return "", errors.New("the metadata server sent no access token")
		}
		return token.AccessToken, nil
	}
}

// tokenError says why there is no access token, without quoting the answer.
func tokenError(err error) error {
	if _, ok := errors.AsType[metadata.NotDefinedError](err); ok {
		return errors.New("no access token: the metadata server has no service account for this function")
	}
	status := 0
	if e, ok := errors.AsType[*auth.Error](err); ok && e.Response != nil {
		status = e.Response.StatusCode
	}
	if e, ok := errors.AsType[*metadata.Error](err); ok {
		status = e.Code
	}
	switch status {
	case 0:
		return fmt.Errorf("no access token: %w", secret.Unavailable(err))
	case http.StatusBadRequest, http.StatusUnauthorized, http.StatusForbidden:
		return fmt.Errorf("%w: no access token: HTTP %d", secret.ErrPermanent, status)
	}
	return fmt.Errorf("no access token: HTTP %d", status)
}
