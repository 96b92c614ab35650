package spool

import (
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"testing"

	"mediafs/remote"
)

func TestRecover(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "spool")
	s, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	d := Description{
		Node:     7,
		Parent:   1,
		Name:     []byte("\xff name"),
		Mode:     0o640,
		UID:      5,
		Media:    []byte{1, 2},
		Dirty:    true,
		MtimeSet: true,
		Mtime:    -9,
		MtimeNS:  8,
	}
	dirty, err := s.Create(d)
	if err != nil {
		t.Fatal(err)
	}
	clean, err := s.Create(Description{Node: 8})
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range []*File{dirty, clean} {
		if _, err := f.WriteAt([]byte("bytes"), 3); err != nil {
			t.Fatal(err)
		}
		if err := f.Sync(); err != nil {
			t.Fatal(err)
		}
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
	}
	// A crash right after the file was made, and one in the middle of a removal.
	for _, name := range []string{"0000000000000009-1.data", "000000000000000a-1.json", "000000000000000b-1.tmp", "000000000000000b-1.data.up"} {
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	files, _, err := s.Recover()
	if err != nil || len(files) != 1 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	got := files[0].Description()
	d.Format, d.Generation, d.Boot = format, got.Generation, got.Boot
	if d.Generation == 0 || d.Boot == "" || !reflect.DeepEqual(got, d) {
		t.Errorf("%+v, want %+v", got, d)
	}
	p := make([]byte, 8)
	if n, err := files[0].ReadAt(p, 0); n != 8 || err != nil || string(p) != "\x00\x00\x00bytes" {
		t.Errorf("%q, %v", p[:n], err)
	}
	if err := files[0].Remove(); err != nil {
		t.Fatal(err)
	}
	if left, _ := os.ReadDir(dir); len(left) != 0 {
		t.Errorf("left over: %v", left)
	}
}

// A description that this version does not understand is kept, with its bytes, and named.
func TestRecoverRefusesWhatItDoesNotKnow(t *testing.T) {
	for _, meta := range []string{`{"format":2,"node":1,"dirty":true}`, `{"format":1,"node":1,"new":1}`, `{`} {
		dir := t.TempDir()
		s, err := Open(dir)
		if err != nil {
			t.Fatal(err)
		}
		data := filepath.Join(dir, "0000000000000001-1.data")
		if err := errors.Join(
			os.WriteFile(data, []byte("x"), 0o600),
			os.WriteFile(filepath.Join(dir, "0000000000000001-1.json"), []byte(meta), 0o600),
		); err != nil {
			t.Fatal(err)
		}
		if _, _, err := s.Recover(); !errors.Is(err, remote.Corrupt) {
			t.Errorf("%s: %v", meta, err)
		}
		if _, err := os.Stat(data); err != nil {
			t.Errorf("%s: %v", meta, err)
		}
	}
}

// A description that a power loss emptied is not known; whose bytes they are is in the name.
func TestRecoverWithoutDescription(t *testing.T) {
	dir := t.TempDir()
	s, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	f, err := s.Create(Description{Node: 0x1_0000_0007, Base: "something"})
	if err != nil {
		t.Fatal(err)
	}
	f.Close()
	meta, _ := filepath.Glob(filepath.Join(dir, "*.json"))
	if err := os.WriteFile(meta[0], nil, 0o600); err != nil {
		t.Fatal(err)
	}
	files, _, err := s.Recover()
	if err != nil || len(files) != 1 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	if d := files[0].Description(); d.Node != 0x1_0000_0007 || !d.Dirty || d.Base != "" {
		t.Errorf("%+v", d)
	}
}

// A disk that is nearly full takes no more; the catalog beside the spool lives on what is left.
func TestRoom(t *testing.T) {
	s, err := Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Room(0); err != nil {
		t.Errorf("nothing: %v", err)
	}
	if err := s.Room(1 << 60); !errors.Is(err, remote.NoSpace) {
		t.Errorf("an exabyte: %v", err)
	}
}

func TestSegments(t *testing.T) {
	s, err := Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	f, err := s.Create(Description{Node: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer f.Remove()
	const mib = 1 << 20
	for _, off := range []int64{mib, 5 * mib} {
		if _, err := f.WriteAt(make([]byte, mib), off); err != nil {
			t.Fatal(err)
		}
	}
	if err := f.Truncate(8 * mib); err != nil {
		t.Fatal(err)
	}
	segs, err := f.Segments()
	want := []Segment{{mib, mib}, {5 * mib, mib}}
	if err != nil || !reflect.DeepEqual(segs, want) {
		t.Errorf("%v, %v, want %v", segs, err, want)
	}
}

func FuzzDescription(f *testing.F) {
	f.Add([]byte(`{"format":1,"node":1,"dirty":true,"uid":0,"gid":0}`))
	f.Add([]byte(`{"format":1,"name":"/w=="}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		if d, err := decode(b); err == nil && d.Format != format {
			t.Fatalf("%+v", d)
		}
	})
}
