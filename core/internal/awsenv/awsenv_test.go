package awsenv_test

import (
	"fmt"
	"maps"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/orga-session/orga-session/core/internal/awsenv"
)

type env map[string]string

func (e env) lookup(name string) (string, bool) { v, ok := e[name]; return v, ok }

func (e env) with(more env) env {
	e = maps.Clone(e)
	maps.Copy(e, more)
	return e
}

var (
	platform = env{"AWS_REGION": "eu-west-1", "AWS_ACCESS_KEY_ID": "AKIATHEPLATFORM", "AWS_SECRET_ACCESS_KEY": "not-a-secret", "AWS_SESSION_TOKEN": "token"}
	owner    = env{"ORGA_AWS_REGION": "eu-central-1", "ORGA_AWS_ACCESS_KEY_ID": "AKIATHEOWNER", "ORGA_AWS_SECRET_ACCESS_KEY": "not-a-secret"}

	dynamodb = awsenv.Service{Driver: "dynamodb", EndpointVariable: "AWS_ENDPOINT_URL_DYNAMODB"}
)

func TestRead(t *testing.T) {
	const enabled, unset = aws.FIPSEndpointStateEnabled, aws.FIPSEndpointStateUnset
	const dual, single = aws.DualStackEndpointStateEnabled, aws.DualStackEndpointStateUnset
	located := dynamodb
	located.Region = "ap-southeast-2"
	for _, tt := range []struct {
		name     string
		env      env
		service  awsenv.Service
		ambient  bool
		key      string // and the session token
		region   string
		endpoint string
		fips     aws.FIPSEndpointState
		dual     aws.DualStackEndpointState
	}{
		{"the platform's", platform, dynamodb, true, "AKIATHEPLATFORM token", "eu-west-1", "", unset, single},
		{"the owner's", owner, dynamodb, false, "AKIATHEOWNER ", "eu-central-1", "", unset, single},
		{"the owner's win", platform.with(owner), dynamodb, true, "AKIATHEOWNER ", "eu-central-1", "", unset, single},
		{"the resource's region wins", platform, located, true, "AKIATHEPLATFORM token", "ap-southeast-2", "", unset, single},
		{"the resource's region suffices", platform.with(env{"AWS_REGION": ""}), located, true, "AKIATHEPLATFORM token", "ap-southeast-2", "", unset, single},
		{"white space is trimmed", platform.with(env{"AWS_ACCESS_KEY_ID": " AKIA\n", "AWS_ENDPOINT_URL": " "}), dynamodb, true, "AKIA token", "eu-west-1", "", unset, single},
		{"FIPS and dual stack", platform.with(env{"AWS_USE_FIPS_ENDPOINT": "True", "AWS_USE_DUALSTACK_ENDPOINT": "true"}), dynamodb, true, "AKIATHEPLATFORM token", "eu-west-1", "", enabled, dual},
		{"an endpoint", platform.with(env{"AWS_ENDPOINT_URL": "https://other.example", "AWS_ENDPOINT_URL_DYNAMODB": "http://localhost:8000"}), dynamodb, true, "AKIATHEPLATFORM token", "eu-west-1", "http://localhost:8000", unset, single},
		{"an endpoint of all services", platform.with(env{"AWS_ENDPOINT_URL": "https://other.example", "AWS_USE_FIPS_ENDPOINT": "false"}), dynamodb, true, "AKIATHEPLATFORM token", "eu-west-1", "https://other.example", unset, single},
		{"endpoints ignored", platform.with(env{"AWS_ENDPOINT_URL": "x", "AWS_ENDPOINT_URL_DYNAMODB": "x", "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS": "true", "AWS_USE_FIPS_ENDPOINT": "true"}), dynamodb, true, "AKIATHEPLATFORM token", "eu-west-1", "", enabled, single},
	} {
		c, err := awsenv.Read(tt.env.lookup, tt.service, tt.ambient)
		if err != nil {
			t.Errorf("%s: %v", tt.name, err)
			continue
		}
		id, err := c.Credentials.Retrieve(t.Context())
		if err != nil || id.AccessKeyID+" "+id.SessionToken != tt.key || id.SecretAccessKey != "not-a-secret" {
			t.Errorf("%s: the credentials of %s %s, %v", tt.name, id.AccessKeyID, id.SessionToken, err)
		}
		if c.Region != tt.region || aws.ToString(c.Endpoint) != tt.endpoint || (c.Endpoint == nil) != (tt.endpoint == "") || c.FIPS != tt.fips || c.DualStack != tt.dual {
			t.Errorf("%s: %+v", tt.name, c)
		}
	}
}

