package block

import (
	"bytes"
	"errors"

	"golang.org/x/sys/unix"

	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"mediafs/remote"
)

func TestAdopt(t *testing.T) {
	s := newFake()
	o := options(t, s)
	c := open(t, o)
	for id, ct := range cachedKinds(s) {
		r := c.NewReader(ct)
		check(t, r, s.contents[id], 1<<20, 100) // somebody has begun to fetch it
		n, _ := s.counts()
		path := spool(t, s, ct, t.TempDir())
		if err := c.Adopt(ct, path); err != nil {
			t.Fatal(err)
		}
		if _, err := os.Lstat(path); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s: file is still there: %v", id, err)
		}
		readAll(t, c, s, ct)
		if m, _ := s.counts(); m != n {
			t.Errorf("%s: %d requests for an adopted content", id, m-n)
		}
		r.Close()
	}
	if st := c.Stats(); st.Pinned != st.Bytes || st.Contents != 3 || onDisk(t, o.Dir) > st.Bytes+64<<10 {
		t.Errorf("%+v", st)
	}

	ct := s.add("wrong", 9, 1<<20)
	path := spool(t, s, ct, t.TempDir())
	if err := os.Truncate(path, 5); err != nil {
		t.Fatal(err)
	}
	if err := c.Adopt(ct, path); !errors.Is(err, remote.Invalid) {
		t.Errorf("file of another size: %v", err)
	}
	if _, err := os.Lstat(path); err != nil {
		t.Errorf("file was not left: %v", err)
	}
	if err := c.Adopt(ct, path+"x"); remote.KindOf(err) != remote.Other {
		t.Errorf("no file: %v", err)
	}

	// Adopted contents are pinned over a restart.
	bytes := c.Stats().Bytes
	c.Close()
	c = open(t, o)
	if got := c.Pinned(); len(got) != 3 || c.Stats().Pinned != bytes {
		t.Errorf("after a restart: %v, %+v", got, c.Stats())
	}
	c.Close()

	// Unpinning does not wait for the scan, and lasts.
	ids := c.Pinned()
	for range 2 {
		c = open(t, o)
		for _, id := range ids {
			c.Unpin(id)
		}
		ids = c.Pinned()
		if st := c.Stats(); st.Pinned != 0 || st.Bytes != bytes || len(ids) != 0 {
			t.Errorf("%+v", st)
		}
		c.Close()
	}
}

func TestAdoptAcrossFileSystems(t *testing.T) {
	s := newFake()
	o := options(t, s)
	c := open(t, o)
	ct := s.add("film", 5, 1<<20)
	path := spool(t, s, ct, t.TempDir())
	// A copy is what a rename is when that cannot be.
	if err := c.copyFile(path, "copy"); err != nil {
		t.Fatal(err)
	}
	a, err := os.ReadFile(filepath.Join(o.Dir, "copy"))
	want := make([]byte, ct.Size)
	s.contents["film"].ReadAt(want, 0)
	if err != nil || !bytes.Equal(a, want) {
		t.Errorf("copied %d bytes, %v", len(a), err)
	}
	if _, err := os.Lstat(path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the original is still there: %v", err)
	}
	if err := c.copyFile(path, "copy2"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no original: %v", err)
	}
	names, err := os.ReadDir(o.Dir)
	if err != nil ||
		slices.ContainsFunc(names, func(e os.DirEntry) bool { return strings.HasSuffix(e.Name(), tempSuffix) }) {
		t.Errorf("left: %v, %v", names, err)
	}
}

// otherDisk is a folder on another file system than the temporary ones.
func otherDisk(t *testing.T) string {
	t.Helper()
	var here, there unix.Stat_t
	if err := unix.Stat(t.TempDir(), &here); err != nil {
		t.Fatal(err)
	}
	for _, parent := range []string{"/dev/shm", "/tmp", "/var/tmp", "."} {
		dir, err := os.MkdirTemp(parent, ".adopt")
		if err != nil {
			continue
		}
		t.Cleanup(func() { os.RemoveAll(dir) })
		if unix.Stat(dir, &there) == nil && there.Dev != here.Dev {
			return dir
		}
	}
	t.Skip("no second file system is here")
	return ""
}

