package main

import (
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/orga-session/orga-session/tools/workerd"
)

// Maximum sizes of the Worker's modules in bytes, uncompressed and as uploaded.
const (
	maxModules = 14e6
	maxUpload  = 3.8e6
)

// cloudflare builds the Worker, has wrangler pack it, and runs it in workerd.
func (s *suite) cloudflare(ctx context.Context) []*endpoint {
	if s.wrangler == "" {
		return nil
	}
	modules := filepath.Join(s.source, "dist", "cloudflare")
	if !s.table.check(cloudflare, built, "make build-cloudflare", func() error {
		_, err := s.run(ctx, s.source, nil, "make", "build-cloudflare")
		return err
	}) {
		return nil
	}
	s.table.check(cloudflare, deployed, "the Worker's modules, small enough", func() error { return s.checkModules(modules) })
	s.table.check(cloudflare, accepted, "wrangler deploy --dry-run takes the modules", func() error { return s.checkPacking(ctx, modules) })
	s.table.check(cloudflare, accepted, "wrangler knows each of its commands in docs and make deploy-cloudflare", func() error {
		return s.checkCommands(ctx, s.wrangler, 3, "cloudflare", "ORGA_AUTH=oidc", "ORGA_AUTH_ISSUER=https://i.example", "ORGA_AUTH_AUDIENCE=a")
	})

	d := s.deployment(cloudflare)
	vars := maps.Clone(d.env)
	maps.Copy(vars, map[string]string{
		"ORGA_API_KEY_SOURCE": "cloudflare:ORGA_KEY", "ORGA_AUTH_HMAC_KEY_SOURCE": "cloudflare:HMAC_KEY",
		"ORGA_API_KEY_TENANT": d.tenantKey, "ORGA_TENANTS_SOURCE": "cloudflare:TENANTS",
		"ORGA_RATE_LIMIT_STORE": "memory",
	})
	var worker *workerd.Isolate
	if !s.table.check(cloudflare, store, "the Worker is ready, with its key from a Secrets Store binding", func() (err error) {
		worker, err = workerd.Start(ctx, workerd.Options{
			Root: s.source, NPM: s.workerdNPM, Dir: modules, Entry: "worker.mjs", Vars: vars,
			Secrets: map[string]string{
				"ORGA_KEY": d.key, "HMAC_KEY": hmacKey, "NOWHERE": "",
				"TENANTS": s.tenants("env:ORGA_API_KEY_TENANT", "cloudflare:NOWHERE"),
			},
		})
		if err != nil {
			return err
		}
		s.stopLater(worker)
		return s.ready(ctx, worker)
	}) {
		return nil
	}
	// workerd closes a connection with an unread request body. In production, Cloudflare's edge hides that.
	return []*endpoint{{name: cloudflare, orga: d.orga, transport: overHTTP{base: worker.Base, newConnection: true}}}
}

// ready waits until the Worker has its key.
func (s *suite) ready(ctx context.Context, worker *workerd.Isolate) error {
	for range 20 {
		if answers(worker.Base + "/readyz")(ctx) {
			return nil
		}
		time.Sleep(250 * time.Millisecond)
	}
	return fmt.Errorf("it is not ready:\n%s", worker.Log.Tail())
}

// webCrypto is the module in docs/use.md that signs requests with WebCrypto.
var webCrypto = regexp.MustCompile("(?s)```js\n(// [^\n]*WebCrypto.*?)```")

// checkWebCrypto runs that module in a separate Worker, against an endpoint with ORGA_AUTH=hmac.
func (s *suite) checkWebCrypto(ctx context.Context, e *endpoint) {
	if s.wrangler == "" {
		return
	}
	s.table.check(cloudflare, client, "docs/use.md's WebCrypto signs a request in workerd", func() error {
		page, err := os.ReadFile(filepath.Join(s.source, "docs", "use.md"))
		if err != nil {
			return err
		}
		found := webCrypto.FindSubmatch(page)
		if found == nil {
			return errors.New("docs/use.md has no block that begins with a comment on WebCrypto")
		}
		dir := filepath.Join(s.scratch, "webcrypto")
		entry := []byte(`import { GET } from "./route.mjs"; export default { fetch: () => GET() };`)
		if err := errors.Join(os.Mkdir(dir, 0o755), os.WriteFile(filepath.Join(dir, "route.mjs"), found[1], 0o644),
			os.WriteFile(filepath.Join(dir, "entry.mjs"), entry, 0o644)); err != nil {
			return err
		}
		worker, err := workerd.Start(ctx, workerd.Options{
			Root: s.source, NPM: s.workerdNPM, Dir: dir, Entry: "entry.mjs", Flags: []string{"nodejs_compat"}, // for process.env
			Vars: map[string]string{"ORGA_SESSION_URL": e.transport.(overHTTP).base + mintPath + "/signed", "ORGA_SESSION_HMAC_KEY": hmacKey},
		})
		if err != nil {
			return err
		}
		defer worker.Stop()
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, worker.Base, nil)
		if err != nil {
			return err
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		var said struct{ EphemeralToken string }
		body, err := io.ReadAll(resp.Body)
		if err != nil || json.Unmarshal(body, &said) != nil || !slices.Contains(e.orga.Tokens(), said.EphemeralToken) {
			return fmt.Errorf("answered %d: %.200s\n%s", resp.StatusCode, body, worker.Log.Tail())
		}
		return nil
	})
}

