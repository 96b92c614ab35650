package fuse

import (
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	gofuse "github.com/hanwen/go-fuse/v2/fuse"

	"mediafs/fs/vfs"
)

// idle waits until everything announced was told.
func (a *Announcer) idle(t *testing.T) {
	t.Helper()
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(time.Millisecond) {
		a.mu.Lock()
		n := len(a.mu.lanes)
		a.mu.Unlock()
		if n == 0 {
			return
		}
	}
	t.Fatal("the announcer has no end")
}

// fakeKernel notes notifications and holds up those for some inodes.
type fakeKernel struct {
	mu   sync.Mutex
	told []string
	at   map[vfs.ID]int // workers that are at an inode
	most int
	hold map[vfs.ID]chan struct{}
	came chan vfs.ID
}

func (k *fakeKernel) tell(id vfs.ID, what string) gofuse.Status {
	k.mu.Lock()
	k.told = append(k.told, what)
	k.at[id]++
	k.most = max(k.most, k.at[id])
	hold := k.hold[id]
	k.mu.Unlock()
	k.came <- id
	if hold != nil {
		<-hold
	}
	k.mu.Lock()
	k.at[id]--
	k.mu.Unlock()
	return gofuse.ENOENT
}

func (k *fakeKernel) InodeNotify(id uint64, off, length int64) gofuse.Status {
	return k.tell(id, fmt.Sprintf("inode %d from %d", id, off))
}

func (k *fakeKernel) EntryNotify(parent uint64, name string) gofuse.Status {
	return k.tell(parent, fmt.Sprintf("entry %d %s", parent, name))
}

func newFakeKernel() *fakeKernel {
	return &fakeKernel{at: make(map[vfs.ID]int), hold: make(map[vfs.ID]chan struct{}), came: make(chan vfs.ID, 1000)}
}

func TestAnnouncerCoalesces(t *testing.T) {
	k := newFakeKernel()
	k.hold[7] = make(chan struct{})
	a := NewAnnouncer()
	a.Node(1, true) // nobody is there yet
	a.attach(k)
	a.Node(7, false)
	<-k.came
	// 7 is slow: what comes now waits for it, whatever it is, and adds up.
	for range 100 {
		a.Node(7, false)
		a.Entry(7, "x")
		a.Entry(7, "y")
		a.Node(7, true)
		a.Node(7, false)
	}
	// Others do not wait.
	a.Entry(8, "z")
	a.Node(9, false)
	<-k.came
	<-k.came
	close(k.hold[7])
	a.idle(t)
	a.close()
	slices.Sort(k.told)
	want := []string{"entry 7 x", "entry 7 y", "entry 8 z", "inode 7 from -1", "inode 7 from 0", "inode 9 from -1"}
	if !slices.Equal(k.told, want) {
		t.Errorf("told %q, want %q", k.told, want)
	}
	if k.most != 1 {
		t.Errorf("%d workers were at one inode", k.most)
	}
	a.Node(1, true)
	if len(a.mu.queue) != 0 {
		t.Error("a closed announcer takes announcements")
	}
}

func TestAnnouncerFromManySenders(t *testing.T) {
	k := newFakeKernel()
	a := NewAnnouncer()
	a.attach(k)
	var wg sync.WaitGroup
	for g := range 4 {
		wg.Go(func() {
			for i := range 50 {
				a.Node(vfs.ID(10+i%7), i%2 == 0)
				a.Entry(vfs.ID(10+i%7), fmt.Sprint(g))
			}
		})
	}
	wg.Wait()
	a.idle(t)
	a.close()
	for id := 10; id < 17; id++ {
		for g := range 4 {
			if !slices.Contains(k.told, fmt.Sprintf("entry %d %d", id, g)) {
				t.Errorf("name %d in %d was not told", g, id)
			}
		}
	}
	if k.most != 1 {
		t.Errorf("%d workers were at one inode", k.most)
	}
}

func TestAnnouncerClosedUnused(t *testing.T) {
	a := NewAnnouncer()
	a.close()
	a.attach(newFakeKernel())
	a.Node(1, true)
	a.close()
}