func TestReadFaults(t *testing.T) {
	located := dynamodb
	located.Region = "ap-southeast-2"
	for _, tt := range []struct {
		name    string
		env     env
		service awsenv.Service
		ambient bool
		want    string // faults, one a line, each after "dynamodb: "
	}{
		{"fault 16: not the ambient credentials", platform, dynamodb, false, "missing ORGA_AWS_ACCESS_KEY_ID, ORGA_AWS_SECRET_ACCESS_KEY, ORGA_AWS_REGION"},
		{"fault 16: not with a region either", platform, located, false, "missing ORGA_AWS_ACCESS_KEY_ID, ORGA_AWS_SECRET_ACCESS_KEY, ORGA_AWS_REGION"},
		{"nothing", env{}, dynamodb, true, "missing AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_REGION"},
		{"nothing, with a region", env{}, located, true, "missing AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY"},
		{"part of the owner's", platform.with(env{"ORGA_AWS_REGION": "eu-central-1"}), dynamodb, true, "missing ORGA_AWS_ACCESS_KEY_ID, ORGA_AWS_SECRET_ACCESS_KEY"},
		{"the owner's without a region", platform.with(owner).with(env{"ORGA_AWS_REGION": ""}), located, true, "missing ORGA_AWS_REGION"},
		{"a region that is a host", owner.with(env{"ORGA_AWS_REGION": "x.evil.example/"}), dynamodb, true, "ORGA_AWS_REGION: want a region, such as eu-central-1"},
		{"a region in capitals", platform.with(env{"AWS_REGION": "EU"}), dynamodb, true, "AWS_REGION: want a region, such as eu-central-1"},
		{"switches that are neither", platform.with(env{"AWS_USE_FIPS_ENDPOINT": "1", "AWS_USE_DUALSTACK_ENDPOINT": "on", "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS": "yes"}), dynamodb, true,
			"AWS_IGNORE_CONFIGURED_ENDPOINT_URLS: want true or false\nAWS_USE_FIPS_ENDPOINT: want true or false\nAWS_USE_DUALSTACK_ENDPOINT: want true or false"},
		{"an endpoint without a scheme", platform.with(env{"AWS_ENDPOINT_URL_DYNAMODB": "localhost:8000"}), dynamodb, true, "AWS_ENDPOINT_URL_DYNAMODB: want an https:// or http:// URL"},
		{"an endpoint without a host", platform.with(env{"AWS_ENDPOINT_URL": "https://:443"}), dynamodb, true, "AWS_ENDPOINT_URL: want an https:// or http:// URL"},
		{"an endpoint that does not parse", platform.with(env{"AWS_ENDPOINT_URL": "https://%"}), dynamodb, true, "AWS_ENDPOINT_URL: want an https:// or http:// URL"},
		{"an endpoint of another scheme", platform.with(env{"AWS_ENDPOINT_URL": "ftp://host"}), dynamodb, true, "AWS_ENDPOINT_URL: want an https:// or http:// URL"},
		{"FIPS and an endpoint", platform.with(env{"AWS_ENDPOINT_URL": "https://other.example", "AWS_USE_FIPS_ENDPOINT": "true"}), dynamodb, true, "AWS_USE_FIPS_ENDPOINT and AWS_USE_DUALSTACK_ENDPOINT cannot be combined with a configured endpoint; AWS_IGNORE_CONFIGURED_ENDPOINT_URLS=true ignores that"},
		{"dual stack and an endpoint", platform.with(env{"AWS_ENDPOINT_URL": "https://other.example", "AWS_USE_DUALSTACK_ENDPOINT": "true"}), dynamodb, true, "AWS_USE_FIPS_ENDPOINT and AWS_USE_DUALSTACK_ENDPOINT cannot be combined with a configured endpoint; AWS_IGNORE_CONFIGURED_ENDPOINT_URLS=true ignores that"},
	} {
		want := "dynamodb: " + strings.ReplaceAll(tt.want, "\n", "\ndynamodb: ")
		if c, err := awsenv.Read(tt.env.lookup, tt.service, tt.ambient); err == nil || err.Error() != want || c.Credentials != nil {
			t.Errorf("%s:\n%v\nwant\n%v", tt.name, err, want)
		}
	}
}

func TestConfigPrintsNoCredentials(t *testing.T) {
	const canary = "canary-of-the-secret-access-key"
	c, err := awsenv.Read(platform.with(env{"AWS_SECRET_ACCESS_KEY": canary, "AWS_SESSION_TOKEN": canary}).lookup, dynamodb, true)
	if err != nil {
		t.Fatal(err)
	}
	for _, verb := range []string{"%v", "%+v", "%#v"} {
		if text := fmt.Sprintf(verb, c); strings.Contains(text, canary) {
			t.Errorf("%s: %s", verb, text)
		}
	}
}
