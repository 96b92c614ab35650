package engine_test

import (
	"errors"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"mediafs/fs/vfs"
	"mediafs/remote"
	"mediafs/remote/object/mem"
)

// As on a local disk, an open file without a name has its extended attributes, whoever deleted it,
// and they can be changed until its last close.
func TestXattrsOfAnUnlinkedFile(t *testing.T) {
	attrs := func(s steps, id vfs.ID) map[string]string {
		t.Helper()
		m := make(map[string]string)
		names, err := s.ListXattr(bg, id)
		s.ok(err)
		for _, n := range names {
			v, err := s.GetXattr(bg, id, n)
			s.ok(err)
			m[n] = string(v)
		}
		return m
	}
	want := func(what string, got, want map[string]string) {
		t.Helper()
		if !maps.Equal(got, want) {
			t.Errorf("%s: %q, want %q", what, got, want)
		}
	}
	kind := func(what string, err error, k remote.Kind) {
		t.Helper()
		if !errors.Is(err, k) {
			t.Errorf("%s: %v, want %v", what, err, k)
		}
	}
	work := func(s steps, unlink func()) {
		t.Helper()
		id := s.stat("a").ID
		s.ok(s.SetXattr(bg, me, id, "user.kept", []byte("1"), 0))
		s.ok(s.SetXattr(bg, me, id, "user.gone", []byte("2"), 0))
		f, err := s.Open(bg, me, id, uint32(os.O_RDWR))
		s.ok(err)
		unlink()
		want("unlinked", attrs(s, id), map[string]string{"user.kept": "1", "user.gone": "2"})
		before, err := s.GetAttr(bg, id)
		s.ok(err)
		s.ok(s.RemoveXattr(bg, me, id, "user.gone"))
		s.ok(s.SetXattr(bg, me, id, "user.new", []byte("3"), vfs.XattrCreate))
		s.ok(s.SetXattr(bg, me, id, "user.kept", []byte("4"), vfs.XattrReplace))
		want("changed", attrs(s, id), map[string]string{"user.kept": "4", "user.new": "3"})
		kind("create what is there", s.SetXattr(bg, me, id, "user.new", nil, vfs.XattrCreate), remote.Exist)
		kind(
			"replace what is not there", s.SetXattr(bg, me, id, "user.none", nil, vfs.XattrReplace), remote.NoAttribute,
		)
		kind("remove what is not there", s.RemoveXattr(bg, me, id, "user.none"), remote.NoAttribute)
		for i := range 4 {
			big := []byte(strings.Repeat("b", 65_000))
			s.ok(s.SetXattr(bg, me, id, "user.big"+string(rune('0'+i)), big, 0))
		}
		kind("more than a node has", s.SetXattr(bg, me, id, "user.big4", make([]byte, 65_000), 0), remote.NoSpace)
		after, err := s.GetAttr(bg, id)
		s.ok(err)
		if !after.Ctime.Std().After(before.Ctime.Std()) || after.Nlink != 0 {
			t.Errorf("ctime %v, then %v; %d names", before.Ctime, after.Ctime, after.Nlink)
		}
		f.Release()
		if _, err := s.GetXattr(bg, id, "user.new"); !errors.Is(err, remote.NoAttribute) {
			t.Errorf("after the last close: %v", err)
		}
	}
	b := mem.New(mem.Options{})
	s := openMachine(t, b, t.TempDir()).with(t)
	defer s.Close()
	s.write("a", "bytes")
	work(s, func() { s.unlink("a") })
	s.write("a", "bytes")
	other := openMachine(t, b, t.TempDir()).with(t)
	defer other.Close()
	work(s, func() {
		id := s.stat("a").ID
		waitFor(t, func() bool { return slices.Contains(other.names(), "a") && len(attrs(other, id)) == 2 })
		other.unlink("a")
		waitFor(t, func() bool { a, err := s.GetAttr(bg, id); return err == nil && a.Nlink == 0 })
	})
}
