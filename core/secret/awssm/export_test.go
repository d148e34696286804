package awssm

// OpenWith is Open with an HTTP client, for tests of where requests go.
var OpenWith = open
