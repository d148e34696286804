package dynamolimit

// ID is where the windows of a key are kept.
var ID = id
