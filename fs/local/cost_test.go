package local_test

import (
	"context"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"mediafs/fs/local"
	"mediafs/fs/vfs"
)

// nothing is a library in which every name is a file.
type nothing struct {
	vfs.Library
	vfs.File
	vfs.Dir
}

func (nothing) Lookup(context.Context, vfs.ID, string) (vfs.Attr, error) {
	return vfs.Attr{ID: 7, Mode: unix.S_IFREG}, nil
}
func (nothing) Forget(vfs.ID, uint64)                             {}
func (nothing) GetAttr(context.Context, vfs.ID) (vfs.Attr, error) { return vfs.Attr{ID: 7}, nil }
func (n nothing) Open(context.Context, vfs.Caller, vfs.ID, uint32) (vfs.File, error) {
	return n.File, nil
}
func (nothing) Unlink(context.Context, vfs.Caller, vfs.ID, string) error { return nil }
func (nothing) Rename(context.Context, vfs.Caller, vfs.ID, string, vfs.ID, string, uint32) error {
	return nil
}
func (nothing) GetXattr(context.Context, vfs.ID, string) ([]byte, error) { return nil, nil }

// hot are calls that are about no dropping.
var hot = []struct {
	name string
	call func(vfs.Library) error
}{
	{"lookup", func(l vfs.Library) error { _, err := l.Lookup(bg, 1, "IMG_2041.JPG"); return err }},
	{"lookup of a dot file", func(l vfs.Library) error { _, err := l.Lookup(bg, 1, ".hidden"); return err }},
	{"getattr", func(l vfs.Library) error { _, err := l.GetAttr(bg, 7); return err }},
	{"forget", func(l vfs.Library) error { l.Forget(7, 1); return nil }},
	{"open", func(l vfs.Library) error { _, err := l.Open(bg, me, 7, 0); return err }},
	{"getxattr", func(l vfs.Library) error { _, err := l.GetXattr(bg, 7, "user.x"); return err }},
	{"unlink", func(l vfs.Library) error { return l.Unlink(bg, me, 1, "IMG_2041.JPG") }},
}

func overNothing(t testing.TB) *local.Library {
	l, err := local.New(nothing{}, local.Options{Dir: filepath.Join(t.TempDir(), "local"), Names: testNames})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

// What is about no dropping costs a call and no memory.
func TestNothingIsAllocated(t *testing.T) {
	l := overNothing(t)
	for _, h := range hot {
		if n := testing.AllocsPerRun(100, func() { _ = h.call(l) }); n != 0 {
			t.Errorf("%s: %v allocations", h.name, n)
		}
	}
}

func BenchmarkPassedOn(b *testing.B) {
	rename := func(l vfs.Library) error { return l.Rename(bg, me, 1, "a.tmp", 1, "a.jpg", 0) }
	for _, h := range append(hot, struct {
		name string
		call func(vfs.Library) error
	}{"rename", rename}) {
		for name, l := range map[string]vfs.Library{"direct": nothing{}, "through": overNothing(b)} {
			b.Run(h.name+"/"+name, func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					if err := h.call(l); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}
