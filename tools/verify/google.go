package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"strings"
)

// google stages and builds the function as Google does, and runs it under the functions framework.
func (s *suite) google(ctx context.Context) []*endpoint {
	staged := filepath.Join(s.source, "dist", "gcp")
	program := filepath.Join(s.scratch, "google-function")
	if !s.table.check(google, built, "the staged source builds from its vendor folder alone", func() error {
		if _, err := s.run(ctx, s.source, nil, "make", "build-gcp"); err != nil {
			return err
		}
		copied := filepath.Join(s.scratch, "google-source")
		if err := os.CopyFS(copied, os.DirFS(staged)); err != nil {
			return err
		}
		// Google's build adds such a main package, with the function at the root.
		main, err := os.ReadFile(filepath.Join(s.source, "tools", "entrypoints", "gcp", "main.go"))
		if err != nil {
			return err
		}
		main = bytes.Replace(main, []byte(`/gcp-function"`), []byte(`"`), 1)
		if err := os.MkdirAll(filepath.Join(copied, "main"), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(copied, "main", "main.go"), main, 0o644); err != nil {
			return err
		}
		_, err = s.run(ctx, copied, []string{"GOFLAGS=-mod=vendor", "GOPROXY=off", "CGO_ENABLED=0"}, "go", "build", "-o", program, "./main")
		return err
	}) {
		return nil
	}
	if s.gcloud != "" {
		s.table.check(google, deployed, "gcloud uploads the function, and no tests, settings or keys", func() error { return s.checkUpload(ctx, staged) })
		s.table.check(google, accepted, "gcloud accepts each of its commands in README, docs, Makefile and make deploy-gcp", func() error { return s.checkGcloudCommands(ctx) })
	}

	d := s.deployment(google)
	const secrets = "projects/verify/secrets/"
	s.fixtures.google.Put(secrets+"tenant-key", []byte(d.tenantKey))
	s.fixtures.google.Put(secrets+"hmac", []byte(hmacKey))
	s.fixtures.google.Put(secrets+"tenants", []byte(s.tenants("gcpsm:"+secrets+"tenant-key", "gcpsm:"+secrets+"nowhere")))
	mounted := filepath.Join(s.scratch, "api-key")
	if err := os.WriteFile(mounted, []byte(d.key+"\n"), 0o600); err != nil {
		s.table.check(google, store, "a mounted secret", func() error { return err })
		return nil
	}
	ports, err := freePorts(1)
	if err != nil {
		return nil
	}
	env := maps.Clone(d.env)
	maps.Copy(env, map[string]string{
		"PORT":                fmt.Sprint(ports[0]),
		"ORGA_API_KEY_SOURCE": "file:" + mounted, "ORGA_GCPSM_ENDPOINT": s.fixtures.googleServer.URL,
		"ORGA_AUTH_HMAC_KEY_SOURCE": "gcpsm:" + secrets + "hmac", "ORGA_TENANTS_SOURCE": "gcpsm:" + secrets + "tenants",
	})
	base := fmt.Sprintf("http://127.0.0.1:%d", ports[0])
	if !s.table.check(google, store, "the function is ready, with its key from a mounted secret", func() error {
		_, err := s.start(ctx, answers(base+"/readyz"), s.scratch, environ(env), program)
		return err
	}) {
		return nil
	}
	fromGoogle := func(h http.Header) { h.Add("X-Forwarded-For", "203.0.113.7") } // Google's front end appends the caller
	return []*endpoint{{name: google, orga: d.orga, transport: overHTTP{base: base, addHeaders: fromGoogle}}}
}

// checkUpload checks the files that gcloud would upload. Files that must not be uploaded are added first.
func (s *suite) checkUpload(ctx context.Context, staged string) error {
	dir := filepath.Join(s.scratch, "google-upload")
	if err := os.CopyFS(dir, os.DirFS(staged)); err != nil {
		return err
	}
	for _, name := range []string{".env", ".env.local", "function_test.go"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("x"), 0o600); err != nil {
			return err
		}
	}
	out, err := s.run(ctx, dir, nil, s.gcloud, "meta", "list-files-for-upload", ".")
	if err != nil {
		return err
	}
	files := make(map[string]bool)
	var faults []error
	for name := range strings.Lines(out) {
		name = strings.TrimSpace(name)
		files[name] = true
		if strings.HasPrefix(filepath.Base(name), ".env") || strings.HasPrefix(name, ".") || strings.HasSuffix(name, "_test.go") {
			faults = append(faults, fmt.Errorf("%s would be uploaded", name))
		}
	}
	for _, name := range []string{"go.mod", "go.sum", "function.go", "core/endpoint.go", "core/ratelimit/internal/redisscript/gcra.lua", "vendor/modules.txt"} {
		if !files[name] {
			faults = append(faults, fmt.Errorf("%s would not be uploaded", name))
		}
	}
	return errors.Join(faults...)
}

// checkGcloudCommands lets gcloud parse every gcloud command that the docs or the deploy tool contain.
func (s *suite) checkGcloudCommands(ctx context.Context) error {
	lines, err := s.documentedCommands(ctx, "gcloud ", "gcp",
		"PROJECT=verify-project", "REGION=europe-west1", "ORGA_AUTH=oidc", "ORGA_CORS_ORIGINS=https://a.example,https://b.example")
	if err != nil {
		return err
	}
	var faults []error
	for _, line := range lines {
		out, err := s.run(ctx, s.scratch, nil, s.gcloud, "meta", "lint-gcloud-commands", "--command-string="+line)
		if err != nil {
			return err
		}
		var verdict []struct {
			Success bool   `json:"success"`
			Error   string `json:"error_message"`
		}
		if err := json.Unmarshal([]byte(out), &verdict); err != nil || len(verdict) == 0 {
			return fmt.Errorf("gcloud said no verdict on %s: %.200s", line, out)
		}
		if !verdict[0].Success {
			faults = append(faults, fmt.Errorf("%s\n      %s", line, verdict[0].Error))
		}
	}
	fmt.Fprintf(os.Stderr, "       gcloud read %d commands\n", len(lines))
	return errors.Join(faults...)
}
