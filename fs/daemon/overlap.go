package daemon

import (
	"errors"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"mediafs/fs/fuse"
	"mediafs/remote"
)

// A Site is a folder or file that a command works with.
type Site struct {
	What string // as an error calls it: "cache directory"
	Path string // absolute
	Hint string // what the user can do when it lies in a wrong place; empty: nothing
}

// LibrarySites are the folders that belong to a library alone, whether it is mounted or not: its
// local store, catalog and cache. Empty paths are left out.
func LibrarySites(store, catalogDir, cacheDir string) []Site {
	sites := []Site{
		{"catalog directory", catalogDir, "--catalog-dir names another"},
		{"cache directory", cacheDir, "--cache-dir names another"},
	}
	if dir, ok := localStore(store); ok {
		sites = append(sites, Site{"store", dir, ""})
	}
	var used []Site
	for _, s := range sites {
		if s.Path != "" {
			used = append(used, s)
		}
	}
	return used
}

// Inside refuses a site that is one of others or lies in one: Invalid. Symbolic links and bind
// mounts are seen through.
func Inside(op string, s Site, others ...Site) error {
	at := s.resolve()
	for _, o := range others {
		if o.resolve().holds(at) {
			return misplaced(op, s, o)
		}
	}
	return nil
}

// Apart refuses a site that is one of others, lies in one, or has one in it: Invalid. Symbolic
// links and bind mounts are seen through.
func Apart(op string, s Site, others ...Site) error {
	at := s.resolve()
	for _, o := range others {
		other := o.resolve()
		switch {
		case other.holds(at):
			return misplaced(op, s, o)
		case at.holds(other):
			return misplaced(op, o, s)
		}
	}
	return nil
}

func misplaced(op string, inner, outer Site) error {
	how := " lies in the "
	in, out := inner.resolve(), outer.resolve()
	if in.holds(out) {
		how = " is also the "
	}
	name := func(s Site, at spot) string {
		if at.real != s.Path {
			return s.What + " " + s.Path + " (that is " + at.real + ")"
		}
		return s.What + " " + s.Path
	}
	hint := inner.Hint
	if hint == "" {
		hint = outer.Hint
	}
	return remote.E(op, "", remote.Invalid, errors.New("the "+name(inner, in)+how+name(outer, out))).WithHint(hint)
}

// A spot is where a path leads, said in three ways, as none of them alone sees through everything.
type spot struct {
	real   string // without symbolic links, as far as it is there
	device string // of the file system that holds it, and the path in there: the same through every bind mount
	inside string //
	// real itself and the folders above it, from the deepest one that is there: the same under
	// every spelling
	known []ancestor
}

// An ancestor is a folder, and the path from it to the spot.
type ancestor struct {
	dev, ino uint64
	rest     string
}

func (s Site) resolve() spot {
	real, err := realDir(s.Path)
	if err != nil {
		real = filepath.Clean(s.Path)
	}
	at := spot{real: real}
	at.device, at.inside, _ = fuse.Location(real)
	for dir, rest := real, ""; ; dir, rest = filepath.Dir(dir), filepath.Join(filepath.Base(dir), rest) {
		var st unix.Stat_t
		if unix.Stat(dir, &st) == nil {
			at.known = append(at.known, ancestor{st.Dev, st.Ino, rest})
		}
		if dir == filepath.Dir(dir) {
			return at
		}
	}
}

// holds reports whether other is s or lies in it.
func (s spot) holds(other spot) bool {
	if within(s.real, other.real) || s.device != "" && s.device == other.device && within(s.inside, other.inside) {
		return true
	}
	if len(s.known) == 0 {
		return false
	}
	base := s.known[0]
	for _, a := range other.known {
		if a.dev == base.dev && a.ino == base.ino && within("/"+base.rest, "/"+a.rest) {
			return true
		}
	}
	return false
}

// CheckPlaces refuses a mount point, store, catalog, cache, log or list of mounts of which one lies
// in another: the daemon would wait for itself, upload its own files, or delete them as blocks that
// it may read again. Errors are Invalid; where the mount point lies in one of the others they are
// ErrMountPoint.
func (o Options) CheckPlaces() error {
	const op = "mount"
	sites := LibrarySites(o.Store, o.CatalogDir, o.CacheDir)
	for i, s := range sites {
		if err := Apart(op, s, sites[:i]...); err != nil {
			if o.CatalogDir == o.CacheDir {
				return remote.E(op, o.Dir, remote.Invalid, errors.New("catalog and cache share the directory "+o.CatalogDir)).
					WithHint("the cache may be deleted at any time, the catalog directory may hold the only copy of a file")
			}
			return err
		}
	}
	const moves = "XDG_STATE_HOME says where it is kept"
	for _, s := range []Site{{"log file", o.LogFile, moves}, {"list of mounts", o.Registry.Dir, moves}} {
		if s.Path == "" {
			continue
		}
		// The catalog directory may be the folder of both, or beside them.
		for _, other := range sites {
			if other.Path == o.CatalogDir {
				continue
			}
			if err := Apart(op, s, other); err != nil {
				return err
			}
		}
		sites = append(sites, s)
	}
	if o.Dir == "" {
		return nil
	}
	dir := Site{"mount point", o.Dir, "mount on a folder of its own"}
	if err := Inside(op, dir, sites...); err != nil {
		return marked{err, ErrMountPoint}
	}
	return Apart(op, dir, sites...)
}

// realDir resolves symbolic links in the part of dir that is there.
func realDir(dir string) (string, error) {
	for rest := ""; ; {
		real, err := filepath.EvalSymlinks(dir)
		if err == nil {
			return filepath.Join(real, rest), nil
		}
		if !errors.Is(err, os.ErrNotExist) || dir == filepath.Dir(dir) {
			return "", err
		}
		rest = filepath.Join(filepath.Base(dir), rest)
		dir = filepath.Dir(dir)
	}
}

// within reports whether path is dir or lies below it. Both are absolute.
func within(dir, path string) bool {
	rel, err := filepath.Rel(dir, path)
	return err == nil && rel != ".." && !strings.HasPrefix(rel, "../")
}
