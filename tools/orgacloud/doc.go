// Package orgacloud is an Orga Cloud on this machine: the API of package orgatest, and calls that really
// connect. A call goes over WebRTC, directly or through a TURN server of the cloud's own, and is answered with
// a tone and a few lines of transcript.
//
//	cloud, err := orgacloud.Start(orgacloud.Config{APIKey: key})
//	defer cloud.Close()
//	client := orga.NewClient(key, orga.WithBaseURL(cloud.URL()))
//
// It is as strict as Orga: a token lives for minutes and opens one call, and TURN credentials belong to one token.
// It fails on request (see [Knobs]), to test how an endpoint and a client handle failures. It listens on the
// loopback interface only.
//
// Its paths: the API's three under /v1/realtime/, GET / for a person, GET /stats, GET and POST /knobs.
package orgacloud
