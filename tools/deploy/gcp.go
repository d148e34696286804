package main

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

var gcpTools = map[string]string{
	"gcloud": "The gcloud CLI: https://cloud.google.com/sdk/docs/install",
	"make":   "On Debian: apt-get install make; on macOS: xcode-select --install",
}

// A function of a project whose API is not enabled does not exist either.
var gcloud = cli{
	absent: regexp.MustCompile(`(?m)^ERROR: \(gcloud[\w.-]+\) (NOT_FOUND:|ResponseError: status=\[404\])|API has not been used in project \S+ before or it is disabled`),
	login:  "gcloud auth login",
}

// gcpServices are the APIs that building and running a function requires.
var gcpServices = []string{
	"cloudfunctions.googleapis.com", "run.googleapis.com", "cloudbuild.googleapis.com",
	"artifactregistry.googleapis.com", "secretmanager.googleapis.com",
}

// mountedKey is the file with the API key in the function. Google updates it when the secret is rotated.
const mountedKey = "/etc/orga/api-key"

// gcpFile is a settings file. gcloud does not upload it: the source is dist/gcp.
const gcpFile = "dist/deploy-gcp.json"

func (d *deploy) gcp(ctx context.Context) (plan, error) {
	name, secret := d.value("FUNCTION", "orga-session"), d.value("SECRET", "orga-api-key")
	variables, err := d.gcpVariables()
	faults := []error{err, checkInstalled(gcpTools)}
	region, project, builder := d.env["REGION"], d.env["PROJECT"], d.env["BUILD_ACCOUNT"]
	who := ""
	if faults[1] == nil {
		if region == "" {
			region, _ = d.query(ctx, "gcloud", "config", "get-value", "functions/region", "--quiet")
		}
		if project == "" {
			project, _ = d.query(ctx, "gcloud", "config", "get-value", "project", "--quiet")
		}
	}
	if region == "" {
		faults = append(faults, missing{"No region is set.", "make deploy-gcp REGION=europe-west1"})
		region = "REGION"
	}
	if project == "" {
		faults = append(faults, missing{"No project is set.", "make deploy-gcp PROJECT=my-project    (or: gcloud config set project my-project)"})
		project = "PROJECT"
	}
	if regexp.MustCompile(`^[a-z]{2}(-[a-z]+)+-[0-9]$`).MatchString(region) {
		faults = append(faults, missing{region + " is an AWS region.", "make deploy-gcp REGION=europe-west1    (gcloud functions regions list prints all regions)"})
	}
	id := name // of the function's service account; a prefix keeps it from being another program's
	if !strings.HasPrefix(id, "orga-") {
		id = "orga-" + id
	}
	if len(id) > 30 {
		faults = append(faults, missing{"The service account " + id + " would have more than 30 characters.", "make deploy-gcp FUNCTION=shorter-name"})
	}
	account := id + "@" + project + ".iam.gserviceaccount.com"
	required, named := d.env.Lookup("ORGA_GCP_IAM_REQUIRED")
	iamRequired, _ := strconv.ParseBool(strings.TrimSpace(required)) // the value has been checked
	hasAccount, exists, invoking := false, false, ""
	if errors.Join(faults...) == nil {
		var stored bool
		if who, _ = d.query(ctx, "gcloud", "auth", "list", "--filter=status:ACTIVE", "--format=value(account)"); who == "" {
			faults = append(faults, missing{"gcloud is not logged in.", gcloud.login})
		} else if _, stored, err = d.find(ctx, gcloud, "the secret "+secret, "gcloud", "secrets", "describe", secret, "--project="+project, "--quiet"); err != nil {
			faults = append(faults, err)
		} else if !stored {
			faults = append(faults, missing{
				fmt.Sprintf("There is no secret %s in %s.", secret, project),
				fmt.Sprintf("gcloud services enable secretmanager.googleapis.com --project=%s\ngcloud secrets create %s --project=%s --replication-policy=automatic --data-file=-\nThen type or paste the key, press Enter, then Ctrl-D. To use another secret: make deploy-gcp SECRET=name", project, secret, project),
			})
		} else {
			var unknown [2]error
			_, exists, unknown[0] = d.find(ctx, gcloud, "the function "+name, "gcloud", "functions", "describe", name, "--gen2", "--region="+region, "--project="+project, "--quiet")
			var owner string
			owner, hasAccount, unknown[1] = d.find(ctx, gcloud, "the service account "+account, "gcloud", "iam", "service-accounts", "describe", account, "--project="+project, "--format=value(displayName)", "--quiet")
			faults = append(faults, unknown[:]...)
			if hasAccount && unknown[1] == nil && owner != name {
				faults = append(faults, missing{
					fmt.Sprintf("The service account %s exists for something else: its display name is %q, not %s.", account, owner, name),
					fmt.Sprintf("make deploy-gcp FUNCTION=another-name\nOr, if it is this function's: gcloud iam service-accounts update %s --display-name=%s --project=%s", account, name, project),
				})
			}
			if exists && iamRequired {
				invoking, _, err = d.find(ctx, gcloud, "a policy of "+name, "gcloud", "run", "services", "get-iam-policy", name, "--region="+region, "--project="+project,
					"--flatten=bindings[].members", "--filter=bindings.role=roles/run.invoker", "--format=value(bindings.members)", "--quiet")
				faults = append(faults, err)
			}
			if !exists && builder == "" {
				faults = append(faults, d.gcpBuilds(ctx, project))
			}
		}
	}

	in := "--project=" + project
	var invokers []string
	access := "Who can call it remains as it is."
	switch {
	case iamRequired:
		invokers, access = []string{"--no-allow-unauthenticated"}, "Only callers with roles/run.invoker on it can call it."
	case named || !exists: // otherwise the deployed function may rely on IAM
		invokers, access = []string{"--allow-unauthenticated"}, "Anyone can call it; ORGA_AUTH decides which callers get a session."
	}
	steps := [][]string{append([]string{"gcloud", "services", "enable"}, append(gcpServices, in)...)}
	if !hasAccount {
		steps = append(steps, []string{"gcloud", "iam", "service-accounts", "create", id, "--display-name=" + name, in})
	}
	release := []string{
		"gcloud", "functions", "deploy", name, "--gen2", "--runtime=go126", "--region=" + region, "--source=dist/gcp",
		"--entry-point=OrgaSession", "--trigger-http", "--memory=256Mi", "--cpu=1", "--timeout=15s", "--concurrency=80",
		"--service-account=" + account, "--update-secrets=" + mountedKey + "=" + secret + ":latest",
		"--format=value(serviceConfig.uri)", // by default, it prints the settings, secrets included
		"--flags-file=" + gcpFile, in, "--quiet",
	}
	release = append(release, invokers...)
	if builder != "" {
		release = append(release, "--build-service-account=projects/"+project+"/serviceAccounts/"+builder)
	}
	var closing [][]string
	// gcloud would remove public callers only after the new settings, which rely on IAM, are in effect.
	for member := range strings.FieldsSeq(invoking) {
		if member == "allUsers" || member == "allAuthenticatedUsers" {
			closing = append(closing, []string{
				"gcloud", "run", "services", "remove-iam-policy-binding", name, "--region=" + region, "--member=" + member,
				"--role=roles/run.invoker", "--condition=None", in, "--quiet",
			})
		}
	}
	return plan{
		summary: compact(
			fmt.Sprintf("Google Cloud: stage the source and deploy it as function %s in %s, project %s%s.", name, region, project, asAccount(who)),
			"It runs as the dedicated service account "+account+", which gets access to the secret "+secret+".",
			access, d.tags()),
		steps: slices.Concat(steps, [][]string{
			{
				"gcloud", "secrets", "add-iam-policy-binding", secret, "--member=serviceAccount:" + account,
				"--role=roles/secretmanager.secretAccessor", "--condition=None", in, "--quiet",
			},
			{"make", "build-gcp", "TAGS=" + d.env["TAGS"]},
		}, closing, [][]string{release}),
		exists: exists,
		file: settingsFile{
			name:     gcpFile,
			settings: append(variables, setting{name: "GOOGLE_CLOUD_PROJECT", value: project}, setting{name: "ORGA_API_KEY_SOURCE", value: "file:" + mountedKey}),
			format:   gcpFlags,
		},
		after: "In your app, use the address above with /api/orga-client-secrets. /readyz answers 200 once the key is available. Test the endpoint with make probe URL=…",
	}, errors.Join(faults...)
}

