package probe

import (
	"cmp"
	"net/http"

	"github.com/orga-session/orga-session/tools/remedy"
)

// codeRemedy is the advice for a refusal by the endpoint.
func codeRemedy(code string) string {
	return cmp.Or(remedy.ByCode()[code], "find the request id in the endpoint's log")
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
