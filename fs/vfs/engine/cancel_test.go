package engine_test

import (
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"mediafs/fs/vfs"
	"mediafs/fs/vfs/engine"
	"mediafs/remote"
	"mediafs/remote/object/mem"
)

// After its upload was cancelled a file is not changed through who had it open: neither cut nor
// made longer.
func TestCancelledFileIsNotCut(t *testing.T) {
	s := openMachine(t, mem.New(mem.Options{}), t.TempDir()).with(t)
	defer s.Close()
	s.write("film", "the whole film")
	id := s.stat("film").ID
	f, err := s.Open(bg, me, id, uint32(os.O_RDWR))
	s.ok(err)
	s.put(f, "THE", 0)
	s.ok(s.CancelUpload(bg, id))
	size := int64(3)
	if _, err := s.SetAttr(bg, me, id, f, vfs.AttrChange{Size: &size}); err == nil {
		t.Error("ftruncate through a cancelled file")
	}
	_ = f.Flush(bg, me)
	f.Release()
	if got := s.read("film"); got != "the whole film" {
		t.Errorf("reads %q", got)
	}
}

// Close and fsync do not confirm bytes that were given up.
func TestCloseAfterCancelling(t *testing.T) {
	s := openMachine(t, mem.New(mem.Options{}), t.TempDir()).with(t)
	defer s.Close()
	f := s.create("film", strings.Repeat("x", 1000))
	s.ok(s.CancelUpload(bg, s.stat("film").ID))
	if err := f.Flush(bg, me); err == nil {
		t.Errorf("close confirms %d bytes of 1000", s.stat("film").Size)
	}
	f.Release()
}

// Cancelling an upload that had just ended takes nothing from who writes.
func TestCancelTooLate(t *testing.T) {
	at, go_ := make(chan struct{}), make(chan struct{})
	once := false
	s := openMachine(t, mem.New(mem.Options{}), t.TempDir(), func(o *engine.Options) {
		o.Step = func(p string) {
			if p == "head set" && !once {
				once = true
				close(at)
				<-go_
			}
		}
	}).with(t)
	defer s.Close()
	f := s.create("film", "part one")
	id := s.stat("film").ID
	synced := make(chan error)
	go func() { synced <- f.Fsync(bg) }()
	<-at
	cancelled := make(chan error)
	go func() { cancelled <- s.CancelUpload(bg, id) }()
	time.Sleep(20 * time.Millisecond)
	close(go_)
	s.ok(<-synced)
	if err := <-cancelled; !errors.Is(err, remote.NotExist) {
		t.Fatalf("cancel: %v", err)
	}
	if _, err := f.Write(bg, []byte(", part two"), 8); err != nil {
		t.Errorf("nothing was cancelled, and its writer gets %v", err)
	}
	s.close(f)
}
