package main

import (
	"archive/zip"
	"compress/flate"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// reproduce builds everything again from another copy with an empty build cache, and compares.
func (s *suite) reproduce(ctx context.Context) {
	s.recordSizes()
	second := s.secondCopy()
	clean := []string{"GOCACHE=" + filepath.Join(s.scratch, "gocache")}
	for _, build := range []struct{ platform, what, target, first, second string }{
		{aws, "two clean builds of the Lambda binary", "build-aws", filepath.Dir(bootstrap), "dist/aws"},
		{google, "two stagings of the source", "build-gcp", "dist/gcp", "dist/gcp"},
		{cloudflare, "two clean builds of the Worker", "build-cloudflare", "dist/cloudflare", "dist/cloudflare"},
	} {
		s.table.check(build.platform, reproduced, build.what+" are byte-equal", func() error {
			if _, err := s.run(ctx, second, clean, "make", build.target); err != nil {
				return err
			}
			return checkSame(filepath.Join(s.source, build.first), filepath.Join(second, build.second))
		})
	}
	if s.netlifyBin != "" {
		s.table.check(netlify, reproduced, "two clean builds of the Netlify function are byte-equal", func() error {
			return s.reproduceNetlify(ctx, second, clean)
		})
	}
	s.table.check(plain, deployed, "docs/platforms.md has the sizes", func() error {
		text, err := os.ReadFile(filepath.Join(s.root, "docs", "platforms.md"))
		return errors.Join(err, s.table.documented(string(text)))
	})
}

// Artifacts in the source folder.
const (
	bootstrap      = ".aws-sam/build/OrgaSessionFunction/bootstrap"
	netlifyArchive = ".netlify/functions/orga-session.zip"
)

// recordSizes records the sizes of the artifacts that were built.
func (s *suite) recordSizes() {
	for _, artifact := range []struct{ name, path string }{
		{"AWS: bootstrap (arm64)", bootstrap},
		{"Google: source, as uploaded, uncompressed", "dist/gcp"},
		{"Google: the binary that Google builds from it", "../google-function"},
		{"Netlify: zipped, as uploaded", netlifyArchive},
	} {
		if _, size, err := treeSum(filepath.Join(s.source, artifact.path)); err == nil {
			s.table.size(artifact.name, size)
		}
	}
	if size, err := zipped(filepath.Join(s.source, bootstrap)); err == nil {
		s.table.size("AWS: zipped, as uploaded", size)
	}
}

// reproduceNetlify builds again in the first folder: Netlify's build writes its path into the binary, and in production
// the path is always the same.
func (s *suite) reproduceNetlify(ctx context.Context, second string, clean []string) error {
	archive := filepath.Join(s.source, netlifyArchive)
	var binaries [2]string
	for i := range binaries {
		binaries[i] = filepath.Join(s.scratch, fmt.Sprint("netlify-", i))
		if i == 1 {
			if err := errors.Join(os.RemoveAll(s.source), os.Rename(second, s.source)); err != nil {
				return err
			}
			if _, err := s.run(ctx, s.source, clean, filepath.Join(s.netlifyBin, "netlify"), "build", "--offline"); err != nil {
				return err
			}
		}
		if err := extractBinary(archive, binaries[i]); err != nil {
			return err
		}
	}
	return checkSame(binaries[0], binaries[1])
}

// checkSame returns an error unless two files or folders have the same content.
func checkSame(one, other string) error {
	a, _, err := treeSum(one)
	if err != nil {
		return err
	}
	b, _, err := treeSum(other)
	if err == nil && a != b {
		err = fmt.Errorf("%s and %s", a, b)
	}
	return err
}

// treeSum returns a checksum over the names and contents in a folder, or of one file, and the size in bytes.
func treeSum(dir string) (sum string, size int64, err error) {
	h := sha256.New()
	err = filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		name, err := filepath.Rel(dir, path)
		fmt.Fprintf(h, "%s %d\n", name, len(data))
		h.Write(data)
		size += int64(len(data))
		return err
	})
	return hex.EncodeToString(h.Sum(nil)), size, err
}

// zipped returns the size of a file in an archive.
func zipped(path string) (int64, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return 0, err
	}
	var n counter
	z := zip.NewWriter(&n)
	z.RegisterCompressor(zip.Deflate, func(w io.Writer) (io.WriteCloser, error) { return flate.NewWriter(w, flate.DefaultCompression) })
	f, err := z.Create(filepath.Base(path))
	if err != nil {
		return 0, err
	}
	if _, err := f.Write(data); err != nil {
		return 0, err
	}
	err = z.Close()
	return int64(n), err
}

type counter int64

func (c *counter) Write(p []byte) (int, error) {
	*c += counter(len(p))
	return len(p), nil
}
