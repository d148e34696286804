package workerd

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// process returns the ID of workerd's process, which miniflare starts; "" without /proc.
func (i *Isolate) process() (dir string) {
	stats, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, name := range stats {
		text, _ := os.ReadFile(name) // it may have ended
		program, after, _ := strings.Cut(string(text), ") ")
		if fields := strings.Fields(after); strings.HasSuffix(program, "(workerd") && len(fields) > 1 && fields[1] == strconv.Itoa(i.Cmd.Process.Pid) {
			dir = filepath.Dir(name)
		}
	}
	return dir
}

// cpu returns the CPU time of the isolate's thread, which Cloudflare bills; 0 if unknown.
func (i *Isolate) cpu() (used time.Duration) {
	dir := i.process()
	text, _ := os.ReadFile(filepath.Join(dir, "task", filepath.Base(dir), "schedstat"))
	_, _ = fmt.Sscan(string(text), (*int64)(&used))
	return used
}

// resident returns the memory of the whole process in bytes; 0 if unknown.
func (i *Isolate) resident() (bytes int64) {
	text, _ := os.ReadFile(filepath.Join(i.process(), "status"))
	_, after, _ := strings.Cut(string(text), "\nVmRSS:")
	_, _ = fmt.Sscan(after, &bytes)
	return bytes << 10
}

func milliseconds(d time.Duration) string { return fmt.Sprintf("%.1f ms", d.Seconds()*1000) }
