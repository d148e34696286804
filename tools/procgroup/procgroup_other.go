//go:build !unix

// Package procgroup ends a program together with the programs that it started.
package procgroup

import (
	"os/exec"
	"syscall"
)

// Set does nothing: there are no process groups.
func Set(*exec.Cmd) {}

// Signal ends cmd alone.
func Signal(cmd *exec.Cmd, _ syscall.Signal) error { return cmd.Process.Kill() }
