// Package orga is a Go SDK for the backend half of an Orga AI real-time session. It mints a short-lived
// token with your permanent API key and fetches the ICE servers that go with it: what Orga's browser and
// mobile SDKs need to open a call. It has no dependencies outside the standard library.
//
//	client := orga.NewClient(os.Getenv("ORGA_API_KEY"))
//	config, err := client.SessionConfig(ctx)
//	if err != nil {
//		return err
//	}
//	json.NewEncoder(w).Encode(config) // {"ephemeralToken","iceServers","expiresAt","expiresIn"}
//
// # Calls
//
// [Client.SessionConfig] makes both calls, [Client.MintToken] and [Client.ICEServers] one each. A call is
// one HTTP request: there is no retry and no cache. It ends with its context, or after 10 s if the context
// has no deadline. Redirects are not followed, and at most 64 KiB of an answer is read.
//
// A token is for one session and lives for minutes. Never cache, pool or share a token or a session config.
//
// # Errors
//
// Every error is an [*Error], with the call, the status, Orga's own code and a kind for [errors.Is]:
//
//	switch e, _ := errors.AsType[*orga.Error](err); {
//	case errors.Is(err, orga.ErrAuthentication): // replace the key
//	case e.Retryable(): // wait for e.RetryAfter, then call again
//	}
//
// # Secrets
//
// Keys, tokens and TURN credentials never appear in printed values, log lines or errors. An answer that contains the
// permanent key, in raw, hex or base64 form, is an error ([ErrMalformed]), because answers are passed on to clients.
//
// # Wire format
//
// All documented and observed forms of answers are accepted: ephemeral_token or ephemeralToken;
// an expiry as ISO time, Unix seconds, seconds to live, or only inside the token; iceServers, ice_servers,
// a bare list or a bare server.
//
// # Tests
//
// Package orgatest is a fake Orga API for your tests. [NewEphemeralToken] and [SessionConfig.UnmarshalJSON] create this
// package's values.
//
// For an endpoint with authentication, rate limits, key rotation and retries, use package core, which is
// built on this one.
package orga
