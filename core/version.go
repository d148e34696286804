package core

import (
	"fmt"
	"io"
	"runtime"
	"runtime/debug"
	"time"
)

// Version is the version of the whole module, as in the newest section of CHANGELOG.md.
const Version = "0.2.0"

// commit is the commit of the build, set by the Makefile; "" in other builds.
var commit string

// processStart is when the Go runtime started the program.
var processStart = time.Now()

// build returns the commit of the build, with -dirty if there were uncommitted changes, and the build tags; "" if unknown.
func build() (revision, tags string) {
	revision = commit
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return revision, ""
	}
	set := make(map[string]string, len(info.Settings))
	for _, s := range info.Settings {
		set[s.Key] = s.Value
	}
	if revision == "" && set["vcs.revision"] != "" {
		revision = set["vcs.revision"]
		if set["vcs.modified"] == "true" {
			revision += "-dirty" // as in git describe
		}
	}
	return revision, set["-tags"]
}

// PrintVersion prints the version and the build to w if args ([os.Args]) are only --version, and reports whether it did;
// the program should then exit.
func PrintVersion(w io.Writer, args []string) bool {
	if len(args) != 2 || args[1] != "--version" && args[1] != "-version" {
		return false
	}
	about := runtime.Version() + " " + runtime.GOOS + "/" + runtime.GOARCH
	revision, tags := build()
	if tags != "" {
		about += " " + tags
	}
	if revision != "" {
		about += ", commit " + revision
	}
	fmt.Fprintf(w, "orga-session %s (%s)\n", Version, about)
	return true
}
