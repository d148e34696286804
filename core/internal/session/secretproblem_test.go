package session_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/orga-session/orga-session/core/internal/problem"
	"github.com/orga-session/orga-session/core/internal/secretcache"
	"github.com/orga-session/orga-session/core/internal/session"
	"github.com/orga-session/orga-session/core/secret"
)

func TestSecretProblem(t *testing.T) {
	for _, tt := range []struct {
		name      string
		err       error
		code      problem.Code
		retryable bool
	}{
		{"fault 2: the store is down", errors.New("the store answered HTTP 500"), problem.SecretUnavailable, true},
		{"fault 81: refused permanently", secret.ErrPermanent, problem.SecretUnavailable, false},
		{"fault 81: unusable", secret.ErrMalformed, problem.SecretUnavailable, false},
		{"an invalid setting", fmt.Errorf("%w: %w", secret.ErrMisconfigured, secret.ErrMalformed), problem.Misconfigured, false},
	} {
		p := session.SecretProblem(&secretcache.FetchError{RetryAfter: 7 * time.Second, Err: tt.err})
		if p.Code != tt.code || p.Retryable() != tt.retryable || !errors.Is(p, tt.err) {
			t.Errorf("%s: %s, retryable %t, %v", tt.name, p.Code, p.Retryable(), p)
		}
		if tt.code == problem.SecretUnavailable && p.RetryAfter != 7*time.Second {
			t.Errorf("%s: Retry-After %v", tt.name, p.RetryAfter)
		}
	}
	if p := session.SecretProblem(context.DeadlineExceeded); p.Code != problem.Timeout || !errors.Is(p, context.DeadlineExceeded) {
		t.Errorf("out of time: %v", p)
	}
}
