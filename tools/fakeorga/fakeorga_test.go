package fakeorga_test

import (
	"errors"
	"io"
	"net/http"
	"strings"
	"syscall"
	"testing"

	"github.com/orga-session/orga-session/tools/fakeorga"
)

func call(t *testing.T, api *fakeorga.API, method, path, bearer string) (status int, body string, err error) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, api.URL+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+bearer)
	resp, err := new(http.Transport).RoundTrip(r)
	if err != nil {
		return 0, "", err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	return resp.StatusCode, string(text), err
}

const (
	mintPath = "/v1/realtime/client-secrets"
	icePath  = "/v1/realtime/ice-config"
)

func TestCalls(t *testing.T) {
	var calls []fakeorga.Call
	api, err := fakeorga.Start(fakeorga.Options{Fault: func(c fakeorga.Call) fakeorga.Fault {
		calls = append(calls, c)
		return fakeorga.None
	}})
	if err != nil {
		t.Fatal(err)
	}
	defer api.Close()
	if status, _, err := call(t, api, "POST", mintPath, "unknown"); err != nil || status != 401 {
		t.Errorf("an unknown key: status %d, error %v", status, err)
	}
	_, minted, err := call(t, api, "POST", mintPath, fakeorga.KeyPrefix+"seven")
	if err != nil {
		t.Fatal(err)
	}
	token := fakeorga.Token([]byte(minted))
	_, ice, err := call(t, api, "GET", icePath, token)
	if err != nil || fakeorga.CheckICE(token, []byte(ice)) != nil {
		t.Errorf("ICE servers %s for token %s: %v", ice, token, err)
	}
	want := fakeorga.Call{Key: fakeorga.KeyPrefix + "seven"}
	if len(calls) != 2 || !calls[0].Mint || calls[0].Key != want.Key || calls[1] != want {
		t.Errorf("calls %+v, want a mint and an ICE call of key %s", calls, want.Key)
	}
	if api.Calls() != 3 || api.Opened() != 3 {
		t.Errorf("%d calls on %d connections, want 3 on 3", api.Calls(), api.Opened())
	}
}

func TestFaults(t *testing.T) {
	var fault fakeorga.Fault
	api, err := fakeorga.Start(fakeorga.Options{Fault: func(fakeorga.Call) fakeorga.Fault { return fault }})
	if err != nil {
		t.Fatal(err)
	}
	defer api.Close()
	fault = fakeorga.Unavailable
	if status, _, err := call(t, api, "POST", mintPath, fakeorga.Key); err != nil || status != 503 {
		t.Errorf("unavailable: status %d, error %v", status, err)
	}
	fault = fakeorga.Reset
	if _, _, err := call(t, api, "POST", mintPath, fakeorga.Key); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("reset: %v", err)
	}
}

func TestCheck(t *testing.T) {
	const number, other = "00000000000000aa", "00000000000000bb"
	const whole = `{"ephemeralToken":"ephemeral-` + number + `.x","iceServers":[{"urls":"turn:t","credential":"turn-of-` + number + `"}]}`
	for name, test := range map[string]struct{ body, fails string }{
		"whole":                           {whole, ""},
		"the credential of another token": {strings.Replace(whole, "turn-of-"+number, "turn-of-"+other, 1), "another token"},
		"no ICE servers":                  {`{"ephemeralToken":"ephemeral-` + number + `.x"}`, "another token"},
		"no token":                        {`{}`, "no token"},
	} {
		err := fakeorga.Check([]byte(test.body))
		if (err == nil) != (test.fails == "") || err != nil && !strings.Contains(err.Error(), test.fails) {
			t.Errorf("%s: error %v, want one with %q", name, err, test.fails)
		}
	}
}
