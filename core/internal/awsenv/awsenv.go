// Package awsenv reads what the environment says about AWS, for the drivers that call one of its
// services: credentials, region, and which endpoint to use.
//
// It stands in for the SDK's config package, which brings profiles, SSO, STS, container and instance
// credentials, none of which a function needs: its credentials are in its environment.
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
	// Driver begins the errors, such as "awssm".
	Driver string
	// EndpointVariable is the SDK's variable of the service's endpoint, such as
	// AWS_ENDPOINT_URL_SECRETS_MANAGER.
	EndpointVariable string
	// Region is that of the resource where its name has one, as an ARN does; "" elsewhere.
	Region string
}

// Config is what the client of a service needs.
type Config struct {
	Region      string
	Credentials aws.CredentialsProvider // prints nothing of the credentials
	Endpoint    *string                 // in place of AWS's own; nil for that
	FIPS        aws.FIPSEndpointState
	DualStack   aws.DualStackEndpointState
}

// Read reads the settings of a service. Its error joins all that is wrong with them, each by its
// variable's name.
//
// The credentials are ORGA_AWS_ACCESS_KEY_ID, ORGA_AWS_SECRET_ACCESS_KEY, the optional
// ORGA_AWS_SESSION_TOKEN and ORGA_AWS_REGION; if only some of them are set, that is an error. If none is
// set and ambient is true, they are the platform's: the same names without ORGA_, where the region may be
// missing if the service has one. ambient must be false where the platform's credentials belong to
// somebody else, as on Netlify.
//
// The endpoint is that of the EndpointVariable, else of AWS_ENDPOINT_URL, unless
// AWS_IGNORE_CONFIGURED_ENDPOINT_URLS is true. AWS_USE_FIPS_ENDPOINT and AWS_USE_DUALSTACK_ENDPOINT pick
// another of AWS's own endpoints, and cannot be combined with a configured one.
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

// IsRegion reports whether s has the form of a region, such as eu-central-1. It becomes part of a host
// name.
func IsRegion(s string) bool {
	return s != "" && strings.Trim(s, "abcdefghijklmnopqrstuvwxyz0123456789-") == ""
}

// reader reads variables and collects what is wrong with them.
type reader struct {
	lookup func(string) (string, bool)
	driver string
	faults []error
}

func (r *reader) addFault(format string, args ...any) {
	r.faults = append(r.faults, fmt.Errorf(r.driver+": "+format, args...))
}

// text is a variable without the white space around it; "" where nothing is left.
func (r *reader) text(name string) string {
	v, _ := r.lookup(name)
	return strings.TrimSpace(v)
}

// bool reads the two values that the SDK knows, in any case.
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

// identity is who calls, and the default region.
type identity struct {
	key, secret, session string
	region               string
}

// provider is a closure: printed with %+v, a struct would show its fields.
func (id identity) provider() aws.CredentialsProvider {
	return aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
		return aws.Credentials{AccessKeyID: id.key, SecretAccessKey: id.secret, SessionToken: id.session}, nil
	})
}

// own is the prefix of the variables that belong to the owner on every platform.
const own = "ORGA_"

// identity takes the owner's variables if any of them is set, and the platform's only if ambient.
// located reports that the resource has a region of its own.
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
