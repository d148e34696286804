package main

import (
	"bytes"
	"context"
	"errors"
	"io"
	"maps"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/orga-session/orga-session/core"
	"github.com/orga-session/orga-session/tools/procgroup"
)

const arn = "arn:aws:secretsmanager:eu-central-1:123456789012:secret:orga-api-key-AbCdEf"

// What the tools print if there is no such function, account, stack or Worker: gcloud 528, AWS CLI 1 and 2, Wrangler 4.
const (
	noFunction = `{ echo "ERROR: (gcloud.functions.describe) ResponseError: status=[404], code=[Ok], message=[Resource 'projects/my-project/locations/europe-west1/functions/orga-session' was not found]" >&2; exit 1; }`
	noAccount  = `{ echo "ERROR: (gcloud.iam.service-accounts.describe) NOT_FOUND: Unknown service account." >&2; exit 1; }`
	noStack    = `{ echo "An error occurred (ValidationError) when calling the DescribeStacks operation: Stack with id orga-session does not exist" >&2; exit 254; }`
	noWorker   = `{ printf '\033[31mX [41;31m[ERROR]\033[0m A request to the Cloudflare API (/accounts/a/workers/scripts/w/deployments) failed.\n\n  This Worker does not exist on your account. [code: 10007]\n' >&2; exit 1; }`
	noSecrets  = `{ echo 'X [ERROR] Worker "w" not found.' >&2; exit 1; }`
)

// Fake versions of the platforms' tools, in sh. Each records its calls.
var (
	loggedInAWS = map[string]string{
		"sam": `true`,
		"aws": `case "$*" in
			"sts get-caller-identity"*) echo arn:aws:iam::123456789012:user/me;;
			"secretsmanager describe-secret"*) echo ` + arn + `;;
			"cloudformation describe-stacks"*) echo '{}';;
			*) exit 1;; esac`,
	}
	loggedInGCP = map[string]string{
		"make": `true`,
		"gcloud": `case "$*" in
			"auth list"*) echo me@example.com;;
			"config get-value project"*) echo my-project;;
			"config get-value functions/region"*) echo europe-west1;;
			"iam service-accounts describe"*) ` + noAccount + `;;
			*) true;; esac`,
	}
	// firstGCP is a project that has no function yet and may build.
	firstGCP = map[string]string{
		"make": `true`,
		"gcloud": `case "$*" in
			"auth list"*) echo me@example.com;;
			"config get-value project"*) echo my-project;;
			"config get-value functions/region"*) echo europe-west1;;
			"iam service-accounts describe"*) ` + noAccount + `;;
			"functions describe orga-session --gen2 --region=europe-west1 --project"*) ` + noFunction + `;;
			"builds get-default-service-account"*) echo projects/my-project/serviceAccounts/1-compute@developer.gserviceaccount.com;;
			"projects get-iam-policy"*) echo roles/logging.logWriter; echo roles/cloudbuild.builds.builder;;
			*) true;; esac`,
	}
	loggedInNetlify = map[string]string{
		"go": `true`,
		"netlify": `case "$*" in
			"env:list"*) echo '{"ORGA_API_KEY":"hidden","ORGA_AUTH":"hidden"}';;
			*) true;; esac`,
	}
	loggedInCloudflare = map[string]string{
		"go": `true`, "make": `true`,
		"wrangler": `case "$*" in
			"deployments status"*) echo '{"versions":[{"version_id":"v1","percentage":100}]}';;
			"versions view v1"*) echo '{"resources":{"bindings":[{"type":"plain_text","name":"ORGA_AUTH","text":"oidc"}]}}';;
			"secret list"*) echo '[{"name":"ORGA_API_KEY","type":"secret_text"}]';;
			*) true;; esac`,
	}
)

// firstCloudflare is an account that has no Worker yet.
const firstCloudflare = `case "$1" in whoami) true;; secret) ` + noSecrets + `;; *) ` + noWorker + `;; esac`

// firstAWS is an account that has no stack yet.
var firstAWS = strings.Replace(loggedInAWS["aws"], "echo '{}'", noStack, 1)

// but returns tools with one script replaced, or removed if script is "".
func but(tools map[string]string, name, script string) map[string]string {
	changed := maps.Clone(tools)
	if changed[name] = script; script == "" {
		delete(changed, name)
	}
	return changed
}

// run deploys with fake tools. It returns the output, the calls of the tools and the
// settings file that they had.
func run(t *testing.T, platform string, tools map[string]string, answer string, dry bool, env ...string) (out, calls string, err error) {
	t.Helper()
	root := t.TempDir()
	out, err = runIn(t, root, platform, tools, answer, dry, env...)
	made, _ := os.ReadFile(filepath.Join(root, "calls")) // no call, no file
	file, _ := os.ReadFile(filepath.Join(root, "file"))
	return out, string(made) + string(file), err
}

