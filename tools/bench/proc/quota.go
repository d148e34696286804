package proc

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Quota is a cgroup whose processes together run for so long in each period, and wait for the next
// when that is used up: what a small Lambda function gets.
type Quota struct {
	dir    string
	legacy bool // cgroup v1, in which a thread can be moved by itself
}

// NewQuota makes one. It fails where cgroups cannot be written, which is usual outside of root.
func NewQuota(run, period time.Duration) (*Quota, error) {
	q, err := newQuota("/sys/fs/cgroup/cpu", true, map[string]string{
		"cpu.cfs_period_us": micros(period), "cpu.cfs_quota_us": micros(run),
	})
	if err == nil {
		return q, nil
	}
	return newQuota("/sys/fs/cgroup", false, map[string]string{"cpu.max": micros(run) + " " + micros(period)})
}

func micros(d time.Duration) string { return strconv.FormatInt(d.Microseconds(), 10) }

func newQuota(root string, legacy bool, settings map[string]string) (*Quota, error) {
	if _, err := os.Stat(filepath.Join(root, "tasks")); legacy && err != nil {
		return nil, err // no cgroup v1 there
	}
	q := &Quota{dir: filepath.Join(root, fmt.Sprintf("orga-bench-%d", os.Getpid())), legacy: legacy}
	if err := os.Mkdir(q.dir, 0o755); err != nil {
		return nil, err
	}
	for name, value := range settings {
		// Without O_CREATE: where the controller is off, the file is not there to be written.
		if err := write(filepath.Join(q.dir, name), value); err != nil {
			return nil, errors.Join(err, q.Close())
		}
	}
	return q, nil
}

func write(file, value string) error {
	f, err := os.OpenFile(file, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = f.WriteString(value)
	return errors.Join(err, f.Close())
}

// enter has a child of the calling thread start in the cgroup: by going there itself in v1, by handing
// the kernel the folder in v2. leave undoes that. A nil Quota does nothing.
func (q *Quota) enter(attr *syscall.SysProcAttr) (leave func(), err error) {
	switch {
	case q == nil:
		return func() {}, nil
	case q.legacy:
		self := strconv.Itoa(unix.Gettid())
		parent := filepath.Join(filepath.Dir(q.dir), "tasks")
		return func() { _ = write(parent, self) }, write(filepath.Join(q.dir, "tasks"), self)
	}
	folder, err := os.Open(q.dir)
	if err != nil {
		return nil, err
	}
	attr.UseCgroupFD, attr.CgroupFD = true, int(folder.Fd())
	return func() { _ = folder.Close() }, nil
}

// Close removes the cgroup; its processes must have ended.
func (q *Quota) Close() error { return os.Remove(q.dir) }
