package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
)

var netlifyTools = map[string]string{
	"netlify": "The Netlify CLI: npm install --global netlify-cli",
	"go":      "Go 1.26: https://go.dev/dl/",
}

var netlifyCLI = cli{login: "netlify login    (or NETLIFY_AUTH_TOKEN)"}

func (d *deploy) netlify(ctx context.Context) (plan, error) {
	settings, err := d.settings(map[string]string{"ORGA_API_KEY": "store it on the site, once: " + netlifyKey})
	if d.env["TAGS"] != "" {
		err = errors.Join(err, errors.New("TAGS is not deployed: Netlify's build takes no tags, so it cannot include OpenTelemetry"))
	}
	faults, exists := []error{err, checkInstalled(netlifyTools)}, false
	site := d.env["NETLIFY_SITE_ID"]
	if site == "" {
		state, _ := os.ReadFile(filepath.Join(d.root, ".netlify", "state.json")) // missing if no site is linked
		var linked struct {
			SiteID string `json:"siteId"`
		}
		_ = json.Unmarshal(state, &linked)
		site = linked.SiteID
	}
	if faults[1] == nil {
		err := d.netlifySite(ctx, site, settings, &exists)
		faults = append(faults, err)
	}
	var steps [][]string
	for _, s := range settings {
		if s.value == "" {
			steps = append(steps, []string{"netlify", "env:unset", s.name, "--context", "production", "--force"})
		} else {
			step := []string{"netlify", "env:set", "--context", "production", "--force"}
			if s.secret {
				step = append(step, "--secret")
			}
			steps = append(steps, append(step, "--", s.name, argument(s))) // a value may start with a dash
		}
	}
	return plan{
		summary: compact(
			"Netlify: build the function and deploy it to production on site "+cmp.Or(site, "SITE")+".",
			names(settings, "the site's environment variables")),
		steps:  append(steps, []string{"netlify", "deploy", "--prod", "--context", "production"}),
		exists: exists,
		after:  "In your app, use the site's address with /api/orga-client-secrets. /readyz answers 200 once the key is available. Test the endpoint with make probe URL=…",
	}, errors.Join(faults...)
}

const netlifyKey = `read -rs KEY && netlify env:set ORGA_API_KEY "$KEY" --secret --context production; unset KEY`

// netlifySite checks the login, the site and that the site has a key; it does not read the key's value. It sets
// exists if the site has ORGA_AUTH.
func (d *deploy) netlifySite(ctx context.Context, site string, settings []setting, exists *bool) error {
	if _, err := d.query(ctx, "netlify", "api", "getCurrentUser"); err != nil {
		return netlifyCLI.failed("The Netlify CLI is not logged in", err)
	}
	if site == "" {
		return missing{"This checkout is not linked to a site.", "netlify link    (for a new site: netlify sites:create; or set NETLIFY_SITE_ID)"}
	}
	out, err := d.query(ctx, "netlify", "env:list", "--json", "--context", "production")
	if err != nil {
		return netlifyCLI.failed("The site's environment variables cannot be read", err)
	}
	var variables map[string]json.RawMessage
	if err := netlifyCLI.decode(out, &variables); err != nil {
		return err
	}
	_, *exists = variables["ORGA_AUTH"]
	for _, s := range settings {
		variables[s.name] = nil
	}
	_, key := variables["ORGA_API_KEY"]
	_, source := variables["ORGA_API_KEY_SOURCE"]
	if !key && !source {
		return missing{"The site has no ORGA_API_KEY. Run this command, then type or paste the key and press Enter:", netlifyKey}
	}
	return nil
}

func names(settings []setting, of string) string {
	if len(settings) == 0 {
		return ""
	}
	list := make([]string, len(settings))
	for i, s := range settings {
		list[i] = s.name
	}
	return "It sets " + of + ": " + strings.Join(list, ", ") + "."
}
