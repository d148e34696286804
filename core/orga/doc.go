// Package orga is a client of the Orga API for the backend half of a session: it exchanges the
// permanent API key for a short-lived token and fetches the ICE servers that go with it. It needs
// nothing but the standard library.
//
//	client := &orga.Client{}
//	config, err := client.SessionConfig(ctx, apiKey)
//	json.NewEncoder(w).Encode(config) // {"ephemeralToken","iceServers","expiresAt","expiresIn"}
//
// Every call is one HTTP request: no retry, no cache. A token is for one session and lives for
// minutes; never keep or share one. For an endpoint with retries, a rotating key and policy, use the
// core package, which is built on this one.
//
// The wire format is Orga's, in all the variants its documentation and servers have shown:
// ephemeral_token or ephemeralToken; an expiry as ISO time, Unix seconds, seconds to live or only
// inside the token; iceServers, ice_servers, a bare list or a bare server.
//
// Package orgatest has an Orga API for your tests.
package orga
