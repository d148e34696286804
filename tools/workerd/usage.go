package workerd

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// process is workerd's own, which miniflare starts; "" where /proc does not tell.
func (i *Isolate) process() (dir string) {
	stats, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, name := range stats {
		text, _ := os.ReadFile(name) // it may have ended
		program, after, _ := strings.Cut(string(text), ") ")
		if fields := strings.Fields(after); strings.HasSuffix(program, "(workerd") && len(fields) > 1 && fields[1] == strconv.Itoa(i.cmd.Process.Pid) {
			dir = filepath.Dir(name)
		}
	}
	return dir
}

// cpu is the CPU time of the thread that runs the isolate, which is what Cloudflare counts. It is 0 where it is not known.
func (i *Isolate) cpu() (used time.Duration) {
	dir := i.process()
	text, _ := os.ReadFile(filepath.Join(dir, "task", filepath.Base(dir), "schedstat"))
	_, _ = fmt.Sscan(string(text), (*int64)(&used))
	return used
}

// resident is the memory of the whole process, in bytes; 0 where it is not known.
func (i *Isolate) resident() (bytes int64) {
	text, _ := os.ReadFile(filepath.Join(i.process(), "status"))
	_, after, _ := strings.Cut(string(text), "\nVmRSS:")
	_, _ = fmt.Sscan(after, &bytes)
	return bytes << 10
}

func milliseconds(d time.Duration) string { return fmt.Sprintf("%.1f ms", d.Seconds()*1000) }
