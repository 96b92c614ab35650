package house

import (
	"fmt"
	"go/ast"
	"go/token"
	"path"
	"slices"
	"strings"
)

// An arrow says which packages of the module a package may import. Patterns are paths from the top:
// "x" is exactly x, "x/*" one level below, "x/..." x and all below. The first arrow whose from
// matches counts.
type arrow struct {
	from string
	to   []string
}

// arrows point down only. What a package reaches through another it may also import itself.
var arrows = []arrow{
	{"cmd/...", []string{"cmd/...", "fs/...", "cache/...", "remote/..."}},
	{"fs/daemon/...", []string{"fs/...", "cache/...", "remote/..."}},
	{
		"fs/fuse/...",
		[]string{
			"fs/fuse/...", "fs/vfs", "fs/acl", "fs/media", "fs/query", "fs/facts", "remote/bucket/record", "remote",
		},
	},
	{
		"fs/view/...",
		[]string{
			"fs/view/...", "fs/vfs", "fs/acl", "fs/media", "fs/query", "fs/facts", "remote/bucket/record",
			"remote/terms", "remote",
		},
	},
	{"fs/local/...", []string{"fs/local/...", "fs/vfs", "fs/acl", "remote/bucket/record", "remote"}},
	// a suite: it builds whole libraries in memory
	{"fs/vfs/vfstest", []string{"fs/vfs", "fs/vfs/engine", "fs/facts", "cache/*", "remote/..."}},
	// the contract: no catalog, no cache
	{"fs/vfs", []string{"fs/acl", "fs/media", "fs/query", "fs/facts", "remote/bucket/record", "remote"}},
	{"fs/vfs/intent", []string{"remote/bucket/record"}},
	// no engine, clock or store
	{
		"fs/vfs/operation",
		[]string{
			"fs/vfs", "fs/vfs/intent", "fs/acl", "fs/media", "fs/facts", "cache/catalog", "remote/bucket/record",
			"remote",
		},
	},
	{
		"fs/vfs/engine",
		[]string{
			"fs/vfs", "fs/vfs/intent", "fs/vfs/operation", "fs/acl", "fs/media", "fs/query", "fs/facts", "cache/...",
			"remote/bucket/record", "remote/terms", "remote",
		},
	},
	{
		"fs/control/...",
		[]string{"fs/control/...", "fs/transfer", "fs/vfs", "fs/media", "fs/query", "remote/bucket/record", "remote"},
	},
	{
		"fs/transfer/...",
		[]string{
			"fs/view", "fs/vfs", "fs/vfs/engine", "fs/vfs/operation", "fs/acl", "fs/media", "cache/catalog",
			"remote/bucket", "remote/bucket/record", "remote",
		},
	},
	// it compares the catalog with the bucket
	{
		"fs/check/...",
		[]string{"fs/vfs", "fs/vfs/operation", "cache/catalog", "remote/bucket", "remote/bucket/record", "remote"},
	},
	{"fs/query/...", []string{"fs/query/...", "fs/media", "remote/bucket/record", "remote/terms", "remote"}},
	{"fs/media/...", []string{"fs/media/...", "remote/bucket/record", "remote"}},
	{"fs/acl", nil}, // rules of POSIX: it knows nothing of libraries
	{"fs/facts/...", []string{"fs/facts/...", "remote/bucket/record", "remote"}},
	{"cache/catalog", []string{"cache/catalog/index", "remote/bucket/record", "remote/terms", "remote"}},
	{"cache/catalog/index", []string{"remote/bucket/record", "remote/terms", "remote"}},
	{"cache/...", []string{"remote/bucket/record", "remote"}},
	{"remote", nil},
	{"remote/terms", []string{"remote"}},
	{"remote/transport/...", []string{"remote"}},
	{"remote/object", []string{"remote"}},
	// a URL to the implementation it names
	{"remote/object/open", []string{"remote/object/...", "remote/transport", "remote"}},
	{"remote/object/s3", []string{"remote/object", "remote/transport", "remote"}},
	{"remote/object/s3/...", []string{"remote/object/...", "remote/transport", "remote"}}, // servers for tests
	{"remote/object/*", []string{"remote/object", "remote"}},
	{"remote/bucket/record", []string{"remote"}},
	{"remote/terms", nil}, // how media are found: for who keeps the index and who asks it
	{"remote/bucket/...", []string{"remote/bucket/...", "remote/object", "remote"}},
	// its reference is a bucket in memory
	{"remote/storetest", []string{"remote/object", "remote/object/mem", "remote/bucket/...", "remote"}},
	{"remote/storetest/wiretap", nil},                    // a proxy: it knows nothing of what passes
	{"remote/storetest/fakes3", nil},                     // a server: it is told what to do wrong
	{"remote/*", []string{"remote/transport", "remote"}}, // services
	{"scripts/...", []string{"fs/...", "cache/...", "remote/..."}},
}

