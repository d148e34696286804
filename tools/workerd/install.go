package workerd

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

// Install installs wrangler, miniflare and workerd from package-lock.json into .cache, once for each lock file. It returns
// the folder, for [Options].NPM.
func Install(ctx context.Context, root string) (npm string, err error) {
	npm = filepath.Join(root, ".cache", "workerd")
	lock, err := os.ReadFile(filepath.Join(root, "tools", "workerd", "package-lock.json"))
	if err != nil {
		return "", err
	}
	stamp := filepath.Join(npm, "installed-lock.json")
	if installed, err := os.ReadFile(stamp); err == nil && string(installed) == string(lock) {
		return npm, nil
	}
	fmt.Fprintln(os.Stderr, "Installing wrangler and workerd into .cache: about half a minute, once.")
	if err := os.RemoveAll(npm); err != nil {
		return "", err
	}
	if err := os.MkdirAll(npm, 0o755); err != nil {
		return "", err
	}
	for _, name := range []string{"package.json", "package-lock.json"} {
		text, err := os.ReadFile(filepath.Join(root, "tools", "workerd", name))
		if err != nil {
			return "", err
		}
		if err := os.WriteFile(filepath.Join(npm, name), text, 0o644); err != nil {
			return "", err
		}
	}
	var said []byte
	for range 2 { // registries sometimes fail
		cmd := exec.CommandContext(ctx, "npm", "ci", "--no-audit", "--no-fund", "--loglevel=error")
		cmd.Dir = npm
		if said, err = cmd.CombinedOutput(); err == nil {
			return npm, os.WriteFile(stamp, lock, 0o644)
		}
	}
	return "", fmt.Errorf("npm ci: %w\n%s", err, said)
}
