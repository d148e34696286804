package core

var SetDefault = setDefault

// SetCommit does what -ldflags does when the Makefile builds.
func SetCommit(hash string) { commit = hash }
