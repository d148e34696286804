package core

var SetDefault = setDefault

// SetCommit sets the commit, as the Makefile does with -ldflags.
func SetCommit(hash string) { commit = hash }
