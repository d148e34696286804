package workerd

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// usage is the CPU time that workerd has used. It is known on Linux alone.
type usage time.Duration

// tick is the unit of /proc, USER_HZ.
const tick = 10 * time.Millisecond

// usage adds up the processes of the isolate, but for Node's, which only started it.
func (i *Isolate) usage() (sum usage) {
	stats, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, name := range stats {
		text, err := os.ReadFile(name)
		if err != nil {
			continue // it has ended
		}
		_, after, _ := strings.Cut(string(text), ") ") // the name of the program may have blanks
		fields := strings.Fields(after)
		if len(fields) < 13 || fields[1] != strconv.Itoa(i.cmd.Process.Pid) {
			continue
		}
		for _, field := range fields[11:13] { // in user and in system mode
			ticks, _ := strconv.Atoi(field)
			sum += usage(ticks) * usage(tick)
		}
	}
	return sum
}

func (u usage) since(before usage) usage { return u - before }

// over is the part of n of them that m have.
func (u usage) over(n, m int) usage { return u * usage(m) / usage(n) }

func (u usage) String() string {
	if u == 0 {
		return "CPU unknown"
	}
	return fmt.Sprintf("%.0f ms of CPU", float64(u)/1e6)
}
