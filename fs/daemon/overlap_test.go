package daemon

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"mediafs/remote"
)

// Every two of a mount's folders, in both directions, also through a symbolic link and where
// neither is there yet.
func TestMisplacedFolders(t *testing.T) {
	base, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(base, base+"/link"); err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{"/mnt", "/store"} {
		if err := os.Mkdir(base+dir, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	ok := Options{
		Dir:        base + "/mnt",
		CatalogDir: base + "/state/catalog",
		CacheDir:   base + "/cache",
		Store:      "file://" + base + "/store",
		LogFile:    base + "/state/library.log",
		Registry:   Registry{Dir: base + "/state/mounts"},
	}
	if err := ok.CheckPlaces(); err != nil {
		t.Error(err)
	}
	folders := []struct {
		what string
		get  func(o *Options) string
		set  func(o *Options, dir string)
	}{
		{"mount point", func(o *Options) string { return o.Dir }, func(o *Options, dir string) { o.Dir = dir }},
		{
			"store", func(o *Options) string { return strings.TrimPrefix(o.Store, "file://") },
			func(o *Options, dir string) { o.Store = "file://" + dir },
		},
		{
			"catalog directory", func(o *Options) string { return o.CatalogDir },
			func(o *Options, dir string) { o.CatalogDir = dir },
		},
		{
			"cache directory", func(o *Options) string { return o.CacheDir },
			func(o *Options, dir string) { o.CacheDir = dir },
		},
		{"log file", func(o *Options) string { return o.LogFile }, func(o *Options, dir string) { o.LogFile = dir }},
		{
			"list of mounts", func(o *Options) string { return o.Registry.Dir },
			func(o *Options, dir string) { o.Registry.Dir = dir },
		},
	}
	for _, outer := range folders {
		for _, inner := range folders {
			// The catalog directory, the log and the list of mounts lie in one folder by default,
			// and may in any.
			together := func(what string) bool {
				return what == "catalog directory" || what == "log file" || what == "list of mounts"
			}
			if outer.what == inner.what || outer.what == "log file" || together(outer.what) && together(inner.what) {
				continue
			}
			for _, below := range []string{"", "/a", "/a/b"} {
				o := ok
				real := outer.get(&o) + below
				given := strings.Replace(real, base, base+"/link", 1)
				inner.set(&o, given)
				err := o.CheckPlaces()
				if !errors.Is(err, remote.Invalid) || !strings.Contains(err.Error(), outer.get(&o)) ||
					!strings.Contains(err.Error(), given) ||
					!strings.Contains(err.Error(), real) {
					t.Errorf("%s in the %s at %s: %v, want invalid with both paths", inner.what, outer.what, given, err)
				}
				if wrong := inner.what == "mount point" ||
					outer.what == "mount point" && below == ""; wrong != errors.Is(
					err,
					ErrMountPoint,
				) {
					t.Errorf(
						"%s in the %s: of the mount point %v", inner.what, outer.what, errors.Is(err, ErrMountPoint),
					)
				}
			}
		}
	}
	// What only begins alike is beside it.
	o := ok
	o.CacheDir = ok.CatalogDir + "2"
	if err := o.CheckPlaces(); err != nil {
		t.Error(err)
	}
}
