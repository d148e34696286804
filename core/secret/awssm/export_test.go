package awssm

// OpenWith is Open with an HTTP client, to test the addresses of requests.
var OpenWith = open
