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
	"github.com/orga-session/orga-session/core/ratelimit"
	"github.com/orga-session/orga-session/core/ratelimit/dynamolimit"
	"github.com/orga-session/orga-session/core/ratelimit/redislimit"
	"github.com/orga-session/orga-session/core/ratelimit/redisrest"
	"github.com/orga-session/orga-session/core/secret"
	"github.com/orga-session/orga-session/core/secret/awssm"
	"github.com/orga-session/orga-session/core/secret/gcpsm"
	"github.com/orga-session/orga-session/internal/spelling"
)

// options are the variables that this command itself reads.
var options = []string{"STACK", "SECRET", "REGION", "PROJECT", "FUNCTION", "BUILD_ACCOUNT", "WORKER", "TAGS", "DRY_RUN", "YES"}

// checkNames refuses unknown names among the ORGA_* variables of the environment and the variables on make's
// command line. They would be deployed without effect, or dropped silently.
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
	for name := range d.env {
		if strings.HasPrefix(name, "ORGA_") {
			given[name] = true
		}
	}
	// make passes the variables of its command line after " -- ", with blanks in their values escaped.
	if _, overrides, ok := strings.Cut(" "+d.env["MAKEFLAGS"], " -- "); ok {
		for _, m := range regexp.MustCompile(`(?:^| )([A-Za-z_]\w*)=`).FindAllStringSubmatch(overrides, -1) {
			given[m[1]] = true
		}
	}
	faults := []error{err}
	for _, name := range slices.Sorted(maps.Keys(given)) {
		if slices.Contains(parameters, name) && variableOf(name) != "" {
			faults = append(faults, fmt.Errorf("%s is set by %s: pass that instead", name, variableOf(name)))
			continue
		}
		if slices.Contains(known, name) || strings.HasPrefix(name, "OTEL_") || strings.HasPrefix(name, "AWS_") || strings.HasPrefix(name, "NETLIFY_") {
			continue
		}
		fault := name + " is not a setting, a parameter of template.yaml or an option of this command"
		if nearest := spelling.Nearest(name, known); nearest != "" {
			fault += "; did you mean " + nearest + "?"
		}
		faults = append(faults, errors.New(fault))
	}
	return errors.Join(faults...)
}

// parameters returns the names of template.yaml's parameters.
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

// checkValues validates the settings with the code that reads them at run time. It assumes that values only the
// platform has (the key, ORGA_AUTH of an earlier deployment) are valid.
func (d *deploy) checkValues() error {
	env := maps.Clone(d.env)
	for name := range env {
		if strings.HasPrefix(name, "ORGA_AWS_") {
			continue
		}
		// A source can be opened only where the function runs, so check just its syntax.
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
	if env["ORGA_AUTH_ISSUER"] == "" && env["ORGA_AUTH_AUDIENCE"] == "" { // the issuer may be deployed already
		cfg.Auth = slices.DeleteFunc(cfg.Auth, func(method string) bool { return method == "oidc" })
	}
	if len(cfg.Auth) == 0 {
		cfg.Auth = []string{"anonymous"}
	}
	if slices.Contains(cfg.Auth, "hmac") {
		cfg.HMACKeySource = "file:" + filepath.Join(string(filepath.Separator), "the", "platform", "has", "it")
	}
	endpoint := core.New(context.Background(), cfg, core.Drivers{
		Secrets: map[string]secret.Driver{"awssm": awssm.Open(env.Lookup, false), "gcpsm": gcpsm.Open(env.Lookup)},
		Limiters: map[string]ratelimit.Driver{
			"dynamodb": dynamolimit.Open(env.Lookup, false), "https": redisrest.Open(nil), "redis": redislimit.Open, "rediss": redislimit.Open,
		},
	})
	defer endpoint.Close()
	return endpoint.Faults()
}

// placeholder stands in for the key in the platform's secret store.
var placeholder = secret.SourceFunc(func(context.Context) (secret.Secret, error) {
	return secret.Secret{}, secret.ErrPermanent
})

// chooseAuth asks for ORGA_AUTH before a first deployment: without it, the endpoint refuses every mint.
func (d *deploy) chooseAuth(ctx context.Context) error {
	if d.env["ORGA_AUTH"] != "" {
		return nil
	}
	const remedy = "make deploy-… ORGA_AUTH=anonymous    for a trial; oidc, hmac or gateway for production (docs/policy.md)"
	if d.yes || d.dry {
		return missing{"ORGA_AUTH is not set: the endpoint would refuse every mint.", remedy}
	}
	fmt.Fprintln(d.out, `Who may mint? Choose a value for ORGA_AUTH; docs/policy.md has recipes.
  oidc       users with a token from your identity provider (needs ORGA_AUTH_ISSUER, ORGA_AUTH_AUDIENCE)
  hmac       requests signed by your own backend
  gateway    callers verified by the platform (API Gateway authorizers, IAM)
  anonymous  everybody; for trials only, because you pay for every mint`)
	answer, err := d.ask(ctx, "> ")
	if err != nil {
		return err
	}
	if answer == "" {
		return errDeclined
	}
	d.env["ORGA_AUTH"] = answer
	d.chosen = true
	if strings.Contains(answer, "oidc") && (d.env["ORGA_AUTH_ISSUER"] == "" || d.env["ORGA_AUTH_AUDIENCE"] == "") {
		return missing{"oidc needs ORGA_AUTH_ISSUER and ORGA_AUTH_AUDIENCE.", "make deploy-… ORGA_AUTH=oidc ORGA_AUTH_ISSUER=https://… ORGA_AUTH_AUDIENCE=…"}
	}
	return d.checkValues()
}
