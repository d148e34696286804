//go:build linux

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// twoCores returns two cores that this process may use.
func twoCores() (tested, rest int, err error) {
	var allowed unix.CPUSet
	if err := unix.SchedGetaffinity(0, &allowed); err != nil {
		return 0, 0, err
	}
	var found []int
	for core := range 1024 {
		if allowed.IsSet(core) {
			found = append(found, core)
		}
	}
	if len(found) < 2 {
		return 0, 0, errors.New("needs two cores: the program under test has one to itself")
	}
	return found[0], found[1], nil
}

// confine restricts this process, with all its threads, to one core.
func confine(core int) error {
	runtime.GOMAXPROCS(1)
	tasks, err := os.ReadDir("/proc/self/task")
	if err != nil {
		return err
	}
	for _, task := range tasks {
		tid, err := strconv.Atoi(task.Name())
		if err != nil {
			return err
		}
		if err := pin(tid, core); err != nil && !errors.Is(err, unix.ESRCH) { // the thread may have ended
			return err
		}
	}
	return nil
}

// pin restricts a thread to a core; 0 is the calling thread.
func pin(tid, core int) error {
	var set unix.CPUSet
	set.Set(core)
	return unix.SchedSetaffinity(tid, &set)
}

// launcher starts the programs under test. A child inherits its core, mounts and cgroup from the thread that forks it, so
// the launcher forks from a dedicated thread, and children never run elsewhere.
type launcher struct {
	core int
	jobs chan func()
}

// newLauncher returns a launcher whose children run on core and see the files below etc in /etc.
func newLauncher(core int, etc string) (*launcher, error) {
	l := &launcher{core, make(chan func())}
	ready := make(chan error)
	go func() {
		runtime.LockOSThread() // permanently: the thread ends with this goroutine
		err := overlay(etc)
		ready <- err
		if err != nil {
			return
		}
		for job := range l.jobs {
			job()
		}
	}()
	return l, <-ready
}

// overlay mounts the files below dir over /etc, for the calling thread and its children.
func overlay(dir string) error {
	if err := unix.Unshare(unix.CLONE_NEWNS); err != nil {
		return fmt.Errorf("cannot mount the certificate authorities of Amazon Linux: %w; run it as root, or with unshare --map-root-user", err)
	}
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return err
	}
	return unix.Mount("overlay", "/etc", "overlay", unix.MS_RDONLY, "lowerdir="+dir+":/etc")
}

// writeAuthorities creates the certificate authorities below etc as on Amazon Linux: one bundle, and two folders (one a link
// to the other) with links to it and to a bundle in OpenSSL's own format. crypto/x509 reads the bundle and then every file in
// both folders.
func writeAuthorities(etc string, authority []byte) error {
	bundle, err := os.ReadFile("/etc/ssl/certs/ca-certificates.crt") // Debian's
	if err != nil {
		if bundle, err = os.ReadFile("/etc/pki/tls/certs/ca-bundle.crt"); err != nil {
			return err
		}
	}
	bundle = append(bytes.Clone(authority), bundle...)
	certs, extracted := filepath.Join(etc, "pki/tls/certs"), filepath.Join(etc, "pki/ca-trust/extracted")
	for _, dir := range []string{certs, extracted, filepath.Join(etc, "ssl")} {
		err = errors.Join(err, os.MkdirAll(dir, 0o755))
	}
	return errors.Join(err,
		os.WriteFile(filepath.Join(extracted, "tls-ca-bundle.pem"), bundle, 0o644),
		os.WriteFile(filepath.Join(extracted, "ca-bundle.trust.crt"), bytes.ReplaceAll(bundle, []byte(" CERTIFICATE-"), []byte(" TRUSTED CERTIFICATE-")), 0o644),
		os.Symlink("/etc/pki/ca-trust/extracted/tls-ca-bundle.pem", filepath.Join(certs, "ca-bundle.crt")),
		os.Symlink("/etc/pki/ca-trust/extracted/ca-bundle.trust.crt", filepath.Join(certs, "ca-bundle.trust.crt")),
		os.Symlink("../pki/tls/certs", filepath.Join(etc, "ssl/certs")))
}

// process is a running program under test.
type process struct {
	cmd     *exec.Cmd
	spawned time.Time
	running context.Context // until it has ended and its output is read
	output  output
}

// start runs a program with exactly the environment env, at most until ctx ends.
func (l *launcher) start(ctx context.Context, q *quota, dir string, env []string, argv ...string) (*process, error) {
	p := &process{cmd: exec.CommandContext(ctx, argv[0], argv[1:]...)}
	p.cmd.Dir, p.cmd.Env, p.cmd.SysProcAttr = dir, env, &syscall.SysProcAttr{}
	p.cmd.Stdout, p.cmd.Stderr = &p.output, &p.output // one pipe, read by this process
	started := make(chan error)
	l.jobs <- func() {
		leave, err := q.enter(p.cmd.SysProcAttr)
		err = errors.Join(err, pin(0, l.core))
		if err == nil {
			p.spawned = time.Now()
			err = p.cmd.Start()
			leave()
		}
		started <- err
	}
	if err := <-started; err != nil {
		return nil, err
	}
	running, ended := context.WithCancel(context.WithoutCancel(ctx))
	p.running = running
	go func() {
		_ = p.cmd.Wait() // programs under test end by a signal
		ended()
	}()
	return p, nil
}

