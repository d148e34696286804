// Package drill simulates incidents with the Lambda binary, and shows what an on-call engineer sees: the log line, its row
// in docs/operate.md, and the alarms of template.yaml, computed from the metrics in the log. `make drill` prints them.
package drill

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/orga-session/orga-session/core/orga/orgatest"
	"github.com/orga-session/orga-session/core/secret/secrettest"
	"github.com/orga-session/orga-session/tools/lambdaevent"
	"github.com/orga-session/orga-session/tools/lambdaruntime"
)

// pages are the alarms marked PAGE.
func pages(list []alarm) []string {
	var names []string
	for _, a := range list {
		if strings.HasPrefix(a.description, "PAGE.") {
			names = append(names, a.name)
		}
	}
	return names
}

// Programs for incidents.
const (
	function = ""       // AWS Lambda function
	server   = "server" // the plain server
	panics   = "panics" // the function with a bug that panics in each mint
	ends     = "ends"   // the function with a bug that ends the process
)

// build builds a program for this machine, with otherwise the same flags as the Makefile.
func build(t *testing.T, program string) string {
	t.Helper()
	dir := t.TempDir()
	args, source := []string{"build", "-tags", "lambda.norpc", "-o", filepath.Join(dir, "bootstrap")}, "./aws-lambda"
	if program == server {
		source = "."
	}
	if bug := map[string]string{panics: `panic("drill")`, ends: `os.Exit(2)`}[program]; bug != "" {
		args = append(args, "-overlay", overlay(t, dir, bug))
	}
	cmd := exec.Command("go", append(args, source)...)
	cmd.Dir, cmd.Env = "../..", append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return filepath.Join(dir, "bootstrap")
}

// overlay injects a bug at the start of a mint.
func overlay(t *testing.T, dir, bug string) string {
	t.Helper()
	path, err := filepath.Abs("../../core/internal/session/handler.go")
	if err != nil {
		t.Fatal(err)
	}
	code, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	const place = "\t\tconfig, err := s.Mint(r.Context())\n"
	changed := strings.Replace(string(code), place, "\t\tif s != nil { "+bug+" }\n"+place, 1)
	if changed == string(code) {
		t.Fatalf("%s does not mint any more", path)
	}
	list, err := json.Marshal(map[string]any{"Replace": map[string]string{path: filepath.Join(dir, "handler.go")}})
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{"handler.go": changed, "overlay.json": string(list)} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return filepath.Join(dir, "overlay.json")
}

func TestIncidents(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("AWS Lambda's binary is not built for Windows")
	}
	programs := make(map[string]string)
	for _, name := range []string{function, server, panics, ends} {
		programs[name] = build(t, name)
	}
	list := alarms(t)
	page, err := os.ReadFile("../../docs/operate.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, in := range incidents {
		t.Run(in.name, func(t *testing.T) {
			// A store of limits has 80 ms, which a busy machine may take by itself: such an incident runs alone, and again.
			limits := strings.HasPrefix(in.line, "redis:") || strings.HasPrefix(in.line, "dynamodb:")
			if !limits {
				t.Parallel()
			}
			log, statuses := run(t, programs, in)
			for again := 3; limits && again > 0 && found(log, in.line) == ""; again-- {
				log, statuses = run(t, programs, in)
			}
			if in.line != "" {
				line := found(log, in.line)
				if line == "" {
					t.Errorf("no line has %q:\n%s", in.line, strings.Join(log, "\n"))
				}
				row := rowFor(string(page), in.line)
				if row == "" {
					t.Errorf("docs/operate.md has no row that begins with %q", in.line)
				} else if found := search(string(page), line); !slices.Contains(found, row) {
					t.Errorf("a search for the line's cause, msg and error.type finds other rows first: %v", found)
				}
				t.Logf("line:  %s", line)
				t.Logf("row:   %s", row)
			}
			var fired []string
			if in.program != server { // CloudWatch does not monitor it
				fired = raised(list, log, statuses, in.canary == nil && !in.stopped)
			}
			switch {
			case in.alarm != "" && !slices.Contains(fired, in.alarm):
				t.Errorf("%s does not fire; fired: %v", in.alarm, fired)
			case in.alarm == "" && len(fired) > 0:
				t.Errorf("%v fired, and none should: %s", fired, in.reason)
			}
			if ok := slices.ContainsFunc(statuses, func(s int) bool { return s < 400 }); !ok && !slices.ContainsFunc(fired, func(name string) bool { return slices.Contains(pages(list), name) }) {
				t.Errorf("every caller is locked out, and nobody is woken; fired: %v", fired)
			}
			if in.reason != "" {
				t.Logf("alarm: none, as %s", in.reason)
			} else {
				t.Logf("alarm: %s", strings.Join(fired, ", "))
			}
		})
	}
}

