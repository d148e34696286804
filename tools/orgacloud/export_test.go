package orgacloud

// TonePackets are what a call plays.
var TonePackets = tonePackets