// stop asks the process to end, and kills it after three seconds.
func (p *process) stop() {
	_ = p.cmd.Process.Signal(syscall.SIGTERM) // it may have ended
	select {
	case <-p.running.Done():
	case <-time.After(3 * time.Second):
		_ = p.cmd.Process.Kill()
		<-p.running.Done()
	}
}

// output counts the lines of a log from a pipe, and keeps its beginning for error messages.
type output struct {
	mu    sync.Mutex
	begin []byte
	lines int
}

func (o *output) Write(b []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.lines += bytes.Count(b, []byte{'\n'})
	if room := 1000 - len(o.begin); room > 0 {
		o.begin = append(o.begin, b[:min(len(b), room)]...)
	}
	return len(b), nil
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return string(o.begin)
}

// cpu returns the CPU time of all threads of the process, including the kernel's, in nanoseconds (/proc/PID/stat has only
// ticks). It is 0 without a process.
func (p *process) cpu() (time.Duration, error) {
	if p == nil {
		return 0, nil
	}
	clock := int32(^p.cmd.Process.Pid<<3 | 2) // clock_getcpuclockid(3)
	var t unix.Timespec
	if err := unix.ClockGettime(clock, &t); err != nil {
		return 0, fmt.Errorf("the process has ended (%w): %s", err, &p.output)
	}
	return time.Duration(t.Nano()), nil
}

// memory returns the peak resident memory of the process, in MB. It is 0 without a process.
func (p *process) memory() (float64, error) {
	if p == nil {
		return 0, nil
	}
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	if err != nil {
		return 0, err
	}
	_, rest, _ := bytes.Cut(status, []byte("\nVmHWM:"))
	var kib float64
	if _, err := fmt.Sscan(string(rest), &kib); err != nil {
		return 0, fmt.Errorf("the process has ended: %w", err)
	}
	return kib * 1024 / 1e6, nil
}

// quota is a cgroup that limits its processes to a part of a core, like a small Lambda function.
type quota struct {
	dir, file   string
	limit, none string // contents of the file
	legacy      bool   // cgroup v1, where single threads can be moved
}

// quotaPeriod is Lambda's period for CPU quotas.
const quotaPeriod = 20 * time.Millisecond

// newQuota returns the quota of a function with this much memory; Lambda gives a whole core at 1,769 MB. It fails if
// cgroups are not writable, which usually requires root.
func newQuota(megabytes int) (*quota, error) {
	period := quotaPeriod.Microseconds()
	run := period * int64(megabytes) / 1769
	q := &quota{dir: "/sys/fs/cgroup", file: "cpu.max", limit: fmt.Sprint(run, period), none: "max"}
	if _, err := os.Stat("/sys/fs/cgroup/cpu/tasks"); err == nil {
		q = &quota{dir: "/sys/fs/cgroup/cpu", file: "cpu.cfs_quota_us", limit: fmt.Sprint(run), none: "-1", legacy: true}
	}
	q.dir = filepath.Join(q.dir, fmt.Sprintf("orga-bench-%d", os.Getpid()))
	err := os.Mkdir(q.dir, 0o755)
	if err == nil && q.legacy {
		err = writeExisting(filepath.Join(q.dir, "cpu.cfs_period_us"), fmt.Sprint(period))
	}
	if err := errors.Join(err, q.set(true)); err != nil {
		_ = q.close()
		return nil, err
	}
	return q, nil
}

// set enables or disables the quota. A nil quota does nothing.
func (q *quota) set(limited bool) error {
	switch {
	case q == nil:
		return nil
	case limited:
		return writeExisting(filepath.Join(q.dir, q.file), q.limit)
	}
	return writeExisting(filepath.Join(q.dir, q.file), q.none)
}

// writeExisting writes an existing file: a missing one means that the cgroup controller is off.
func writeExisting(file, value string) error {
	f, err := os.OpenFile(file, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = f.WriteString(value)
	return errors.Join(err, f.Close())
}

// enter makes the next child of the calling thread start in the cgroup: v1 moves the thread, v2 lets the kernel place the
// child. leave undoes that. A nil quota does nothing.
func (q *quota) enter(attr *syscall.SysProcAttr) (leave func(), err error) {
	switch {
	case q == nil:
		return func() {}, nil
	case q.legacy:
		tid := strconv.Itoa(unix.Gettid())
		parent := filepath.Join(filepath.Dir(q.dir), "tasks")
		return func() { _ = writeExisting(parent, tid) }, writeExisting(filepath.Join(q.dir, "tasks"), tid)
	}
	folder, err := os.Open(q.dir)
	if err != nil {
		return nil, err
	}
	attr.UseCgroupFD, attr.CgroupFD = true, int(folder.Fd())
	return func() { _ = folder.Close() }, nil
}

// close removes the cgroup. Its processes must have ended.
func (q *quota) close() error { return os.Remove(q.dir) }
