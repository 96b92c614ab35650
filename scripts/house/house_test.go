package house

import (
	"slices"
	"strings"
	"testing"
)

// rules are all rules of the house, each with trees it must complain about and trees it must not.
var rules = []struct {
	name  string
	check func(files tree, parsed []goFile) []string
	bad   []tree
	good  []tree
}{
	{
		name:  "top level",
		check: func(files tree, _ []goFile) []string { return checkTopLevel(files) },
		bad:   []tree{{"pkg/a.sh": nil}, {"Makefile": nil}},
		good:  []tree{{"fs/a.md": nil, ".ci/run": nil, "README.md": nil}},
	},
	{
		name:  "package docs",
		check: ofGo(checkPackageDocs),
		bad:   []tree{{"fs/a.go": code("package fs"), "fs/a_test.go": code("// Package fs is here.\npackage fs")}},
		good:  []tree{{"fs/a.go": code("package fs"), "fs/doc.go": code("// Package fs is here.\npackage fs")}},
	},
	{
		name:  "import directions",
		check: ofGo(checkDirections),
		bad: []tree{
			{"remote/a.go": code(`package remote; import "mediafs/remote/object"`)},
			{"remote/a.go": code(`package remote; import "github.com/x/y"`)},
			{"remote/a_test.go": code(`package remote; import "mediafs/fs/vfs"`)},
			{"remote/bucket/a.go": code(`package bucket; import "mediafs/remote/object/s3"`)},
			{"remote/mediacm/a.go": code(`package mediacm; import "mediafs/remote/bucket"`)},
			{"remote/object/dir/a.go": code(`package dir; import "mediafs/remote/transport"`)},
			{"cache/spool/a.go": code(`package spool; import "mediafs/remote/object"`)},
			{"cache/spool/a.go": code(`package spool; import "mediafs/cache/block"`)},
			{"fs/vfs/a.go": code(`package vfs; import "mediafs/fs/fuse"`)},
			{"fs/vfs/a.go": code(`package vfs; import "mediafs/cache/catalog"`)},
			{"fs/vfs/engine/a.go": code(`package engine; import "mediafs/remote/bucket"`)},
			{"fs/vfs/operation/a.go": code(`package operation; import "mediafs/fs/vfs/engine"`)},
			{"fs/fuse/a.go": code(`package fuse; import "mediafs/fs/view"`)},
			{"fs/daemon/a_test.go": code(`package daemon; import "mediafs/cmd/mediafs"`)},
			{"fs/novel/a.go": code(`package novel`)},
		},
		good: []tree{
			{"remote/a.go": code(`package remote; import "go/ast"`)},
			{"remote/object/s3/a.go": code(`package s3; import _ "mediafs/remote/transport"`)},
			{"remote/object/open/a.go": code(`package open; import "mediafs/remote/object/s3"`)},
			{"fs/vfs/engine/a.go": code(`package engine; import "mediafs/cache/catalog"`)},
			{"fs/vfs/a_test.go": code(`package vfs_test; import ("mediafs/fs/vfs"; "mediafs/remote/object/mem")`)},
			{"fs/fuse/a.go": code(`package fuse; import "mediafs/remote"`)},
			{"fs/daemon/a.go": code(`package daemon; import "mediafs/remote/object/s3"`)},
			{"cache/spool/a_test.go": code(`package spool; import "mediafs/cache/block"`)},
		},
	},
	{
		name:  "owners of imports",
		check: ofGo(checkOwners),
		bad: []tree{
			{"fs/vfs/a.go": code(`package vfs; import "github.com/hanwen/go-fuse/v2/fuse"`)},
			{"fs/vfs/a.go": code(`package vfs; import "github.com/hanwen/go-fuse/v2/posixtest"`)},
			{"fs/vfs/a_test.go": code(`package vfs; import "github.com/hanwen/go-fuse/v2/fuse"`)},
			{"remote/bucket/a.go": code(`package bucket; import "github.com/minio/minio-go/v7"`)},
			{"remote/bucket/a_test.go": code(`package bucket; import "github.com/dgraph-io/badger/v4"`)},
			{"fs/vfs/a.go": code(`package vfs; import "log/slog"`)},
			{"fs/vfs/a.go": code(`package vfs; import "github.com/spf13/pflag"`)},
			{"fs/vfs/a.go": code(`package vfs; import "github.com/sirupsen/logrus/hooks/syslog"`)},
		},
		good: []tree{
			{"fs/fuse/a.go": code(`package fuse; import "github.com/hanwen/go-fuse/v2/fuse"`)},
			{"fs/fuse/a_test.go": code(`package fuse; import "github.com/hanwen/go-fuse/v2/posixtest"`)},
			{"fs/vfs/a.go": code(`package vfs; import "github.com/sirupsen/logrus"`)},
			{"cmd/mediafs/a.go": code(`package main; import ("log"; "github.com/sirupsen/logrus/hooks/syslog")`)},
		},
	},
	{
		name:  "logging",
		check: ofGo(checkLogging),
		bad: []tree{
			{"fs/a.go": code(`package fs; import "github.com/sirupsen/logrus"; func f() { logrus.Info("x") }`)},
			{"fs/a.go": code(`package fs; import l "github.com/sirupsen/logrus"; func f() { l.StandardLogger() }`)},
			{
				"fs/a.go": code(
					`package fs; import "github.com/sirupsen/logrus"; var log = logrus.NewEntry(logrus.New())`,
				),
			},
			{
				"fs/a.go": code(
					`package fs; import "github.com/sirupsen/logrus"; func f(e *logrus.Entry) { e.Logger.SetFormatter(nil) }`,
				),
			},
			{"fs/a.go": code(`package fs; import . "github.com/sirupsen/logrus"`)},
			{"fs/a.go": code(`package fs; import "log"; func f() { log.Println() }`)},
			{"fs/a.go": code(`package fs; import "log"; var l = log.New(nil, "", 0)`)},
		},
		good: []tree{
			{
				"fs/a.go": code(
					`package fs; import "github.com/sirupsen/logrus"; type Options struct { Log *logrus.Entry }`,
				),
			},
			{
				"fs/a.go": code(
					`package fs; import "github.com/sirupsen/logrus"; func f() { l := logrus.New(); l.SetOutput(nil) }`,
				),
			},
			{"fs/fuse/a.go": code(`package fuse; import "log"; func f() *log.Logger { return log.New(nil, "", 0) }`)},
			{"fs/a_test.go": code(`package fs; import "github.com/sirupsen/logrus"; func f() { logrus.SetLevel(0) }`)},
			{"cmd/a.go": code(`package main; import "github.com/sirupsen/logrus"; func f() { logrus.SetLevel(0) }`)},
		},
	},
	{
		name:  "length",
		check: ofGo(checkLength),
		bad:   []tree{{"fs/a.go": code("package fs" + strings.Repeat("\n", maxLines+1))}},
		good: []tree{
			{"fs/a.go": code("package fs" + strings.Repeat("\n", maxLines))},
			{"fs/a.go": code("// Code generated by x. DO NOT EDIT.\n\npackage fs" + strings.Repeat("\n", maxLines+1))},
		},
	},
	{
		name:  "width of comments",
		check: ofGo(checkCommentWidth),
		bad: []tree{
			{"fs/a.go": code("package fs\n\n// " + strings.Repeat("word ", 20) + "\nvar A int")},
			{"fs/a.go": code("package fs\n\nfunc f() {\n\t\t// " + strings.Repeat("é", 90) + "\n}")},
		},
		good: []tree{
			{"fs/a.go": code("package fs\n\n// " + strings.Repeat("é", 97) + "\nvar A int")},
			{"fs/a.go": code("package fs\n\n//   " + strings.Repeat("column ", 20) + "\nvar A int")},
			{"fs/a.go": code("package fs\n\n// https://example.org/" + strings.Repeat("x", 90) + "\nvar A int")},
		},
	},
	{
		name:  "width of documents",
		check: func(files tree, _ []goFile) []string { return checkTextWidth(files) },
		bad:   []tree{{"README.md": []byte(strings.Repeat("word ", 21))}},
		good: []tree{
			{"README.md": []byte("```\n" + strings.Repeat("word ", 21) + "\n```\n")},
			{"README.md": []byte("| " + strings.Repeat("word ", 21) + " |")},
		},
	},
	{
		name: "length: allow-list",
		check: func(_ tree, parsed []goFile) []string {
			return checkAllowList(parsed, mayBeLonger)
		},
	},
	{
		name:  "file names",
		check: ofGo(checkFileNames),
		bad: []tree{
			{"fs/utils.go": code("package fs")},
			{"fs/helpers_test.go": code("package fs")},
			{"fs/types.go": code("package fs")},
		},
		good: []tree{{"fs/mediatypes.go": code("package fs")}, {"fs/common/reader.go": code("package fs")}},
	},
	{
		name:  "paths of one workplace",
		check: func(files tree, _ []goFile) []string { return checkForeignPaths(files) },
		bad: []tree{
			{"fs/a.md": []byte("see /wor" + "k/main")},
			{"README.md": []byte("\n/wor" + "k/x")},
			{".ci/run": []byte("cat shared/seed" + "s/x")},
		},
		good: []tree{
			{"fs/a.md": []byte("overlay/work/x, ~/work/x")},
			{"testdata/a.jpg": []byte("\x00 /wor" + "k/")},
		},
	},
	{
		name:  "promises",
		check: checkPromises,
		bad: []tree{
			{
				"ARCHITECTURE.md":   []byte("`vfs.TestA`"),
				"fs/fuse/a_test.go": code("package fuse\n\nfunc TestA(t *testing.T) {}"),
			},
		},
		good: []tree{
			{
				"ARCHITECTURE.md":       []byte("`TestA`"),
				"cmd/mediafs/a_test.go": code("package main\n\nfunc TestA(t *testing.T) {}"),
			},
		},
	},
	{
		name:  "unfinished work",
		check: ofGo(checkLeftovers),
		bad: []tree{
			{"fs/a.go": code("package fs // TO" + "DO: more")},
			{"fs/a_test.go": code("package fs\n\n// FIX" + "ME")},
		},
		good: []tree{
			{"fs/a.go": code(`package fs; const pattern = "mediafs-XX` + `XXXX"`)},
			{"fs/a.pb.go": code("// Code generated by x. DO NOT EDIT.\n\npackage fs // XX" + "X")},
		},
	},
}

