// Package orgacloud is an Orga Cloud on this machine: a process can mint tokens with a permanent key,
// fetch ICE servers with a token, and open a call with it that really connects, over WebRTC, directly or
// through a TURN server of its own, and is answered with a tone and a few lines of transcript.
//
//	cloud, err := orgacloud.Start(orgacloud.Config{APIKey: key})
//	defer cloud.Close()
//	client := orga.NewClient(orgatest.Key, orga.WithBaseURL(cloud.URL()))
//
// It is strict where Orga is: a token lives for minutes and opens one call; TURN credentials belong to
// one token. And it fails on request (see Knobs), so that what an endpoint and a client make of a
// failure can be watched. Everything it opens is on the loopback interface.
//
// Its HTTP paths: the API's three under /v1/realtime/, GET / for a person, GET /stats, GET and POST
// /knobs.
package orgacloud