func runIn(t *testing.T, root, platform string, tools map[string]string, answer string, dry bool, env ...string) (out string, err error) {
	t.Helper()
	if len(tools) > 0 && runtime.GOOS == "windows" {
		t.Skip("the fake tools are shell scripts")
	}
	bin := t.TempDir()
	for name, script := range tools { // they run in root
		if !strings.HasPrefix(script, "#!") {
			script = "#!/bin/sh\necho \"" + name + " $*\" >>calls\n" +
				"for f in dist/deploy-*; do [ -f $f ] && { /bin/ls -l $f; /bin/cat $f; } >file; done\n" + script + "\n"
		}
		if err := os.WriteFile(filepath.Join(bin, name), []byte(script), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("PATH", bin)
	var printed bytes.Buffer
	template, err := os.ReadFile("../../template.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(root, "template.yaml"), template, 0o600); err != nil {
		t.Fatal(err)
	}
	d := &deploy{env: core.Environ(env), root: root, dry: dry, yes: slices.Contains(env, "YES=1"), in: strings.NewReader(answer), out: &printed}
	err = d.to(t.Context(), platform)
	return printed.String(), err
}

func TestPrerequisites(t *testing.T) {
	notLoggedIn := `case "$*" in "auth list"*) ;; *) echo x;; esac`
	for _, tt := range []struct {
		name, platform string
		tools          map[string]string
		env            []string
		want           string
	}{
		{"no SAM CLI", "aws", but(loggedInAWS, "sam", ""), []string{"REGION=eu-central-1"}, "install-sam-cli"},
		{"no AWS CLI", "aws", but(loggedInAWS, "aws", ""), []string{"REGION=eu-central-1"}, "getting-started-install"},
		{"no region", "aws", loggedInAWS, nil, "REGION=eu-central-1"},
		{"not logged in at AWS", "aws", but(loggedInAWS, "aws", `exit 1`), []string{"REGION=eu-central-1"}, "aws configure sso"},
		{"no secret at AWS", "aws", but(loggedInAWS, "aws", `[ "$1" = sts ] && echo me || { echo "An error occurred (ResourceNotFoundException) when calling the DescribeSecret operation" >&2; exit 254; }`), []string{"REGION=eu-central-1"}, "aws secretsmanager create-secret --region eu-central-1 --name orga-api-key"},
		{"the key in the environment", "aws", loggedInAWS, []string{"REGION=eu-central-1", "ORGA_API_KEY=sk_orga_ai_test"}, "ORGA_API_KEY is not deployed"},
		{"a variable without a parameter", "aws", loggedInAWS, []string{"REGION=eu-central-1", "TAGS=otel", "OTEL_BSP_SCHEDULE_DELAY=1"}, "OTEL_BSP_SCHEDULE_DELAY is not deployed"},
		{"a setting without a parameter", "aws", loggedInAWS, []string{"REGION=eu-central-1", "ORGA_TRUSTED_HOPS=1"}, "ORGA_TRUSTED_HOPS is not deployed"},
		{"a misspelled setting", "aws", loggedInAWS, []string{"REGION=eu-central-1", "ORGA_AUTHH=oidc"}, "did you mean ORGA_AUTH?"},
		{"a misspelled setting at Google", "gcp", loggedInGCP, []string{"ORGA_CORS_ORIGIN=https://a.example"}, "did you mean ORGA_CORS_ORIGINS?"},
		{"a misspelled setting at Netlify", "netlify", loggedInNetlify, []string{"NETLIFY_SITE_ID=site", "ORGA_AUTHH=oidc"}, "did you mean ORGA_AUTH?"},
		{"a misspelled parameter", "aws", loggedInAWS, []string{"REGION=eu-central-1", "MAKEFLAGS=s -- AlarmEmial=me@example.com REGION=eu-central-1"}, "did you mean AlarmEmail?"},
		{"a setting by its parameter's name", "aws", loggedInAWS, []string{"REGION=eu-central-1", "Auth=oidc", "MAKEFLAGS=s -- Auth=oidc REGION=eu-central-1"}, "Auth is set by ORGA_AUTH: pass that instead"},
		{"a Google Cloud region at AWS", "aws", loggedInAWS, []string{"REGION=europe-west1", "ORGA_AUTH=hmac"}, "REGION=eu-central-1"},
		{"a misspelled option", "aws", loggedInAWS, []string{"REGION=eu-central-1", "MAKEFLAGS=s -- stack=mine"}, "did you mean STACK?"},
		{"a bad value", "aws", loggedInAWS, []string{"REGION=eu-central-1", "ORGA_RATE_LIMIT=30"}, "ORGA_RATE_LIMIT: want COUNT/PERIOD"},
		{"a key in place of a source", "gcp", loggedInGCP, []string{"ORGA_AUTH_HMAC_KEY_SOURCE=sk_orga_ai_test"}, "ORGA_AUTH_HMAC_KEY_SOURCE: invalid setting: it contains a key"},
		{"a region of AWS at Google", "gcp", loggedInGCP, []string{"REGION=eu-central-1", "ORGA_AUTH=hmac"}, "REGION=europe-west1"},
		{"no ORGA_AUTH at a first deployment, in CI", "aws", but(loggedInAWS, "aws", firstAWS), []string{"REGION=eu-central-1", "YES=1"}, "ORGA_AUTH=anonymous    for a trial"},
		{"a backslash at AWS", "aws", loggedInAWS, []string{"REGION=eu-central-1", "ORGA_AUTH=hmac", `ORGA_USER_EMAIL=a@b.example\" Auth=anonymous X=\"`}, "UserEmail: SAM takes a value with a backslash"},
		{"a backslash in a parameter", "aws", loggedInAWS, []string{"REGION=eu-central-1", "ORGA_AUTH=hmac", `AlarmEmail=a@b.example\`}, "AlarmEmail: SAM takes a value with a backslash"},
		{"another parameter at AWS", "aws", loggedInAWS, []string{"REGION=eu-central-1", "ORGA_AUTH=hmac", "ORGA_USER_EMAIL=ParameterKey=Auth,ParameterValue=anonymous@b.example"}, "UserEmail: SAM takes a value with a backslash or ParameterKey="},
		{"a control character", "gcp", loggedInGCP, []string{"ORGA_AUTH=oidc", "ORGA_AUTH_ISSUER=https://i.example", "ORGA_AUTH_AUDIENCE=a\u0085b"}, "ORGA_AUTH_AUDIENCE: remove the control characters"},
		{"a reference", "netlify", loggedInNetlify, []string{"NETLIFY_SITE_ID=site", "ORGA_AUTH=oidc", "ORGA_AUTH_ISSUER=https://i.example", "ORGA_AUTH_AUDIENCE=$ORGA_RATE_LIMIT_STORE"}, "ORGA_AUTH_AUDIENCE: want a value"},
		{"a password in a collector's URL", "gcp", loggedInGCP, []string{"TAGS=otel", "OTEL_EXPORTER_OTLP_ENDPOINT=https://u:sk_orga_ai_test@c.example"}, "OTEL_EXPORTER_OTLP_ENDPOINT: remove the user name and password"},
		{"a password in a collector's URL at AWS", "aws", loggedInAWS, []string{"REGION=eu-central-1", "TAGS=otel", "OTEL_EXPORTER_OTLP_ENDPOINT=https://sk_orga_ai_test@c.example"}, "OTEL_EXPORTER_OTLP_ENDPOINT: remove the user name and password"},
		{"no gcloud", "gcp", but(loggedInGCP, "gcloud", ""), nil, "cloud.google.com/sdk"},
		{"no project", "gcp", but(loggedInGCP, "gcloud", `case "$*" in *project*) ;; *) echo x;; esac`), nil, "PROJECT=my-project"},
		{"not logged in at Google", "gcp", but(loggedInGCP, "gcloud", notLoggedIn), nil, "gcloud auth login"},
		{"a long name at Google", "gcp", loggedInGCP, []string{"FUNCTION=orga-session-for-the-staging-team"}, "FUNCTION=shorter-name"},
		{"another program's service account", "gcp", but(loggedInGCP, "gcloud", strings.Replace(loggedInGCP["gcloud"], noAccount, "true", 1)), []string{"FUNCTION=canary"}, "FUNCTION=another-name"},
		{"another function's service account", "gcp", but(loggedInGCP, "gcloud", strings.Replace(loggedInGCP["gcloud"], noAccount, "echo staging", 1)), []string{"FUNCTION=orga-staging"}, "FUNCTION=another-name"},
		{"no secret at Google", "gcp", but(loggedInGCP, "gcloud", `case "$*" in secrets*) echo "ERROR: (gcloud.secrets.describe) NOT_FOUND: Secret not found." >&2; exit 1;; *) echo x;; esac`), nil, "gcloud secrets create orga-api-key"},
		{"builds without a role at Google", "gcp", but(firstGCP, "gcloud", strings.Replace(firstGCP["gcloud"], "echo roles/cloudbuild.builds.builder", "true", 1)), []string{"ORGA_AUTH=oidc", "ORGA_AUTH_ISSUER=https://i.example", "ORGA_AUTH_AUDIENCE=a"}, "gcloud projects add-iam-policy-binding my-project --member=serviceAccount:1-compute@developer.gserviceaccount.com --role=roles/cloudbuild.builds.builder"},
		{"telemetry at Netlify", "netlify", loggedInNetlify, []string{"NETLIFY_SITE_ID=site", "TAGS=otel"}, "takes no tags"},
		{"no netlify", "netlify", but(loggedInNetlify, "netlify", ""), nil, "npm install --global netlify-cli"},
		{"not logged in at Netlify", "netlify", but(loggedInNetlify, "netlify", `exit 1`), nil, "netlify login"},
		{"no site", "netlify", loggedInNetlify, nil, "netlify link"},
		{"a misspelled setting at Cloudflare", "cloudflare", loggedInCloudflare, []string{"ORGA_AUTHH=oidc"}, "did you mean ORGA_AUTH?"},
		{"no wrangler", "cloudflare", but(loggedInCloudflare, "wrangler", ""), nil, "npm install --global wrangler"},
		{"not logged in at Cloudflare", "cloudflare", but(loggedInCloudflare, "wrangler", `exit 1`), nil, "wrangler login"},
		{"no key at Cloudflare", "cloudflare", but(loggedInCloudflare, "wrangler", strings.Replace(loggedInCloudflare["wrangler"], "ORGA_API_KEY", "OTHER", 1)), nil, "wrangler secret put ORGA_API_KEY --name orga-session"},
		{"no Worker at Cloudflare", "cloudflare", but(loggedInCloudflare, "wrangler", firstCloudflare), []string{"WORKER=mine"}, "wrangler secret put ORGA_API_KEY --name mine"},
		{"the key in the environment, at Cloudflare", "cloudflare", loggedInCloudflare, []string{"ORGA_API_KEY=sk_orga_ai_test"}, "wrangler secret put ORGA_API_KEY"},
		{"a password, at Cloudflare", "cloudflare", loggedInCloudflare, []string{"ORGA_RATE_LIMIT_STORE=rediss://:hunter2@r.example"}, "wrangler secret put ORGA_RATE_LIMIT_STORE"},
		{"telemetry at Cloudflare", "cloudflare", loggedInCloudflare, []string{"TAGS=otel"}, "built without tags"},
		{"no ORGA_AUTH at a first deployment at Cloudflare, in CI", "cloudflare", but(loggedInCloudflare, "wrangler", strings.Replace(loggedInCloudflare["wrangler"], `"ORGA_AUTH"`, `"OTHER"`, 1)), []string{"YES=1"}, "ORGA_AUTH=anonymous    for a trial"},
		{"no key at Netlify", "netlify", but(loggedInNetlify, "netlify", `[ "$1" = env:list ] && echo '{}'; true`), []string{"NETLIFY_SITE_ID=site"}, "netlify env:set ORGA_API_KEY"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, calls, err := run(t, tt.platform, tt.tools, "y\n", false, tt.env...)
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %v, want it to contain %q", err, tt.want)
			}
			if changes(calls) {
				t.Errorf("something was changed:\n%s", calls)
			}
			if err != nil && strings.Contains(err.Error(), "sk_orga_ai_test") {
				t.Errorf("the key is in %v", err)
			}
		})
	}
}

// If the platform does not say whether there is a deployment (no permission, no network, an expired login), it must not be
// taken for the first one, which opens a Google function and asks who may mint.
func TestUnknownDeployment(t *testing.T) {
	const denied = `{ echo "PERMISSION_DENIED: not for you" >&2; exit 1; }`
	after := func(tools map[string]string, tool, call string) map[string]string {
		return but(tools, tool, `case "$*" in "`+call+`"*) `+denied+`;; esac; `+tools[tool])
	}
	for _, tt := range []struct {
		name, platform string
		tools          map[string]string
		env, want      string
	}{
		{"the stack", "aws", after(loggedInAWS, "aws", "cloudformation describe-stacks"), "REGION=eu-central-1", "aws configure sso"},
		{"the secret at AWS", "aws", after(loggedInAWS, "aws", "secretsmanager describe-secret"), "REGION=eu-central-1", "aws configure sso"},
		{"the login at AWS", "aws", after(loggedInAWS, "aws", "sts"), "REGION=eu-central-1", "aws configure sso"},
		{"the function", "gcp", after(loggedInGCP, "gcloud", "functions describe"), "", "gcloud auth login"},
		{"the service account", "gcp", after(loggedInGCP, "gcloud", "iam service-accounts describe"), "", "gcloud auth login"},
		{"the callers", "gcp", after(loggedInGCP, "gcloud", "run services get-iam-policy"), "ORGA_GCP_IAM_REQUIRED=true", "gcloud auth login"},
		{"the secret at Google", "gcp", after(loggedInGCP, "gcloud", "secrets describe"), "", "gcloud auth login"},
		{"the site's variables", "netlify", after(loggedInNetlify, "netlify", "env:list"), "NETLIFY_SITE_ID=site", "netlify login"},
		{"the login at Netlify", "netlify", after(loggedInNetlify, "netlify", "api"), "NETLIFY_SITE_ID=site", "netlify login"},
		{"the Worker's deployments", "cloudflare", after(loggedInCloudflare, "wrangler", "deployments status"), "", "wrangler login"},
		{"the Worker's version", "cloudflare", after(loggedInCloudflare, "wrangler", "versions view"), "", "wrangler login"},
		{"the Worker's secrets", "cloudflare", after(loggedInCloudflare, "wrangler", "secret list"), "", "wrangler login"},
		{"the login at Cloudflare", "cloudflare", after(loggedInCloudflare, "wrangler", "whoami"), "", "wrangler login"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, calls, err := run(t, tt.platform, tt.tools, "y\n", false, "ORGA_AUTH=anonymous", "YES=1", tt.env)
			if err == nil || changes(calls) || !strings.Contains(err.Error(), "not for you") || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("%v, want what the tool printed and %q; calls:\n%s", err, tt.want, calls)
			}
			out, _, err := run(t, tt.platform, tt.tools, "", true, "ORGA_AUTH=anonymous", tt.env)
			if err != nil || !strings.Contains(out, "not for you") || tt.name == "the function" && strings.Contains(out, " --allow-unauthenticated") {
				t.Errorf("a dry run: %v\n%s", err, out)
			}
		})
	}
}

// changes reports whether the calls changed anything.
func changes(calls string) bool {
	for _, sign := range []string{"sam deploy", "functions deploy", "netlify deploy", "wrangler deploy ", "env:set", "services enable", "accounts create", "add-iam", "remove-iam"} {
		if strings.Contains(calls, sign) {
			return true
		}
	}
	return false
}

func TestDeploy(t *testing.T) {
	aws := []string{"REGION=eu-central-1", "ORGA_AUTH=hmac", "ORGA_CORS_ORIGINS=https://a.example,https://b.example", "ORGA_DEBUG=", "ORGA_RATE_LIMIT_STORE=rediss://:hunter2@r.example", "AlarmEmail=me@example.com", "Slo=99.5", "CanaryMinutes=5"}
	for _, tt := range []struct {
		name, platform string
		tools          map[string]string
		env            []string
		calls          []string
	}{
		{"AWS", "aws", loggedInAWS, aws, []string{
			"sam build", "sam deploy --stack-name orga-session --region eu-central-1",
			`ApiKeySecretArn=\"` + arn + `\"`, `Auth=\"hmac\"`, `CorsOrigins=\"https://a.example,https://b.example\"`, `Debug=\"\"`, `AlarmEmail=\"me@example.com\"`,
			`Slo=\"99.5\"`, `CanaryMinutes=\"5\"`, `RateLimitStore=\"rediss://:hunter2@r.example\"`,
		}},
		{"Google", "gcp", loggedInGCP, append([]string{"REGION=europe-west1"}, aws[1:]...), []string{
			"--format=value(serviceConfig.uri)", // it prints no settings
			"gcloud iam service-accounts create orga-session", "gcloud secrets add-iam-policy-binding orga-api-key", "make build-gcp",
			"gcloud functions deploy orga-session --gen2 --runtime=go126 --region=europe-west1",
			`"ORGA_CORS_ORIGINS": "https://a.example,https://b.example"`, `"ORGA_DEBUG": ""`,
		}},
		{"AWS with telemetry", "aws", loggedInAWS, []string{"REGION=eu-central-1", "ORGA_AUTH=hmac", "TAGS=otel", "OTEL_EXPORTER_OTLP_ENDPOINT=https://c.example", `OTEL_EXPORTER_OTLP_HEADERS=key="hunter2"`}, []string{
			`OtelExporterOtlpEndpoint=\"https://c.example\"`, `OtelExporterOtlpHeaders=\"key=\\\"hunter2\\\"\"`,
		}},
		{"Google with another program's telemetry", "gcp", loggedInGCP, []string{"OTEL_EXPORTER_OTLP_HEADERS=hunter2", "ORGA_AUTH=oidc"}, []string{`"ORGA_AUTH": "oidc"`}},
		{"Netlify with another program's telemetry", "netlify", loggedInNetlify, []string{"NETLIFY_SITE_ID=site", "ORGA_AUTH=hmac", "OTEL_SERVICE_NAME=agent"}, []string{"netlify deploy --prod"}},
		{"another function at Google", "gcp", loggedInGCP, []string{"FUNCTION=staging", "SECRET=staging-key"}, []string{
			"gcloud iam service-accounts create orga-staging --display-name=staging ", "add-iam-policy-binding staging-key --member=serviceAccount:orga-staging@my-project.iam.gserviceaccount.com",
			"functions deploy staging ", "--service-account=orga-staging@my-project.iam.gserviceaccount.com",
		}},
		{"Google, with its service account", "gcp", but(loggedInGCP, "gcloud", strings.Replace(loggedInGCP["gcloud"], noAccount, "echo orga-session", 1)), nil, []string{"functions deploy"}},
		{"Google, the first time", "gcp", firstGCP, []string{"ORGA_AUTH=anonymous"}, []string{"gcloud functions deploy", "gcloud projects get-iam-policy my-project"}},
		{"Google, whose build account cannot be read", "gcp", but(firstGCP, "gcloud", strings.Replace(firstGCP["gcloud"], "echo projects/my-project/serviceAccounts/1-compute@developer.gserviceaccount.com", "exit 1", 1)), []string{"ORGA_AUTH=anonymous"}, []string{"gcloud functions deploy"}},
		{"Google with a build account", "gcp", but(firstGCP, "gcloud", strings.Replace(firstGCP["gcloud"], "echo roles/cloudbuild.builds.builder", "true", 1)), []string{"ORGA_AUTH=anonymous", "BUILD_ACCOUNT=b@my-project.iam.gserviceaccount.com"}, []string{"--build-service-account=projects/my-project/serviceAccounts/b@my-project.iam.gserviceaccount.com"}},
		{"Google with telemetry", "gcp", loggedInGCP, []string{"TAGS=otel", "OTEL_EXPORTER_OTLP_ENDPOINT=https://c.example"}, []string{
			"make build-gcp TAGS=otel", `"OTEL_EXPORTER_OTLP_ENDPOINT": "https://c.example"`,
		}},
		{"Google, in other words", "gcp", firstGCP, []string{"ORGA_GCP_IAM_REQUIRED= TRUE ", "ORGA_AUTH=gateway"}, []string{"--no-allow-unauthenticated"}},
		{"Google without IAM", "gcp", loggedInGCP, []string{"ORGA_GCP_IAM_REQUIRED=false", "ORGA_AUTH=oidc"}, []string{" --allow-unauthenticated"}},
		{"Google with IAM", "gcp", loggedInGCP, []string{"ORGA_GCP_IAM_REQUIRED=true", "ORGA_AUTH=gateway"}, []string{"--no-allow-unauthenticated"}},
		{"Netlify", "netlify", loggedInNetlify, append([]string{"NETLIFY_SITE_ID=site"}, aws...), []string{
			"netlify env:set --context production --force -- ORGA_AUTH hmac", "netlify env:unset ORGA_DEBUG",
			"netlify env:set --context production --force --secret -- ORGA_RATE_LIMIT_STORE $ORGA_RATE_LIMIT_STORE",
			"netlify deploy --prod",
		}},
		{"Netlify, with a dash", "netlify", loggedInNetlify, []string{"NETLIFY_SITE_ID=site", "ORGA_AUTH=oidc", "ORGA_AUTH_ISSUER=https://i.example", "ORGA_AUTH_AUDIENCE=--secret"}, []string{"-- ORGA_AUTH_AUDIENCE --secret"}},
		{"Cloudflare", "cloudflare", loggedInCloudflare, []string{"WORKER=orga-test", "ORGA_AUTH=hmac", "ORGA_AUTH_HMAC_KEY_SOURCE=cloudflare:hunter2", "ORGA_CORS_ORIGINS=https://a.example,https://b.example", "ORGA_DEBUG="}, []string{
			"make build-cloudflare",
			"wrangler deploy --config cloudflare/wrangler.jsonc --name orga-test --keep-vars --var ORGA_AUTH:hmac --var ORGA_AUTH_HMAC_KEY_SOURCE:$ORGA_AUTH_HMAC_KEY_SOURCE --var ORGA_CORS_ORIGINS:https://a.example,https://b.example --var ORGA_DEBUG:",
		}},
		{"Cloudflare with the key in Secrets Store", "cloudflare", but(loggedInCloudflare, "wrangler", `[ "$1" = secret ] && `+noSecrets+`; `+loggedInCloudflare["wrangler"]), []string{"ORGA_API_KEY_SOURCE=cloudflare:ORGA_KEY", "ORGA_AUTH=oidc"}, []string{
			"--var ORGA_API_KEY_SOURCE:$ORGA_API_KEY_SOURCE",
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			out, calls, err := run(t, tt.platform, tt.tools, "y\n", false, tt.env...)
			if err != nil {
				t.Fatal(err)
			}
			for _, want := range tt.calls {
				if !strings.Contains(calls, want) {
					t.Errorf("no call has %s:\n%s", want, calls)
				}
			}
			if strings.Contains(out, "hunter2") {
				t.Errorf("a password is shown:\n%s", out)
			}

			for name, answer := range map[string]string{"no": "n\n", "nothing": ""} {
				if _, calls, err := run(t, tt.platform, tt.tools, answer, false, tt.env...); err == nil || changes(calls) {
					t.Errorf("answer %s: error %v, calls:\n%s", name, err, calls)
				}
			}
			out, calls, err = run(t, tt.platform, tt.tools, "y\n", true, tt.env...)
			if err != nil || changes(calls) || !strings.Contains(out, "deploy") || strings.Contains(out, "hunter2") {
				t.Errorf("a dry run: %v\n%s\n%s", err, calls, out)
			}
		})
	}
}

