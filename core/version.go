package core

import (
	"fmt"
	"io"
	"runtime"
	"runtime/debug"
)

// Version is the version of the whole module, that of the newest section in CHANGELOG.md.
const Version = "0.2.0"

// PrintVersion prints the version and the build to w if args ([os.Args]) are just --version, and reports
// whether it did: then the program should exit.
func PrintVersion(w io.Writer, args []string) bool {
	if len(args) != 2 || args[1] != "--version" && args[1] != "-version" {
		return false
	}
	tags := ""
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, s := range info.Settings {
			if s.Key == "-tags" {
				tags = " " + s.Value
			}
		}
	}
	fmt.Fprintf(w, "orga-session %s (%s %s/%s%s)\n", Version, runtime.Version(), runtime.GOOS, runtime.GOARCH, tags)
	return true
}
