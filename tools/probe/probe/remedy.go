package probe

import "net/http"

// remedies are what to do about each refusal of the endpoint.
var remedies = map[string]string{
	"unauthenticated":        "send a credential that ORGA_AUTH accepts: --header 'Authorization: Bearer …'",
	"forbidden":              "check the tenant in the path, the credential's tenant claim, and ORGA_CORS_ORIGINS",
	"not_found":              "ask " + DefaultPath + " or /api/orga-session, with /{tenant} behind it where there are tenants",
	"method_not_allowed":     "check the path: a mint route takes GET and POST",
	"bad_request":            "check the headers that are sent with it; a bare GET is enough",
	"too_large":              "send no body; one is at most 16 KiB",
	"headers_too_large":      "send smaller headers",
	"unsupported_media_type": "send no body, or one of application/json",
	"rate_limited":           "wait that long; if callers share an address, sign them in or raise ORGA_RATE_LIMIT",
	"misconfigured":          "the endpoint's log of its start names each wrong setting; ORGA_AUTH has no default",
	"internal":               "find the request id in the log: an error line there has the stack",
	"upstream_auth_failed":   "Orga refuses the permanent key: check that it is whole and not revoked, then rotate it in its source",
	"upstream_error":         "Orga gave no usable answer: check ORGA_BASE_URL; the log line of this request id has the cause",
	"upstream_rate_limited":  "Orga is limiting this key: wait, or ask Orga for more",
	"secret_unavailable":     "the secret store refuses or is down: check ORGA_API_KEY_SOURCE and the function's permission to read it",
	"limiter_unavailable":    "the limiter's Redis is down: restore it, or leave ORGA_RATE_LIMIT_STRICT off",
	"auth_unavailable":       "the issuer's keys can not be fetched: check ORGA_AUTH_ISSUER and the way from the function to it",
	"timeout":                "see in Server-Timing or the log which step takes the time: the store, the token or ICE",
}

func remedy(code string) string {
	if r, ok := remedies[code]; ok {
		return r
	}
	return "find the request id in the endpoint's log"
}

// gatewayRemedy is the advice for a refusal by something in front of the endpoint.
func gatewayRemedy(status int) string {
	switch status {
	case http.StatusUnauthorized, http.StatusForbidden:
		return "a gateway refuses in front of the function (authorizer, IAM, firewall, password): let the request through, or send what it asks for with --header"
	case http.StatusNotFound, http.StatusMethodNotAllowed:
		return "check the path (" + DefaultPath + ") and the gateway's routes"
	case http.StatusTooManyRequests:
		return "a limit in front of the function: wait, or raise it there"
	default:
		return "the function crashed, timed out or did not start: see its log"
	}
}
