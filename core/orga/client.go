package orga

import (
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
	// HTTPClient does the calls; nil is http.DefaultClient. Its CheckRedirect is not used: a redirect
	// is never followed, as the key would go with it.
	HTTPClient *http.Client
	// Logger has one debug line a call, with no key, token or credential in it; nil logs nothing.
	Logger *slog.Logger
}

// SessionConfig mints a token with the permanent key and fetches its ICE servers: what an Orga client
// needs to open one session. A failure of either is an error (an *Error, or ctx's own), never half an
// answer.
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
// cost its owner a token, even one whose answer is lost.
func (c *Client) MintToken(ctx context.Context, apiKey string) (EphemeralToken, error) {
	query := ""
	if c.UserEmail != "" {
		query = "?email=" + url.QueryEscape(c.UserEmail)
	}
	body, err := c.do(ctx, CallMint, http.MethodPost, mintPath+query, apiKey)
	if err != nil {
		return EphemeralToken{}, err
	}
	token, err := decodeToken(body, time.Now())
	if err != nil {
		return EphemeralToken{}, &Error{Call: CallMint, Status: http.StatusOK, Kind: ErrMalformed, detail: err.Error()}
	}
	return token, nil
}

// ICEServers fetches the STUN and TURN servers for a token (GET /v1/realtime/ice-config). An empty
// list is an answer; a missing one is an error.
func (c *Client) ICEServers(ctx context.Context, token string) ([]ICEServer, error) {
	body, err := c.do(ctx, CallICE, http.MethodGet, icePath, token)
	if err != nil {
		return nil, err
	}
	servers, err := decodeICE(body)
	if err != nil {
		return nil, &Error{Call: CallICE, Status: http.StatusOK, Kind: ErrMalformed, detail: err.Error()}
	}
	return servers, nil
}

// do makes one call and reads its whole answer.
func (c *Client) do(ctx context.Context, call Call, method, pathAndQuery, credential string) (body []byte, err error) {
	timeout := c.Timeout
	if timeout == 0 {
		timeout = DefaultTimeout
	}
	if timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, timeout)
		defer cancel()
	}
	start, status := time.Now(), 0
	if c.Logger != nil {
		defer func() {
			attrs := []slog.Attr{slog.String("call", string(call)), slog.Int("status", status),
				slog.Int("bytes", len(body)), slog.Duration("took", time.Since(start))}
			if err != nil {
				attrs = append(attrs, slog.String("error", err.Error()))
			}
			c.Logger.LogAttrs(ctx, slog.LevelDebug, "orga call", attrs...)
		}()
	}

	base := strings.TrimSuffix(c.BaseURL, "/")
	if base == "" {
		base = DefaultBaseURL
	}
	req, err := http.NewRequestWithContext(ctx, method, base+pathAndQuery, nil)
	if err != nil {
		return nil, &Error{Call: call, Kind: ErrRequest, detail: "the base URL does not parse"}
	}
	req.Header.Set("Authorization", "Bearer "+credential)
	req.Header.Set("Accept", "application/json")
	if method == http.MethodPost {
		req.Header.Set("Content-Type", "application/json")
		// net/http resends a request whose kept-alive connection turned out to be dead only when it is
		// idempotent, or when this header is in the map. An empty list under it sends nothing.
		req.Header["Idempotency-Key"] = []string{}
	}

	resp, err := c.httpClient().Do(req)
	if err != nil {
		return nil, transportError(ctx, call, err)
	}
	defer resp.Body.Close()
	status = resp.StatusCode
	body, err = io.ReadAll(io.LimitReader(resp.Body, maxBody+1))
	switch {
	case status/100 != 2:
		// What of the error body did arrive may name Orga's code; the status alone is the error.
		return nil, statusError(call, resp, body, credential)
	case err != nil:
		return nil, transportError(ctx, call, err)
	case len(body) > maxBody:
		return nil, &Error{Call: call, Status: status, Kind: ErrMalformed, detail: "the answer is larger than 64 KiB"}
	}
	return body, nil
}

// httpClient is the caller's, except that it follows no redirect.
func (c *Client) httpClient() *http.Client {
	client := http.DefaultClient
	if c.HTTPClient != nil {
		client = c.HTTPClient
	}
	still := *client
	still.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return &still
}

// transportError says what happened to a call that got no whole answer.
func transportError(ctx context.Context, call Call, err error) error {
	if u, ok := errors.AsType[*url.Error](err); ok {
		err = u.Err // the URL may have the user's email in it
	}
	kind := ErrConnection
	switch {
	case errors.Is(ctx.Err(), context.Canceled):
		kind = context.Canceled
	case ctx.Err() != nil, isTimeout(err):
		kind = ErrTimeout
	}
	return &Error{Call: call, Kind: kind, detail: describe(err), cause: err}
}