func code(src string) []byte { return []byte(src) }

// ofGo makes a rule of one over parsed files.
func ofGo(check func([]goFile) []string) func(tree, []goFile) []string {
	return func(_ tree, parsed []goFile) []string { return check(parsed) }
}

// TestHouse holds the project to the rules.
func TestHouse(t *testing.T) {
	files := readTree(t)
	parsed := goFiles(t, files)
	for _, r := range rules {
		t.Run(r.name, func(t *testing.T) {
			complaints := r.check(files, parsed)
			slices.Sort(complaints)
			for _, c := range slices.Compact(complaints) {
				t.Error(c)
			}
		})
	}
}

// TestRules holds the rules to their samples.
func TestRules(t *testing.T) {
	for _, r := range rules {
		t.Run(r.name, func(t *testing.T) {
			for i, files := range r.bad {
				if len(r.check(files, goFiles(t, files))) == 0 {
					t.Errorf("bad sample %d: no complaint", i)
				}
			}
			for i, files := range r.good {
				for _, c := range r.check(files, goFiles(t, files)) {
					t.Errorf("good sample %d: %s", i, c)
				}
			}
		})
	}
	long := code("package fs" + strings.Repeat("\n", maxLines+1))
	stale := map[string]string{"fs/gone.go": "why", "fs/short.go": "why", "fs/long.go": "why"}
	got := checkAllowList(goFiles(t, tree{"fs/short.go": code("package fs"), "fs/long.go": long}), stale)
	if len(got) != 2 {
		t.Errorf("allow-list: complaints %q, want one for fs/gone.go and one for fs/short.go", got)
	}
}
