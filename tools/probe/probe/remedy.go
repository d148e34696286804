package probe

import (
	"cmp"
	"net/http"

	"github.com/orga-session/orga-session/tools/remedy"
)

// codeRemedy returns the remedy for an error of the endpoint.
func codeRemedy(code string) string {
	return cmp.Or(remedy.ByCode()[code], "Find the request ID in the endpoint's log.")
}

// gatewayRemedy returns the remedy for an error of something in front of the endpoint.
func gatewayRemedy(status int) string {
	switch status {
	case http.StatusUnauthorized, http.StatusForbidden:
		return "Something in front of the function refuses (authorizer, IAM, firewall, password). Let the request through, or send the credential with --header."
	case http.StatusNotFound, http.StatusMethodNotAllowed:
		return "Check the path (" + DefaultPath + ") and the gateway's routes."
	case http.StatusTooManyRequests:
		return "A rate limit in front of the function is exceeded. Wait, or raise it there."
	default:
		return "The function crashed, timed out or did not start. Check its log."
	}
}