// A dry run without tools or a login lists what is missing and prints the commands.
func TestDryRunWithoutTools(t *testing.T) {
	for _, platform := range []string{"aws", "gcp", "netlify", "cloudflare"} {
		out, _, err := run(t, platform, nil, "", true)
		if err != nil || !strings.Contains(out, "is not installed") || !strings.Contains(out, "+ ") {
			t.Errorf("%s: %v\n%s", platform, err, out)
		}
	}
}

// Setting OTEL_* variables without TAGS=otel prints a warning.
func TestTelemetryWithoutTag(t *testing.T) {
	for _, platform := range []string{"aws", "gcp"} {
		for tags, warns := range map[string]bool{"": true, "otel": false} {
			out, _, err := run(t, platform, nil, "", true, "OTEL_EXPORTER_OTLP_ENDPOINT=https://c.example", "TAGS="+tags)
			if err != nil || strings.Contains(out, "this build ignores them") != warns {
				t.Errorf("%s with TAGS=%s: %v\n%s", platform, tags, err, out)
			}
		}
	}
}

// The template can set every setting of core that is useful on Lambda: through the parameter with its name or, for a source,
// from the ARN of a secret.
func TestTemplateHasSettings(t *testing.T) {
	template, err := os.ReadFile("../../template.yaml")
	if err != nil {
		t.Fatal(err)
	}
	elsewhere := []string{
		"ORGA_API_KEY",                                                                                      // the key is in Secrets Manager
		"ORGA_AWS_REGION", "ORGA_AWS_ACCESS_KEY_ID", "ORGA_AWS_SECRET_ACCESS_KEY", "ORGA_AWS_SESSION_TOKEN", // Lambda has its own
		"ORGA_TRUSTED_HOPS", "ORGA_GCP_IAM_REQUIRED", "ORGA_GCPSM_ENDPOINT", // of other platforms
	}
	settings := []string{"OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_HEADERS"}
	for _, s := range core.Settings() {
		if s.Variable != "" && !slices.Contains(elsewhere, s.Variable) {
			settings = append(settings, s.Variable)
		}
	}
	for _, setting := range settings {
		name := parameterName(setting)
		own := strings.Contains(string(template), "\n  "+name+":\n") && regexp.MustCompile(`\n +`+setting+`: (!If \[\w+, .*, )?!Ref `+name+`\]?\n`).Match(template)
		ofSecret := strings.HasSuffix(setting, "_SOURCE") && strings.Contains(string(template), "\n          "+setting+": !If")
		if !own && !ofSecret {
			t.Errorf("template.yaml does not set %s from %s", setting, name)
		}
	}
}

