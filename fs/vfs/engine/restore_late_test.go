package engine_test

import (
	"fmt"
	"testing"
	"time"

	"mediafs/fs/media"
	"mediafs/fs/vfs"
	"mediafs/fs/vfs/engine"
	"mediafs/remote/object/mem"
	"mediafs/remote/storetest"
)

// offline runs what a machine does while it does not reach the store; each call is told so.
func offline(s steps, line *storetest.Faulty, calls ...func() error) {
	s.t.Helper()
	line.SetDown(true)
	for _, call := range calls {
		if call() == nil {
			s.t.Fatal("confirmed without the store")
		}
	}
}

// A version that was chosen is made the head, also when the numbers of versions are others by then.
// All callers wait.
func TestRestoreOfAChosenVersion(t *testing.T) {
	b := mem.New(mem.Options{})
	line := storetest.New(b)
	a := openMachine(t, line, t.TempDir()).with(t)
	defer a.Close()
	a.write("f", "first")
	a.write("t1", "one")
	a.write("t2", "two")
	o := openMachine(t, b, t.TempDir()).with(t)
	defer o.Close()
	id := a.stat("t2").ID
	line.SetDown(true)
	answers := make(chan error, 3)
	for i, call := range []func() error{
		func() error { return a.Rename(bg, me, vfs.Root, "t1", vfs.Root, "f", 0) },
		func() error { return a.Rename(bg, me, vfs.Root, "t2", vfs.Root, "f", 0) },
		func() error {
			vs, err := a.Versions(bg, id)
			if err == nil && (len(vs) != 2 || vs[1].Size != 3) {
				err = fmt.Errorf("versions %+v", vs)
			}
			if err != nil {
				return err
			}
			return a.RestoreVersion(bg, me, id, vs[1].Number)
		},
	} {
		go func() { answers <- call() }()
		waitFor(t, func() bool { return a.Status().Catalog.Outbox == i+1 || len(answers) > 0 })
	}
	o.write("f", "other one")
	o.write("f", "")
	o.write("f", "other two")
	line.SetDown(false)
	for range 3 {
		a.ok(<-answers)
	}
	if got := a.read("f"); got != "one" {
		t.Errorf("reads %q", got)
	}
}

// What was said of a media without the store is said of it after it, though another machine has
// renamed a new file over it.
func TestEditOfAMediaThatMoved(t *testing.T) {
	b := mem.New(mem.Options{})
	line := storetest.New(b)
	a := openMachine(
		t, line, t.TempDir(), func(o *engine.Options) { o.Catalog.AppendTimeout = 20 * time.Millisecond },
	).with(t)
	defer a.Close()
	a.write("f", "first")
	o := openMachine(t, b, t.TempDir()).with(t)
	defer o.Close()
	id := a.stat("f").ID
	offline(a, line, func() error {
		return a.EditMedia(
			bg, me, id, vfs.MediaChange{Edits: []media.Edit{{Field: "title", Do: media.Set, Value: "kept"}}},
		)
	})
	o.write("tmp", "second")
	o.rename("tmp", "f")
	line.SetDown(false)
	waitFor(t, func() bool { return a.Status().Catalog.Outbox == 0 })
	if got := a.whole("f").Title; got != "kept" || a.read("f") != "second" {
		t.Errorf("title %q of %q, %d operations dropped", got, a.read("f"), a.Status().Catalog.Dropped)
	}
}
