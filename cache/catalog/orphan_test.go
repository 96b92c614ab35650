package catalog

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"

	"mediafs/remote"
	"mediafs/remote/bucket/record"
)

// runEnd is the operations of runWord besides "tag N NAME VALUE", "untag N NAME" and "end F S": the
// latter deletes a node with its attributes.
func runEnd(tx *Tx, intent []byte) error {
	var id, size uint64
	var name, value string
	switch {
	case scan(intent, "tag %d %s %s", &id, &name, &value):
		tx.Store(record.XattrKey(id, name), &record.Xattr{Value: []byte(value)})
	case scan(intent, "big %d %s %d", &id, &name, &size):
		tx.Store(record.XattrKey(id, name), &record.Xattr{Value: bytes.Repeat([]byte{'b'}, int(size))})
	case scan(intent, "end %d %s", &id, &name):
		d := tx.Dentry(id, name)
		if d == nil {
			return remote.E("end", name, remote.NotExist, nil)
		}
		var keys [][]byte
		for k := range tx.Records(record.XattrKey(d.Node, "")) {
			keys = append(keys, k)
		}
		for _, k := range keys {
			tx.Delete(k)
		}
		tx.Delete(record.DentryKey(id, name))
		tx.Delete(record.NodeKey(d.Node))
	default:
		return runWord(tx, intent)
	}
	return nil
}

func scan(intent []byte, format string, a ...any) bool {
	n, err := fmt.Sscanf(string(intent), format, a...)
	return err == nil && n == len(a)
}

func (w *world) openEnding(dir string, referenced ...uint64) *box {
	return w.open(dir, func(o *Options) {
		o.Run = runEnd
		o.Referenced = func(id uint64) bool { return slices.Contains(referenced, id) }
	})
}

func (b *box) do(format string, a ...any) {
	b.t.Helper()
	intent := []byte(fmt.Sprintf(format, a...))
	if err := b.Update(b.t.Context(), intent, func(tx *Tx) error { return runEnd(tx, intent) }); err != nil {
		b.t.Fatalf("%s: %v", intent, err)
	}
}

// xattrs gives what a node has, through both ways of reading.
func (b *box) xattrs(id uint64) map[string]string {
	b.t.Helper()
	m := make(map[string]string)
	b.view(func(tx *Tx) {
		for name, x := range tx.Xattrs(id) {
			m[name] = string(x.Value)
		}
		for name, v := range m {
			if x := tx.Xattr(id, name); x == nil || string(x.Value) != v {
				b.t.Errorf("attribute %s of node %d is %q in the list and %v alone", name, id, v, x)
			}
		}
		if x := tx.Xattr(id, "none"); x != nil {
			b.t.Errorf("an attribute that nobody set: %v", x)
		}
	})
	return m
}

func (b *box) wantXattrs(what string, id uint64, want map[string]string) {
	b.t.Helper()
	if got := b.xattrs(id); fmt.Sprint(got) != fmt.Sprint(want) {
		b.t.Errorf("%s: node %d has attributes %.200v, want %.200v", what, id, got, want)
	}
}

func (b *box) locals(id uint64) (n int) {
	b.t.Helper()
	b.view(func(tx *Tx) {
		for range tx.scan(orphanKey(id), orphanKey(id), false) {
			n++
		}
	})
	return n
}

func (b *box) tagOrphan(id uint64, name, value string) {
	b.t.Helper()
	err := b.ChangeOrphanXattrs(id, func(n *record.Node, xs map[string]*record.Xattr) error {
		n.Mode++
		if value == "" {
			delete(xs, name)
		} else {
			xs[name] = &record.Xattr{Value: []byte(value)}
		}
		return nil
	})
	if err != nil {
		b.t.Fatal(err)
	}
}