// A function may rely on Google's IAM to admit only callers that it knows. A redeployment that does not name the setting
// must not open it.
func TestRedeploymentKeepsIAM(t *testing.T) {
	for _, tt := range []struct {
		name  string
		tools map[string]string
		opens bool
	}{{"the first time", firstGCP, true}, {"again", loggedInGCP, false}} {
		_, calls, err := run(t, "gcp", tt.tools, "y\n", false, "ORGA_AUTH=anonymous")
		if err != nil || strings.Contains(calls, "allow-unauthenticated") != tt.opens {
			t.Errorf("%s: %v\n%s", tt.name, err, calls)
		}
	}
}

// A public function that is to rely on IAM is closed before its new settings are in effect, because gcloud would do so after.
func TestClosesFunctionFirst(t *testing.T) {
	public := but(loggedInGCP, "gcloud", `case "$*" in "run services get-iam-policy"*) echo allUsers; echo user:a@b.example; echo allAuthenticatedUsers;; esac; `+loggedInGCP["gcloud"])
	_, calls, err := run(t, "gcp", public, "y\n", false, "ORGA_AUTH=gateway", "ORGA_GCP_IAM_REQUIRED=true")
	if err != nil {
		t.Fatal(err)
	}
	deployed := strings.Index(calls, "functions deploy")
	for _, member := range []string{"allUsers", "allAuthenticatedUsers"} {
		if at := strings.Index(calls, "remove-iam-policy-binding orga-session --region=europe-west1 --member="+member+" "); at < 0 || at > deployed {
			t.Errorf("%s can call it while it is deployed:\n%s", member, calls)
		}
	}
	if strings.Contains(calls, "--member=user:") {
		t.Errorf("a caller by name is removed:\n%s", calls)
	}
}

