package entrypoints

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/orga-session/orga-session/core/orga/orgatest"
)

// fault 59: one signed-in caller, over its limit, sends large tokens with deeply nested claims, also with other encodings of
// their signatures. The instance's memory must hardly grow.
func TestTokensDoNotFillTheMemory(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("the memory of a process is read from /proc")
	}
	const (
		most     = 16 << 20
		alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	)
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	part := base64.RawURLEncoding.EncodeToString
	point, err := key.PublicKey.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	issuer := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "openid-configuration") {
			fmt.Fprintf(w, `{"issuer":"http://%s","jwks_uri":"http://%[1]s/keys"}`, r.Host)
			return
		}
		fmt.Fprintf(w, `{"keys":[{"kty":"EC","crv":"P-256","kid":"1","x":%q,"y":%q}]}`, part(point[1:33]), part(point[33:]))
	}))
	defer issuer.Close()
	token := func(id int, claims string) string {
		input := part([]byte(`{"alg":"ES256","kid":"1"}`)) + "." +
			part(fmt.Appendf(nil, `{"iss":%q,"aud":"voice","sub":"ada","exp":%d,"jti":"%d"%s}`, issuer.URL, time.Now().Add(time.Hour).Unix(), id, claims))
		hash := sha256.Sum256([]byte(input))
		r, s, err := ecdsa.Sign(rand.Reader, key, hash[:])
		if err != nil {
			t.Fatal(err)
		}
		return input + "." + part(append(r.FillBytes(make([]byte, 32)), s.FillBytes(make([]byte, 32))...))
	}

	canary := canary()
	api, pid := startLambdaProcess(t, "aws-lambda", canary, "ORGA_API_KEY="+canary, "ORGA_BASE_URL="+orgatest.New(t).URL,
		"ORGA_AUTH=oidc", "ORGA_AUTH_ISSUER="+issuer.URL, "ORGA_AUTH_AUDIENCE=voice", "ORGA_RATE_LIMIT=1/1h", "ORGA_LOG_LEVEL=error")
	do := overLambda(api, triggers["Function URL"])
	ask := func(token string, want int) {
		t.Helper()
		got := do(t, request{method: "GET", path: mint, header: map[string]string{"Authorization": "Bearer " + token}})
		if got.status != want {
			t.Fatalf("got %d %s, want %d", got.status, got.body, want)
		}
	}
	ask(token(0, ""), http.StatusOK)
	for i := range 200 { // memory that serving tokens of this size needs at all
		ask(token(i, `,"pad":"`+strings.Repeat("x", 5700)+`"`), http.StatusTooManyRequests)
	}

	before := resident(t, pid)
	deep := `,"deep":` + strings.Repeat(`{"":`, 950) + "1" + strings.Repeat("}", 950)
	for i := range 500 {
		large := token(1000+i, deep)
		ask(large, http.StatusTooManyRequests)
		spare := strings.IndexByte(alphabet, large[len(large)-1]) // 4 of its 6 bits are not part of the signature
		for n := 1; n < 16; n += 3 {
			ask(large[:len(large)-1]+alphabet[spare^n:][:1], http.StatusUnauthorized)
		}
	}
	if grown := resident(t, pid) - before; grown > most {
		t.Errorf("500 tokens have grown the process by %d KiB", grown>>10)
	} else {
		t.Logf("500 tokens have grown the process by %d KiB to %d", grown>>10, resident(t, pid)>>10)
	}
}

// resident returns the resident memory of a process, in bytes.
func resident(t *testing.T, pid int) int {
	t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(status)) {
		if kib, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			n, err := strconv.Atoi(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(kib), "kB")))
			if err != nil {
				t.Fatal(err)
			}
			return n << 10
		}
	}
	t.Fatal("no VmRSS")
	return 0
}
