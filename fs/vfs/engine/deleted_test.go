package engine_test

import (
	"os"
	"testing"

	"mediafs/fs/vfs"
	"mediafs/fs/vfs/engine"
	"mediafs/remote/object/mem"
	"mediafs/remote/storetest"
)

// What is written to a file after its deletion, or was in the spool when it was deleted or
// replaced, is wanted by nobody once the process has died: nothing comes back, whenever that was.
func TestDeletedMediaStayDeleted(t *testing.T) {
	die := func(t *testing.T, do func(s steps), at string) []string {
		b := mem.New(mem.Options{})
		line := storetest.New(b)
		d, dead := t.TempDir(), ""
		s := openMachine(t, line, d, func(o *engine.Options) {
			o.Step = func(point string) {
				if point == at && dead == "" {
					dead = copyDir(t, d)
				}
			}
		}).with(t)
		do(s)
		if dead == "" {
			dead = copyDir(t, d)
		}
		line.SetDown(true)
		s.ok(s.Close())
		again := openMachine(t, b, dead, func(o *engine.Options) { o.Catalog.Machine = []byte(d) }).with(t)
		defer again.Close()
		again.ok(again.Flush(bg))
		return again.names()
	}
	t.Run("written to afterwards", func(t *testing.T) {
		var f vfs.File
		names := die(t, func(s steps) {
			s.write("gone", "bytes")
			var err error
			f, err = s.Open(bg, me, s.stat("gone").ID, uint32(os.O_RDWR))
			s.ok(err)
			s.unlink("gone")
			s.put(f, "more", 2)
		}, "")
		if len(names) != 0 {
			t.Errorf("there is %q", names)
		}
	})
	t.Run("unlinked", func(t *testing.T) {
		names := die(t, func(s steps) {
			s.create("gone", "never sent")
			s.unlink("gone")
		}, "unlinked")
		if len(names) != 0 {
			t.Errorf("there is %q", names)
		}
	})
	t.Run("replaced", func(t *testing.T) {
		names := die(t, func(s steps) {
			s.create("gone", "never sent")
			s.write("new", "bytes")
			s.rename("new", "gone")
		}, "renamed")
		if len(names) != 1 || names[0] != "gone" {
			t.Errorf("there is %q", names)
		}
	})
}
