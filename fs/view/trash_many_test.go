package view

import (
	"context"
	"fmt"
	"testing"

	"mediafs/fs/vfs"
	"mediafs/remote"
)

// counted counts how often the trash is read.
type counted struct {
	vfs.MediaLibrary
	reads int
}

func (c *counted) TrashEntries(ctx context.Context, yield func(vfs.TrashEntry) bool) error {
	c.reads++
	return c.MediaLibrary.TrashEntries(ctx, yield)
}

// Emptying a trash reads it a few times, and not once for each entry.
func TestEmptyingReadsTheTrashOnce(t *testing.T) {
	r := newRig(t)
	c := &counted{MediaLibrary: r.f}
	r.l.MediaLibrary = c
	files := r.must(0, ".Trash-0/files").ID
	for i := range 50 {
		name := fmt.Sprint("f", i)
		r.f.add("/"+name, reg, "")
		r.kind("delete", r.l.Rename(as(0), caller(0), 1, name, files, name, 0), 0)
	}
	r.must(0, ".Trash-0/files/f0")
	c.reads = 0
	for i := range 40 {
		r.kind("purge", r.l.Unlink(as(0), caller(0), files, fmt.Sprint("f", i)), 0)
		_, err := r.at(0, fmt.Sprint(".Trash-0/files/f", i))
		r.kind("look for what was purged", err, remote.NotExist)
		_, err = r.at(0, fmt.Sprint(".Trash-0/info/f", i, ".trashinfo"))
		r.kind("look for its description", err, remote.NotExist)
	}
	r.kind("restore", r.l.Rename(as(0), caller(0), files, "f40", 1, "f40", 0), 0)
	if c.reads > 3 {
		t.Errorf("the trash was read %d times", c.reads)
	}
	if n := len(r.list(0, ".Trash-0/files")); n != 9 {
		t.Errorf("%d are left", n)
	}
}
