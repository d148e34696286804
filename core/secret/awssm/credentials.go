package awssm

import (
	"context"
	"fmt"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/orga-session/orga-session/core/secret"
)

// identity is who asks, and from where by default.
type identity struct {
	aws.Credentials
	region string
}

// Retrieve makes it an aws.CredentialsProvider.
func (i identity) Retrieve(context.Context) (aws.Credentials, error) { return i.Credentials, nil }

// own is the prefix of the variables that are the owner's on every platform.
const own = "ORGA_"

// identify takes the owner's variables wherever one of them is set, and the platform's only where
// those are the owner's too (ambient). An environment does not change while a program runs: what is
// missing is missing for good.
func identify(lookup func(string) (string, bool), ambient bool) (identity, error) {
	id, missing := read(lookup, own)
	if id == (identity{}) && ambient {
		id, missing = read(lookup, "")
	} else if id.region == "" {
		missing = append(missing, own+"AWS_REGION")
	}
	if len(missing) > 0 {
		return identity{}, fmt.Errorf("%w: awssm: lacks %s", secret.ErrMisconfigured, strings.Join(missing, ", "))
	}
	return id, nil
}

// read takes an identity out of the variables with a prefix; missing are those without which there is
// none.
func read(lookup func(string) (string, bool), prefix string) (id identity, missing []string) {
	value := func(name string, required bool) string {
		v, _ := lookup(prefix + name)
		if v == "" && required {
			missing = append(missing, prefix+name)
		}
		return v
	}
	id.AccessKeyID = value("AWS_ACCESS_KEY_ID", true)
	id.SecretAccessKey = value("AWS_SECRET_ACCESS_KEY", true)
	id.SessionToken = value("AWS_SESSION_TOKEN", false)
	id.region = value("AWS_REGION", false)
	return id, missing
}
