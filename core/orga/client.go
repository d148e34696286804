package orga

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"maps"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"time"
)

const (
	// KeyPrefix starts every permanent API key.
	KeyPrefix = "sk_orga_ai_"

	defaultBaseURL = "https://api.orga-ai.com"
	mintPath       = "/v1/realtime/client-secrets"
	icePath        = "/v1/realtime/ice-config"

	// defaultTimeout bounds a call whose context has no deadline, as in @orga-ai/node.
	defaultTimeout = 10 * time.Second
)

// Client calls the Orga API with one permanent API key. Make one with [NewClient]. It is safe for concurrent
// use, and printing it does not show the key.
type Client struct {
	// Closures, because fmt prints the fields of a struct but not what a function holds.
	settings func() *settings
	key      func() *apiKey
}

// settings are what a client shares with those that [Client.WithKey] derives from it.
type settings struct {
	base      string
	email     string
	transport http.RoundTripper
	log       *slog.Logger

	mint, ice *http.Request // templates: each call uses a copy
	invalid   string        // why the base URL is invalid; "" if it is valid
	latest    atomic.Pointer[Client]
}

// Option configures a client in [NewClient].
type Option func(*settings)

// WithBaseURL replaces https://api.orga-ai.com: scheme, host and path of an http or https URL. An empty one changes nothing; an
// invalid one is reported by each call, as [ErrConfig].
func WithBaseURL(url string) Option {
	return func(s *settings) { s.base = cmp.Or(url, s.base) }
}

// WithUserEmail sends an email with each mint (?email=). Only older Orga accounts need it.
func WithUserEmail(email string) Option { return func(s *settings) { s.email = email } }

// WithTransport replaces [http.DefaultTransport], such as with the Transport of an [http.Client]; nil changes nothing.
// The client calls it directly, so redirects are never followed.
func WithTransport(transport http.RoundTripper) Option {
	return func(s *settings) { s.transport = cmp.Or(transport, s.transport) }
}

// WithLogger logs one line per call, at [slog.LevelDebug]. No line contains a key, a token or a credential.
func WithLogger(log *slog.Logger) Option { return func(s *settings) { s.log = log } }

// NewClient returns a client that mints with the permanent API key. It sends nothing: an empty or unusable key
// is reported by the first mint, as [ErrConfig]. Pass "" if each call has its own key (see [Client.WithKey]).
func NewClient(key string, opts ...Option) *Client {
	s := &settings{base: defaultBaseURL, transport: http.DefaultTransport}
	for _, set := range opts {
		set(s)
	}
	header := http.Header{
		"Accept": {"application/json"},
		// Answers are small. If net/http requested an encoding by itself, it would also decode it, without a bound on the
		// decoded size.
		"Accept-Encoding": {"identity"},
	}
	base, err := url.Parse(s.base)
	if err != nil || base.Scheme != "https" && base.Scheme != "http" || base.Host == "" {
		s.invalid = "the base URL must be an http or https URL"
		base = new(url.URL)
	}
	request := func(method, path string) *http.Request {
		return &http.Request{Method: method, Header: header,
			URL: &url.URL{Scheme: base.Scheme, Host: base.Host, Path: strings.TrimSuffix(base.Path, "/") + path}}
	}
	s.ice = request(http.MethodGet, icePath)
	s.mint = request(http.MethodPost, mintPath)
	if s.email != "" {
		s.mint.URL.RawQuery = url.Values{"email": {s.email}}.Encode()
	}
	s.mint.Header = maps.Clone(header)
	s.mint.Header["Content-Type"] = []string{"application/json"}
	// net/http retries on another connection if a kept-alive one was dead, but only for idempotent requests and for those
	// with this header in their map. An empty list sends no header.
	s.mint.Header["Idempotency-Key"] = []string{}
	return s.client(key)
}

// WithKey returns a client that differs only in its key, for a key that changes while a program runs. Call it for each
// request: the client for the latest key is cached.
func (c *Client) WithKey(key string) *Client {
	if latest := c.settings().latest.Load(); latest.key().text == key {
		return latest
	}
	return c.settings().client(key)
}

func (s *settings) client(key string) *Client {
	k := newAPIKey(key)
	c := &Client{func() *settings { return s }, func() *apiKey { return k }}
	s.latest.Store(c)
	return c
}

// SessionConfig mints a token and fetches its ICE servers: what an Orga client needs to open one session. The
// error is an [*Error]; a partial config is never returned.
func (c *Client) SessionConfig(ctx context.Context) (SessionConfig, error) {
	token, err := c.MintToken(ctx)
	if err != nil {
		return SessionConfig{}, err
	}
	servers, err := c.ICEServers(ctx, token)
	if err != nil {
		return SessionConfig{}, err
	}
	return SessionConfig{Token: token, ICEServers: servers}, nil
}

