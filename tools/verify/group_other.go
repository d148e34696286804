//go:build !unix

package main

import (
	"os/exec"
	"syscall"
)

// There are no process groups, and main ends before any is needed.
func ownGroup(*exec.Cmd) {}

func signalGroup(cmd *exec.Cmd, _ syscall.Signal) error { return cmd.Process.Kill() }