// gcpBuilds reports a project whose builds would fail for lack of permissions. Since 2024, builds run as the
// Compute default service account, which has no roles in many organizations. If the account or its roles cannot
// be read (because Cloud Build is not enabled yet, say), nothing is reported.
func (d *deploy) gcpBuilds(ctx context.Context, project string) error {
	name, err := d.query(ctx, "gcloud", "builds", "get-default-service-account", "--project="+project, "--format=value(serviceAccountEmail)", "--quiet")
	if err != nil || name == "" {
		return nil
	}
	account := name[strings.LastIndex(name, "/")+1:] // projects/…/serviceAccounts/EMAIL
	roles, err := d.query(ctx, "gcloud", "projects", "get-iam-policy", project, "--flatten=bindings[].members",
		"--filter=bindings.members=serviceAccount:"+account, "--format=value(bindings.role)", "--quiet")
	if err != nil {
		return nil
	}
	for role := range strings.FieldsSeq(roles) {
		if slices.Contains([]string{"roles/cloudbuild.builds.builder", "roles/editor", "roles/owner"}, role) {
			return nil
		}
	}
	return missing{
		fmt.Sprintf("Builds in %s run as %s, which lacks the role for building.", project, account),
		fmt.Sprintf("gcloud projects add-iam-policy-binding %s --member=serviceAccount:%s --role=roles/cloudbuild.builds.builder --condition=None\n"+
			"Or name an account that may build, such as by a role granted at the organization or a custom role: make deploy-gcp BUILD_ACCOUNT=%s", project, account, account),
	}
}

func (d *deploy) gcpVariables() ([]setting, error) {
	return d.settings(map[string]string{
		"ORGA_API_KEY":        "store the key as a secret",
		"ORGA_API_KEY_SOURCE": "the secret is mounted as a file (SECRET=name); see docs/deploy-gcp.md",
	})
}

// gcpFlags formats variables as a file of flags (gcloud topic flags-file).
func gcpFlags(variables []setting) string {
	values := make(map[string]string, len(variables))
	for _, s := range variables {
		values[s.name] = s.value
	}
	return jsonText(map[string]any{"--update-env-vars": values})
}