// checkModules checks the modules to be uploaded against the Worker's limits and documented size.
func (s *suite) checkModules(dir string) error {
	var faults []error
	var raw int64
	var packed counter
	z, _ := gzip.NewWriterLevel(&packed, gzip.BestCompression)
	files, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil {
		return err
	}
	for _, name := range files {
		if !slices.Contains([]string{".mjs", ".js", ".wasm"}, filepath.Ext(name)) {
			faults = append(faults, fmt.Errorf("%s is neither an ES module nor a compiled one", name))
		}
		data, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		raw += int64(len(data))
		_, _ = z.Write(data) // a counter never fails
	}
	_ = z.Close()
	s.table.size("Cloudflare: the Worker's modules", raw)
	s.table.size("Cloudflare: compressed, as uploaded", int64(packed))
	if raw > maxModules || packed > maxUpload {
		faults = append(faults, fmt.Errorf("%d bytes, %d compressed", raw, packed))
	}
	return errors.Join(faults...)
}

// checkPacking lets wrangler read its configuration and pack the upload, with settings that contain characters it might
// misinterpret.
func (s *suite) checkPacking(ctx context.Context, modules string) error {
	packed := filepath.Join(s.scratch, "wrangler-out")
	said, err := s.run(ctx, s.source, nil, s.wrangler, "deploy", "--dry-run", "--outdir", packed, "--config", "cloudflare/wrangler.jsonc",
		"--name", "orga-session", "--keep-vars", "--var", "ORGA_AUTH_ISSUER:https://issuer.example:8443/a", "--var", "ORGA_DEBUG:")
	if err != nil {
		return err
	}
	if strings.Contains(said, "WARNING") {
		return errors.New(said)
	}
	for _, name := range []string{"worker.mjs", "host.mjs", "wasm_exec.js", "orga-session.wasm"} {
		if err := checkSame(filepath.Join(modules, name), filepath.Join(packed, name)); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	return nil
}

// isolate runs the trials of package workerd under both clocks, and requires each mutation to fail its trial.
func (s *suite) isolate(ctx context.Context, mints int) {
	if s.wrangler == "" {
		return
	}
	modules := filepath.Join(s.source, "dist", "cloudflare")
	stage := func(name string, m *workerd.Mutation) (dir string, err error) {
		dir = filepath.Join(s.scratch, name)
		return dir, workerd.Stage(s.source, modules, dir, m)
	}
	run := func(t workerd.Trial, dir string, frozen bool) (string, error) {
		return t.Run(ctx, workerd.Conditions{
			Options: workerd.Options{Root: s.source, NPM: s.workerdNPM, Dir: dir}, Frozen: frozen, Mints: mints,
		})
	}
	plainDir, err := stage("isolate", nil)
	crashDir, crashErr := stage("isolate-crash", nil)
	if err = errors.Join(err, crashErr); err == nil {
		err = workerd.AddCrash(ctx, s.source, crashDir)
	}
	if !s.table.check(cloudflare, isolated, "the Worker is built for its trials", func() error { return err }) {
		return
	}
	for _, frozen := range []bool{false, true} {
		clock := map[bool]string{false: "the machine's clock", true: "a clock that stands still between I/O"}[frozen]
		for _, t := range workerd.Trials {
			dir := plainDir
			if t.Name == workerd.Crash.Name {
				dir = crashDir
			}
			s.table.check(cloudflare, isolated, t.Name+", by "+clock, func() error {
				figures, err := run(t, dir, frozen)
				if figures != "" && !frozen {
					s.table.note("%s: %s: %s", cloudflare, t.Name, figures)
				}
				return err
			})
		}
	}
	for i, m := range workerd.Mutations {
		s.table.check(cloudflare, isolated, "must fail: "+m.Name, func() error {
			dir, err := stage(fmt.Sprint("isolate-mutation-", i), &m)
			if err != nil {
				return err
			}
			_, err = run(m.Fails, dir, false)
			if err == nil {
				return fmt.Errorf("it passes %q all the same", m.Fails.Name)
			}
			if _, failed := errors.AsType[*workerd.Failure](err); failed {
				return nil
			}
			return err
		})
	}
}

// onlyIsolate installs and builds what isolate needs, and runs only that.
func (s *suite) onlyIsolate(ctx context.Context, mints int) {
	if s.table.check(cloudflare, toolsInstalled, "wrangler and workerd", func() error { return errors.Join(s.readGoEnv(ctx), s.installWrangler(ctx)) }) &&
		s.table.check(cloudflare, built, "make build-cloudflare", func() error {
			_, err := s.run(ctx, s.source, nil, "make", "build-cloudflare")
			return err
		}) {
		s.isolate(ctx, mints)
	}
}
