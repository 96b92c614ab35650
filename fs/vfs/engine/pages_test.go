package engine_test

import (
	"os"
	"sync"
	"testing"

	"mediafs/fs/vfs"
	"mediafs/remote/object/mem"
)

type drops struct {
	mu sync.Mutex
	n  map[vfs.ID]int
}

func (d *drops) Node(id vfs.ID, data bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if data {
		d.n[id]++
	}
}
func (d *drops) Entry(vfs.ID, string) {}

// A file that stays open here is changed twice elsewhere: the kernel, which has filled its pages
// again in between, is told twice.
func TestSecondChangeOfAnOpenFile(t *testing.T) {
	b := mem.New(mem.Options{})
	s, o := openMachine(t, b, t.TempDir()).with(t), openMachine(t, b, t.TempDir()).with(t)
	defer s.Close()
	defer o.Close()
	s.write("f", "first")
	an := &drops{n: map[vfs.ID]int{}}
	s.Announce(an)
	at, err := s.Lookup(bg, vfs.Root, "f")
	s.ok(err)
	f, err := s.Open(bg, me, at.ID, uint32(os.O_RDONLY))
	s.ok(err)
	defer f.Release()
	s.readFile(f)
	o.sees("f", "first")
	for i, v := range []string{"second", "third.", "fourth"} {
		o.write("f", v)
		waitFor(t, func() bool { return s.readFile(f) == v }) // as the kernel does once its pages are gone
		o.write("mark"+v, "x")
		s.sees("mark"+v, "x")
		an.mu.Lock()
		n := an.n[at.ID]
		an.mu.Unlock()
		if n != i+1 {
			t.Errorf("after change %d the kernel was told %d times to drop pages", i+1, n)
		}
	}
	s.Forget(at.ID, 1)
}
