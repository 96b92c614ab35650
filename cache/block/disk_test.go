package block

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"mediafs/remote"
)

// onDisk returns what the files of a directory really take.
func onDisk(t *testing.T, dir string) int64 {
	t.Helper()
	var sum int64
	names, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range names {
		st, err := os.Lstat(filepath.Join(dir, n.Name()))
		if err != nil {
			t.Fatal(err)
		}
		sum += st.Sys().(*syscall.Stat_t).Blocks * 512
	}
	return sum
}

// readAll reads a content from its beginning, by blocks, through a reader of its own, and waits
// until it is kept.
func readAll(t *testing.T, c *Cache, s *fakeStore, ct Content) {
	t.Helper()
	r := c.NewReader(ct)
	for off := int64(0); off < ct.Size; off += BlockSize {
		check(t, r, s.contents[ct.ID.ID], off, BlockSize)
	}
	r.Close()
	quiet(t, c)
}

// spool writes a content to a local file.
func spool(t *testing.T, s *fakeStore, ct Content, dir string) string {
	t.Helper()
	b := make([]byte, ct.Size)
	s.contents[ct.ID.ID].ReadAt(b, 0)
	path := filepath.Join(dir, "spooled")
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestEvictionKeepsTheLimitAndThePinned(t *testing.T) {
	s := newFake()
	o := options(t, s)
	o.MaxBytes = 6 << 20
	c := open(t, o)
	pinned := s.add("pinned", 99, 1<<20)
	if err := c.Adopt(pinned, spool(t, s, pinned, t.TempDir())); err != nil {
		t.Fatal(err)
	}
	for i := range 20 {
		readAll(t, c, s, s.add(fmt.Sprint("photo", i), uint64(i), 1<<20))
		if st := c.Stats(); st.Bytes > o.MaxBytes {
			t.Fatalf("%d bytes in the cache", st.Bytes)
		}
	}
	if du := onDisk(t, o.Dir); du > o.MaxBytes+64<<10 {
		t.Errorf("%d bytes on disk", du)
	}
	n, _ := s.counts()
	readAll(t, c, s, pinned)
	readAll(t, c, s, Content{ID: remote.ContentID{ID: "photo19"}, Size: 1 << 20, Sums: sumsOf(s.contents["photo19"])})
	if m, _ := s.counts(); m != n {
		t.Errorf("%d requests for what should be cached", m-n)
	}
	if got := c.Pinned(); !slices.Equal(got, []remote.ContentID{pinned.ID}) {
		t.Errorf("pinned: %v", got)
	}
	c.Unpin(pinned.ID)
	c.Unpin(pinned.ID)
	for i := range 8 {
		readAll(t, c, s, s.add(fmt.Sprint("late", i), uint64(i), 1<<20))
	}
	if st := c.Stats(); st.Pinned != 0 || st.Evictions < 20 {
		t.Errorf("%+v", st)
	}
	n, _ = s.counts()
	readAll(t, c, s, pinned)
	if m, _ := s.counts(); m == n {
		t.Errorf("unpinned content was not evicted")
	}
}

func TestContentLargerThanTheCache(t *testing.T) {
	s := newFake()
	ct := s.add("film", 5, 52<<20)
	o := options(t, s)
	o.MaxBytes = 34 << 20
	c := open(t, o)
	readAll(t, c, s, ct)
	if _, asked := s.counts(); asked != ct.Size {
		t.Errorf("asked for %d bytes", asked)
	}
	if du := onDisk(t, o.Dir); du > o.MaxBytes+64<<10 {
		t.Errorf("%d bytes on disk", du)
	}
	// Its end is there, its beginning is not.
	n, _ := s.counts()
	r := c.NewReader(ct)
	defer r.Close()
	check(t, r, s.contents["film"], 51<<20, 1000)
	if m, _ := s.counts(); m != n {
		t.Errorf("what was read last is gone")
	}
	check(t, r, s.contents["film"], 0, 1000)
	if m, _ := s.counts(); m != n+1 {
		t.Errorf("what was evicted came from somewhere")
	}
}

// cachedKinds are contents with sums given, in a side object, and without, of the same bytes.
func cachedKinds(s *fakeStore) map[string]Content {
	given := s.add("given", 7, 5*BlockSize+1234)
	loaded, own := given, given
	s.add("loaded", 7, given.Size)
	s.add("own", 7, given.Size)
	loaded.ID.ID, loaded.Sums = "loaded", nil
	first := true
	loaded.LoadSums = func(context.Context) ([]uint32, error) {
		if !first {
			return nil, remote.E("get", "sums", remote.Unavailable, nil)
		}
		first = false
		return given.Sums, nil
	}
	own.ID = remote.ContentID{ID: "own", Validator: "etag"}
	own.Sums = nil
	return map[string]Content{"given": given, "loaded": loaded, "own": own}
}

func TestRestartKeepsWhatWasCached(t *testing.T) {
	for _, scanned := range []bool{true, false} {
		s := newFake()
		o := options(t, s)
		c := open(t, o)
		kinds := cachedKinds(s)
		for _, ct := range kinds {
			readAll(t, c, s, ct)
		}
		before := c.Stats()
		c.Close()
		s.open = func(id remote.ContentID, off, n int64) error {
			return remote.E("get object", id.ID, remote.Unavailable, nil)
		}
		c = open(t, o)
		if scanned {
			<-c.scanned
		}
		for _, ct := range kinds {
			readAll(t, c, s, ct)
		}
		<-c.scanned
		if st := c.Stats(); st.Bytes != before.Bytes || st.Requests != 0 || st.Contents != 3 {
			t.Errorf("before %+v, after %+v", before, st)
		}
	}
}

func TestLeastRecentlyUsedGoesFirstAfterARestart(t *testing.T) {
	s := newFake()
	o := options(t, s)
	c := open(t, o)
	var cts []Content
	for i := range 4 {
		cts = append(cts, s.add(fmt.Sprint("photo", i), uint64(i), 1<<20))
		readAll(t, c, s, cts[i])
	}
	c.Close()
	for i, ct := range cts {
		when := time.Unix(int64(1000-i), 0)
		if err := os.Chtimes(filepath.Join(o.Dir, nameOf(ct.ID)+mapSuffix), when, when); err != nil {
			t.Fatal(err)
		}
	}
	o.MaxBytes = 5<<19 + 20000
	c = open(t, o)
	<-c.scanned
	wait(t, "it shrinks", func() bool { return c.Stats().Bytes <= o.MaxBytes })
	n, _ := s.counts()
	readAll(t, c, s, cts[0])
	readAll(t, c, s, cts[1])
	if m, _ := s.counts(); m != n {
		t.Errorf("what was used last is gone")
	}
	c.Close()
	for i, ct := range cts[:2] {
		if st, err := os.Stat(filepath.Join(o.Dir, nameOf(ct.ID)+mapSuffix)); err != nil || st.ModTime().Year() < 2000 {
			t.Errorf("photo %d was used, and a restart would not know: %v", i, err)
		}
	}
}

func TestDamagedDiskNeverGivesWrongBytes(t *testing.T) {
	damage := map[string]func(t *testing.T, path string){
		"flipped bits": func(t *testing.T, path string) {
			f, err := os.OpenFile(path+dataSuffix, os.O_RDWR, 0)
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			for off := int64(5); off < 5*BlockSize; off += BlockSize {
				b := make([]byte, 1)
				f.ReadAt(b, off)
				b[0] ^= 1
				if _, err := f.WriteAt(b, off); err != nil {
					t.Fatal(err)
				}
			}
		},
		"hole": func(t *testing.T, path string) {
			if err := os.Truncate(path+dataSuffix, 1<<20); err != nil {
				t.Fatal(err)
			}
			if err := os.Truncate(path+dataSuffix, 5*BlockSize+1234); err != nil {
				t.Fatal(err)
			}
		},
		"cut": func(t *testing.T, path string) {
			if err := os.Truncate(path+dataSuffix, 1<<20+5); err != nil {
				t.Fatal(err)
			}
		},
		"no data": func(t *testing.T, path string) { os.Remove(path + dataSuffix) },
		"no map":  func(t *testing.T, path string) { os.Remove(path + mapSuffix) },
		"map cut": func(t *testing.T, path string) {
			if err := os.Truncate(path+mapSuffix, 40); err != nil {
				t.Fatal(err)
			}
		},
		"map flipped": func(t *testing.T, path string) {
			b, err := os.ReadFile(path + mapSuffix)
			if err != nil {
				t.Fatal(err)
			}
			b[len(b)/2] ^= 8
			if err := os.WriteFile(path+mapSuffix, b, 0o600); err != nil {
				t.Fatal(err)
			}
		},
		"link": func(t *testing.T, path string) {
			if err := os.Rename(path+dataSuffix, path+".elsewhere"); err != nil {
				t.Fatal(err)
			}
			if err := os.Symlink(path+".elsewhere", path+dataSuffix); err != nil {
				t.Fatal(err)
			}
		},
	}
	for name, f := range damage {
		t.Run(name, func(t *testing.T) {
			s := newFake()
			o := options(t, s)
			o.Patience = 2 * time.Millisecond
			c := open(t, o)
			kinds := cachedKinds(s)
			for _, ct := range kinds {
				readAll(t, c, s, ct)
			}
			c.Close()
			for id, ct := range kinds {
				f(t, filepath.Join(o.Dir, nameOf(ct.ID)))
				sums := sumsOf(s.contents["given"])
				if id == "loaded" {
					ct.LoadSums = func(context.Context) ([]uint32, error) { return sums, nil }
					kinds[id] = ct
				}
			}
			n, _ := s.counts()
			c = open(t, o)
			for range 2 {
				for _, ct := range kinds {
					readAll(t, c, s, ct)
				}
			}
			m, _ := s.counts()
			if m == n {
				t.Fatal("nothing was fetched: the test did not damage what is read")
			}
			c.Close()
			c = open(t, o)
			for _, ct := range kinds {
				readAll(t, c, s, ct)
			}
			if k, _ := s.counts(); k != m {
				t.Errorf("%d requests: what was fetched again was not kept", k-m)
			}
		})
	}
}

func TestSidecarThatClaimsTooMuch(t *testing.T) {
	s := newFake()
	ct := s.add("film", 5, 20<<20)
	o := options(t, s)
	c := open(t, o)
	r := c.NewReader(ct)
	check(t, r, s.contents["film"], 0, 10)
	r.Close()
	c.Close()
	// As after a power loss: the sidecar reached the disk, the blocks did not.
	side := sidecar{id: ct.ID, size: ct.Size, source: sumsGiven, present: []uint64{math.MaxUint64, 0xffff}}
	path := filepath.Join(o.Dir, nameOf(ct.ID)+mapSuffix)
	if err := os.WriteFile(path, side.encode(), 0o600); err != nil {
		t.Fatal(err)
	}
	c = open(t, o)
	readAll(t, c, s, ct)
	if st := c.Stats(); st.Damaged != 79 {
		t.Errorf("%d blocks found missing", st.Damaged)
	}
}

func TestFileThatIsCutWhileInUse(t *testing.T) {
	s := newFake()
	ct := s.add("film", 5, 3<<20)
	o := options(t, s)
	c := open(t, o)
	readAll(t, c, s, ct)
	if err := os.Truncate(filepath.Join(o.Dir, nameOf(ct.ID)+dataSuffix), 1000); err != nil {
		t.Fatal(err)
	}
	readAll(t, c, s, ct)
	n, _ := s.counts()
	readAll(t, c, s, ct)
	if m, _ := s.counts(); m != n {
		t.Errorf("a new file was not made")
	}
}

func TestOtherFilesInTheDirectory(t *testing.T) {
	s := newFake()
	o := options(t, s)
	name := nameOf(remote.ContentID{ID: "x"})
	files := map[string]bool{ // and whether they stay
		"README": true, "photo.data": true, "lock": true, name: true, name + ".txt": true,
		name + ".data": false, name + ".map": false, name + ".map.tmp": false, name + ".data.tmp": false,
	}
	for n := range files {
		if err := os.WriteFile(filepath.Join(o.Dir, n), []byte("precious"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	c := open(t, o)
	<-c.scanned
	for n, stay := range files {
		if _, err := os.Lstat(filepath.Join(o.Dir, n)); (err == nil) != stay {
			t.Errorf("%s: %v", n, err)
		}
	}
}

func TestDirectoryIsPrivate(t *testing.T) {
	s := newFake()
	o := options(t, s)
	o.Dir = filepath.Join(o.Dir, "new", "cache")
	c := open(t, o)
	st, err := os.Stat(o.Dir)
	if err != nil || st.Mode().Perm() != 0o700 {
		t.Errorf("%v, %v", st.Mode(), err)
	}
	if _, err := Open(o); !errors.Is(err, remote.Busy) {
		t.Errorf("second cache on one directory: %v", err)
	}
	c.Close()
	if err := os.Chmod(o.Dir, 0o777); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(o); !errors.Is(err, remote.Permission) {
		t.Errorf("directory that all may write: %v", err)
	}
	link := filepath.Join(t.TempDir(), "link")
	if err := os.Symlink(o.Dir, link); err != nil {
		t.Fatal(err)
	}
	o.Dir = link
	if _, err := Open(o); !errors.Is(err, remote.NotDir) {
		t.Errorf("link: %v", err)
	}
}

func TestFullDiskDoesNotFailReads(t *testing.T) {
	s := newFake()
	ct := s.add("film", 5, 3<<20)
	o := options(t, s)
	var full atomic.Bool
	var tries atomic.Int32
	full.Store(true)
	o.writeAt = func(f *os.File, p []byte, off int64) error {
		tries.Add(1)
		if full.Load() {
			f.WriteAt(p[:len(p)/2], off)
			return unix.ENOSPC
		}
		_, err := f.WriteAt(p, off)
		return err
	}
	c := open(t, o)
	readAll(t, c, s, ct)
	if n := tries.Load(); n > 8 {
		t.Errorf("%d writes to a full disk", n)
	}
	if st := c.Stats(); st.Bytes != 0 {
		t.Errorf("%d bytes kept", st.Bytes)
	}
	n, _ := s.counts()
	readAll(t, c, s, ct)
	if m, _ := s.counts(); m != n {
		t.Errorf("memory did not stand in for the disk")
	}
	full.Store(false)
	big := s.add("other", 6, 3<<20)
	c.lock()
	c.mu.off = time.Time{} // the pause is over
	c.unlock()
	readAll(t, c, s, big)
	if st := c.Stats(); st.Bytes < 3<<20 {
		t.Errorf("%d bytes kept after the disk recovered", st.Bytes)
	}
}

func TestLittleFreeSpace(t *testing.T) {
	s := newFake()
	o := options(t, s)
	o.MinFree = 0
	var used atomic.Int64 // by others
	o.statfs = func(f *os.File) (int64, int64, error) {
		return 1<<30 - used.Load() - onDisk(t, o.Dir), 1 << 30, nil
	}
	o.Flush = time.Millisecond
	c := open(t, o)
	if want := int64(1<<30) / 10; c.opt.MinFree != want {
		t.Errorf("default of MinFree is %d", c.opt.MinFree)
	}
	ct := s.add("film", 5, 20<<20)
	readAll(t, c, s, ct)
	if st := c.Stats(); st.Bytes < ct.Size {
		t.Fatalf("%d bytes kept", st.Bytes)
	}
	used.Store(1 << 30)
	// Free space is asked for once a second.
	c.lock()
	c.mu.checked = time.Time{}
	c.unlock()
	wait(t, "the cache yields", func() bool { return c.Stats().Bytes == 0 })
	readAll(t, c, s, ct)
	if st := c.Stats(); st.Bytes != 0 {
		t.Errorf("%d bytes kept on a full file system", st.Bytes)
	}
}

func TestIdleFilesAreClosed(t *testing.T) {
	s := newFake()
	o := options(t, s)
	o.MaxOpen = 3
	c := open(t, o)
	for i := range 10 {
		readAll(t, c, s, s.add(fmt.Sprint("photo", i), uint64(i), 1<<20))
	}
	opened := 0
	c.lock()
	for _, e := range c.mu.entries {
		if e.disk.f != nil {
			opened++
		}
	}
	c.unlock()
	if opened != 3 {
		t.Errorf("%d files are open", opened)
	}
	n, _ := s.counts()
	for i := range 10 {
		readAll(
			t,
			c,
			s,
			Content{
				ID:   remote.ContentID{ID: fmt.Sprint("photo", i)},
				Size: 1 << 20,
				Sums: sumsOf(synthetic{seed: uint64(i), size: 1 << 20}),
			},
		)
	}
	if m, _ := s.counts(); m != n {
		t.Errorf("%d requests after files were closed", m-n)
	}
}
