package problem_test

import (
	"errors"
	"testing"

	"github.com/orga-session/orga-session/core/problem"
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
