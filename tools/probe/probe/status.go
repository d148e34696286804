package probe

import (
	"bytes"
	"encoding/json"
	"fmt"
	"mime"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"strings"
)

// problem has the parts of the endpoint's error body that are safe to print.
type problem struct {
	Code      string `json:"code"`
	RequestID string `json:"requestId"`
}

var (
	codes      = regexp.MustCompile(`^[a-z_]{1,40}$`)
	requestIDs = regexp.MustCompile(`^[A-Za-z0-9._-]{1,128}$`)
)

// checkStatus checks the status, and whether something else answered instead of the endpoint. It returns false if so,
// because the other checks would then say nothing about the endpoint.
func (p *prober) checkStatus(a answer) bool {
	switch pr, own := problemOf(a); {
	case timedOut(a.err):
		p.report.fail("status", fmt.Sprintf("it hangs: no complete response within %s", formatTimeout(a.limit)),
			"Check the function's log, and ORGA_TIMEOUT. Clients give up after 10 s.")
		return false
	case a.err != nil:
		p.report.fail("status", "the connection was closed before the response was complete",
			"Check whether the function crashes, and whether a proxy in front of it uses the right protocol (http or https).")
		return false
	case a.status/100 == 3:
		p.report.fail("status", fmt.Sprintf("%d, a redirect%s", a.status, destination(a, p.browser.target)),
			"Use the address it leads to. A redirect costs time, and across origins it loses the CORS headers and the credential.")
		return false
	case isHTML(a):
		p.report.fail("status", fmt.Sprintf("%d with HTML instead of JSON: a web page answers, not the endpoint", a.status),
			"Check the path ("+DefaultPath+"), and that the host routes it to the function and not to a page.")
		return false
	case a.status/100 == 2:
		p.report.ok("status", fmt.Sprintf("%d %s", a.status, http.StatusText(a.status)))
		return true
	case own:
		p.report.add(Check{
			ID: "status", Status: Fail, Code: pr.Code, RequestID: pr.RequestID,
			Detail: fmt.Sprintf("%d %s%s", a.status, pr.Code, retryAfter(a.header)),
			Remedy: codeRemedy(pr.Code),
		})
		return true
	default:
		p.report.fail("status", fmt.Sprintf("%d%s, but not from the endpoint, whose errors are problem+json with a code",
			a.status, retryAfter(a.header)), gatewayRemedy(a.status))
		return false
	}
}

// problemOf returns the endpoint's error body; false if the answer is not one.
func problemOf(a answer) (problem, bool) {
	var pr problem
	if mediaType(a.header) != "application/problem+json" || json.Unmarshal(a.body, &pr) != nil || !codes.MatchString(pr.Code) {
		return problem{}, false
	}
	if !requestIDs.MatchString(pr.RequestID) {
		pr.RequestID = ""
	}
	return pr, true
}

func mediaType(h http.Header) string {
	media, _, _ := mime.ParseMediaType(h.Get("Content-Type"))
	return media
}

func isHTML(a answer) bool {
	return mediaType(a.header) == "text/html" || bytes.HasPrefix(bytes.TrimSpace(a.body), []byte("<"))
}

// retryAfter formats a Retry-After in seconds; "" for any other.
func retryAfter(h http.Header) string {
	seconds, err := strconv.ParseUint(h.Get("Retry-After"), 10, 32)
	if err != nil {
		return ""
	}
	return fmt.Sprintf(", retry in %d s", seconds)
}

// destination describes where a redirect leads, without the parts of the address that may contain secrets.
func destination(a answer, from *url.URL) string {
	to, err := from.Parse(a.header.Get("Location"))
	if err != nil || a.header.Get("Location") == "" {
		return ""
	}
	hint := ""
	if strings.Contains(strings.ToLower(to.Path), "login") || strings.Contains(strings.ToLower(to.Path), "auth") {
		hint = ", which looks like a login"
	}
	return " to " + display(to) + hint
}
