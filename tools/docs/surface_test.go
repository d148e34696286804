package docs

import (
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"path"
	"slices"
	"strings"
	"testing"
)

// maxExported is how many names the public packages of core export together. A name is a promise: before adding one,
// look for one that a Go program does not need, and move it to core/internal.
const maxExported = 80

// isDriver reports whether a package is a driver: it is in a separate folder below the package of its interface. Drivers are
// public, too, but export little more than Open.
func isDriver(room string) bool {
	parent := path.Dir(room)
	return parent == "core/secret" || parent == "core/ratelimit"
}

// The public packages stay small, and each has an example.
func TestPublicNames(t *testing.T) {
	names, examples := make(map[string][]string), make(map[string]bool)
	for name, text := range tree(t) {
		room := path.Dir(name)
		if path.Ext(name) != ".go" || room != "core" && !strings.HasPrefix(room, "core/") || strings.Contains(room, "internal") ||
			strings.Contains(room, "testdata") || strings.HasSuffix(room, "test") || isDriver(room) {
			continue
		}
		if strings.HasSuffix(name, "_test.go") {
			examples[room] = examples[room] || strings.Contains(text, "\nfunc Example")
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, text, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		names[room] = append(names[room], exported(file)...)
	}
	total := 0
	for _, room := range slices.Sorted(maps.Keys(names)) {
		slices.Sort(names[room])
		names[room] = slices.Compact(names[room])
		t.Logf("%s: %d: %s", room, len(names[room]), strings.Join(names[room], " "))
		if total += len(names[room]); !examples[room] {
			t.Errorf("%s has no example", room)
		}
	}
	if len(names) < 7 || total > maxExported {
		t.Errorf("%d packages export %d names, want at most %d", len(names), total, maxExported)
	}
}

// exported are the exported names of a file's constants, variables, types and functions.
func exported(file *ast.File) []string {
	var names []*ast.Ident
	for _, decl := range file.Decls {
		switch decl := decl.(type) {
		case *ast.FuncDecl:
			if decl.Recv == nil {
				names = append(names, decl.Name)
			}
		case *ast.GenDecl:
			for _, spec := range decl.Specs {
				switch spec := spec.(type) {
				case *ast.TypeSpec:
					names = append(names, spec.Name)
				case *ast.ValueSpec:
					names = append(names, spec.Names...)
				}
			}
		}
	}
	var list []string
	for _, name := range names {
		if name.IsExported() {
			list = append(list, name.Name)
		}
	}
	return list
}
