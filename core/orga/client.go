package orga

import (
	"compress/gzip"
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"time"
)

const (
	// DefaultBaseURL is Orga's own.
	DefaultBaseURL = "https://api.orga-ai.com"
	// DefaultTimeout bounds one call, as @orga-ai/node does.
	DefaultTimeout = 10 * time.Second
	// KeyPrefix is what a permanent API key starts with.
	KeyPrefix = "sk_orga_ai_"

	mintPath = "/v1/realtime/client-secrets"
	icePath  = "/v1/realtime/ice-config"

	// maxBody bounds what is read of an answer, after decompression. Real ones have a few hundred bytes.
	maxBody = 64 << 10
)

// Client calls the Orga API. The zero Client is ready to use. It is safe for concurrent use while its
// fields are left alone.
type Client struct {
	// BaseURL is DefaultBaseURL when empty.
	BaseURL string
	// UserEmail is sent as ?email= with a mint when set; older Orga accounts need it.
	UserEmail string
	// Timeout bounds each call, body included: 0 is DefaultTimeout, a negative one leaves it to ctx.
	Timeout time.Duration
	// HTTPClient does the calls; nil is http.DefaultClient. Whatever its CheckRedirect says, a redirect
	// is not followed: the key would go with it.
	HTTPClient *http.Client
	// Logger has one debug line a call, with no key, token or credential in it; nil logs nothing.
	Logger *slog.Logger
}

// SessionConfig mints a token with the permanent key and fetches its ICE servers: what an Orga client
// needs to open one session. A failure of either is an *Error, never half an answer.
func (c *Client) SessionConfig(ctx context.Context, apiKey string) (SessionConfig, error) {
	token, err := c.MintToken(ctx, apiKey)
	if err != nil {
		return SessionConfig{}, err
	}
	servers, err := c.ICEServers(ctx, token.Reveal())
	if err != nil {
		return SessionConfig{}, err
	}
	return SessionConfig{Token: token, ICEServers: servers}, nil
}

// MintToken exchanges the permanent key for a token (POST /v1/realtime/client-secrets). Each call may
// cost its owner a token, even one whose answer is lost. The error is an *Error.
func (c *Client) MintToken(ctx context.Context, apiKey string) (token EphemeralToken, err error) {
	query := url.Values{}
	if c.UserEmail != "" {
		query.Set("email", c.UserEmail)
	}
	err = c.do(ctx, CallMint, http.MethodPost, mintPath, query, apiKey, func(body []byte) (err error) {
		token, err = decodeToken(body, time.Now())
		if strings.Contains(token.Reveal(), apiKey) { // and would go to a client
			token = EphemeralToken{}
			return errors.New("its token repeats the API key")
		}
		return err
	})
	return token, err
}

// ICEServers fetches the STUN and TURN servers for a token (GET /v1/realtime/ice-config). An empty
// list is an answer; a missing one is an error, as always an *Error.
func (c *Client) ICEServers(ctx context.Context, token string) (servers []ICEServer, err error) {
	err = c.do(ctx, CallICE, http.MethodGet, icePath, nil, token, func(body []byte) (err error) {
		servers, err = decodeICE(body)
		return err
	})
	return servers, err
}

