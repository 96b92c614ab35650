package fuse

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	gofuse "github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"

	"mediafs/fs/vfs"
	"mediafs/remote"
)

// fakeDir has names in groups.
type fakeDir struct {
	groups [][]string
	err    error
	taken  int
	synced bool
}

func (d *fakeDir) Read(_ context.Context, cookie uint64, attrs bool, emit func([]vfs.DirEntry) bool) error {
	for i, names := range d.groups {
		if uint64(i) < cookie {
			continue
		}
		var group []vfs.DirEntry
		for j, n := range names {
			e := vfs.DirEntry{Name: n, ID: vfs.ID(100*(i+1) + j), Mode: unix.S_IFREG, Cookie: uint64(i) + 1}
			if attrs {
				e.Attr = vfs.Attr{ID: e.ID, Mode: e.Mode | 0o600}
			}
			group = append(group, e)
		}
		if !emit(group) {
			return nil
		}
		d.taken++
	}
	return d.err
}

func (d *fakeDir) Release() {}

func (d *fakeDir) Fsync(context.Context) error {
	d.synced = true
	return nil
}

func readInto(s *fileSystem, fh uint64, size int, off uint64, attrs bool) (*gofuse.DirEntryList, gofuse.Status) {
	out := gofuse.NewDirEntryList(make([]byte, size), off)
	in := &gofuse.ReadIn{Fh: fh, Offset: off, Size: uint32(size)}
	if attrs {
		return out, s.ReadDirPlus(nil, in, out)
	}
	return out, s.ReadDir(nil, in, out)
}

func TestReadDirTakesWholeGroups(t *testing.T) {
	d := &fakeDir{
		groups: [][]string{
			{"."},
			{".."},
			{"one"},
			{"same hash a", "same hash b", "same hash c"},
			{strings.Repeat("n", 255)},
			{"last"},
		},
	}
	var all []string
	for _, g := range d.groups {
		all = append(all, g...)
	}
	s := newFileSystem(newFake())
	fh := s.dirs.add(d)
	for _, attrs := range []bool{false, true} {
		most := entrySize(strings.Repeat("n", 255), attrs)
		most = max(most, 3*entrySize("same hash a", attrs))
		for size := most; size < most+600; size += 8 {
			var got []string
			for off := uint64(0); ; {
				out, st := readInto(s, fh, size, off, attrs)
				if !st.Ok() {
					t.Fatalf("%d bytes from %d: %v", size, off, st)
				}
				es, err := gofuse.ParseDirEntries(out.Bytes())
				if attrs {
					var outs []gofuse.EntryOut
					es, outs, err = gofuse.ParseDirLookupEntries(out.Bytes())
					for i, o := range outs {
						if dot := strings.Trim(es[i].Name, ".") == ""; dot != (o.NodeId == 0) {
							t.Errorf("%q has node %d", es[i].Name, o.NodeId)
						}
					}
				}
				if err != nil {
					t.Fatal(err)
				}
				if len(es) == 0 {
					break
				}
				for _, e := range es {
					got = append(got, e.Name)
				}
				off = es[len(es)-1].Off
				if n := len(got); got[n-1] == "same hash a" || got[n-1] == "same hash b" {
					t.Fatalf("%d bytes: a group is split after %q", size, got[n-1])
				}
			}
			if !slices.Equal(got, all) {
				t.Fatalf("%d bytes, attributes %v: %q", size, attrs, got)
			}
		}
	}
}

func TestReadDirErrors(t *testing.T) {
	s := newFileSystem(newFake())
	fh := s.dirs.add(&fakeDir{groups: [][]string{{"too long for the buffer"}}})
	if _, st := readInto(s, fh, 32, 0, false); st != gofuse.EINVAL {
		t.Errorf("a group that never fits: %v", st)
	}
	fh = s.dirs.add(&fakeDir{groups: [][]string{{"a"}}, err: fmt.Errorf("broken")})
	out, st := readInto(s, fh, 4096, 0, true)
	if !st.Ok() || len(out.Bytes()) == 0 {
		t.Errorf("entries before an error are lost: %v", st)
	}
	if _, st := readInto(s, fh, 4096, 1, true); st != gofuse.EIO {
		t.Errorf("an error is lost: %v", st)
	}
	if _, st := readInto(s, 99, 4096, 0, true); st != gofuse.EBADF {
		t.Errorf("no handle: %v", st)
	}
}

