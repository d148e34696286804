// Package secrettest is what tests of secrets need: Conformance, the suite that every secret.Source
// passes; AWS and Google, doubles of the two stores that speak their protocols over HTTP, and break
// on demand; Leak, which finds a key in what a program put out.
//
// The doubles are plain http.Handlers, of use to a test through httptest.NewServer and to a program
// through http.Serve. Point a program at them with AWS_ENDPOINT_URL_SECRETS_MANAGER and
// ORGA_GCPSM_ENDPOINT.
package secrettest
