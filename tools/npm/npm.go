// Package npm installs pinned packages from npm for tools that run JavaScript.
package npm

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

// Install copies the modules (*.mjs) and the lock file of the folder source to the folder target, and installs the locked
// packages there if the lock file has changed. It announces an installation on standard error, with the note.
func Install(ctx context.Context, source, target, note string) error {
	lock, err := os.ReadFile(filepath.Join(source, "package-lock.json"))
	if err != nil {
		return err
	}
	stamp := filepath.Join(target, "installed-lock.json")
	installed, _ := os.ReadFile(stamp) // missing the first time
	upToDate := bytes.Equal(installed, lock)
	if !upToDate {
		err = os.RemoveAll(target)
	}
	modules, gerr := filepath.Glob(filepath.Join(source, "*.mjs"))
	err = errors.Join(err, gerr, os.MkdirAll(target, 0o750))
	for _, file := range append(modules, filepath.Join(source, "package.json"), filepath.Join(source, "package-lock.json")) {
		text, rerr := os.ReadFile(file)
		err = errors.Join(err, rerr, os.WriteFile(filepath.Join(target, filepath.Base(file)), text, 0o600))
	}
	if err != nil || upToDate {
		return err
	}
	fmt.Fprintf(os.Stderr, "Installing packages from npm into %s, once: %s.\n", target, note)
	var said []byte
	for range 2 { // registries sometimes fail
		cmd := exec.CommandContext(ctx, "npm", "ci", "--no-audit", "--no-fund", "--loglevel=error")
		cmd.Dir = target
		if said, err = cmd.CombinedOutput(); err == nil {
			return os.WriteFile(stamp, lock, 0o600)
		}
	}
	return fmt.Errorf("npm ci: %w\n%s", err, said)
}