func TestFsyncDir(t *testing.T) {
	s := newFileSystem(newFake())
	d := new(fakeDir)
	if st := s.FsyncDir(nil, &gofuse.FsyncIn{Fh: s.dirs.add(d)}); !st.Ok() || !d.synced {
		t.Errorf("%v, %v", st, d.synced)
	}
}

func open(t *testing.T, s *fileSystem, flags uint32) gofuse.OpenOut {
	t.Helper()
	var out gofuse.OpenOut
	if st := s.Open(nil, &gofuse.OpenIn{Flags: flags}, &out); !st.Ok() {
		t.Fatal(st)
	}
	return out
}

func TestOpenFlags(t *testing.T) {
	s := newFileSystem(newFake())
	for flags, want := range map[uint32]uint32{
		unix.O_RDONLY:                 gofuse.FOPEN_KEEP_CACHE | gofuse.FOPEN_NOFLUSH,
		unix.O_RDONLY | unix.O_TRUNC:  gofuse.FOPEN_KEEP_CACHE, // close waits for the upload of what is left: nothing
		unix.O_RDWR:                   gofuse.FOPEN_KEEP_CACHE,
		unix.O_WRONLY | unix.O_APPEND: 0,
	} {
		if got := open(t, s, flags).OpenFlags; got != want {
			t.Errorf("flags %#x: answer %#x, want %#x", flags, got, want)
		}
	}
}

func TestWritesOtherThanOpened(t *testing.T) {
	for _, opened := range []uint32{unix.O_APPEND, 0} {
		testWritesOtherThanOpened(t, opened)
	}
}

// Pages of a mapping have their place, and fcntl sets and clears O_APPEND, whatever the file was
// opened for.
func testWritesOtherThanOpened(t *testing.T, opened uint32) {
	lib := newFake()
	s := newFileSystem(lib)
	fh := open(t, s, unix.O_RDWR|opened).Fh
	write := func(flags, writeFlags uint32) {
		if n, st := s.Write(
			nil, &gofuse.WriteIn{Fh: fh, Flags: flags, WriteFlags: writeFlags}, []byte("abc"),
		); n != 3 ||
			!st.Ok() {
			t.Errorf("%d, %v", n, st)
		}
	}
	write(opened, 0)
	if opened != 0 {
		write(opened, gofuse.WRITE_CACHE)
		write(opened, gofuse.WRITE_CACHE)
	} else {
		write(unix.O_APPEND, 0)
		write(unix.O_APPEND, 0)
	}
	if len(lib.opened) != 2 || lib.opened[1].flags&unix.O_APPEND == opened {
		t.Fatalf("%d files were opened", len(lib.opened))
	}
	first, second := lib.opened[0], lib.opened[1]
	if first.writes != 1 || second.writes != 2 {
		t.Errorf("%+v and %+v", first, second)
	}
	s.Flush(nil, &gofuse.FlushIn{Fh: fh})
	s.Fsync(nil, &gofuse.FsyncIn{Fh: fh})
	s.Release(nil, &gofuse.ReleaseIn{Fh: fh})
	for i, f := range lib.opened {
		if f.flushes != 1 || f.syncs != 1 || !f.released {
			t.Errorf("file %d: %+v", i, f)
		}
	}
	if st := s.Flush(nil, &gofuse.FlushIn{Fh: fh}); st != gofuse.EBADF {
		t.Errorf("a released handle: %v", st)
	}
}

func TestHandlesEndWithTheMount(t *testing.T) {
	lib := newFake()
	s := newFileSystem(lib)
	open(t, s, unix.O_RDONLY)
	open(t, s, unix.O_RDWR)
	s.OnUnmount()
	for i, f := range lib.opened {
		if !f.released {
			t.Errorf("file %d is not released", i)
		}
	}
}

