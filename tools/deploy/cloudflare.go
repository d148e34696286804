package main

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"slices"

	"github.com/orga-session/orga-session/core"
)

var cloudflareTools = map[string]string{
	"wrangler": "Wrangler, Cloudflare's CLI: npm install --global wrangler    (on Node.js 20: wrangler@4.72.0)",
	"go":       "Go 1.26: https://go.dev/dl/",
}

var wrangler = cli{
	absent: regexp.MustCompile(`\[code: 1(0007|0090)\]|Worker ".*" not found\.|The Worker \S+ has no deployments\.`),
	login:  "wrangler login    (or CLOUDFLARE_API_TOKEN and CLOUDFLARE_ACCOUNT_ID)",
}

func (d *deploy) cloudflare(ctx context.Context) (plan, error) {
	worker := d.value("WORKER", "orga-session")
	put := func(name string) string { return "wrangler secret put " + name + " --name " + worker }
	refused := make(map[string]string)
	for _, s := range core.Settings() {
		if s.Secret {
			refused[s.Variable] = "store it as a secret of the Worker, once: " + put(s.Variable)
		}
	}
	settings, err := d.settings(refused)
	if d.env["TAGS"] != "" {
		err = errors.Join(err, errors.New("TAGS is not deployed: the Worker is built without tags, and OpenTelemetry does not run in it"))
	}
	faults := []error{err, checkInstalled(cloudflareTools)}
	config := d.wranglerVars()
	exists := slices.Contains(config, "ORGA_AUTH")
	if faults[1] == nil {
		given := config
		for _, s := range settings {
			given = append(given, s.name)
		}
		err := d.cloudflareWorker(ctx, worker, put("ORGA_API_KEY"), given, &exists)
		faults = append(faults, err)
	}
	step := []string{"wrangler", "deploy", "--config", "cloudflare/wrangler.jsonc", "--name", worker, "--keep-vars"}
	for _, s := range settings {
		step = append(step, "--var", s.name+":"+argument(s))
	}
	return plan{
		summary: compact(
			"Cloudflare: build the Worker and deploy it as "+worker+". It needs the Workers Paid plan.",
			names(settings, "the Worker's variables")),
		steps:  [][]string{{"make", "build-cloudflare"}, step},
		exists: exists,
		after:  "In your app, use the Worker's address, above, with /api/orga-client-secrets. /readyz answers 200 once the key is available. Test the endpoint with make probe URL=…",
	}, errors.Join(faults...)
}

// wranglerVars returns the names of the settings in wrangler.jsonc.
func (d *deploy) wranglerVars() (names []string) {
	text, _ := os.ReadFile(filepath.Join(d.root, "cloudflare", "wrangler.jsonc")) // wrangler itself reports errors in it
	for _, m := range regexp.MustCompile(`(?m)^\s*"(ORGA_\w+)":`).FindAllStringSubmatch(string(text), -1) {
		names = append(names, m[1])
	}
	return names
}

// cloudflareWorker checks the login and that the Worker has a key, unless one of the given settings replaces it. It
// sets exists if the Worker has ORGA_AUTH.
func (d *deploy) cloudflareWorker(ctx context.Context, worker, put string, given []string, exists *bool) error {
	if _, err := d.query(ctx, "wrangler", "whoami", "--json"); err != nil {
		return wrangler.failed("Wrangler is not logged in", err)
	}
	what := "the Worker " + worker
	var status struct {
		Versions []struct {
			ID string `json:"version_id"`
		} `json:"versions"`
	}
	out, found, err := d.find(ctx, wrangler, what, "wrangler", "deployments", "status", "--name", worker, "--json")
	if found && err == nil {
		err = wrangler.decode(out, &status)
	}
	if err != nil {
		return err
	}
	for _, v := range status.Versions {
		out, _, err := d.find(ctx, wrangler, what, "wrangler", "versions", "view", v.ID, "--name", worker, "--json")
		if err != nil {
			return err
		}
		*exists = *exists || regexp.MustCompile(`"ORGA_AUTH"`).MatchString(out)
	}
	if slices.Contains(given, "ORGA_API_KEY_SOURCE") || slices.Contains(given, "ORGA_TENANTS_SOURCE") {
		return nil
	}
	var secrets []struct{ Name string }
	out, found, err = d.find(ctx, wrangler, what, "wrangler", "secret", "list", "--name", worker, "--format", "json")
	if found && err == nil {
		err = wrangler.decode(out, &secrets)
	}
	if err != nil {
		return err
	}
	if slices.Contains(secrets, struct{ Name string }{"ORGA_API_KEY"}) {
		return nil
	}
	return missing{
		"The Worker " + worker + " has no secret ORGA_API_KEY.",
		put + "\nThen type the key and press Enter. This creates the Worker if it does not exist. For a key in Secrets Store: make deploy-cloudflare ORGA_API_KEY_SOURCE=cloudflare:BINDING",
	}
}