// A first deployment asks for ORGA_AUTH and deploys the answer.
func TestAsksForAuth(t *testing.T) {
	first := but(loggedInAWS, "aws", firstAWS)
	out, calls, err := run(t, "aws", first, "anonymous\ny\n", false, "REGION=eu-central-1")
	if err != nil || !strings.Contains(out, "Who may mint?") || !strings.Contains(out, "for trials only") || !strings.Contains(calls, `Auth=\"anonymous\"`) {
		t.Errorf("%v\n%s\n%s", err, out, calls)
	}
	for answer, want := range map[string]string{"\n": "declined", "": "YES=1", "jwt\ny\n": `unknown method "jwt"`, "oidc\ny\n": "ORGA_AUTH_ISSUER"} {
		if _, calls, err := run(t, "aws", first, answer, false, "REGION=eu-central-1"); err == nil || !strings.Contains(err.Error(), want) || changes(calls) {
			t.Errorf("%q: %v, want %s", answer, err, want)
		}
	}
}

// No argument contains a secret, because arguments are visible to every user of the machine. Secrets are in a file that
// only its owner can read and that is removed at the end.
func TestNoSecretsInArguments(t *testing.T) {
	secrets := []string{"ORGA_AUTH=hmac", "ORGA_RATE_LIMIT_STORE=rediss://:hunter2@r.example"}
	for _, tt := range []struct {
		name, platform string
		tools          map[string]string
		env            []string
		file           string
		fails          bool
	}{
		{"AWS", "aws", loggedInAWS, append(secrets, "REGION=eu-central-1"), "dist/deploy-aws.toml", false},
		{"AWS with telemetry", "aws", loggedInAWS, []string{"ORGA_AUTH=hmac", "REGION=eu-central-1", "TAGS=otel", "OTEL_EXPORTER_OTLP_HEADERS=key=hunter2"}, "dist/deploy-aws.toml", false},
		{"AWS, a failed deployment", "aws", but(loggedInAWS, "sam", `[ "$1" = build ]`), append(secrets, "REGION=eu-central-1"), "dist/deploy-aws.toml", true},
		{"Google", "gcp", loggedInGCP, secrets, "dist/deploy-gcp.json", false},
		{"Google, a failed deployment", "gcp", but(loggedInGCP, "make", "exit 1"), secrets, "dist/deploy-gcp.json", true},
		{"Netlify", "netlify", loggedInNetlify, append(secrets, "NETLIFY_SITE_ID=site"), "", false},
		{"Cloudflare", "cloudflare", loggedInCloudflare, []string{"ORGA_AUTH=hmac", "ORGA_AUTH_HMAC_KEY_SOURCE=cloudflare:hunter2"}, "", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			root := t.TempDir()
			out, err := runIn(t, root, tt.platform, tt.tools, "y\n", false, tt.env...)
			if (err != nil) != tt.fails {
				t.Fatal(err)
			}
			calls, _ := os.ReadFile(filepath.Join(root, "calls"))
			if strings.Contains(string(calls)+out, "hunter2") || !changes(string(calls)) && !tt.fails {
				t.Errorf("calls:\n%s\noutput:\n%s", calls, out)
			}
			if tt.file == "" {
				return
			}
			file, _ := os.ReadFile(filepath.Join(root, "file"))
			if !strings.HasPrefix(string(file), "-rw-------") || !strings.Contains(string(file), "hunter2") {
				t.Errorf("the settings file:\n%s", file)
			}
			if _, err := os.Stat(filepath.Join(root, tt.file)); !os.IsNotExist(err) {
				t.Errorf("%s is left: %v", tt.file, err)
			}
		})
	}
}

