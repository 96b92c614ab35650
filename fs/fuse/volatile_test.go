package fuse

import (
	"context"
	"testing"
	"time"

	gofuse "github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"

	"mediafs/fs/vfs"
)

// volatileLibrary answers every name and node as a view does, and notes who asked.
type volatileLibrary struct {
	*fakeLibrary
	asked []vfs.Caller
}

func (l *volatileLibrary) Lookup(ctx context.Context, parent vfs.ID, name string) (vfs.Attr, error) {
	c, ok := vfs.CallerOf(ctx)
	if ok {
		l.asked = append(l.asked, c)
	}
	a, err := l.fakeLibrary.Lookup(ctx, parent, name)
	a.Volatile = true
	return a, err
}

func (l *volatileLibrary) GetAttr(ctx context.Context, id vfs.ID) (vfs.Attr, error) {
	a, err := l.fakeLibrary.GetAttr(ctx, id)
	a.Volatile = true
	return a, err
}

func (l *volatileLibrary) OpenDir(ctx context.Context, _ vfs.ID) (vfs.Dir, error) {
	c, _ := vfs.CallerOf(ctx)
	l.asked = append(l.asked, c)
	return &askedDir{lib: l}, nil
}

type askedDir struct {
	fakeDir
	lib *volatileLibrary
}

func (d *askedDir) Read(ctx context.Context, _ uint64, _ bool, emit func([]vfs.DirEntry) bool) error {
	c, _ := vfs.CallerOf(ctx)
	d.lib.asked = append(d.lib.asked, c)
	a := d.lib.attr
	a.Volatile = true
	emit([]vfs.DirEntry{{Name: "file", ID: fakeID, Mode: unix.S_IFREG, Cookie: 3, Attr: a}})
	return nil
}

func TestVolatileIsNotKept(t *testing.T) {
	for _, volatile := range []bool{false, true} {
		fake := newFake()
		s := newFileSystem(fake)
		if volatile {
			s.lib = &volatileLibrary{fakeLibrary: fake}
		}
		s.entryTTL, s.attrTTL = 7*time.Second, 5*time.Second
		wantEntry, wantAttr := uint64(7), uint64(5)
		if volatile {
			wantEntry, wantAttr = 0, 0
		}
		var e gofuse.EntryOut
		if st := s.Lookup(
			nil, new(gofuse.InHeader), "file", &e,
		); !st.Ok() || e.NodeId != fakeID || e.EntryValid != wantEntry ||
			e.AttrValid != wantAttr {
			t.Errorf("volatile %v: %v, %+v", volatile, st, e)
		}
		var none gofuse.EntryOut
		st := s.Lookup(nil, new(gofuse.InHeader), "none", &none)
		if volatile && st != gofuse.ENOENT || !volatile && (!st.Ok() || none.EntryValid != wantEntry) {
			t.Errorf("volatile %v: a name that is not there: %v, %+v", volatile, st, none)
		}
		var a gofuse.AttrOut
		if st := s.GetAttr(nil, new(gofuse.GetAttrIn), &a); !st.Ok() || a.AttrValid != wantAttr || a.Size != 1000 {
			t.Errorf("volatile %v: %v, %+v", volatile, st, a)
		}
		var x gofuse.StatxOut
		if st := s.Statx(nil, new(gofuse.StatxIn), &x); !st.Ok() || x.AttrValid != wantAttr {
			t.Errorf("volatile %v: %v, %+v", volatile, st, x)
		}
		if !volatile {
			continue
		}
		var od gofuse.OpenOut
		h := gofuse.InHeader{Caller: gofuse.Caller{Owner: gofuse.Owner{Uid: 11, Gid: 12}, Pid: 13}}
		if st := s.OpenDir(nil, &gofuse.OpenIn{InHeader: h}, &od); !st.Ok() {
			t.Fatal(st)
		}
		buf := make([]byte, 4096)
		list := gofuse.NewDirEntryList(buf, 0)
		if st := s.ReadDirPlus(nil, &gofuse.ReadIn{InHeader: h, Fh: od.Fh, Size: 4096}, list); !st.Ok() {
			t.Fatal(st)
		}
		_, outs, err := gofuse.ParseDirLookupEntries(list.Bytes())
		if err != nil || len(outs) != 1 || outs[0].EntryValid != 0 || outs[0].AttrValid != 0 {
			t.Errorf("%+v, %v", outs, err)
		}
		s.Lookup(nil, &h, "file", &e)
		lib := s.lib.(*volatileLibrary)
		want := vfs.Caller{UID: 11, GID: 12, PID: 13}
		for i, c := range lib.asked[len(lib.asked)-3:] {
			if c != want {
				t.Errorf("request %d: asked by %+v, want %+v", i, c, want)
			}
		}
	}
}

// directFile is one whose size is not known before it is read.
type directFile struct{ vfs.File }

func (directFile) Direct() bool { return true }

func TestDirectFilesKeepNoPages(t *testing.T) {
	lib := newFake()
	s := newFileSystem(lib)
	var out gofuse.OpenOut
	s.opened(fakeID, directFile{&fakeFile{lib: lib}}, unix.O_RDONLY, &out)
	if out.OpenFlags != gofuse.FOPEN_DIRECT_IO|gofuse.FOPEN_NOFLUSH {
		t.Errorf("%#x", out.OpenFlags)
	}
}
