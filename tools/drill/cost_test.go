package drill

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"regexp"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/orga-session/orga-session/core/orga"
	"github.com/orga-session/orga-session/core/orga/orgatest"
)

// docs/operate.md states how much a mint writes to CloudWatch, and computes the cost of a million from it. Names and IDs
// are as long as on AWS, and Lambda's own lines are in its format.
func TestSizeOfLog(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("AWS Lambda's binary is not built for Windows")
	}
	bootstrap := build(t, function)
	page, err := os.ReadFile("../../docs/operate.md")
	if err != nil {
		t.Fatal(err)
	}
	own := 0
	const id = "8f5a2b1c-7c1f-4d0e-9a52-1f3c5b7d9e0f"
	for _, line := range []string{
		"START RequestId: " + id + " Version: $LATEST\n",
		"END RequestId: " + id + "\n",
		"REPORT RequestId: " + id + "\tDuration: 152.34 ms\tBilled Duration: 153 ms\tMemory Size: 256 MB\tMax Memory Used: 41 MB\t\n",
	} {
		own += len(line)
	}
	const issuer = "https://login.example.com/tenant/"
	for caller, set := range map[string]func(s *site) map[string]string{
		"anonymous": func(*site) map[string]string { return nil },
		"oidc": func(s *site) map[string]string {
			oidc(s)
			keySet(s)
			s.env["ORGA_AUTH_ISSUER"] = issuer
			return token(issuer, "app", time.Hour)
		},
	} {
		headers := map[string]string{
			"origin": "https://app.example.com", "x-request-id": "JKJaXmPLvHcESHA=",
			"x-amzn-trace-id": "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1",
		}
		log, statuses := run(t, map[string]string{function: bootstrap}, incident{
			set: func(s *site) {
				maps.Copy(s.env, map[string]string{
					"AWS_LAMBDA_FUNCTION_NAME": "orga-session-OrgaSessionFunction-AbCdEfGhIjKl",
					"ORGA_CORS_ORIGINS":        "https://app.example.com", "ORGA_RATE_LIMIT": "off",
				})
				s.orga.FailAll(orga.CallMint, orgatest.Status(200, `{"ephemeral_token":"t","ttl":120}`, "X-Request-Id", "req_011CSHoEeqs5C35K2UUqR7Fy"))
				s.orga.FailAll(orga.CallICE, orgatest.Status(200, `[{"urls":"stun:stun.example"}]`))
				maps.Copy(headers, set(s))
			},
			requests: times(50, request{headers: headers}),
		})
		size, metrics, lines := 0, 0, 0
		for _, line := range log {
			var members struct {
				Msg  string
				Cold bool            `json:"faas.coldstart"`
				AWS  json.RawMessage `json:"_aws"`
			}
			if err := json.Unmarshal([]byte(line), &members); err != nil {
				t.Fatal(err)
			}
			if members.Msg == "request" && !members.Cold {
				lines++
				size += len(line) + 1
				metrics += len(`,"_aws":`) + len(members.AWS)
			}
		}
		if lines != len(statuses)-1 {
			t.Fatalf("%d lines of %d warm mints: %s", lines, len(statuses)-1, strings.Join(log[:2], "\n"))
		}
		size, metrics = size/lines, metrics/lines
		row := fmt.Sprintf("| %s | %d | %d | %d |", caller, size, metrics, own)
		t.Log(row)
		m := regexp.MustCompile(`\| ` + caller + ` \| (\d+) \| (\d+) \| (\d+) \|`).FindStringSubmatch(string(page))
		if m == nil {
			t.Errorf("docs/operate.md has no row as %s", row)
			continue
		}
		for i, measured := range []int{size, metrics, own} {
			var said int
			if _, err := fmt.Sscan(m[i+1], &said); err != nil || max(said-measured, measured-said) > 15 { // durations have one to three digits
				t.Errorf("docs/operate.md has %s, measured is %s", m[0], row)
			}
		}
	}
}
