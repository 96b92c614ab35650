package local_test

import (
	"path/filepath"
	"testing"

	"mediafs/fs/fuse"
	"mediafs/fs/local"
	"mediafs/fs/vfs"
	"mediafs/fs/vfs/engine"
	"mediafs/fs/vfs/vfstest"
	"mediafs/remote/object/mem"
)

// What is about no dropping behaves as without a Library in front, references and the place of
// everything in listings included. A dropping lies in the root meanwhile.
func TestSuite(t *testing.T) {
	if testing.Short() || raceEnabled {
		t.Skip("too long with -short or the race detector; the library below runs it with that")
	}
	b, dir := mem.New(mem.Options{}), filepath.Join(t.TempDir(), "local")
	var inner *engine.FS
	var lib *local.Library
	end := func() {
		if inner == nil {
			return
		}
		if err := inner.Flush(bg); err != nil {
			t.Error(err)
		}
		if n := lib.References(); n != 0 {
			t.Errorf("%d droppings are still known", n)
		}
		if err := lib.Close(); err != nil {
			t.Error(err)
		}
		if err := inner.Close(); err != nil {
			t.Error(err)
		}
	}
	open := func() (vfs.Library, error) {
		end()
		inner = openInner(t, b, t.TempDir())
		var err error
		if lib, err = local.New(inner, local.Options{Dir: dir, KeepFree: 1, Names: testNames}); err != nil {
			return nil, err
		}
		a, f, err := lib.Create(bg, me, vfs.Root, ".DS_Store", 0o600, 0)
		if err == nil {
			f.Release()
			lib.Forget(a.ID, 1)
		}
		return lib, nil
	}
	vfstest.Run(t, func(t *testing.T) vfstest.System {
		lib, err := open()
		if err != nil {
			t.Fatal(err)
		}
		traits := vfstest.Traits{MaxXattr: 60000, Sparse: true, ZeroRange: true}
		return vfstest.OverLibrary(lib, fuse.Errno, traits, open, func() error { end(); return nil })
	})
}
