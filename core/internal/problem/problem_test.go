package problem_test

import (
	"errors"
	"os"
	"regexp"
	"strconv"
	"testing"

	"github.com/orga-session/orga-session/core/internal/problem"
)

func TestProblemIsAnError(t *testing.T) {
	cause := errors.New("cause")
	for p, want := range map[*problem.Problem]string{
		problem.New(problem.Timeout, nil):   "timeout",
		problem.New(problem.Timeout, cause): "timeout: cause",
	} {
		if p.Error() != want || errors.Is(p, cause) != (p.Cause != nil) {
			t.Errorf("%q, want %q", p, want)
		}
	}
}

// The contract's table lists every code that is sent, with its status.
func TestContract(t *testing.T) {
	page, err := os.ReadFile("../../../docs/contract.md")
	if err != nil {
		t.Fatal(err)
	}
	statuses := make(map[string]string)
	for _, m := range regexp.MustCompile("(?m)^\\|.*\\| ([45]\\d\\d) \\| `([a-z_]+)` \\|$").FindAllStringSubmatch(string(page), -1) {
		statuses[m[2]] = m[1]
	}
	source, err := os.ReadFile("problem.go")
	if err != nil {
		t.Fatal(err)
	}
	names := regexp.MustCompile(`(?m)\bCode += "([a-z_]+)"`).FindAllStringSubmatch(string(source), -1)
	if len(names) != len(statuses)+1 { // client_gone is for the log alone
		t.Errorf("%d codes, and %d in docs/contract.md", len(names), len(statuses))
	}
	for code, status := range statuses {
		if got := problem.New(problem.Code(code), nil).Status(); strconv.Itoa(got) != status {
			t.Errorf("%s is %d, and %s in docs/contract.md", code, got, status)
		}
	}
}
