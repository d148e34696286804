package orgacloud

// TonePackets exports tonePackets.
var TonePackets = tonePackets
