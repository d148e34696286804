// What to do about each error code of the endpoint (docs/contract.md, section 3). The playground imports this file, the
// probe reads the object as JSON, and docs/use.md shows it as a table.
export default {
  "unauthenticated": "Send a credential that ORGA_AUTH accepts, such as Authorization: Bearer …",
  "forbidden": "Check the tenant in the path, the credential's tenant claim, and that ORGA_CORS_ORIGINS lists the page's origin.",
  "not_found": "Check the path: /api/orga-client-secrets or /api/orga-session, followed by /{tenant} if there are tenants.",
  "method_not_allowed": "Use GET or POST.",
  "bad_request": "Check the headers; a bare GET is enough.",
  "too_large": "Send no body; the limit is 16 KiB.",
  "headers_too_large": "Send smaller headers.",
  "unsupported_media_type": "Send no body, or one of type application/json.",
  "rate_limited": "Wait as long as Retry-After says. If callers share an address, have them sign in, or raise ORGA_RATE_LIMIT.",
  "misconfigured": "Read the endpoint's log: at start it names each invalid setting. ORGA_AUTH has no default.",
  "internal": "Find the request id in the endpoint's log and report the error: this is a bug.",
  "upstream_auth_failed": "Orga rejects the API key. Check that it is complete and not revoked, and replace it in its source.",
  "upstream_error": "Orga gave no usable response. Check ORGA_BASE_URL; the log line of this request id names the cause.",
  "upstream_rate_limited": "Orga limits this account. Wait, or ask Orga for a higher limit.",
  "secret_unavailable": "The store of the API key refuses or is down. Check ORGA_API_KEY_SOURCE and the function's permission to read it.",
  "limiter_unavailable": "The store of the rate limit is down. Restore it, or turn ORGA_RATE_LIMIT_STRICT off.",
  "auth_unavailable": "The issuer's keys cannot be fetched. Check ORGA_AUTH_ISSUER, and that the function can reach it.",
  "timeout": "Look in Server-Timing or the log for the step that took the time: the store, the token or the ICE servers."
};