// Netlify's CLI and Wrangler, which run in Node.js, see the values instead of the references.
func TestReferencesResolve(t *testing.T) {
	node, err := exec.LookPath("node")
	if err != nil {
		t.Skip("Node.js is not installed")
	}
	cli := "#!" + node + `
const { appendFileSync, readFileSync } = require("fs");
const args = process.argv.slice(2).join(" ");
appendFileSync("calls", "netlify " + args + "\n" + readFileSync("/proc/self/cmdline") + "\n");
if (args.startsWith("env:list")) console.log('{"ORGA_API_KEY":"hidden","ORGA_AUTH":"hidden"}');
`
	if _, err := os.Stat("/proc/self/cmdline"); err != nil {
		t.Skip("arguments are read in /proc")
	}
	_, calls, err := run(t, "netlify", but(loggedInNetlify, "netlify", cli), "y\n", false,
		"NETLIFY_SITE_ID=site", "ORGA_AUTH=hmac", "ORGA_RATE_LIMIT_STORE=rediss://:pass%20w%24rd@r.example", "NODE_OPTIONS=--no-deprecation")
	const value = "rediss://:pass%20w%24rd@r.example"
	if err != nil || !strings.Contains(calls, "netlify env:set --context production --force --secret -- ORGA_RATE_LIMIT_STORE "+value+"\n") || strings.Count(calls, value) != 1 {
		t.Errorf("%v\n%s", err, calls)
	}
}