// testArrows is what test files may import besides: a test may stand on real neighbours instead of
// doubles. Never cmd, and nothing of fs below fs.
var testArrows = []arrow{
	{"cmd/...", []string{"scripts/..."}},
	{"fs/...", []string{"fs/...", "cache/...", "remote/..."}},
	{"cache/...", []string{"cache/...", "remote/..."}},
	{"remote/...", []string{"remote/..."}},
}

// owners says which packages may import what from outside. A key stands for itself and all packages
// below it.
var owners = []struct {
	imported string
	by       []string // patterns as in arrow
	inTests  []string // and test files of these
	why      string
}{
	{"github.com/hanwen/go-fuse/v2/posixtest", nil, []string{"fs/...", "cmd/..."}, "it is a suite for tests"},
	{
		"github.com/hanwen/go-fuse", []string{"fs/fuse/..."}, nil,
		"the kernel's words end at fs/fuse; say it in terms of fs/vfs",
	},
	{"github.com/dgraph-io", []string{"cache/..."}, nil, "the database is a matter of cache; use its transactions"},
	{"github.com/minio/minio-go", []string{"remote/object/..."}, nil, "S3 ends at remote/object; use object.Bucket"},
	{"github.com/spf13", []string{"cmd/..."}, nil, "libraries read no flags; take an Options"},
	{"flag", []string{"cmd/...", "scripts/..."}, nil, "libraries read no flags; take an Options"},
	{
		"log/slog", []string{"cmd/...", "scripts/..."}, nil,
		"libraries return errors; own goroutines log through the *logrus.Entry of their Options",
	},
	{"github.com/sirupsen/logrus/", []string{"cmd/..."}, nil, "only cmd decides where logs go"},
}

// under reports whether the package p is matched by one of the patterns.
func under(p string, patterns []string) bool {
	return slices.ContainsFunc(patterns, func(pattern string) bool {
		if dir, ok := strings.CutSuffix(pattern, "/..."); ok {
			return p == dir || strings.HasPrefix(p, dir+"/")
		}
		ok, err := path.Match(pattern, p)
		return ok && err == nil
	})
}

// reach is what the arrows allow the package p.
func reach(p string, arrows []arrow) (to []string, known bool) {
	for _, a := range arrows {
		if under(p, []string{a.from}) {
			return a.to, true
		}
	}
	return nil, false
}

// checkDirections: imports within the module follow the arrows; remote itself needs nothing but the
// standard library.
func checkDirections(files []goFile) (complaints []string) {
	for _, f := range files {
		p := f.pkg()
		to, known := reach(p, arrows)
		if !known {
			complaints = append(complaints, p+": no arrow says what it may import; add one in scripts/house")
			continue
		}
		if f.test {
			more, _ := reach(p, testArrows)
			to = slices.Concat(to, more, []string{p}) // its own package: an external test
		}
		for _, imported := range f.imports() {
			inner, ours := strings.CutPrefix(imported, module+"/")
			first, _, _ := strings.Cut(imported, "/")
			switch {
			case ours && !under(inner, to):
				complaints = append(
					complaints,
					fmt.Sprintf(
						"%s: %s may not import %s, only %s; arrows point down only", f.path, p, inner,
						strings.Join(to, ", "),
					),
				)
			case p == "remote" && !f.test && !ours && strings.Contains(first, "."):
				complaints = append(
					complaints,
					fmt.Sprintf(
						"%s: imports %s; the contract needs nothing but the standard library", f.path, imported,
					),
				)
			}
		}
	}
	return complaints
}