// run simulates an incident. It returns the log and the responses' statuses.
func run(t *testing.T, programs map[string]string, in incident) (log []string, statuses []int) {
	store := new(secrettest.AWS)
	store.Put("orga/key", orgatest.Key)
	stores := httptest.NewServer(store)
	t.Cleanup(stores.Close)
	s := &site{t: t, orga: orgatest.New(t), store: store}
	s.env = map[string]string{
		"AWS_REGION": "eu-central-1", "AWS_ACCESS_KEY_ID": "drill", "AWS_SECRET_ACCESS_KEY": "drill",
		"AWS_ENDPOINT_URL_SECRETS_MANAGER": stores.URL,
		"ORGA_API_KEY":                     orgatest.Key, "ORGA_BASE_URL": s.orga.URL, "ORGA_AUTH": "anonymous", "ORGA_TIMEOUT": "3s",
	}
	if in.set != nil {
		in.set(s)
	}
	requests := in.requests
	if requests == nil {
		requests = times(max(5, in.instances), request{})
	}
	if in.program == server {
		return s.serve(programs[server], requests)
	}
	var instances []*instance
	for range max(1, in.instances) {
		instances = append(instances, s.start(programs[in.program], s.env))
	}
	statuses = make([]int, len(requests))
	var wg sync.WaitGroup
	for i, r := range requests {
		if r.before != nil {
			r.before(s)
		}
		send := func() { statuses[i] = instances[i%len(instances)].invoke(t.Context(), r.event(i)).StatusCode }
		if in.instances > 0 {
			wg.Go(send)
		} else {
			send()
		}
	}
	wg.Wait()
	if in.canary != nil {
		gateway := httptest.NewServer(instances[0])
		defer gateway.Close()
		env := map[string]string{"_HANDLER": "canary", "CANARY_URL": gateway.URL + "/api/orga-client-secrets", "AWS_LAMBDA_FUNCTION_NAME": parameters["CanaryFunction"]}
		maps.Copy(env, s.env)
		maps.Copy(env, in.canary(s, gateway.URL))
		canary := s.start(programs[function], env)
		_ = canary.invoke(t.Context(), []byte(`{"version":"0","source":"aws.events","detail-type":"Scheduled Event","detail":{}}`))
		log = canary.end()
	}
	for _, i := range instances {
		log = append(log, i.end()...)
	}
	return log, statuses
}

// instance is an instance of the function.
type instance struct {
	t      *testing.T
	api    *lambdaruntime.API
	cmd    *exec.Cmd
	output bytes.Buffer
}

func (s *site) start(program string, env map[string]string) *instance {
	s.t.Helper()
	i := &instance{t: s.t}
	var err error
	if i.api, err = lambdaruntime.Start("127.0.0.1:0"); err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { _ = i.api.Close() })
	i.cmd = exec.CommandContext(s.t.Context(), program)
	i.cmd.Env = environ(i.api.Env(), env)
	i.cmd.Stdout, i.cmd.Stderr = &i.output, &i.output
	if err := i.cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	return i
}

func environ(list []string, env map[string]string) []string {
	for name, value := range env {
		list = append(list, name+"="+value)
	}
	return list
}

// end ends an instance and returns its log.
func (i *instance) end() []string {
	select {
	case <-i.api.Ready():
	case <-i.t.Context().Done():
	}
	_ = i.cmd.Process.Kill() // it waits for its next event
	_ = i.cmd.Wait()
	return lines(&i.output)
}

