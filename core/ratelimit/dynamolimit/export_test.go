package dynamolimit

// ID exports id.
var ID = id

// Endpoint exports endpoint.
var Endpoint = endpoint