// checkOwners: each library of others has one place that knows it.
func checkOwners(files []goFile) (complaints []string) {
	for _, f := range files {
		for _, imported := range f.imports() {
			for _, o := range owners {
				prefix := strings.TrimSuffix(o.imported, "/")
				if !strings.HasPrefix(imported, prefix+"/") && (imported != prefix || prefix != o.imported) {
					continue
				}
				if !under(f.pkg(), o.by) && !(f.test && under(f.pkg(), o.inTests)) {
					complaints = append(complaints, fmt.Sprintf("%s: imports %s: %s", f.path, imported, o.why))
				}
				break
			}
		}
	}
	return complaints
}

// loggers are the packages that log, with what a library may say of each. logrus.New and NewEntry
// only make the silent logger of an Options without one; log.New and log.Logger hand lines of other
// people's code (go-fuse, net/http) to a *logrus.Entry.
var loggers = map[string][]string{
	"github.com/sirupsen/logrus": {"Entry", "Fields", "Level", "New", "NewEntry", "ErrorKey",
		"PanicLevel", "FatalLevel", "ErrorLevel", "WarnLevel", "InfoLevel", "DebugLevel", "TraceLevel"},
	"log": {"New", "Logger"},
}

// logrusSettings are methods of a logger that decide where and what it writes. SetOutput is not
// among them: the silent logger needs it.
var logrusSettings = []string{"SetFormatter", "SetReportCaller", "AddHook", "ReplaceHooks", "SetBufferPool"}

// checkLogging: libraries are given a *logrus.Entry and neither make loggers of packages nor
// configure one. Tests may.
func checkLogging(files []goFile) (complaints []string) {
	for _, f := range files {
		if f.test || under(f.pkg(), []string{"cmd/...", "scripts/..."}) {
			continue
		}
		for _, i := range f.ast.Imports {
			imported := strings.Trim(i.Path.Value, `"`)
			words, logs := loggers[imported]
			if !logs {
				continue
			}
			name := path.Base(imported)
			if i.Name != nil {
				name = i.Name.Name
			}
			if name == "." || name == "_" {
				complaints = append(complaints, f.path+": imports "+imported+" as "+name+"; import it by its name")
				continue
			}
			complaints = append(complaints, f.loggerMisuse(name, words)...)
		}
	}
	return complaints
}

// loggerMisuse looks through a file that imports a logging package as name.
func (f goFile) loggerMisuse(name string, words []string) (complaints []string) {
	for _, d := range f.ast.Decls {
		if g, ok := d.(*ast.GenDecl); ok && g.Tok == token.VAR && mentions(g, name) {
			complaints = append(complaints, f.at(g.Pos())+": a logger of the package; take a *logrus.Entry in Options")
		}
	}
	ast.Inspect(f.ast, func(n ast.Node) bool {
		s, ok := n.(*ast.SelectorExpr)
		if !ok {
			return true
		}
		if id, ok := s.X.(*ast.Ident); ok && id.Name == name {
			if !slices.Contains(words, s.Sel.Name) {
				complaints = append(
					complaints,
					fmt.Sprintf(
						"%s: %s.%s; libraries use the *logrus.Entry of their Options", f.at(s.Pos()), name, s.Sel.Name,
					),
				)
			}
		} else if slices.Contains(logrusSettings, s.Sel.Name) {
			complaints = append(
				complaints,
				fmt.Sprintf("%s: %s; only cmd decides how logs look and where they go", f.at(s.Pos()), s.Sel.Name),
			)
		}
		return true
	})
	return complaints
}

// mentions reports whether a package's name is used below n.
func mentions(n ast.Node, name string) (found bool) {
	ast.Inspect(n, func(n ast.Node) bool {
		s, ok := n.(*ast.SelectorExpr)
		if ok {
			id, isIdent := s.X.(*ast.Ident)
			found = found || isIdent && id.Name == name
		}
		return !found
	})
	return found
}
