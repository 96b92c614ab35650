package engine_test

import (
	"os"
	"sync"
	"testing"

	"mediafs/fs/vfs"
	"mediafs/fs/vfs/engine"
	"mediafs/remote/object/mem"
	"mediafs/remote/storetest"
)

// A time that was set by hand while a head was on its way to the log survives the death of the
// process that comes next.
func TestTimeSetWhileAHeadIsOnItsWay(t *testing.T) {
	b := mem.New(mem.Options{})
	line := storetest.New(b)
	d := t.TempDir()
	died := make(chan string, 1)
	var once, twice sync.Once
	set := vfs.Time{Sec: 77, Nsec: 7}
	var s steps
	var id vfs.ID
	s = openMachine(t, line, d, func(o *engine.Options) {
		impatient(o)
		o.Background = true
		o.Step = func(point string) {
			switch {
			case point == "set head":
				once.Do(func() {
					if _, err := s.SetAttr(
						bg, me, id, nil, vfs.AttrChange{Mtime: &set},
					); err != nil { // it returns: it is confirmed
						t.Error(err)
					}
				})
			case point == "head set":
				twice.Do(func() {
					line.SetDown(true)
					died <- copyDir(t, d)
				})
			}
		}
	}).with(t)
	a, f, err := s.Create(bg, me, vfs.Root, "file", 0o644, uint32(os.O_RDWR))
	s.ok(err)
	id = a.ID
	s.put(f, "bytes", 0)
	s.close(f)
	dead := <-died
	s.Close() //nolint:errcheck // the store is away
	again := openMachine(t, b, dead, func(o *engine.Options) { o.Catalog.Machine = []byte(d) }).with(t)
	defer again.Close()
	again.ok(again.Flush(bg))
	if m := again.stat("file").Mtime; m != set {
		t.Errorf("mtime %v, %v was set", m, set)
	}
}
