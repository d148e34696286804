package awssm

import (
	"context"
	"errors"
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
// those are the owner's too (ambient). The owner's region is required, the platform's where the secret's
// name does not have it (located). An environment does not change while a program runs: what is missing
// is missing for good.
func identify(lookup func(string) (string, bool), ambient, located bool) (identity, error) {
	prefix := own
	id, missing := read(lookup, own)
	if id == (identity{}) && ambient {
		prefix = ""
		id, missing = read(lookup, "")
	}
	if id.region == "" && (prefix == own || !located) {
		missing = append(missing, prefix+"AWS_REGION")
	}
	var faults []error
	if len(missing) > 0 {
		faults = append(faults, fmt.Errorf("%w: awssm: lacks %s", secret.ErrMisconfigured, strings.Join(missing, ", ")))
	}
	if id.region != "" && !isRegion(id.region) {
		faults = append(faults, fmt.Errorf("%w: awssm: %sAWS_REGION is not of the form of a region, as eu-central-1", secret.ErrMisconfigured, prefix))
	}
	return id, errors.Join(faults...)
}

func isRegion(s string) bool {
	return s != "" && strings.Trim(s, "abcdefghijklmnopqrstuvwxyz0123456789-") == ""
}

// read takes an identity out of the variables with a prefix; missing are those without which there is
// none.
func read(lookup func(string) (string, bool), prefix string) (id identity, missing []string) {
	value := func(name string, required bool) string {
		v := setting(lookup, prefix+name)
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

// setting is a variable without the blanks and line breaks around it; "" where nothing is left.
func setting(lookup func(string) (string, bool), name string) string {
	v, _ := lookup(name)
	return strings.TrimSpace(v)
}
