package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"time"
)

// printIntroduction prints the addresses and next steps. With the local cloud, it also prints one response of the endpoint;
// with the real Orga it does not, because each response is a real token.
func printIntroduction(ctx context.Context, out io.Writer, home string, p *playground) {
	fmt.Fprintf(out, "\n  Page      %s/\n  Endpoint  %s%s\n", home, home, endpoint)
	if p.cloud != nil {
		fmt.Fprintf(out, "  Orga      %s/ (local Orga Cloud; open it to see its counters)\n", p.orga)
	} else {
		fmt.Fprintf(out, "  Orga      %s (the real Orga: each request mints a real token; none has been sent yet)\n", p.orga)
	}
	if p.hmacKey != "" {
		fmt.Fprintf(out, "  HMAC key  %s (for Authorization on the page; a new one each time)\n", p.hmacKey)
	}
	fmt.Fprintf(out, "\n  curl -i %s%s\n\n", home, endpoint)
	if p.cloud != nil {
		ctx, cancel := context.WithTimeout(ctx, 15*time.Second)
		defer cancel()
		answer, err := tryRequest(ctx, home+endpoint)
		if err != nil {
			fmt.Fprintf(out, "A test request failed: %v\n\n", err)
		} else {
			fmt.Fprintf(out, "A test request, without Authorization (credentials abbreviated):\n\n%s\n\n", answer)
		}
	}
	fmt.Fprint(out, `Next:
  1. Open the page and press Start.
  2. Put it in your app (docs/use.md):
       OrgaAI.init({ fetchSessionConfig: () => fetch("`+home+endpoint+`").then((r) => r.json()) });
     and allow your app's origin: make run ORGA_CORS_ORIGINS=http://localhost:3000
  3. Deploy it: make deploy-aws, deploy-gcp, deploy-netlify or deploy-cloudflare (docs/platforms.md).

Press Ctrl-C to stop.
`)
}

// tryRequest makes one request and formats the response with abbreviated credentials.
func tryRequest(ctx context.Context, url string) (string, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return "", err
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Do(r)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, 128<<10))
	if err != nil {
		return "", err
	}
	var b bytes.Buffer
	fmt.Fprintf(&b, "HTTP %s\n", resp.Status)
	if t := resp.Header.Get("Server-Timing"); t != "" {
		fmt.Fprintf(&b, "Server-Timing: %s\n", t)
	}
	if err := json.Indent(&b, body, "", "  "); err != nil {
		return "", fmt.Errorf("%s, and the body is not JSON", resp.Status)
	}
	return credentials.ReplaceAllString(b.String(), "$1…$2"), nil
}

// credentials matches what the local cloud issues, but for the ends, by which two can be told apart.
var credentials = regexp.MustCompile(`("(?:ephemeralToken|credential)": "[^"]{6})[^"]*([^"]{4}")`)
