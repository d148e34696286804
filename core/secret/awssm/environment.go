package awssm

import (
	"context"
	"fmt"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/orga-session/orga-session/core/secret"
)

// The variables, less their prefix.
const (
	region       = "AWS_REGION"
	accessKey    = "AWS_ACCESS_KEY_ID"
	secretKey    = "AWS_SECRET_ACCESS_KEY"
	sessionToken = "AWS_SESSION_TOKEN"

	own = "ORGA_" // the prefix of the variables that are the owner's on every platform
)

// environment is a set of variables that credentials come from: the owner's or the platform's. It is
// an aws.CredentialsProvider.
type environment struct {
	lookup func(string) (string, bool)
	prefix string // own, or "" for the platform's
}

// chooseEnvironment takes the owner's variables wherever one of them is set, and the platform's only
// where those are the owner's too (ambient).
func chooseEnvironment(lookup func(string) (string, bool), ambient bool) (environment, error) {
	env := environment{lookup, own}
	var missing []string
	for _, name := range []string{region, accessKey, secretKey} {
		if env.value(name) == "" {
			missing = append(missing, own+name)
		}
	}
	switch none := len(missing) == 3 && env.value(sessionToken) == ""; {
	case none && ambient:
		return environment{lookup, ""}, nil
	case len(missing) > 0:
		return environment{}, fmt.Errorf("%w: awssm: lacks %s", secret.ErrMisconfigured, strings.Join(missing, ", "))
	}
	return env, nil
}

func (e environment) value(name string) string {
	v, _ := e.lookup(e.prefix + name)
	return v
}

// Retrieve reads the credentials anew, for each call to AWS.
func (e environment) Retrieve(context.Context) (aws.Credentials, error) {
	c := aws.Credentials{
		AccessKeyID:     e.value(accessKey),
		SecretAccessKey: e.value(secretKey),
		SessionToken:    e.value(sessionToken),
		Source:          e.prefix + accessKey,
	}
	if !c.HasKeys() {
		return aws.Credentials{}, fmt.Errorf("%w: %s and %s are not set", secret.ErrMisconfigured, e.prefix+accessKey, e.prefix+secretKey)
	}
	return c, nil
}
