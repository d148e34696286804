package orgacloud

import (
	"errors"
	"net/http/httptest"
	"testing"
	"testing/synctest"
	"time"
)

func TestTokenTTL(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tokens := newTokens()
		text, expires, err := tokens.mint(time.Minute)
		if err != nil || time.Until(expires) != time.Minute {
			t.Fatalf("%v, expires in %v", err, time.Until(expires))
		}
		r := httptest.NewRequest("GET", "/", nil)
		r.Header.Set("Authorization", "bearer "+text)
		time.Sleep(time.Minute - time.Nanosecond)
		if _, err := tokens.check(r); err != nil || tokens.count() != 1 {
			t.Errorf("in its last moment: %v, %d alive", err, tokens.count())
		}
		time.Sleep(time.Nanosecond)
		if _, err := tokens.spend(r); !errors.Is(err, errExpired) || tokens.count() != 0 {
			t.Errorf("past its TTL: %v, %d alive; want %v, none", err, tokens.count(), errExpired)
		}
	})
}

func TestTokensAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tokens := newTokens()
		for range maxTokens {
			if _, _, err := tokens.mint(time.Minute); err != nil {
				t.Fatal(err)
			}
		}
		if _, _, err := tokens.mint(time.Minute); err == nil {
			t.Error("one more than the bound was minted")
		}
		time.Sleep(time.Minute + afterlife + time.Second)
		if _, _, err := tokens.mint(time.Minute); err != nil || len(tokens.live) != 1 {
			t.Errorf("after they are dead: %v, %d remembered", err, len(tokens.live))
		}
	})
}
