//go:build unix

// Package procgroup ends a program together with the programs that it started.
package procgroup

import (
	"os/exec"
	"syscall"
)

// Set starts cmd in a new process group.
func Set(cmd *exec.Cmd) { cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} }

// Signal sends sig to the process group of cmd, which Set has prepared and which has started.
func Signal(cmd *exec.Cmd, sig syscall.Signal) error { return syscall.Kill(-cmd.Process.Pid, sig) }