// Ctrl-C ends a question and a command, and removes the settings file.
func TestCtrlC(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("the fake tools are shell scripts")
	}
	for name, tools := range map[string]map[string]string{
		"at the question":  loggedInAWS,
		"during a command": but(loggedInAWS, "sam", "trap 'exit 1' INT; echo started >started; while :; do /bin/sleep 0.05; done"),
	} {
		t.Run(name, func(t *testing.T) {
			bin, root := t.TempDir(), t.TempDir()
			for name, script := range tools {
				if err := os.WriteFile(filepath.Join(bin, name), []byte("#!/bin/sh\n"+script+"\n"), 0o755); err != nil {
					t.Fatal(err)
				}
			}
			template, err := os.ReadFile("../../template.yaml")
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(root, "template.yaml"), template, 0o600); err != nil {
				t.Fatal(err)
			}
			t.Setenv("PATH", bin)
			asked, keyboard := newSignal("Deploy? [y/N]"), strings.NewReader("y\n")
			in, typed := io.Pipe()
			defer typed.Close()
			ctx, interrupt := context.WithCancel(t.Context())
			d := &deploy{env: core.Env{"REGION": "eu-central-1", "ORGA_AUTH": "hmac"}, root: root, in: in, out: asked}
			ended := make(chan error, 1)
			go func() { ended <- d.to(ctx, "aws") }()
			<-asked.seen
			if name == "during a command" {
				_, _ = io.Copy(typed, keyboard)
				typed.Close()
				for _, err := os.Stat(filepath.Join(root, "started")); err != nil; _, err = os.Stat(filepath.Join(root, "started")) {
					runtime.Gosched()
				}
			}
			interrupt()
			if err := <-ended; err == nil {
				t.Error("it went on")
			}
			if _, err := os.Stat(filepath.Join(root, awsFile)); !os.IsNotExist(err) {
				t.Errorf("the settings file is left: %v", err)
			}
		})
	}
}

