//go:build unix

package redislimit_test

import "syscall"

func init() {
	outages = append(outages, outage{"hangs", func(s *server) { s.signal(syscall.SIGSTOP) }, func(s *server) { s.signal(syscall.SIGCONT) }})
}

// signal stops the process (SIGSTOP: connections stay, nothing answers) or lets it go on (SIGCONT).
func (s *server) signal(sig syscall.Signal) {
	s.t.Helper()
	if err := s.cmd.Process.Signal(sig); err != nil {
		s.t.Error(err)
	}
}
