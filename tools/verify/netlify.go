package main

import (
	"archive/zip"
	"context"
	"debug/elf"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
)

// netlify lets Netlify's own build package the function from the unmodified repository, and runs it under both local
// servers.
func (s *site) netlify(ctx context.Context) []*endpoint {
	if s.netlifyCLI == "" {
		return nil
	}
	s.table.check(netlify, accepted, "netlify knows each of its commands in docs and make deploy-netlify", func() error { return s.lintNetlify(ctx) })
	archive := filepath.Join(s.source, ".netlify", "functions", "orga-session.zip")
	if !s.table.check(netlify, built, "netlify build --offline", func() error {
		_, err := s.run(ctx, s.source, nil, s.netlifyCLI, "build", "--offline")
		return err
	}) {
		return nil
	}
	s.table.check(netlify, holds, "one static binary", func() error {
		binary := filepath.Join(s.scratch, "netlify-bootstrap")
		if err := extractBinary(archive, binary); err != nil {
			return err
		}
		return isStatic(binary, elf.EM_X86_64)
	})

	d := s.deployment(netlify)
	env := s.withEnvironment(d)
	servePort, err := freePort()
	if err != nil {
		return nil
	}
	devPort, err := freePort()
	if err != nil {
		return nil
	}
	functionsPort, err := freePort()
	if err != nil {
		return nil
	}
	const prefix = "/.netlify/functions/orga-session"
	serve := fmt.Sprintf("http://127.0.0.1:%d", servePort)
	s.table.check(netlify, routes, "netlify functions:serve", func() error {
		p, err := s.start(ctx, answers(serve+prefix+"/readyz"), s.source, environ(env),
			s.netlifyCLI, "functions:serve", "--offline", "--port", fmt.Sprint(servePort))
		if err != nil {
			return err
		}
		defer p.stop()
		return s.methods(ctx, &endpoint{name: netlify, orga: d.orga, way: direct{base: serve}},
			prefix+"/orga-client-secrets", prefix+"/orga-session", prefix+"/orga-client-secrets/acme")
	})
	dev := &endpoint{name: netlify, orga: d.orga, way: direct{base: fmt.Sprintf("http://127.0.0.1:%d", devPort)}}
	if !s.table.check(netlify, routes, "netlify dev", func() error {
		if _, err := s.start(ctx, answers(fmt.Sprintf("http://127.0.0.1:%d/readyz", devPort)), s.source, environ(env),
			s.netlifyCLI, "dev", "--offline", "--internal-disable-edge-functions", "--no-open",
			"--port", fmt.Sprint(devPort), "--functions-port", fmt.Sprint(functionsPort)); err != nil {
			return err
		}
		return s.methods(ctx, dev, mintPath, aliasPath, mintPath+"/acme", prefix+"/orga-client-secrets")
	}) {
		return nil
	}
	return []*endpoint{dev}
}

// lintNetlify checks every documented netlify command against the CLI's own help: the command and its flags exist. Most
// commands would need an account to run.
func (s *site) lintNetlify(ctx context.Context) error {
	lines, err := s.told(ctx, "netlify ", "netlify", "ORGA_AUTH=oidc", "ORGA_DEBUG=", "ORGA_RATE_LIMIT_STORE=rediss://r.example")
	if err != nil {
		return err
	}
	var faults []error
	for _, line := range lines {
		words := strings.Fields(line)
		help, err := s.run(ctx, s.scratch, nil, s.netlifyCLI, words[1], "--help")
		if err != nil {
			return err
		}
		if !strings.Contains(help, "$ netlify "+words[1]) || strings.Contains(help, "$ netlify [COMMAND]") {
			faults = append(faults, fmt.Errorf("%s: there is no such command", line))
			continue
		}
		for _, word := range words[2:] {
			flag, _, _ := strings.Cut(word, "=")
			if strings.HasPrefix(flag, "-") && !strings.Contains(help, flag) {
				faults = append(faults, fmt.Errorf("%s: %s has no flag %s", line, words[1], flag))
			}
		}
	}
	fmt.Fprintf(os.Stderr, "       netlify knows %d commands\n", len(lines))
	return errors.Join(faults...)
}

// methods requests each path with GET, POST, HEAD and OPTIONS.
func (s *site) methods(ctx context.Context, e *endpoint, paths ...string) error {
	var faults []error
	for _, path := range paths {
		for _, r := range []row{
			{method: http.MethodGet, status: 200},
			{method: http.MethodPost, status: 200},
			{method: http.MethodHead, status: 405},
			{method: http.MethodOptions, status: 204, header: []string{"Origin", "PAGE", "Access-Control-Request-Method", "GET"}},
		} {
			r.path, r.mints = path, r.status == 200
			if _, err := s.put(ctx, e, r); err != nil {
				faults = append(faults, fmt.Errorf("%s %s: %w", r.method, path, err))
			}
		}
	}
	return errors.Join(faults...)
}

// extractBinary extracts the function from its archive, to which Netlify's build adds metadata.
func extractBinary(archive, to string) error {
	z, err := zip.OpenReader(archive)
	if err != nil {
		return err
	}
	defer z.Close()
	for _, f := range z.File {
		if f.Name != "bootstrap" && f.Name != "netlify-toolchain" {
			return fmt.Errorf("%s would be deployed", f.Name)
		}
	}
	in, err := z.Open("bootstrap")
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.Create(to)
	if err != nil {
		return err
	}
	defer out.Close()
	_, err = io.Copy(out, io.LimitReader(in, 64<<20))
	return err
}