// MintToken exchanges the API key for a token (POST /v1/realtime/client-secrets). Every call may be
// billed as a token, even if its answer is lost. The error is an [*Error].
func (c *Client) MintToken(ctx context.Context) (token EphemeralToken, err error) {
	key := c.key()
	switch {
	case key.text == "":
		return token, &Error{Call: CallMint, Kind: ErrConfig, detail: "the API key is empty"}
	case !headerSafe(key.text):
		return token, &Error{Call: CallMint, Kind: ErrConfig, detail: "the API key contains a character that a header cannot have"}
	}
	id, err := c.do(ctx, CallMint, c.settings().mint, key.text, func(body []byte) (err error) {
		token, err = decodeToken(body, time.Now())
		return err
	})
	if err != nil {
		return EphemeralToken{}, err
	}
	token.RequestID = id
	return token, nil
}

// ICEServers fetches the STUN and TURN servers for a token (GET /v1/realtime/ice-config). An empty list is
// valid; a missing one is an error. The error is an [*Error].
func (c *Client) ICEServers(ctx context.Context, token EphemeralToken) (servers []ICEServer, err error) {
	if !headerSafe(token.Reveal()) {
		return nil, &Error{Call: CallICE, Kind: ErrConfig, detail: "the token is empty, or contains a character that a header cannot have"}
	}
	_, err = c.do(ctx, CallICE, c.settings().ice, token.Reveal(), func(body []byte) (err error) {
		servers, err = decodeICE(body)
		return err
	})
	if err != nil {
		return nil, err
	}
	return servers, nil
}

// do makes one call, reads the whole answer and decodes it. decode's errors describe the answer without quoting it. id is
// Orga's request ID of the call.
func (c *Client) do(ctx context.Context, call Call, template *http.Request, credential string, decode func([]byte) error) (id string, err error) {
	s := c.settings()
	if s.invalid != "" {
		return "", &Error{Call: call, Kind: ErrConfig, detail: s.invalid}
	}
	if _, ok := ctx.Deadline(); !ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, defaultTimeout)
		defer cancel()
	}
	start, status, size := time.Now(), 0, 0
	if s.log != nil && s.log.Enabled(ctx, slog.LevelDebug) {
		defer func() {
			attrs := []slog.Attr{slog.String("call", string(call)), slog.Int("status", status),
				slog.Int("bytes", size), slog.Float64("took_ms", float64(time.Since(start).Microseconds())/1000)}
			if err != nil {
				attrs = append(attrs, slog.String("error", err.Error()))
			}
			s.log.LogAttrs(ctx, slog.LevelDebug, "orga call", attrs...)
		}()
	}

	// A transport must not modify a request, but many do, so each call has its own URL and header.
	req := template.WithContext(ctx)
	own := &struct { // one allocation for both
		url           url.URL
		authorization [1]string
	}{*template.URL, [1]string{"Bearer " + credential}}
	req.URL, req.Header = &own.url, maps.Clone(template.Header)
	req.Header["Authorization"] = own.authorization[:]

	resp, err := s.transport.RoundTrip(req)
	if err != nil {
		return "", transportError(ctx, call, 0, err)
	}
	defer resp.Body.Close()
	id = resp.Header.Get("X-Request-Id")
	if !isRequestID(id) || c.key().partOf(id) || (&apiKey{text: credential}).partOf(id) {
		id = ""
	}
	status = resp.StatusCode
	size, err = c.read(ctx, call, resp, credential, decode)
	if e, ok := errors.AsType[*Error](err); ok {
		e.RequestID = id
	}
	return id, err
}

// read reads and decodes an answer; size is in bytes.
func (c *Client) read(ctx context.Context, call Call, resp *http.Response, credential string, decode func([]byte) error) (size int, err error) {
	status := resp.StatusCode
	if status == http.StatusSwitchingProtocols { // the body is the connection, and a context does not end its reads
		return 0, statusError(call, resp, nil)
	}
	body, err := readBody(resp)
	size = len(body)
	switch {
	case status/100 != 2:
		// Even a truncated error body may have Orga's code. The status alone is an error, too.
		return size, statusError(call, resp, body, c.key(), &apiKey{text: credential})
	case errors.Is(err, errTooLarge), errors.Is(err, errNotGzip):
		return size, &Error{Call: call, Status: status, Kind: ErrMalformed, detail: err.Error()}
	case err != nil:
		return size, transportError(ctx, call, status, err)
	}
	err = decode(body)
	if err == nil && c.key().in(body) {
		err = errKeyRepeated
	}
	if err != nil {
		return size, &Error{Call: call, Status: status, Kind: ErrMalformed, detail: err.Error()}
	}
	return size, nil
}

// isRequestID reports whether an ID is safe in log lines and headers.
func isRequestID(id string) bool {
	const allowed = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-"
	return id != "" && len(id) <= 128 && strings.Trim(id, allowed) == ""
}

// headerSafe reports whether a credential is non-empty and valid in a header.
func headerSafe(credential string) bool {
	return credential != "" && !strings.ContainsFunc(credential, func(r rune) bool { return r <= ' ' || r > '~' })
}