// do makes one call, reads its whole answer and has it decoded; decode's error says what is wrong with
// the answer in words of its own.
func (c *Client) do(ctx context.Context, call Call, method, path string, query url.Values, credential string, decode func([]byte) error) (err error) {
	timeout := c.Timeout
	if timeout == 0 {
		timeout = DefaultTimeout
	}
	if timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, timeout)
		defer cancel()
	}
	start, status, size := time.Now(), 0, 0
	if c.Logger != nil && c.Logger.Enabled(ctx, slog.LevelDebug) {
		defer func() {
			attrs := []slog.Attr{slog.String("call", string(call)), slog.Int("status", status),
				slog.Int("bytes", size), slog.Float64("took_ms", float64(time.Since(start).Microseconds())/1000)}
			if err != nil {
				attrs = append(attrs, slog.String("error", err.Error()))
			}
			c.Logger.LogAttrs(ctx, slog.LevelDebug, "orga call", attrs...)
		}()
	}

	target, err := c.target(path, query)
	if err != nil {
		return &Error{Call: call, Kind: ErrRequest, detail: err.Error()}
	}
	if !headerSafe(credential) {
		return &Error{Call: call, Kind: ErrRequest, detail: "the credential is empty or could not travel in a header"}
	}
	req := (&http.Request{Method: method, URL: target, Header: http.Header{
		"Authorization": {"Bearer " + credential},
		"Accept":        {"application/json"},
		// What net/http asks for by itself it also unpacks by itself, and bounds what comes of it alone: an
		// answer that never unpacks to anything could be of any length.
		"Accept-Encoding": {"gzip"},
	}}).WithContext(ctx)
	if method == http.MethodPost {
		req.Header.Set("Content-Type", "application/json")
		// net/http resends a request whose kept-alive connection turned out to be dead only when it is
		// idempotent, or when this header is in the map. An empty list under it sends nothing.
		req.Header["Idempotency-Key"] = []string{}
	}

	resp, err := c.httpClient().Do(req)
	if err != nil {
		return transportError(ctx, call, 0, err)
	}
	defer resp.Body.Close()
	status = resp.StatusCode
	if status == http.StatusSwitchingProtocols { // nobody asked; its body is the connection, whose reads no context ends
		return statusError(call, resp, nil, credential)
	}
	body, err := readBody(resp)
	size = len(body)
	switch {
	case status/100 != 2:
		// What of the error body did arrive may name Orga's code; the status alone is the error.
		return statusError(call, resp, body, credential)
	case errors.Is(err, errTooLarge), errors.Is(err, errNoGzip):
		return &Error{Call: call, Status: status, Kind: ErrMalformed, detail: err.Error()}
	case err != nil:
		return transportError(ctx, call, status, err)
	}
	if err := decode(body); err != nil {
		return &Error{Call: call, Status: status, Kind: ErrMalformed, detail: err.Error()}
	}
	return nil
}

var (
	errTooLarge = errors.New("it is larger than 64 KiB")
	errNoGzip   = errors.New("it is not the gzip that it says it is")
)

// readBody reads an answer to its end, which gives the connection back for the next call, or until it
// is errTooLarge, packed or unpacked.
func readBody(resp *http.Response) ([]byte, error) {
	wire := &io.LimitedReader{R: resp.Body, N: maxBody + 1}
	var body io.Reader = wire
	var err error
	if strings.EqualFold(resp.Header.Get("Content-Encoding"), "gzip") {
		switch body, err = gzip.NewReader(wire); {
		case errors.Is(err, io.EOF): // there is nothing to unpack
			return nil, nil
		case errors.Is(err, gzip.ErrHeader):
			return nil, errNoGzip
		case err != nil:
			return nil, err
		}
	}
	text, err := io.ReadAll(io.LimitReader(body, maxBody+1))
	switch {
	case wire.N == 0 || len(text) > maxBody:
		return text, errTooLarge
	case errors.Is(err, gzip.ErrHeader), errors.Is(err, gzip.ErrChecksum):
		return text, errNoGzip
	}
	return text, err
}

// target is the address of a call: scheme, host and path of the base URL. Its error quotes nothing.
func (c *Client) target(path string, query url.Values) (*url.URL, error) {
	base := c.BaseURL
	if base == "" {
		base = DefaultBaseURL
	}
	u, err := url.Parse(base)
	if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" {
		return nil, errors.New("the base URL is no http or https URL")
	}
	return &url.URL{Scheme: u.Scheme, Host: u.Host, Path: strings.TrimSuffix(u.Path, "/") + path, RawQuery: query.Encode()}, nil
}

// headerSafe tells whether a credential can stand in a header as it is.
func headerSafe(credential string) bool {
	for i := range len(credential) {
		if credential[i] <= ' ' || credential[i] > '~' {
			return false
		}
	}
	return credential != ""
}

// httpClient is the caller's, except that it follows no redirect.
func (c *Client) httpClient() *http.Client {
	client := http.DefaultClient
	if c.HTTPClient != nil {
		client = c.HTTPClient
	}
	still := *client
	still.Transport = stay{client.Transport}
	return &still
}

// stay hides from http.Client where a redirect leads to: it would follow, or fail on an address that
// it cannot parse.
type stay struct{ next http.RoundTripper }

func (s stay) RoundTrip(r *http.Request) (*http.Response, error) {
	next := s.next
	if next == nil {
		next = http.DefaultTransport
	}
	resp, err := next.RoundTrip(r)
	if err == nil {
		resp.Header.Del("Location")
	}
	return resp, err
}