// The attributes of a node that this machine deletes while it is open are there until nobody refers
// to it, can be changed, and are nobody else's.
func TestXattrsOfAnOrphan(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	dir := t.TempDir()
	a := w.openEnding(dir, 9)
	a.must("name 1 x 9")
	a.must("name 1 y 10")
	for _, id := range []int{9, 10} {
		a.do("tag %d user.a one", id)
		a.do("tag %d user.b two", id)
	}
	if err := a.ChangeOrphanXattrs(9, func(*record.Node, map[string]*record.Xattr) error { return nil }); !errors.Is(
		err, remote.NotExist,
	) {
		t.Fatalf("changing a node of the library as an orphan: %v", err)
	}
	a.do("end 1 x")
	a.do("end 1 y")
	a.wantXattrs("deleted", 9, map[string]string{"user.a": "one", "user.b": "two"})
	a.wantXattrs("deleted and closed", 10, nil)
	a.tagOrphan(9, "user.a", "three")
	a.tagOrphan(9, "user.b", "")
	a.tagOrphan(9, "user.c", "four")
	refused := errors.New("refused")
	err := a.ChangeOrphanXattrs(9, func(n *record.Node, xs map[string]*record.Xattr) error {
		delete(xs, "user.a")
		return refused
	})
	if !errors.Is(err, refused) {
		t.Fatalf("a refused change: %v", err)
	}
	want := map[string]string{"user.a": "three", "user.c": "four"}
	a.wantXattrs("changed", 9, want)
	b := w.open(t.TempDir())
	b.must("add k 1") // somebody else's commit is applied here
	a.catches(b.applied())
	a.wantXattrs("after another's commit", 9, want)
	sameDump(t, "machines", a.dump(), b.dump())
	if err := a.DropOrphan(9); err != nil {
		t.Fatal(err)
	}
	if n := a.locals(9); n != 0 {
		t.Errorf("%d local records are left", n)
	}
	a.must("name 1 z 9")
	a.wantXattrs("a node that came back", 9, nil)
	a.do("tag 9 user.d five")
	a.do("end 1 z")
	a.wantXattrs("deleted again", 9, map[string]string{"user.d": "five"})
	a.Close()
	if n := w.open(dir).locals(9); n != 0 {
		t.Errorf("%d local records outlive the process", n)
	}
}

// A node that another machine deletes keeps its attributes here while it is open.
func TestXattrsOfAnOrphanOfAnotherMachine(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a := w.openEnding(t.TempDir(), 9)
	b := w.openEnding(t.TempDir())
	a.must("name 1 x 9")
	a.do("tag 9 user.a one")
	b.catches(a.applied())
	b.do("end 1 x")
	b.wantXattrs("nobody refers to it", 9, nil)
	a.catches(b.applied())
	a.wantXattrs("deleted elsewhere", 9, map[string]string{"user.a": "one"})
	a.tagOrphan(9, "user.b", "two")
	b.must("add k 1")
	a.catches(b.applied())
	a.wantXattrs("changed", 9, map[string]string{"user.a": "one", "user.b": "two"})
	sameDump(t, "machines", a.dump(), b.dump())
}

// A deletion that is undone because another machine was first, and runs again, leaves the orphan as
// programs changed it meanwhile; one that can no longer be made leaves none.
func TestUndoOfADeletion(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a := w.openEnding(t.TempDir(), 9, 10, 11)
	b := w.openEnding(t.TempDir())
	for i, name := range []string{"x", "y", "z"} {
		a.must("name 1 %s %d", name, 9+i)
		a.do("tag %d user.a one", 9+i)
	}
	b.catches(a.applied())
	a.bad.SetDown(true)
	for _, name := range []string{"x", "y"} {
		a.abandon("end 1 " + name)
	}
	a.tagOrphan(9, "user.b", "two")
	a.tagOrphan(10, "user.a", "three")
	mode := uint32(0)
	a.view(func(tx *Tx) { mode = tx.Node(9).Mode })
	b.do("tag 9 user.c three")
	b.do("tag 11 user.c three")
	b.do("end 1 y")
	b.do("name 1 y 12")
	a.bad.SetDown(false)
	a.catches(b.applied())
	if err := a.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	b.catches(a.applied())
	a.wantXattrs("deleted here, tagged elsewhere", 9, map[string]string{"user.a": "one", "user.b": "two"})
	a.wantXattrs("deleted twice", 10, map[string]string{"user.a": "three"})
	a.wantXattrs("not deleted", 11, map[string]string{"user.a": "one", "user.c": "three"})
	a.view(func(tx *Tx) {
		if n := tx.Node(9); n.Mode != mode {
			t.Errorf("mode %o of the orphan became %o", mode, n.Mode)
		}
	})
	b.must("add k 1")
	a.catches(b.applied())
	sameDump(t, "machines", a.dump(), b.dump())

}

