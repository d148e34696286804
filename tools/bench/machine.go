package main

import (
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
)

// machine is where a run was made.
type machine struct {
	CPU, Memory, Kernel, Arch, Go, Node string
	Packages                            []string
}

// machine describes where the measurements were made, without a name or a path of it.
func (l *lab) machine() machine {
	version := func(name string, args ...string) string {
		text, _ := l.output(l.node, nil, name, args...) // they ran before
		return text
	}
	m := machine{Go: runtime.Version(), Arch: runtime.GOARCH, Node: version("node", "--version")}
	m.Kernel, _, _ = strings.Cut(version("uname", "-r"), "-")
	m.CPU = field("/proc/cpuinfo", "model name")
	kib, _ := strconv.Atoi(strings.TrimSuffix(field("/proc/meminfo", "MemTotal"), " kB")) // its format is fixed
	m.Memory = fmt.Sprintf("%.0f GiB", float64(kib)/(1<<20))
	for _, name := range []string{"express", "aws-lambda-ric", "@aws-sdk/client-secrets-manager"} {
		m.Packages = append(m.Packages, name+" "+version("node", "-p", "JSON.parse(fs.readFileSync('package-lock.json')).packages['node_modules/"+name+"'].version"))
	}
	return m
}

// field is the value of the first line of a file that has the name.
func field(file, name string) string {
	text, _ := os.ReadFile(file) // part of every Linux
	for line := range strings.Lines(string(text)) {
		if key, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(key) == name {
			return strings.TrimSpace(value)
		}
	}
	return "unknown"
}
