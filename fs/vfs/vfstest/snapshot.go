package vfstest

import (
	"crypto/sha256"
	"fmt"
	"maps"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"mediafs/fs/vfs"
)

// A record is everything that is to be equal of one name when two trees are.
type record struct {
	Attr   vfs.Attr
	Target string
	Sum    [sha256.Size]byte
	Xattrs string
}

// snapshot reads a whole tree, by path from its top.
func (e *env) snapshot(top string) map[string]record {
	e.Helper()
	all := make(map[string]record)
	e.snapshotInto(all, top)
	return all
}

func (e *env) snapshotInto(all map[string]record, path string) {
	e.Helper()
	r := record{Attr: e.stat(path)}
	r.Attr.Blocks = 0 // where bytes lie is not what they are
	if !e.traits.Persists {
		r.Attr.Atime = vfs.Time{} // the local disk notes that the snapshot reads
	}
	names, err := e.sys.ListXattr(e.p(path))
	e.ok("list attributes of "+path, err)
	slices.Sort(names)
	var xattrs strings.Builder
	for _, n := range names {
		v, err := e.sys.GetXattr(e.p(path), n)
		e.ok("get attribute", err)
		fmt.Fprintf(&xattrs, "%q=%x ", n, sha256.Sum256(v))
	}
	r.Xattrs = xattrs.String()
	switch r.Attr.Mode & unix.S_IFMT {
	case unix.S_IFLNK:
		r.Target, err = e.sys.Readlink(e.p(path))
		e.ok("readlink", err)
	case unix.S_IFREG:
		r.Sum = sha256.Sum256([]byte(e.read(path)))
	case unix.S_IFDIR:
		for _, name := range slices.Sorted(maps.Keys(e.list(path))) {
			e.snapshotInto(all, strings.TrimPrefix(path+"/"+name, "/"))
		}
	}
	all[path] = r
}

// equalTrees reports every difference between two snapshots, up to a number that can be read.
func equalTrees(e *env, what string, got, want map[string]record) {
	e.Helper()
	shown := 0
	for _, path := range slices.Sorted(maps.Keys(want)) {
		g, ok := got[path]
		switch {
		case !ok:
			e.Errorf("%s: %q is missing", what, path)
		case g != want[path]:
			e.Errorf("%s: %q is\n%+v, want\n%+v", what, path, g, want[path])
		default:
			continue
		}
		if shown++; shown == 10 {
			return
		}
	}
	for path := range got {
		if _, ok := want[path]; !ok {
			e.Errorf("%s: %q is too many", what, path)
		}
	}
}
