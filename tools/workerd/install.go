package workerd

import (
	"context"
	"path/filepath"

	"github.com/orga-session/orga-session/tools/npm"
)

// Install installs wrangler, miniflare and workerd from package-lock.json into .cache, once for each lock file. It returns
// the folder, for [Options].NPM.
func Install(ctx context.Context, root string) (folder string, err error) {
	folder = filepath.Join(root, ".cache", "workerd")
	return folder, npm.Install(ctx, filepath.Join(root, "tools", "workerd"), folder, "wrangler and workerd take about half a minute")
}
