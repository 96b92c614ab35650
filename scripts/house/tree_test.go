package house

import (
	"bytes"
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"strings"
	"testing"
)

// module is the path in go.mod.
const module = "mediafs"

// A tree is the files of the project: slash-separated path from the top → bytes.
type tree map[string][]byte

// goFile is one parsed Go file outside of testdata.
type goFile struct {
	path      string
	src       []byte
	ast       *ast.File
	set       *token.FileSet
	test      bool // *_test.go
	generated bool
}

// pkg is the folder of the file: the import path without the module.
func (f goFile) pkg() string { return path.Dir(f.path) }

// at is where pos lies, for complaints.
func (f goFile) at(pos token.Pos) string {
	p := f.set.Position(pos)
	return p.String()
}

// imports are the import paths of the file.
func (f goFile) imports() (paths []string) {
	for _, i := range f.ast.Imports {
		paths = append(paths, strings.Trim(i.Path.Value, `"`))
	}
	return paths
}

// readTree reads the checkout that the test runs in: what git has or would take; all files but dot
// folders when there is no git.
func readTree(t *testing.T) tree {
	t.Helper()
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	mod, err := os.ReadFile(filepath.Join(root, "go.mod"))
	if err != nil || !bytes.HasPrefix(mod, []byte("module "+module+"\n")) {
		t.Fatalf("%s is not the top of the module: %v", root, err)
	}
	files := tree{}
	for _, name := range listFiles(t, root) {
		b, err := os.ReadFile(filepath.Join(root, filepath.FromSlash(name)))
		if errors.Is(err, fs.ErrNotExist) {
			continue // git still lists it, or another process has just removed it
		}
		if err != nil {
			t.Fatal(err)
		}
		files[name] = b
	}
	return files
}

func listFiles(t *testing.T, root string) (names []string) {
	t.Helper()
	git := exec.Command("git", "ls-files", "-z", "--cached", "--others", "--exclude-standard")
	git.Dir = root
	if out, err := git.Output(); err == nil && len(out) > 0 {
		return strings.Split(strings.TrimSuffix(string(out), "\x00"), "\x00")
	}
	err := filepath.WalkDir(root, func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			if p != root && strings.HasPrefix(d.Name(), ".") {
				return fs.SkipDir
			}
			return nil
		}
		rel, err := filepath.Rel(root, p)
		names = append(names, filepath.ToSlash(rel))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return names
}

// goFiles parses the Go files of the tree, in no order.
func goFiles(t *testing.T, files tree) (parsed []goFile) {
	t.Helper()
	set := token.NewFileSet()
	for name, src := range files {
		if !strings.HasSuffix(name, ".go") || strings.Contains("/"+name, "/testdata/") {
			continue
		}
		f, err := parser.ParseFile(set, name, src, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			t.Errorf("parse: %v", err)
			continue
		}
		parsed = append(parsed, goFile{
			path: name, src: src, ast: f, set: set,
			test: strings.HasSuffix(name, "_test.go"), generated: ast.IsGenerated(f),
		})
	}
	return parsed
}