func lines(output io.Reader) (log []string) {
	for lines := bufio.NewScanner(output); lines.Scan(); {
		log = append(log, lines.Text())
	}
	return log
}

// response is the function's result for an HTTP API.
type response struct {
	StatusCode      int
	Headers         map[string]string
	Body            string
	IsBase64Encoded bool
}

// invoke returns a 500, as an HTTP API does, if the function does not respond.
func (i *instance) invoke(ctx context.Context, event []byte) (r response) {
	id := make([]byte, 16)
	_, _ = rand.Read(id) // never fails
	answer, err := i.api.Invoke(ctx, event, lambdaruntime.Options{RequestID: fmt.Sprintf("%x-%x-%x-%x-%x", id[:4], id[4:6], id[6:8], id[8:10], id[10:]), Timeout: 5 * time.Second})
	if errors.Is(err, lambdaruntime.ErrTimedOut) {
		return response{StatusCode: http.StatusInternalServerError}
	}
	if err == nil {
		err = json.Unmarshal(answer, &r)
	}
	if err != nil {
		i.t.Error(err)
	}
	return r
}

// ServeHTTP lets an instance act as an HTTP API.
func (i *instance) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	q := request{path: r.URL.EscapedPath(), headers: make(map[string]string)}
	for name, values := range r.Header {
		q.headers[strings.ToLower(name)] = strings.Join(values, ",")
	}
	answer := i.invoke(r.Context(), q.event(0))
	body := []byte(answer.Body)
	if answer.IsBase64Encoded {
		body, _ = base64.StdEncoding.DecodeString(answer.Body)
	}
	for name, value := range answer.Headers {
		w.Header().Set(name, value)
	}
	w.WriteHeader(answer.StatusCode)
	_, _ = w.Write(body)
}

// event returns an HTTP API's event for the i-th request.
func (r request) event(i int) []byte {
	if r.path == "" {
		r.path = "/api/orga-client-secrets"
	}
	if r.from == "" {
		r.from = fmt.Sprintf("198.51.100.%d", i+1)
	}
	method, header := http.MethodGet, make(http.Header)
	if r.body != "" {
		method, header = http.MethodPost, http.Header{"Content-Type": {"application/json"}}
	}
	for name, value := range r.headers {
		header.Set(name, value)
	}
	e := lambdaevent.HTTPAPI(lambdaevent.Request{
		Method: method, Path: r.path, Header: header, Body: r.body, Addr: r.from, Host: "api.example",
	})
	if r.claims != nil {
		e["requestContext"].(lambdaevent.Event)["authorizer"] = map[string]any{"jwt": map[string]any{"claims": r.claims}}
	}
	event, err := json.Marshal(e)
	if err != nil {
		panic(err) // maps of strings always marshal
	}
	return event
}

// serve runs the plain server, and stops it as a platform does, so that the log is complete.
func (s *site) serve(program string, requests []request) (log []string, statuses []int) {
	cmd := exec.CommandContext(s.t.Context(), program, "-addr", "127.0.0.1:0")
	cmd.Env = environ(nil, s.env)
	var output bytes.Buffer
	cmd.Stderr = &output
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		s.t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	first, err := bufio.NewReader(stdout).ReadString('\n')
	address, ok := strings.CutPrefix(strings.TrimSpace(first), "Serving ")
	if err != nil || !ok {
		s.t.Fatalf("the server says %q: %v", first, err)
	}
	for _, r := range requests {
		ctx, cancel := context.WithCancel(s.t.Context())
		if r.leaves {
			ctx, cancel = context.WithTimeout(ctx, 300*time.Millisecond)
		}
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
		if err != nil {
			s.t.Fatal(err)
		}
		if resp, err := http.DefaultClient.Do(req); err == nil {
			statuses = append(statuses, resp.StatusCode)
			_ = resp.Body.Close()
		} else if !r.leaves {
			s.t.Error(err)
		}
		cancel()
	}
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		s.t.Fatal(err)
	}
	_ = cmd.Wait()
	return lines(&output), statuses
}

