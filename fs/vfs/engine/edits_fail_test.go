package engine_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"mediafs/fs/vfs"
	"mediafs/fs/vfs/engine"
	"mediafs/remote/object/mem"
	"mediafs/remote/storetest"
)

// fullJournals makes every write into a journal of the spool fail with ENOSPC until back is called.
func fullJournals(t *testing.T) (back func()) {
	t.Helper()
	full, err := os.OpenFile("/dev/full", os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	was := map[int]int{}
	fds, _ := filepath.Glob("/proc/self/fd/*")
	for _, l := range fds {
		to, _ := os.Readlink(l)
		if !strings.HasSuffix(to, ".map") {
			continue
		}
		fd := 0
		fmt.Sscan(filepath.Base(l), &fd)
		if was[fd], err = unix.Dup(fd); err == nil {
			err = unix.Dup2(int(full.Fd()), fd)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return func() {
		for fd, old := range was {
			unix.Dup2(old, fd)
			unix.Close(old)
		}
		full.Close()
	}
}

// A truncation of an edit fails since the disk is full. Once there is room, the media can be
// uploaded.
func TestFailedTruncationOfAnOverlay(t *testing.T) {
	b := mem.New(mem.Options{})
	old := noise(1, 50_000)
	made(t, b, "f", old)
	s := openMachine(t, b, t.TempDir(), func(o *engine.Options) { o.WholeBelow = 1 }).with(t)
	defer s.Close()
	f := s.openRW("f")
	s.put(f, "EDIT", 10_000)
	s.put(f, strings.Repeat("MORE", 2048), 30_000)
	back := fullJournals(t)
	size := int64(20_000)
	_, err := s.SetAttr(bg, me, s.stat("f").ID, f, vfs.AttrChange{Size: &size})
	back()
	if err == nil {
		if got := s.readFile(f); len(got) != 20_000 {
			t.Errorf("it succeeded, and %d bytes are left", len(got))
		}
	} else if got, st := s.readFile(f), s.stat("f"); len(got) != 50_000 || st.Size != int64(len(got)) {
		t.Errorf("it failed, and stat tells %d bytes, %d can be read", st.Size, len(got))
	}
	if err := f.Fsync(bg); err != nil {
		t.Errorf("with room again: %v", err)
	}
	o := openMachine(t, b, t.TempDir()).with(t)
	defer o.Close()
	if got := o.read("f"); len(got) == 50_000 && got[30_000:30_004] != "MORE" {
		t.Errorf("the store has 50000 bytes with %q where MORE was written", got[30_000:30_004])
	}
	f.Release()
}

// A zeroing that fails shows nothing that no upload will ever send.
func TestFailedPunch(t *testing.T) {
	b := mem.New(mem.Options{})
	old := noise(1, 50_000)
	made(t, b, "f", old)
	s := openMachine(t, b, t.TempDir(), func(o *engine.Options) { o.WholeBelow = 1 }).with(t)
	defer s.Close()
	f := s.openRW("f")
	edit := noise(2, 8192)
	s.put(f, edit, 8192)
	s.ok(f.Fsync(bg))
	back := fullJournals(t)
	err := f.Allocate(bg, vfs.AllocatePunchHole|vfs.AllocateKeepSize, 4096, 12288)
	back()
	if err == nil {
		t.Fatal("it succeeded")
	}
	s.ok(f.Fsync(bg))
	here := s.readFile(f)
	o := openMachine(t, b, t.TempDir()).with(t)
	defer o.Close()
	if there := o.read("f"); there != here {
		t.Errorf(
			"after fsync this machine reads other bytes than the store has: zeros here %v",
			strings.Contains(here, strings.Repeat("\x00", 4096)),
		)
	}
	f.Release()
}

// Close does not wait for a writer that waits for room while the store is away.
func TestCloseWhileAWriterWaitsForRoom(t *testing.T) {
	d := t.TempDir()
	spool := filepath.Join(d, "spool")
	if err := os.Mkdir(spool, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount("none", spool, "tmpfs", 0, "size=8m"); err != nil {
		t.Skip("nothing can be mounted here: ", err)
	}
	defer unix.Unmount(spool, unix.MNT_DETACH)
	line := storetest.New(mem.New(mem.Options{}))
	s := openMachine(t, line, d, func(o *engine.Options) { o.UploadTimeout = time.Hour }).with(t)
	f := s.create("f", noise(1, 5<<20))
	line.Fail(storetest.Fault{Prefix: "content/", Times: -1})
	wrote := make(chan error, 1)
	go func() { _, err := f.Write(bg, make([]byte, 1<<20), 5<<20); wrote <- err }()
	waitFor(t, func() bool { return s.Status().Pending.Error != "" })
	closed := make(chan error, 1)
	go func() { closed <- s.Close() }()
	select {
	case <-closed:
	case <-time.After(30 * time.Second):
		t.Fatal("close waits until the writer's time is over")
	}
	<-wrote
}