// An adoption that fails leaves the file, and nothing in the cache that tells of it.
func TestAdoptThatFails(t *testing.T) {
	elsewhere := otherDisk(t)
	for _, c := range []struct {
		name string
		from string
		free int64 // of the cache disk
		most int64 // MaxBytes
		kind remote.Kind
		// spoil makes the move fail.
		spoil func(dir string, ct Content) error
	}{
		{name: "no room for a copy", from: elsewhere, free: 3 << 20, kind: remote.NoSpace},
		{name: "larger than the cache", from: elsewhere, free: 1 << 30, most: 2 << 20, kind: remote.NoSpace},
		{name: "it cannot be moved", from: t.TempDir(), free: 1 << 30, kind: remote.Other, spoil: func(dir string, ct Content) error {
			return os.MkdirAll(filepath.Join(dir, nameOf(ct.ID)+dataSuffix, "in the way"), 0o700)
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newFake()
			o := options(t, s)
			o.MinFree, o.MaxBytes = 1<<20, c.most
			o.statfs = func(*os.File) (int64, int64, error) { return c.free, 1 << 30, nil }
			cache := open(t, o)
			kept := s.add("kept", 3, 1<<20)
			readAll(t, cache, s, kept)
			ct := s.add("film", 5, 4<<20)
			if c.spoil != nil {
				if err := c.spoil(o.Dir, ct); err != nil {
					t.Fatal(err)
				}
			}
			path := spool(t, s, ct, c.from)
			before := cache.Stats()
			if err := cache.Adopt(ct, path); !errors.Is(err, c.kind) || remote.KindOf(err) != c.kind {
				t.Errorf("adopted: %v", err)
			}
			if st, err := os.Stat(path); err != nil || st.Size() != ct.Size {
				t.Errorf("the file was not left: %v", err)
			}
			after := cache.Stats()
			if c.most == 0 && c.kind == remote.NoSpace { // the other content made room
				before.Bytes, before.Contents, before.Evictions = 0, 0, after.Evictions
			}
			if before != after {
				t.Errorf("%+v became %+v", before, after)
			}
			if _, err := os.Lstat(filepath.Join(o.Dir, nameOf(ct.ID)+mapSuffix)); !errors.Is(err, os.ErrNotExist) {
				t.Errorf("a sidecar tells of what is not there: %v", err)
			}
			if c.spoil == nil {
				readAll(t, cache, s, ct)
			}
		})
	}
}

func TestAdoptWithALocalStoreRemovesTheFile(t *testing.T) {
	s := newFake()
	s.local = true
	c := open(t, options(t, s))
	ct := s.add("film", 5, 1<<20)
	path := spool(t, s, ct, t.TempDir())
	if err := c.Adopt(ct, path); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Lstat(path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("file: %v", err)
	}
	c.Unpin(ct.ID)
	c.Forget(ct.ID)
	readAll(t, c, s, ct)
}

func TestForget(t *testing.T) {
	s := newFake()
	o := options(t, s)
	c := open(t, o)
	ct := s.add("film", 5, 1<<20)
	if err := c.Adopt(ct, spool(t, s, ct, t.TempDir())); err != nil {
		t.Fatal(err)
	}
	r := c.NewReader(ct)
	defer r.Close()
	check(t, r, s.contents["film"], 0, 1000)
	quiet(t, c) // what is being kept may stay
	c.Forget(ct.ID)
	c.Forget(remote.ContentID{ID: "never seen"})
	if st := c.Stats(); st.Bytes != 0 || st.Pinned != 0 || onDisk(t, o.Dir) > 64<<10 {
		t.Errorf("%+v", st)
	}
	check(t, r, s.contents["film"], 0, 1000)
	if n, _ := s.counts(); n != 1 {
		t.Errorf("%d requests", n)
	}

	// Forgotten before anybody looked for it, it is gone as well.
	c.Close()
	c = open(t, o)
	c.Forget(ct.ID)
	<-c.scanned
	quiet(t, c)
	if st := c.Stats(); st.Bytes != 0 || onDisk(t, o.Dir) > 64<<10 {
		t.Errorf("%+v", st)
	}
}
