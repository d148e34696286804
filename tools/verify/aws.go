package main

import (
	"bytes"
	"context"
	"debug/elf"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/orga-session/orga-session/tools/lambdaevent"
)

// aws checks the SAM bundle, and runs its function under Lambda's own emulator, with moto as AWS.
func (s *suite) aws(ctx context.Context) []*endpoint {
	if s.awsBin == "" {
		return nil
	}
	s.table.check(aws, accepted, "sam validate --lint", func() error {
		_, err := s.run(ctx, s.source, nil, filepath.Join(s.awsBin, "sam"), "validate", "--lint", "--region", region)
		return err
	})
	for _, where := range []string{"--build-in-source", "--no-build-in-source"} { // samconfig.toml's setting, and SAM's default
		s.table.check(aws, built, "sam build "+where, func() error {
			if _, err := s.run(ctx, s.source, nil, filepath.Join(s.awsBin, "sam"), "build", where); err != nil {
				return err
			}
			path := filepath.Join(s.source, bootstrap)
			if err := checkStatic(path, elf.EM_AARCH64); err != nil {
				return err
			}
			return checkOnlyFile(filepath.Dir(path))
		})
	}

	s.table.check(aws, deployPage, "docs/deploy-aws.md, line by line, moto being AWS", func() error { return s.followDeployPage(ctx) })

	d := s.deployment(aws)
	arns, err := s.putSecrets(ctx, d)
	if err == nil {
		err = s.checkTemplate(ctx, arns)
	}
	s.table.check(aws, deployed, "least privilege, no CORS at the gateway, one architecture", func() error { return err })

	var invoke func(context.Context, []byte) ([]byte, error)
	if !s.table.check(aws, store, "the emulator starts the function, with its settings from the template", func() error {
		invoke, err = s.startLambda(ctx, d, arns)
		return err
	}) {
		return nil
	}
	s.table.check(aws, store, "awssm and dynamolimit pass their conformance suites against moto", func() error {
		_, err := s.run(ctx, filepath.Join(s.source, "tools"), []string{"VERIFY_MOTO=" + s.fixtures.moto.URL}, "go", "test", "-count=1", "-run", "TestMoto", "./verify")
		return err
	})
	front := func(name string, event func(lambdaevent.Request) lambdaevent.Event, addr, host string) *endpoint {
		return &endpoint{name: name, orga: d.orga, transport: overLambda{event: event, addr: addr, host: host, invoke: invoke}}
	}
	first := front(httpAPI, lambdaevent.HTTPAPI, addrHTTP, "verify.execute-api."+region+".amazonaws.com")
	s.table.check(aws, store, "20 mints: Secrets Manager was asked once for each secret", func() error { return s.checkFetchedOnce(ctx, first) })
	return []*endpoint{
		first,
		front(restAPI, lambdaevent.RESTAPI, addrREST, "verify.example"),
		front(functionURL, lambdaevent.HTTPAPI, addrURL, "verify.lambda-url."+region+".on.aws"),
		front(alb, lambdaevent.ALB, addrALB, "verify.example"),
		front(albMulti, lambdaevent.ALBMultiValue, addrALB2, "verify.example"),
	}
}

// checkStatic requires a static binary: Lambda provides no libraries.
func checkStatic(path string, machine elf.Machine) error {
	f, err := elf.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	if f.Machine != machine {
		return fmt.Errorf("%s is built for %s, not %s", filepath.Base(path), f.Machine, machine)
	}
	for _, p := range f.Progs {
		if p.Type == elf.PT_INTERP || p.Type == elf.PT_DYNAMIC {
			return fmt.Errorf("%s is linked dynamically", filepath.Base(path))
		}
	}
	return nil
}

func checkOnlyFile(dir string) error {
	entries, err := os.ReadDir(dir)
	if err == nil && len(entries) != 1 {
		err = fmt.Errorf("%d files would be deployed, not one", len(entries))
	}
	return err
}

// arns are the ARNs of the deployment's secrets in moto.
type arns struct{ key, tenantKey, tenants, hmac string }

func (s *suite) putSecrets(ctx context.Context, d *deployment) (arns, error) {
	var a arns
	var faults [4]error
	a.key, faults[0] = s.putSecret(ctx, "orga/api-key", d.key)
	a.tenantKey, faults[1] = s.putSecret(ctx, "orga/tenant-key", d.tenantKey)
	a.hmac, faults[2] = s.putSecret(ctx, "orga/hmac", hmacKey)
	a.tenants, faults[3] = s.putSecret(ctx, "orga/tenants", s.tenants("awssm:"+a.tenantKey, "awssm:orga/nowhere"))
	return a, errors.Join(faults[:]...)
}

