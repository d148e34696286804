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

// tokens hands out an access token that is good for a call now.
type tokens func(ctx context.Context) (string, error)

// findCredentials looks where Google's libraries look, and in the same order. What it leaves out is
// their probe for a metadata server: it waits for as long as it likes, and one slow answer is held
// against the server for the life of the process. Without a file, there is nobody else to ask.
func findCredentials(lookup func(string) (string, bool), client *http.Client) (tokens, error) {
	file, _ := lookup("GOOGLE_APPLICATION_CREDENTIALS")
	if file == "" {
		home, _ := lookup("HOME")
		left := filepath.Join(home, ".config", "gcloud", "application_default_credentials.json")
		if runtime.GOOS == "windows" {
			home, _ = lookup("APPDATA")
			left = filepath.Join(home, "gcloud", "application_default_credentials.json")
		}
		if _, err := os.Stat(left); err == nil {
			file = left
		}
	}
	if file == "" {
		return fromMetadata(client), nil
	}
	return fromFile(file, client)
}

// fromFile uses the credentials in a file: a service account's, a person's, or those of a workload
// that another cloud vouches for.
func fromFile(file string, client *http.Client) (tokens, error) {
	content, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("%w: Google's credentials cannot be read: %w", secret.ErrMisconfigured, err)
	}
	var kind struct{ Type credentials.CredType }
	_ = json.Unmarshal(content, &kind) // what does not parse has no type, which is refused next
	creds, err := credentials.NewCredentialsFromJSON(kind.Type, content, &credentials.DetectOptions{
		Scopes:              []string{scope},
		Client:              client,
		DisableAsyncRefresh: true, // a frozen instance would stall it
	})
	if err != nil {
		return nil, fmt.Errorf("%w: %s holds no Google credentials", secret.ErrMisconfigured, file)
	}
	return func(ctx context.Context) (string, error) {
		token, err := creds.Token(ctx)
		if err != nil {
			return "", tokenError(err)
		}
		return token.Value, nil
	}, nil
}

// fromMetadata asks the metadata server at each call; it is next door, and keeps the tokens itself.
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

// tokenError says why there is no access token, with nothing of what the other side said.
func tokenError(err error) error {
	if _, ok := errors.AsType[metadata.NotDefinedError](err); ok {
		return errors.New("no access token: the metadata server knows no service account of this function")
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
