package core

import (
	"fmt"
	"io"
	"runtime"
	"runtime/debug"
)

// Version is the bundle's, as the newest entry of CHANGELOG.md has it.
const Version = "0.1.0"

// PrintVersion is for the first line of a program's main: when args, which are os.Args there, ask for
// --version and nothing else, it writes to w which version this is, and how it was built, and is true.
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