// found returns the first line whose msg, error.type or cause contains text, abbreviated for reading.
func found(log []string, text string) string {
	for _, line := range log {
		var members map[string]any
		if json.Unmarshal([]byte(line), &members) != nil {
			continue
		}
		for _, name := range []string{"msg", "error.type", "cause"} {
			if s, _ := members[name].(string); strings.Contains(s, text) {
				return regexp.MustCompile(`,"_aws":\{.*\}\]\}`).ReplaceAllString(line, "")
			}
		}
	}
	return ""
}

// rowFor returns the row of a table whose first cell quotes the start of text.
func rowFor(page, text string) string {
	for line := range strings.SplitSeq(page, "\n") {
		cells := strings.Split(line, " | ")
		if len(cells) == 3 && regexp.MustCompile("`(?:msg: |cause: )?"+regexp.QuoteMeta(text)).MatchString(cells[0]) {
			return line
		}
	}
	return ""
}

// search follows docs/operate.md: it returns the rows with a key that the line's cause contains, else those of its msg,
// else those of its error.type. Of several keys, the one that occurs first in the text counts, and then the longest.
func search(page, line string) (rows []string) {
	var members struct {
		Cause, Msg string
		ErrorType  string `json:"error.type"`
	}
	if json.Unmarshal([]byte(line), &members) != nil {
		return nil
	}
	for _, text := range []string{members.Cause, members.Msg, members.ErrorType} {
		at, size := len(text), 0
		for line := range strings.SplitSeq(page, "\n") {
			cells := strings.Split(line, " | ")
			if len(cells) != 3 {
				continue
			}
			for _, m := range regexp.MustCompile("`(?:msg: |cause: )?([^`]{5,}?)…?`").FindAllStringSubmatch(cells[0], -1) {
				i := strings.Index(text, m[1])
				if i < 0 || i > at || i == at && len(m[1]) < size {
					continue
				}
				if i < at || len(m[1]) > size {
					at, size, rows = i, len(m[1]), nil
				}
				rows = append(rows, line)
			}
		}
		if len(rows) > 0 {
			return rows
		}
	}
	return nil
}

// raised returns the alarms that act within an hour in which the incident repeats every minute, after an hour with one mint
// a minute. A canary runs every five minutes and otherwise succeeds.
func raised(list []alarm, log []string, statuses []int, content bool) []string {
	m := make(metrics)
	for minute := range 60 {
		healthy(m, minute)
	}
	for minute := 60; minute < 120; minute++ {
		for _, status := range statuses {
			if status >= 500 {
				m.add("AWS/ApiGateway 5xx ApiId=api", minute, 1)
			}
		}
		for _, line := range log {
			if minute%5 == 0 || !strings.Contains(line, `"function":"canary"`) {
				embedded(m, line, minute)
			}
		}
		if content {
			contentCanary(m, minute)
		}
	}
	var fired []string
	for _, a := range list {
		for minute := 60; a.acts && minute < 120; minute++ {
			if a.firing(list, m, minute) {
				fired = append(fired, a.name)
				break
			}
		}
	}
	return fired
}

// embedded adds the metrics in a line, as CloudWatch extracts them.
func embedded(m metrics, line string, minute int) {
	var members map[string]any
	var format struct {
		AWS struct {
			CloudWatchMetrics []struct {
				Namespace  string
				Dimensions [][]string
				Metrics    []struct{ Name string }
			}
		} `json:"_aws"`
	}
	if json.Unmarshal([]byte(line), &members) != nil || json.Unmarshal([]byte(line), &format) != nil {
		return
	}
	for _, d := range format.AWS.CloudWatchMetrics {
		for _, dimensions := range d.Dimensions {
			for _, metric := range d.Metrics {
				series := d.Namespace + " " + metric.Name
				for _, name := range dimensions {
					series += fmt.Sprintf(" %s=%v", name, members[name])
				}
				if value, ok := members[metric.Name].(float64); ok {
					m.add(series, minute, value)
				}
			}
		}
	}
}
