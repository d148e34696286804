package core_test

import (
	"io"
	stdlog "log"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/orga-session/orga-session/core"
	"github.com/orga-session/orga-session/core/orga"
)

// Fault 17: what net/http says of an answer that goes on after its end is logged, what it quotes of it
// is not.
func TestStandardLogQuotesNobody(t *testing.T) {
	before, writer, flags := slog.Default(), stdlog.Writer(), stdlog.Flags()
	defer func() {
		slog.SetDefault(before)
		stdlog.SetOutput(writer)
		stdlog.SetFlags(flags)
	}()
	var log logBuffer
	core.SetDefault(slog.New(slog.NewJSONHandler(&log, nil)))
	stdlog.Print("another line starting with words")

	d := deploy(t, env{"ORGA_API_KEY": canary}, nil)
	d.orga.Intercept = func(_ orga.Call, r *http.Request) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			conn, rw, err := http.NewResponseController(w).Hijack()
			if err != nil {
				t.Error(err)
				return
			}
			defer conn.Close()
			_, _ = rw.WriteString("HTTP/1.1 401 Unauthorized\r\nContent-Length: 2\r\n\r\n{}\nyour key: " + r.Header.Get("Authorization"))
			_ = rw.Flush()
			_, _ = io.Copy(io.Discard, conn)
		})
	}
	d.ask("GET", mintPath)
	for range 100 { // net/http logs it in a goroutine of its own
		if strings.Contains(log.String(), "Unsolicited") {
			break
		}
		<-time.After(10 * time.Millisecond)
	}
	if said := log.String(); !strings.Contains(said, "Unsolicited response") || !strings.Contains(said, "another line starting with words") {
		t.Errorf("the log lacks what was said:\n%s", said)
	}
	if strings.Contains(log.String(), "starting with \\") {
		t.Errorf("the log quotes what the server sent, if only its first word:\n%s", log.String())
	}
	for _, form := range forms(canary) {
		if strings.Contains(log.String(), form) {
			t.Errorf("the key is in the log:\n%s", log.String())
		}
	}
}