// An operation that is undone and dropped leaves nodes and orphans as they were before it.
func TestDroppedOperationsOnOrphans(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a := w.openEnding(t.TempDir(), 9, 11)
	b := w.openEnding(t.TempDir())
	for id, name := range map[int]string{9: "x", 11: "z"} {
		a.must("name 1 %s %d", name, id)
		a.do("tag %d user.a one", id)
	}
	one := map[string]string{"user.a": "one"}
	a.opt.Run = func(tx *Tx, intent []byte) error {
		if tx.Late() {
			return remote.E("run", "", remote.NotExist, nil)
		}
		return runEnd(tx, intent)
	}
	// dropped has an operation show here until another machine was first.
	dropped := func(intent string, meanwhile func()) {
		t.Helper()
		a.bad.SetDown(true)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := a.Update(ctx, []byte(intent), func(tx *Tx) error { return runEnd(tx, []byte(intent)) }); !errors.Is(
			err, remote.Interrupted,
		) {
			t.Fatal(err)
		}
		meanwhile()
		b.must("add k 1")
		a.bad.SetDown(false)
		a.catches(b.applied())
	}
	deletion := func() {
		t.Helper()
		dropped("end 1 z", func() {
			a.wantXattrs("deleted", 11, one)
			a.tagOrphan(11, "user.a", "lost")
			a.tagOrphan(11, "user.b", "lost")
		})
		a.wantXattrs("the deletion was dropped", 11, one)
	}
	deletion()
	b.must("add k 1")
	a.catches(b.applied())
	if n := a.locals(11); n != 0 {
		t.Errorf("%d local records beside a node of the library", n)
	}
	deletion()
	a.do("end 1 z")
	a.wantXattrs("deleted after that", 11, one)

	a.do("end 1 x")
	a.wantXattrs("deleted", 9, one)
	dropped("name 1 back 9", func() { a.wantXattrs("a node that came back", 9, nil) })
	a.wantXattrs("its coming back was dropped", 9, one)
	b.catches(a.applied())
	sameDump(t, "machines", a.dump(), b.dump())
}

// All the attributes of many nodes that one operation deletes are more than a transaction takes.
func TestManyLargeOrphans(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var ids []uint64
	for id := range uint64(9) {
		ids = append(ids, 100+id)
	}
	a := w.openEnding(t.TempDir(), ids...)
	for _, id := range ids {
		a.must("name 1 n%d %d", id, id)
		for i := range 4 {
			a.do("big %d user.%d 60000", id, i)
		}
	}
	a.write(func(tx *Tx) {
		for _, id := range ids {
			if err := runEnd(tx, []byte(fmt.Sprintf("end 1 n%d", id))); err != nil {
				t.Error(err)
			}
		}
	})
	for _, id := range ids {
		if m := a.xattrs(id); len(m) != 4 || len(m["user.3"]) != 60000 {
			t.Errorf("node %d: %d attributes", id, len(m))
		}
	}
}

// A catalog that is read anew from a checkpoint keeps the attributes of nodes that are open here
// and were deleted elsewhere, and drops what it kept of others.
func TestReloadKeepsXattrsOfOrphans(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a := w.openEnding(t.TempDir(), 9, 10, 11)
	for i, name := range []string{"x", "y", "z"} {
		a.must("name 1 %s %d", name, 9+i)
		a.do("tag %d user.a one", 9+i)
	}
	reloaded := make(chan bool, 1)
	a.opt.Reloaded = func() { reloaded <- true }
	a.bad.SetDown(true)
	a.abandon("end 1 z")
	a.tagOrphan(11, "user.b", "two")
	b := w.openEnding(t.TempDir())
	b.do("end 1 x")
	b.do("tag 10 user.b two")
	if err := b.Checkpoint(t.Context()); err != nil {
		t.Fatal(err)
	}
	trim(t, w, b.applied())
	w.boot.Add(int64(11 * 60e9))
	a.bad.SetDown(false)
	<-reloaded
	a.wantXattrs("deleted elsewhere", 9, map[string]string{"user.a": "one"})
	a.wantXattrs("not deleted", 10, map[string]string{"user.a": "one", "user.b": "two"})
	a.wantXattrs("deleted here before", 11, map[string]string{"user.a": "one", "user.b": "two"})
	if n := a.locals(10); n != 0 {
		t.Errorf("%d local records beside a node of the library", n)
	}
}

// Who deleted an orphan is told once, and the name that it had when that was another machine.
func TestOrphaned(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var told []string
	a := w.open(t.TempDir(), func(o *Options) {
		o.Run = runEnd
		o.Referenced = func(id uint64) bool { return id != 11 }
		o.Orphaned = func(id uint64, here bool, parent uint64, name string) {
			told = append(told, fmt.Sprintf("%d %t %d %q", id, here, parent, name))
		}
	})
	b := w.openEnding(t.TempDir())
	a.must("name 1 x 9")
	a.must("name 1 y 10")
	a.must("name 1 z 11")
	b.catches(a.applied())
	a.do("end 1 x")
	b.catches(a.applied())
	b.do("end 1 y")
	b.do("end 1 z")
	a.catches(b.applied())
	a.view(func(*Tx) {
		if want := []string{`9 true 0 ""`, `10 false 1 "y"`}; !slices.Equal(told, want) {
			t.Errorf("told %q, wanted %q", told, want)
		}
	})
}