// Each signal that ends the command cancels its context, so that the settings file is removed. Under nohup, which ignores
// SIGHUP, a closed terminal does not.
func TestSignals(t *testing.T) {
	if runtime.GOOS == "windows" || signal.Ignored(syscall.SIGHUP) {
		t.Skip("a process cannot signal itself, or the test runs under nohup")
	}
	self, err := os.FindProcess(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		nohup bool
		sent  []os.Signal
		want  error
	}{
		{false, []os.Signal{os.Interrupt}, errInterrupted},
		{false, []os.Signal{syscall.SIGTERM}, errTerminated},
		{false, []os.Signal{syscall.SIGHUP}, errTerminated},
		{true, []os.Signal{syscall.SIGHUP, os.Interrupt}, errInterrupted},
	} {
		if tt.nohup {
			signal.Ignore(syscall.SIGHUP)
		}
		ctx := untilSignal()
		for _, s := range tt.sent {
			if err := self.Signal(s); err != nil {
				t.Fatal(err)
			}
		}
		<-ctx.Done()
		if cause := context.Cause(ctx); !errors.Is(cause, tt.want) {
			t.Errorf("%v: %v, want %v", tt.sent, cause, tt.want)
		}
	}
	signal.Reset(os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
}

// printSignal closes seen once a text was printed.
type printSignal struct {
	text    string
	printed strings.Builder
	seen    chan struct{}
}

func newSignal(text string) *printSignal { return &printSignal{text: text, seen: make(chan struct{})} }

func (s *printSignal) Write(b []byte) (int, error) {
	was := strings.Contains(s.printed.String(), s.text)
	s.printed.Write(b)
	if !was && strings.Contains(s.printed.String(), s.text) {
		close(s.seen)
	}
	return len(b), nil
}

// make reports no error after Ctrl-C in make run and make deploy-…, even if the program it ends fails, but does after a real failure.
func TestMakeOnCtrlC(t *testing.T) {
	make, err := exec.LookPath("make")
	if err != nil || runtime.GOOS == "windows" {
		t.Skip("make is not installed")
	}
	for _, target := range []string{"run", "deploy-aws", "deploy-gcp", "deploy-netlify", "deploy-cloudflare"} {
		for script, fails := range map[string]bool{"trap 'exit 1' INT; echo '# started'; while :; do /bin/sleep 0.05; done": false, "echo '# started'; exit 1": true} {
			bin := t.TempDir()
			if err := os.WriteFile(filepath.Join(bin, "go"), []byte("#!/bin/sh\n"+script+"\n"), 0o755); err != nil {
				t.Fatal(err)
			}
			started := newSignal("started\n")
			cmd := exec.CommandContext(t.Context(), make, target)
			cmd.Dir, cmd.Env, cmd.Stdout, cmd.Stderr = "../..", []string{"PATH=" + bin + ":/usr/bin:/bin"}, started, started
			procgroup.Set(cmd)
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			<-started.seen
			if !fails {
				if err := procgroup.Signal(cmd, syscall.SIGINT); err != nil {
					t.Fatal(err)
				}
			}
			if err := cmd.Wait(); err == nil || strings.Contains(started.printed.String(), "***") != fails {
				t.Errorf("make %s: %v\n%s", target, err, started.printed.String())
			}
		}
	}
}
