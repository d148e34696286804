package dynamolimit

// ID is where the windows of a key are kept.
var ID = id

// Endpoint is DynamoDB's address in a region.
var Endpoint = endpoint
