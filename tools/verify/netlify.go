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
)

// netlify lets Netlify's own build package the function from the unmodified repository, and runs it under both local
// servers.
func (s *suite) netlify(ctx context.Context) []*endpoint {
	if s.netlifyBin == "" {
		return nil
	}
	program := filepath.Join(s.netlifyBin, "netlify")
	s.table.check(netlify, accepted, "netlify knows each of its commands in docs and make deploy-netlify", func() error {
		return s.checkCommands(ctx, program, 1, "netlify", "ORGA_AUTH=oidc", "ORGA_DEBUG=", "ORGA_RATE_LIMIT_STORE=rediss://r.example")
	})
	if !s.table.check(netlify, built, "netlify build --offline", func() error {
		_, err := s.run(ctx, s.source, nil, program, "build", "--offline")
		return err
	}) {
		return nil
	}
	s.table.check(netlify, deployed, "one static binary", func() error {
		binary := filepath.Join(s.scratch, "netlify-bootstrap")
		if err := extractBinary(filepath.Join(s.source, netlifyArchive), binary); err != nil {
			return err
		}
		return checkStatic(binary, elf.EM_X86_64)
	})

	d := s.deployment(netlify)
	env := s.settingsInEnvironment(d)
	ports, err := freePorts(3)
	if err != nil {
		return nil
	}
	servePort, devPort, functionsPort := ports[0], ports[1], ports[2]
	const prefix = "/.netlify/functions/orga-session"
	serve := fmt.Sprintf("http://127.0.0.1:%d", servePort)
	s.table.check(netlify, routes, "netlify functions:serve", func() error {
		p, err := s.start(ctx, answers(serve+prefix+"/readyz"), s.source, environ(env),
			program, "functions:serve", "--offline", "--port", fmt.Sprint(servePort))
		if err != nil {
			return err
		}
		defer p.Stop()
		return s.checkMethods(ctx, &endpoint{name: netlify, orga: d.orga, transport: overHTTP{base: serve}},
			prefix+"/orga-client-secrets", prefix+"/orga-session", prefix+"/orga-client-secrets/acme")
	})
	dev := &endpoint{name: netlify, orga: d.orga, transport: overHTTP{base: fmt.Sprintf("http://127.0.0.1:%d", devPort)}}
	if !s.table.check(netlify, routes, "netlify dev", func() error {
		if _, err := s.start(ctx, answers(fmt.Sprintf("http://127.0.0.1:%d/readyz", devPort)), s.source, environ(env),
			program, "dev", "--offline", "--internal-disable-edge-functions", "--no-open",
			"--port", fmt.Sprint(devPort), "--functions-port", fmt.Sprint(functionsPort)); err != nil {
			return err
		}
		return s.checkMethods(ctx, dev, mintPath, aliasPath, mintPath+"/acme", prefix+"/orga-client-secrets")
	}) {
		return nil
	}
	return []*endpoint{dev}
}

// checkMethods requests each path with GET, POST, HEAD and OPTIONS.
func (s *suite) checkMethods(ctx context.Context, e *endpoint, paths ...string) error {
	var faults []error
	for _, path := range paths {
		for _, r := range []row{
			{method: http.MethodGet, status: 200},
			{method: http.MethodPost, status: 200},
			{method: http.MethodHead, status: 405},
			{method: http.MethodOptions, status: 204, header: []string{"Origin", "PAGE", "Access-Control-Request-Method", "GET"}},
		} {
			r.path, r.mints = path, r.status == 200
			if _, err := s.send(ctx, e, r); err != nil {
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
