package session

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net/http"
	"os"
	"strconv"
	"time"

	"github.com/orga-session/orga-session/core/internal/problem"
	"github.com/orga-session/orga-session/core/internal/request"
)

// maxBody bounds the body of a POST, in bytes.
const maxBody = 16 << 10

// Handler answers a mint request: it validates the body, whose content is unused, mints, and writes the session config or
// a problem.
func Handler(s *Service) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := checkBody(w, r); err != nil {
			request.Fail(w, r, err)
			return
		}
		config, err := s.Mint(r.Context())
		x := request.From(r.Context())
		w.Header()["Server-Timing"] = []string{serverTiming(x)}
		if err != nil {
			request.Fail(w, r, err)
			return
		}
		sum := sha256.Sum256([]byte(config.Token.Reveal()))
		x.TokenHash, x.TokenExpires = hex.EncodeToString(sum[:8]), config.Token.ExpiresAt
		body, err := config.AppendJSON(nil)
		if err != nil {
			panic(err) // a bug: Mint never returns such a config
		}
		request.Write(w, http.StatusOK, "application/json", append(body, '\n'))
	})
}

// checkBody refuses a body that is too large, has another type or is not JSON, in this order. It ignores a GET's body.
func checkBody(w http.ResponseWriter, r *http.Request) error {
	if r.Method != http.MethodPost || r.Body == nil || r.ContentLength == 0 {
		return nil
	}
	if r.ContentLength > maxBody {
		return problem.New(problem.TooLarge, nil)
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return problem.New(problem.TooLarge, nil)
	}
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return problem.New(problem.Timeout, errors.New("the request body timed out"))
	}
	if err != nil {
		return problem.New(problem.BadRequest, errors.New("the request body ended early"))
	}
	if len(body) == 0 {
		return nil
	}
	if media, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || media != "application/json" {
		return problem.New(problem.UnsupportedMediaType, nil)
	}
	if !json.Valid(body) {
		return problem.New(problem.BadRequest, errors.New("the request body is not JSON"))
	}
	return nil
}

// serverTiming returns the Server-Timing header (W3C), in milliseconds.
func serverTiming(x *request.Record) string {
	b := make([]byte, 0, 80)
	part := func(name string, d time.Duration) {
		b = append(b, name...)
		b = strconv.AppendFloat(b, float64(d.Microseconds())/1000, 'f', 1, 64)
	}
	part("secret;dur=", x.Secret)
	part(", token;dur=", x.Token)
	part(", ice;dur=", x.ICE)
	return string(b)
}
