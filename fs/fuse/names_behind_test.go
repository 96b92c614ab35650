package fuse

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"mediafs/cache/block"
	"mediafs/cache/catalog"
	"mediafs/fs/vfs"
	"mediafs/fs/vfs/engine"
	"mediafs/remote/bucket"
	"mediafs/remote/object/mem"
)

// aheadOfKernel mounts a library in memory that the test can also change by itself, of which the
// kernel is not told. Programs that use the mount are processes of their own.
func aheadOfKernel(t *testing.T, opt engine.Options) (*engine.FS, string) {
	t.Helper()
	if err := checkDevice(""); err != nil {
		t.Skip(err)
	}
	ctx := t.Context()
	store, err := bucket.Create(ctx, mem.New(mem.Options{}), bucket.Options{})
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	opt.Store, opt.SpoolDir = store, filepath.Join(dir, "spool")
	opt.Catalog = catalog.Options{Dir: filepath.Join(dir, "catalog"), Machine: []byte(dir)}
	opt.Cache = block.Options{Dir: filepath.Join(dir, "cache")}
	opt.UID, opt.GID, opt.Log = uint32(os.Geteuid()), uint32(os.Getegid()), discard()
	lib, err := engine.Open(ctx, opt)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := lib.Close(); err != nil {
			t.Error(err)
		}
	})
	mnt := filepath.Join(dir, "mnt")
	if err := os.Mkdir(mnt, 0o755); err != nil {
		t.Fatal(err)
	}
	announcer := NewAnnouncer()
	lib.Announce(announcer)
	s, err := Mount(
		Options{
			Library:      lib,
			Dir:          mnt,
			Announcer:    announcer,
			EntryTimeout: time.Hour,
			AttrTimeout:  time.Hour,
			AllowOther:   os.Geteuid() == 0,
		},
	)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Unmount(); err != nil {
			t.Error(err)
			_ = s.Abort()
			_ = s.LazyUnmount()
		}
	})
	return lib, mnt
}

// shell runs a script in dir and gives what it printed.
func shell(t *testing.T, dir, script string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	c := exec.CommandContext(ctx, "sh", "-c", script)
	c.Dir, c.WaitDelay = dir, time.Second
	out, err := c.CombinedOutput()
	if err != nil {
		t.Errorf("%s: %v", script, err)
	}
	return strings.TrimSpace(string(out))
}

// The kernel is sure that a name is free, and another machine has just made it. Opening it with
// O_CREAT opens that one, and only for whom its mode allows it; O_EXCL fails.
func TestCreateOfWhatIsNewsToKernel(t *testing.T) {
	lib, mnt := aheadOfKernel(t, engine.Options{})
	ctx := t.Context()
	put := func(name string, mode uint32) {
		t.Helper()
		shell(t, mnt, "! test -e "+name) // the kernel remembers that
		a, f, err := lib.Create(ctx, vfs.Caller{}, vfs.Root, name, mode, unix.O_WRONLY)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.Write(ctx, []byte("first\n"), 0); err != nil {
			t.Error(err)
		}
		if err := f.Fsync(ctx); err != nil {
			t.Error(err)
		}
		f.Release()
		lib.Forget(a.ID, 1)
	}
	put("a", 0o644)
	if got := shell(t, mnt, "echo second >>a && cat a"); got != "first\nsecond" {
		t.Errorf("appended to what another machine made: %q", got)
	}
	put("b", 0o644)
	if got := shell(t, mnt, "set -C; echo mine >b || cat b"); !strings.HasSuffix(got, "first") {
		t.Errorf("made exclusively what another machine made: %q", got)
	}
	if os.Geteuid() == 0 {
		letOthersIn(t, mnt)
		if err := os.Chmod(mnt, 0o777); err != nil {
			t.Fatal(err)
		}
		put("c", 0o600)
		c := exec.Command("sh", "-c", "echo not mine >>c")
		c.Dir, c.SysProcAttr = mnt, actor(4711, 4711).SysProcAttr
		if out, err := c.CombinedOutput(); err == nil || !strings.Contains(string(out), "denied") {
			t.Errorf("a stranger writes to what another machine made: %v: %s", err, out)
		}
		if got := shell(t, mnt, "cat c"); got != "first" {
			t.Errorf("%q", got)
		}
	}
}

// An open file that was deleted has no links, also when the trash has it.
func TestDeletedToTrashWhileOpen(t *testing.T) {
	var ahead atomic.Int64
	_, mnt := aheadOfKernel(
		t,
		engine.Options{Trash: time.Hour, Now: func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) }},
	)
	shell(t, mnt, "echo old >old; echo over >over; ln old link")
	ahead.Store(int64(30 * time.Minute)) // the trash takes nothing younger
	got := shell(t, mnt, `
		echo young >young
		exec 3<old 4<over 5<young 6>>old
		links() { stat -L -c %h /proc/self/fd/3 /proc/self/fd/4 /proc/self/fd/5 | tr '\n' ' '; }
		links
		rm link old young
		mv link over 2>/dev/null
		: >new; mv new over
		links
		echo more >&6
		cat <&3; cat <&4; cat <&5`)
	if want := "2 1 1 0 0 0 old\nmore\nover\nyoung"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

// The kernel thinks that a file ends where it does no longer, since another machine has just
// appended to it. What is appended then goes to the real end, and what the kernel keeps in the
// wrong place is dropped soon.
func TestAppendBehindWhatIsNewsToKernel(t *testing.T) {
	lib, mnt := aheadOfKernel(t, engine.Options{})
	ctx := t.Context()
	page := func(c string) string { return strings.Repeat(c, 4096) }
	name := filepath.Join(mnt, "f")
	shell(t, mnt, "head -c 4096 /dev/zero | tr '\\0' A >f; cat f >/dev/null")
	a, err := lib.Lookup(ctx, vfs.Root, "f")
	if err != nil {
		t.Fatal(err)
	}
	f, err := lib.Open(ctx, vfs.Caller{}, a.ID, unix.O_WRONLY|unix.O_APPEND)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.Write(ctx, []byte(page("B")), 4096); err != nil {
		t.Error(err)
	}
	if err := f.Fsync(ctx); err != nil {
		t.Error(err)
	}
	f.Release()
	lib.Forget(a.ID, 1)
	shell(t, mnt, "head -c 4096 /dev/zero | tr '\\0' C >>f")
	want := page("A") + page("B") + page("C")
	for end := time.Now().Add(patience); ; time.Sleep(10 * time.Millisecond) {
		if got := shell(t, mnt, "cat f"); got == want {
			break
		} else if time.Now().After(end) {
			t.Fatalf(
				"%s has %d bytes %.1s… %.1s… %.1s", name, len(got), got, got[min(4096, len(got)):],
				got[max(0, len(got)-1):],
			)
		}
	}
}
