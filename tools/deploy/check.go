package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/orga-session/orga-session/core"
	"github.com/orga-session/orga-session/core/auth"
	"github.com/orga-session/orga-session/core/ratelimit"
	"github.com/orga-session/orga-session/core/ratelimit/dynamolimit"
	"github.com/orga-session/orga-session/core/ratelimit/redislimit"
	"github.com/orga-session/orga-session/core/ratelimit/redisrest"
	"github.com/orga-session/orga-session/core/secret"
	"github.com/orga-session/orga-session/core/secret/awssm"
	"github.com/orga-session/orga-session/core/secret/gcpsm"
)

// options are what this command reads besides settings and the template's parameters.
var options = []string{"STACK", "SECRET", "REGION", "PROJECT", "FUNCTION", "BUILD_ACCOUNT", "WORKER", "TAGS", "DRY_RUN", "YES"}

// checkNames refuses names that nothing would read: they would be deployed in vain, or dropped silently. It looks
// at the ORGA_* of the environment, and at whatever was given to make.
func (d *deploy) checkNames() error {
	known := slices.Clone(options)
	for _, s := range core.Settings() {
		if s.Variable != "" {
			known = append(known, s.Variable)
		}
	}
	parameters, err := d.parameters()
	known = append(known, parameters...)
	given := make(map[string]bool)
	for _, entry := range d.environ {
		if name, _, _ := strings.Cut(entry, "="); strings.HasPrefix(name, "ORGA_") {
			given[name] = true
		}
	}
	// make hands its command line's variables on after " -- ", blanks in their values escaped.
	flags, _ := d.lookup("MAKEFLAGS")
	if _, overrides, ok := strings.Cut(" "+flags, " -- "); ok {
		for _, m := range regexp.MustCompile(`(?:^| )([A-Za-z_]\w*)=`).FindAllStringSubmatch(overrides, -1) {
			given[m[1]] = true
		}
	}
	faults := []error{err}
	for _, name := range slices.Sorted(maps.Keys(given)) {
		if slices.Contains(known, name) || strings.HasPrefix(name, "OTEL_") || strings.HasPrefix(name, "AWS_") || strings.HasPrefix(name, "NETLIFY_") {
			continue
		}
		fault := name + " is not a setting, nor a parameter or an option of this command"
		if nearest := core.Nearest(name, known); nearest != "" {
			fault += "; did you mean " + nearest + "?"
		}
		faults = append(faults, errors.New(fault))
	}
	return errors.Join(faults...)
}

// parameters are the names of template.yaml's parameters.
func (d *deploy) parameters() ([]string, error) {
	template, err := os.ReadFile(filepath.Join(d.root, "template.yaml"))
	if err != nil {
		return nil, err
	}
	_, rest, _ := strings.Cut(string(template), "\nParameters:\n")
	section, _, _ := strings.Cut(rest, "\n\nConditions:\n")
	var names []string
	for _, m := range regexp.MustCompile(`(?m)^  ([A-Za-z]+):$`).FindAllStringSubmatch(section, -1) {
		names = append(names, m[1])
	}
	return names, nil
}

// checkValues holds the settings to the code that reads them at run time. What only the platform has (the key,
// and an ORGA_AUTH of an earlier deployment) is taken for granted.
func (d *deploy) checkValues() error {
	env := core.Environ(d.environ)
	for name := range env {
		if strings.HasPrefix(name, "ORGA_AWS_") {
			continue
		}
		// A source is opened where the function runs; here only its form counts.
		if strings.HasSuffix(name, "_SOURCE") && strings.HasPrefix(name, "ORGA_") {
			if _, err := secret.ParseRef(env[name]); env[name] != "" && err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
			delete(env, name)
		}
	}
	cfg := core.ConfigFromEnv(env)
	cfg.APIKey = placeholder
	cfg.NoWarmUp, cfg.Log = true, slog.New(slog.DiscardHandler)
	if len(cfg.Auth) == 0 {
		cfg.Auth = []string{"anonymous"}
	}
	if slices.Contains(cfg.Auth, "hmac") {
		cfg.HMACKeySource = "file:" + filepath.Join(string(filepath.Separator), "the", "platform", "has", "it")
	}
	if slices.Contains(cfg.Auth, "oidc") && env["ORGA_AUTH_ISSUER"] == "" && env["ORGA_AUTH_AUDIENCE"] == "" {
		cfg.Auth = slices.DeleteFunc(slices.Clone(cfg.Auth), func(m string) bool { return m == "oidc" }) // may be there from before
		if len(cfg.Auth) == 0 {
			cfg.Auth = []string{"anonymous"}
		}
	}
	endpoint := core.New(context.Background(), cfg, core.Drivers{
		Secrets: secret.Drivers{"awssm": awssm.Open(env.Lookup, false), "gcpsm": gcpsm.Open(env.Lookup)},
		Limiters: ratelimit.Drivers{
			"dynamodb": dynamolimit.Open(env.Lookup, false), "https": redisrest.Open(nil), "redis": redislimit.Open, "rediss": redislimit.Open,
		},
		Verifiers: map[string]auth.Verifier{},
	})
	defer endpoint.Close()
	return endpoint.Faults()
}

// placeholder stands for the key that the platform's secret store has.
var placeholder = secret.SourceFunc(func(context.Context) (secret.Secret, error) {
	return secret.Secret{}, secret.ErrPermanent
})

// chooseAuth has the owner of a first deployment say who may mint: without it, the endpoint refuses everybody.
func (d *deploy) chooseAuth() error {
	if v, _ := d.lookup("ORGA_AUTH"); v != "" {
		return nil
	}
	const remedy = "make deploy-… ORGA_AUTH=anonymous    for a trial; oidc, hmac or gateway for production (docs/policy.md)"
	if d.yes || d.dry {
		return missing{"ORGA_AUTH is not set: a first deployment would refuse every mint.", remedy}
	}
	fmt.Fprintln(d.out, `Who may mint? This is ORGA_AUTH; docs/policy.md has a recipe for each.
  oidc       users with a token of your identity provider (needs ORGA_AUTH_ISSUER, ORGA_AUTH_AUDIENCE)
  hmac       requests that your own backend signs
  gateway    callers that the platform has verified (API Gateway authorizers, IAM)
  anonymous  everybody: for trials only, since each mint is billed to you`)
	answer := d.ask("> ")
	if answer == "" {
		return errDeclined
	}
	d.environ = append(d.environ, "ORGA_AUTH="+answer)
	d.chosen = true
	if strings.Contains(answer, "oidc") && (d.value("ORGA_AUTH_ISSUER", "") == "" || d.value("ORGA_AUTH_AUDIENCE", "") == "") {
		return missing{"oidc needs ORGA_AUTH_ISSUER and ORGA_AUTH_AUDIENCE.", "make deploy-… ORGA_AUTH=oidc ORGA_AUTH_ISSUER=https://… ORGA_AUTH_AUDIENCE=…"}
	}
	return d.checkValues()
}