// startLambda builds the function for this machine, starts it under the emulator with the template's environment, and
// returns how to invoke it.
func (s *suite) startLambda(ctx context.Context, d *deployment, a arns) (func(context.Context, []byte) ([]byte, error), error) {
	dir := filepath.Join(s.scratch, "lambda")
	recipe, err := s.run(ctx, s.source, nil, "make", "-n", "build-OrgaSessionFunction", "ARTIFACTS_DIR="+dir)
	if err != nil {
		return nil, err
	}
	recipe = strings.ReplaceAll(recipe, "GOARCH=arm64", "GOARCH="+runtime.GOARCH) // the emulator uses this machine's architecture
	if _, err := s.run(ctx, s.source, nil, "sh", "-ec", recipe); err != nil {
		return nil, err
	}
	const limits = "verify-RateLimitTable" // its name in the stack
	if err := createTable(ctx, s.fixtures.moto.URL, limits); err != nil {
		return nil, err
	}
	stacks, err := s.stacks(ctx, map[string]string{
		"ApiKeySecretArn": a.key, "TenantsSecretArn": a.tenants, "TenantKeySecretArns": a.tenantKey, "AuthHmacSecretArn": a.hmac,
		"Auth": d.env["ORGA_AUTH"], "AuthIssuer": d.env["ORGA_AUTH_ISSUER"], "AuthAudience": d.env["ORGA_AUTH_AUDIENCE"],
		"BaseUrl": d.env["ORGA_BASE_URL"], "CorsOrigins": d.env["ORGA_CORS_ORIGINS"], "Timeout": d.env["ORGA_TIMEOUT"],
		"RateLimit": d.env["ORGA_RATE_LIMIT"], "RateLimitStrict": d.env["ORGA_RATE_LIMIT_STRICT"],
		"LogLevel": d.env["ORGA_LOG_LEVEL"],
	})
	if err != nil {
		return nil, err
	}
	function, err := stacks[0]["OrgaSessionFunction"].properties()
	if err != nil {
		return nil, err
	}
	env := function.Environment.Variables
	if store := env["ORGA_RATE_LIMIT_STORE"]; store != "dynamodb:"+limits {
		return nil, fmt.Errorf("without a parameter, the function counts in %s, not in the table of its stack", store)
	}
	maps.Copy(env, map[string]string{ // Lambda's own variables, and moto's address
		"AWS_REGION": region, "AWS_ACCESS_KEY_ID": "verify", "AWS_SECRET_ACCESS_KEY": "none", "AWS_SESSION_TOKEN": "none",
		"AWS_LAMBDA_FUNCTION_TIMEOUT":      fmt.Sprint(function.Timeout),
		"AWS_LAMBDA_FUNCTION_MEMORY_SIZE":  "256",
		"AWS_ENDPOINT_URL_SECRETS_MANAGER": s.fixtures.moto.URL, "AWS_ENDPOINT_URL_DYNAMODB": s.fixtures.moto.URL,
	})
	ports, err := freePorts(2)
	if err != nil {
		return nil, err
	}
	name := map[string]string{"amd64": "aws-lambda-rie-x86_64", "arm64": "aws-lambda-rie-arm64"}[runtime.GOARCH]
	found, err := filepath.Glob(filepath.Join(s.cache, "venv", "lib", "python3*", "site-packages", "samcli", "local", "rapid", name))
	if err != nil || len(found) != 1 {
		return nil, errors.New("aws-sam-cli brings no Lambda emulator for this machine")
	}
	if err := os.Chmod(found[0], 0o755); err != nil {
		return nil, err
	}
	addr := fmt.Sprintf("127.0.0.1:%d", ports[0])
	if _, err := s.start(ctx, listens(addr), dir, environ(env), found[0],
		"--runtime-interface-emulator-address", addr, "--runtime-api-address", fmt.Sprintf("127.0.0.1:%d", ports[1]), "./bootstrap"); err != nil {
		return nil, err
	}
	return func(ctx context.Context, event []byte) ([]byte, error) {
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+addr+"/2015-03-31/functions/function/invocations", bytes.NewReader(event))
		if err != nil {
			return nil, err
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			return nil, err
		}
		defer resp.Body.Close()
		return io.ReadAll(resp.Body)
	}, nil
}

// checkFetchedOnce mints on a fresh function, and requires one call for each secret.
func (s *suite) checkFetchedOnce(ctx context.Context, e *endpoint) error {
	for _, path := range []string{mintPath, mintPath + "/acme"} {
		for range 10 {
			if _, err := s.send(ctx, e, row{method: http.MethodGet, path: path, status: http.StatusOK}); err != nil {
				return err
			}
		}
	}
	s.fixtures.mu.Lock()
	defer s.fixtures.mu.Unlock()
	var faults []error
	for _, name := range []string{"orga/api-key", "orga/tenant-key", "orga/tenants", "orga/hmac"} {
		calls := 0
		for id, n := range s.fixtures.secretCalls {
			if strings.Contains(id, ":secret:"+name+"-") {
				calls += n
			}
		}
		if calls > 1 || calls == 0 && name != "orga/hmac" { // no signed request yet
			faults = append(faults, fmt.Errorf("%d calls for %s", calls, name))
		}
	}
	return errors.Join(faults...)
}
