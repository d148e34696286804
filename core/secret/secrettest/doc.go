// Package secrettest helps to test code with secrets. [Conformance] is a test suite for any [secret.Source]; [AWS] and
// [Google] are fakes of the two stores, which speak their protocols over HTTP and fail on demand; [Leak] finds a key in
// any output of a program.
//
// The fakes are http.Handlers: run one with [net/http/httptest.NewServer], and point the code under test at it with
// AWS_ENDPOINT_URL_SECRETS_MANAGER or ORGA_GCPSM_ENDPOINT.
package secrettest