func TestSetUserIDBits(t *testing.T) {
	for _, c := range []struct{ mode, want uint32 }{
		{0o6755, 0o755},
		{0o4711, 0o711},
		{0o2745, 0o2745}, // the group may not execute: the bit means mandatory locks and stays
		{0o644, 0o644},
	} {
		lib := newFake()
		lib.attr.Mode = unix.S_IFREG | c.mode
		s := newFileSystem(lib)
		in := gofuse.SetAttrIn{
			SetAttrInCommon: gofuse.SetAttrInCommon{Valid: gofuse.FATTR_SIZE | gofuse.FATTR_KILL_SUIDGID, Size: 3},
		}
		if st := s.SetAttr(nil, &in, new(gofuse.AttrOut)); !st.Ok() {
			t.Fatal(st)
		}
		if st := s.Open(
			nil, &gofuse.OpenIn{Flags: unix.O_RDWR | unix.O_TRUNC, Mode: gofuse.OPEN_KILL_SUIDGID}, new(gofuse.OpenOut),
		); !st.Ok() {
			t.Fatal(st)
		}
		want := 2
		if c.mode == c.want {
			want = 1
		}
		if len(lib.changes) != want || *lib.changes[0].Size != 3 {
			t.Errorf("%o: %d changes, want %d", c.mode, len(lib.changes), want)
		}
		for _, ch := range lib.changes {
			if c.mode != c.want && (ch.Mode == nil || *ch.Mode != c.want) || c.mode == c.want && ch.Mode != nil {
				t.Errorf("%o: %+v, want mode %o", c.mode, ch, c.want)
			}
		}
	}
}

func TestTimes(t *testing.T) {
	in := gofuse.SetAttrIn{SetAttrInCommon: gofuse.SetAttrInCommon{
		Valid:     gofuse.FATTR_ATIME | gofuse.FATTR_MTIME | gofuse.FATTR_MTIME_NOW | gofuse.FATTR_CTIME | gofuse.FATTR_MODE,
		Atime:     ^uint64(0),
		Atimensec: 5,
		Ctime:     1 << 33,
		Mode:      unix.S_IFREG | 0o4600,
	}}
	now := time.Unix(1e9, 7)
	ch := attrChange(&in, now)
	if *ch.Atime != (vfs.Time{Sec: -1, Nsec: 5}) || *ch.Mtime != vfs.TimeOf(now) ||
		*ch.Ctime != (vfs.Time{Sec: 1 << 33}) ||
		*ch.Mode != 0o4600 {
		t.Errorf("%+v", ch)
	}
	if ch.Size != nil || ch.UID != nil || ch.GID != nil {
		t.Errorf("%+v", ch)
	}
	a := vfs.Attr{
		ID:    9,
		Mode:  unix.S_IFCHR | 0o600,
		Rdev:  uint32(unix.Mkdev(259, 70000)),
		Size:  1 << 20,
		Mtime: vfs.Time{Sec: -7, Nsec: 1},
	}
	var out gofuse.Attr
	setAttr(&out, &a)
	if int64(out.Mtime) != -7 || out.Mtimensec != 1 || out.Ino != 9 || out.Rdev != a.Rdev || out.Blksize != largeBlock {
		t.Errorf("%+v", out)
	}
	var x gofuse.Statx
	setStatx(&x, &a)
	if x.RdevMajor != 259 || x.RdevMinor != 70000 || int64(x.Mtime.Sec) != -7 || x.Mask&unix.STATX_BTIME != 0 {
		t.Errorf("%+v", x)
	}
	a.Btime.Sec = 1
	setStatx(&x, &a)
	if x.Mask&unix.STATX_BTIME == 0 || x.Btime.Sec != 1 {
		t.Errorf("%+v", x)
	}
}

