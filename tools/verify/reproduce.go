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
func (s *site) reproduce(ctx context.Context) {
	again := s.again()
	clean := []string{"GOCACHE=" + filepath.Join(s.scratch, "gocache")}
	if s.sam != "" {
		s.table.check(aws, reproduced, "two clean builds of the Lambda binary are byte-equal", func() error {
			if _, err := s.run(ctx, again, clean, "make", "build-aws"); err != nil {
				return err
			}
			first := filepath.Join(s.source, ".aws-sam", "build", "OrgaSessionFunction", "bootstrap")
			if info, err := os.Stat(first); err == nil {
				s.table.size("AWS: bootstrap (arm64)", info.Size())
			}
			packed, err := zipped(first)
			if err != nil {
				return err
			}
			s.table.size("AWS: zipped, as uploaded", packed)
			return same(first, filepath.Join(again, "dist", "aws", "bootstrap"))
		})
	}
	s.table.check(google, reproduced, "two stagings of the source are byte-equal", func() error {
		if _, err := s.run(ctx, again, nil, "make", "build-gcp"); err != nil {
			return err
		}
		first, size, err := treeSum(filepath.Join(s.source, "dist", "gcp"))
		if err != nil {
			return err
		}
		second, _, err := treeSum(filepath.Join(again, "dist", "gcp"))
		if err != nil {
			return err
		}
		s.table.size("Google: source, as uploaded, uncompressed", size)
		if info, err := os.Stat(filepath.Join(s.scratch, "google-function")); err == nil {
			s.table.size("Google: the binary that Google builds from it", info.Size())
		}
		if first != second {
			return fmt.Errorf("%s and %s", first, second)
		}
		return nil
	})
	if s.wrangler != "" {
		s.table.check(cloudflare, reproduced, "two clean builds of the Worker are byte-equal", func() error {
			if _, err := s.run(ctx, again, clean, "make", "build-cloudflare"); err != nil {
				return err
			}
			first, _, err := treeSum(filepath.Join(s.source, "dist", "cloudflare"))
			if err != nil {
				return err
			}
			second, _, err := treeSum(filepath.Join(again, "dist", "cloudflare"))
			if err == nil && first != second {
				err = fmt.Errorf("%s and %s", first, second)
			}
			return err
		})
	}
	if s.netlifyCLI != "" {
		s.table.check(netlify, reproduced, "two clean builds of the Netlify function are byte-equal", func() error {
			return s.reproduceNetlify(ctx, again, clean)
		})
	}
	s.table.check(plain, holds, "docs/platforms.md has the sizes", func() error {
		text, err := os.ReadFile(filepath.Join(s.root, "docs", "platforms.md"))
		return errors.Join(err, s.table.documented(string(text)))
	})
}

// reproduceNetlify builds again in the first folder: Netlify's build writes its path into the binary, and in production
// the path is always the same.
func (s *site) reproduceNetlify(ctx context.Context, again string, clean []string) error {
	archive := filepath.Join(s.source, ".netlify", "functions", "orga-session.zip")
	var binaries [2]string
	for i := range binaries {
		binaries[i] = filepath.Join(s.scratch, fmt.Sprint("netlify-", i))
		if i == 1 {
			if err := errors.Join(os.RemoveAll(s.source), os.Rename(again, s.source)); err != nil {
				return err
			}
			if _, err := s.run(ctx, s.source, clean, s.netlifyCLI, "build", "--offline"); err != nil {
				return err
			}
		}
		if err := extractBinary(archive, binaries[i]); err != nil {
			return err
		}
	}
	if info, err := os.Stat(archive); err == nil {
		s.table.size("Netlify: zipped, as uploaded", info.Size())
	}
	return same(binaries[0], binaries[1])
}

func same(one, other string) error {
	a, err := fileSum(one)
	if err != nil {
		return err
	}
	b, err := fileSum(other)
	if err == nil && a != b {
		err = fmt.Errorf("%s and %s", a, b)
	}
	return err
}

func fileSum(path string) (string, error) {
	data, err := os.ReadFile(path)
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:]), err
}

// treeSum returns a checksum over names and contents, and the total size in bytes.
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
