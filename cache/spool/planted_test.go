package spool

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

// A description that is a link to something else is not read.
func TestPlantedDescription(t *testing.T) {
	dir := t.TempDir()
	s, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	f, err := s.Create(Description{Node: 5, Dirty: true})
	if err != nil {
		t.Fatal(err)
	}
	outside := filepath.Join(t.TempDir(), "outside")
	if err := errors.Join(
		os.Rename(f.path+metaSuffix, outside), os.Symlink(outside, f.path+metaSuffix), f.Close(),
	); err != nil {
		t.Fatal(err)
	}
	if files, _, err := s.Recover(); !errors.Is(err, unix.ELOOP) {
		t.Errorf("read through a link: %v, %v", files, err)
	}
}

// Some descriptors are left for others, however many files are written.
func TestDescriptorsAreLeft(t *testing.T) {
	s, err := Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	if s.most < 100 {
		t.Fatalf("%d spool files may be open", s.most)
	}
	s.most = 64
	var files []*File
	for range 64 {
		f, err := s.Create(Description{Node: 5, Dirty: true})
		if err != nil {
			if !errors.Is(err, unix.EMFILE) {
				t.Error(err)
			}
			break
		}
		files = append(files, f)
	}
	if len(files) == 0 || len(files) == 64 {
		t.Fatalf("%d files", len(files))
	}
	if left, err := filepath.Glob(filepath.Join(s.dir, "*"+dataSuffix)); err != nil || len(left) != len(files) {
		t.Errorf("%d files for %d, %v", len(left), len(files), err)
	}
	if err := files[0].Remove(); err != nil {
		t.Fatal(err)
	}
	again, err := s.Create(Description{Node: 6, Dirty: true})
	if err != nil {
		t.Fatalf("after one was given up: %v", err)
	}
	for _, f := range append(files[1:], again) {
		if err := f.Remove(); err != nil {
			t.Error(err)
		}
	}
}
