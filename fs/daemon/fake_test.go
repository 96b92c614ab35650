package daemon

import (
	"context"
	"errors"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"mediafs/fs/control"
	"mediafs/fs/vfs"
	"mediafs/fs/vfs/engine"
	"mediafs/remote"
)

// fakeLibrary has uploads that end when the test says so.
type fakeLibrary struct {
	events *events

	mu      sync.Mutex
	pending control.Pending
	gate    chan struct{} // flush waits for it
	failure error         // of flush
	lib     vfs.MediaLibrary
	wedged  chan struct{} // close waits for it, whatever its context says
}

func (l *fakeLibrary) describe(s *control.Status) {
	l.mu.Lock()
	defer l.mu.Unlock()
	s.Library, s.Pending = "library-1", l.pending
}

func (l *fakeLibrary) set(p control.Pending) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.pending = p
}

func (l *fakeLibrary) adjust(engine.Adjustment) {}

func (l *fakeLibrary) media() vfs.MediaLibrary { return l.lib }

func (l *fakeLibrary) flush(ctx context.Context) error {
	l.events.add("flush")
	if l.failure != nil {
		return l.failure
	}
	if l.gate != nil {
		select {
		case <-l.gate:
		case <-ctx.Done():
			return remote.E("flush", "", remote.KindOf(ctx.Err()), ctx.Err())
		}
	}
	l.set(control.Pending{})
	return nil
}

func (l *fakeLibrary) close(ctx context.Context) error {
	l.events.add("close library")
	if l.wedged != nil {
		<-l.wedged
	}
	return nil
}

// fakeKernel is a mount that may be busy.
type fakeKernel struct {
	events *events
	busy   bool
	tail   chan struct{} // Unmount returns when it is closed, after the mount's end; nil: at once
	once   sync.Once
	done   chan struct{}
	hung   chan struct{}
	wedged bool // neither unmounting nor aborting ends it
}

func (k *fakeKernel) Done() <-chan struct{} { return k.done }
func (k *fakeKernel) Hung() <-chan struct{} { return k.hung }

func (k *fakeKernel) Unmount() error {
	if k.busy {
		return remote.E("unmount", "/mnt", remote.Busy, nil)
	}
	if k.wedged {
		k.events.add("unmount")
		select {}
	}
	if k.end("unmount") && k.tail != nil {
		<-k.tail
	}
	return nil
}

func (k *fakeKernel) Remount(words []string) error { return nil }
func (k *fakeKernel) ReadOnly() bool               { return false }
func (k *fakeKernel) SetHangTimeout(time.Duration) {}

func (k *fakeKernel) LazyUnmount() error {
	k.events.add("detach")
	return nil
}

func (k *fakeKernel) Abort() error {
	if k.wedged {
		k.events.add("abort")
		return nil
	}
	k.end("abort")
	return nil
}

// end tells whether it was the first.
func (k *fakeKernel) end(how string) (first bool) {
	k.once.Do(func() {
		k.events.add(how)
		close(k.done)
		first = true
	})
	return first
}

// events is what happened, in order.
type events struct {
	mu   sync.Mutex
	list []string
}

func (e *events) add(s string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.list = append(e.list, s)
}

func (e *events) all() []string {
	e.mu.Lock()
	defer e.mu.Unlock()
	return append([]string(nil), e.list...)
}

type rig struct {
	*Daemon
	events *events
	lib    *fakeLibrary
	kernel *fakeKernel
	opt    Options
}

// newRig starts a daemon over fakes, with a real lock, socket and list of mounts.
func newRig(t *testing.T, change func(*rig)) *rig {
	t.Helper()
	dir := t.TempDir()
	ev := &events{}
	r := &rig{
		events: ev,
		lib:    &fakeLibrary{events: ev},
		kernel: &fakeKernel{events: ev, done: make(chan struct{}), hung: make(chan struct{})},
		opt: Options{
			Store:        "file:///store",
			Dir:          "/mnt/photos",
			CatalogDir:   filepath.Join(dir, "catalog"),
			CacheDir:     filepath.Join(dir, "cache"),
			Registry:     Registry{Dir: filepath.Join(dir, "mounts")},
			StopTimeout:  50 * time.Millisecond,
			CloseTimeout: 10 * time.Second,
		}.withDefaults(),
	}
	if change != nil {
		change(r)
	}
	if err := privateDir(r.opt.CatalogDir, "catalog directory", &madeDirs{}); err != nil {
		t.Fatal(err)
	}
	lock, err := control.LockDir(r.opt.CatalogDir)
	if err != nil {
		t.Fatal(err)
	}
	if r.Daemon, err = start(r.opt, lock, r.lib, func() (kernel, error) { return r.kernel, nil }, nil); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if r.kernel.busy {
			r.kernel.busy = false
		}
		if err := r.Close(context.Background()); err != nil && !errors.Is(err, ErrPending) {
			t.Error(err)
		}
	})
	return r
}

// run does what cmd/mediafs does: it closes the daemon when the mount is gone.
func (r *rig) run() <-chan error {
	closed := make(chan error, 1)
	go func() {
		<-r.Done()
		closed <- r.Close(context.Background())
	}()
	return closed
}
