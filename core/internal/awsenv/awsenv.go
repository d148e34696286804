// Package awsenv reads AWS settings from the environment, for the drivers that call an AWS service: credentials, region
// and endpoint.
//
// It replaces the SDK's config package, which also supports profiles, SSO, STS, and container and instance credentials.
// A function needs none of them, because its credentials are in its environment.
package awsenv

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
)

// Service is the AWS service that a driver calls.
type Service struct {
	// Driver starts each error, such as "awssm".
	Driver string
	// EndpointVariable is the SDK's variable for the service's endpoint, such as AWS_ENDPOINT_URL_SECRETS_MANAGER.
	EndpointVariable string
	// Region is the region in the resource's name (an ARN), "" if the name has none.
	Region string
}

// Config is the configuration of a service's client.
type Config struct {
	Region      string
	Credentials aws.CredentialsProvider // never prints the credentials
	Endpoint    *string                 // replaces AWS's own; nil if not configured
	FIPS        aws.FIPSEndpointState
	DualStack   aws.DualStackEndpointState
}

// Read reads the settings of a service. Its error joins all faults, each with its variable's name.
//
// The credentials are ORGA_AWS_ACCESS_KEY_ID, ORGA_AWS_SECRET_ACCESS_KEY, the optional ORGA_AWS_SESSION_TOKEN and
// ORGA_AWS_REGION; setting only some of them is an error. If none is set and ambient is true, they are the platform's:
// the same names without ORGA_, where the region may be missing if Service has one. ambient must be false where the
// platform's credentials belong to somebody else, as on Netlify.
//
// The endpoint is that of the EndpointVariable, else of AWS_ENDPOINT_URL, unless AWS_IGNORE_CONFIGURED_ENDPOINT_URLS
// is true. AWS_USE_FIPS_ENDPOINT and AWS_USE_DUALSTACK_ENDPOINT select another AWS endpoint, and cannot be combined with
// a configured one.
func Read(lookup func(string) (string, bool), service Service, ambient bool) (Config, error) {
	r := reader{lookup: lookup, driver: service.Driver}
	id := r.identity(ambient, service.Region != "")
	c := Config{Region: id.region, Credentials: id.provider()}
	if service.Region != "" {
		c.Region = service.Region
	}
	c.Endpoint = r.endpoint(service.EndpointVariable)
	if r.bool("AWS_USE_FIPS_ENDPOINT") {
		c.FIPS = aws.FIPSEndpointStateEnabled
	}
	if r.bool("AWS_USE_DUALSTACK_ENDPOINT") {
		c.DualStack = aws.DualStackEndpointStateEnabled
	}
	if c.Endpoint != nil && (c.FIPS != aws.FIPSEndpointStateUnset || c.DualStack != aws.DualStackEndpointStateUnset) {
		r.addFault("AWS_USE_FIPS_ENDPOINT and AWS_USE_DUALSTACK_ENDPOINT cannot be combined with a configured endpoint; AWS_IGNORE_CONFIGURED_ENDPOINT_URLS=true ignores that")
	}
	if err := errors.Join(r.faults...); err != nil {
		return Config{}, err
	}
	return c, nil
}

// IsRegion reports whether s has the form of a region, such as eu-central-1. A region becomes part of a host name, so
// other text must be refused.
func IsRegion(s string) bool {
	return s != "" && strings.Trim(s, "abcdefghijklmnopqrstuvwxyz0123456789-") == ""
}

// IsErrorCode reports whether s has the form of AWS's error codes, which are letters only. Other text from an answer is not
// repeated.
func IsErrorCode(s string) bool {
	letters := strings.Trim(s, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz") == ""
	return letters && s != "" && len(s) <= 64
}

// reader reads variables and collects faults.
type reader struct {
	lookup func(string) (string, bool)
	driver string
	faults []error
}

func (r *reader) addFault(format string, args ...any) {
	r.faults = append(r.faults, fmt.Errorf(r.driver+": "+format, args...))
}

// text returns a variable without surrounding white space.
func (r *reader) text(name string) string {
	v, _ := r.lookup(name)
	return strings.TrimSpace(v)
}

// bool parses true and false in any case, as the SDK does.
func (r *reader) bool(name string) bool {
	switch v := r.text(name); {
	case strings.EqualFold(v, "true"):
		return true
	case v != "" && !strings.EqualFold(v, "false"):
		r.addFault("%s: want true or false", name)
	}
	return false
}

func (r *reader) endpoint(variable string) *string {
	ignored := r.bool("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS")
	for _, name := range []string{variable, "AWS_ENDPOINT_URL"} {
		v := r.text(name)
		if v == "" || ignored {
			continue
		}
		if u, err := url.Parse(v); err != nil || u.Hostname() == "" || u.Scheme != "https" && u.Scheme != "http" {
			r.addFault("%s: want an https:// or http:// URL", name)
		}
		return &v
	}
	return nil
}

// identity has the caller's credentials and default region.
type identity struct {
	key, secret, session string
	region               string
}

// provider is a closure, because %+v prints the fields of a struct.
func (id identity) provider() aws.CredentialsProvider {
	return aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
		return aws.Credentials{AccessKeyID: id.key, SecretAccessKey: id.secret, SessionToken: id.session}, nil
	})
}

// own is the prefix of variables that belong to the endpoint's owner on every platform.
const own = "ORGA_"

// identity returns the owner's credentials if any of their variables is set, and the platform's only if ambient.
// located means that the resource has its own region.
func (r *reader) identity(ambient, located bool) identity {
	prefix := own
	id := r.read(own)
	if id == (identity{}) && ambient {
		prefix = ""
		id = r.read("")
	}
	var missing []string
	for _, required := range []struct{ name, value string }{
		{"AWS_ACCESS_KEY_ID", id.key}, {"AWS_SECRET_ACCESS_KEY", id.secret}, {"AWS_REGION", id.region},
	} {
		if required.value == "" && (required.name != "AWS_REGION" || prefix == own || !located) {
			missing = append(missing, prefix+required.name)
		}
	}
	if missing != nil {
		r.addFault("missing %s", strings.Join(missing, ", "))
	}
	if id.region != "" && !IsRegion(id.region) {
		r.addFault("%sAWS_REGION: want a region, such as eu-central-1", prefix)
	}
	return id
}

func (r *reader) read(prefix string) identity {
	return identity{
		key:     r.text(prefix + "AWS_ACCESS_KEY_ID"),
		secret:  r.text(prefix + "AWS_SECRET_ACCESS_KEY"),
		session: r.text(prefix + "AWS_SESSION_TOKEN"),
		region:  r.text(prefix + "AWS_REGION"),
	}
}