func TestXattrs(t *testing.T) {
	lib := newFake()
	lib.xattrs = map[string][]byte{"user.a": []byte("12345"), "user.empty": {}}
	s := newFileSystem(lib)
	h := new(gofuse.InHeader)
	for _, c := range []struct {
		name string
		room int
		n    uint32
		st   gofuse.Status
	}{
		{"user.a", 0, 5, gofuse.ERANGE}, // the question for the size
		{"user.a", 4, 5, gofuse.ERANGE},
		{"user.a", 5, 5, gofuse.OK},
		{"user.a", 100, 5, gofuse.OK},
		{"user.empty", 0, 0, gofuse.OK},
		{"user.none", 100, 0, gofuse.ENODATA},
	} {
		if n, st := s.GetXAttr(nil, h, c.name, make([]byte, c.room)); n != c.n || st != c.st {
			t.Errorf("%s into %d bytes: %d, %v, want %d, %v", c.name, c.room, n, st, c.n, c.st)
		}
	}
	list := make([]byte, 100)
	if n, st := s.ListXAttr(nil, h, list); !st.Ok() || string(list[:n]) != "user.a\x00user.b\x00" {
		t.Errorf("%q, %v", list[:n], st)
	}
	if st := s.SetXAttr(nil, new(gofuse.SetXAttrIn), "user.a", nil); st != gofuse.Status(syscall.E2BIG) {
		t.Errorf("too large: %v", st)
	}
	if st := s.SetXAttr(nil, &gofuse.SetXAttrIn{Flags: 4}, "user.a", nil); st != gofuse.EINVAL {
		t.Errorf("an unknown flag: %v", st)
	}
	s.noLists = true // a kernel that does not check them
	for _, name := range []string{"system.posix_acl_access", "system.posix_acl_default"} {
		_, get := s.GetXAttr(nil, h, name, make([]byte, 100))
		for _, st := range []gofuse.Status{get, s.SetXAttr(nil, new(gofuse.SetXAttrIn), name, nil), s.RemoveXAttr(nil, h, name)} {
			if st != gofuse.ENOTSUP {
				t.Errorf("%s: %v", name, st)
			}
		}
	}
}

func TestRequestsWithoutALibraryCall(t *testing.T) {
	s := newFileSystem(nil)
	if st := s.Rename(nil, &gofuse.RenameIn{Flags: 8}, "a", "b"); st != gofuse.EINVAL {
		t.Errorf("a flag that rename(2) does not have: %v", st)
	}
	if st := s.Lseek(nil, &gofuse.LseekIn{Whence: 0}, new(gofuse.LseekOut)); st != gofuse.EINVAL {
		t.Errorf("whence: %v", st)
	}
	if st := s.Access(nil, new(gofuse.AccessIn)); st != gofuse.ENOSYS {
		t.Errorf("access: %v", st)
	}
	if _, st := s.CopyFileRange(nil, new(gofuse.CopyFileRangeIn)); st != gofuse.EBADF {
		t.Errorf("copy: %v", st)
	}
}

func TestLookupNothing(t *testing.T) {
	s := newFileSystem(newFake())
	s.entryTTL = time.Second
	var out gofuse.EntryOut
	if st := s.Lookup(nil, new(gofuse.InHeader), "none", &out); !st.Ok() || out.NodeId != 0 || out.EntryValid != 1 {
		t.Errorf("%v, %+v", st, out)
	}
	if st := s.Lookup(nil, new(gofuse.InHeader), "file", &out); !st.Ok() || out.NodeId != fakeID ||
		out.Generation != 0 {
		t.Errorf("%v, %+v", st, out)
	}
}

// A file that is open is there, also when the store has lost its bytes.
func TestLostBytesAreNoMissingFile(t *testing.T) {
	s := newFileSystem(newFake())
	for _, kind := range []remote.Kind{remote.NotExist, remote.Stale, remote.Corrupt, remote.Unavailable} {
		err := remote.E("open content", "x", kind, nil)
		for _, op := range []string{"read", "write", "close", "fsync", "copy"} {
			if st := s.status(op, 1, "", err); st != gofuse.EIO {
				t.Errorf("%s: %v gives %v", op, kind, st)
			}
		}
	}
	if st := s.status("open", 1, "", remote.E("open", "x", remote.NotExist, nil)); st != gofuse.ENOENT {
		t.Errorf("open of what is gone: %v", st)
	}
}
