package daemon

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"mediafs/fs/control"
	"mediafs/remote"
)

func TestStatusOverTheSocket(t *testing.T) {
	r := newRig(t, nil)
	r.lib.set(control.Pending{Files: 2, Bytes: 10, Operations: 1})
	got, err := control.Dial(r.opt.CatalogDir).Status(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	want := r.Status()
	if !got.Started.Equal(want.Started) {
		t.Errorf("started %v, want %v", got.Started, want.Started)
	}
	got.Started = want.Started
	if !reflect.DeepEqual(got, want) || got.Pending.Files != 2 || got.Library != "library-1" || !got.Running {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
	info, err := os.Stat(filepath.Join(r.opt.CatalogDir, control.SocketName))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("socket: %v, %v; want mode 0600", info.Mode(), err)
	}
}

// A catalog directory may be deeper than the address of a socket is long.
func TestSocketInADeepDirectory(t *testing.T) {
	r := newRig(t, func(r *rig) {
		r.opt.CatalogDir = filepath.Join(r.opt.CatalogDir, strings.Repeat("d", 120), strings.Repeat("e", 120))
	})
	if _, err := control.Dial(r.opt.CatalogDir).Status(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func TestFlushReportsUntilDone(t *testing.T) {
	r := newRig(t, func(r *rig) { r.lib.gate = make(chan struct{}) })
	r.lib.set(control.Pending{Files: 1, Bytes: 1000})
	var seen []control.Pending
	err := control.Dial(r.opt.CatalogDir).Flush(t.Context(), func(p control.Pending) {
		if len(seen) == 0 {
			close(r.lib.gate)
		}
		seen = append(seen, p)
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(seen) < 2 || seen[0].Files != 1 || !seen[len(seen)-1].None() {
		t.Errorf("reports %+v, want the first with one file and the last with nothing", seen)
	}
}

func TestFlushFailureKeepsItsKind(t *testing.T) {
	r := newRig(t, func(r *rig) {
		r.lib.failure = remote.E("upload", "a.jpg", remote.Quota, nil).WithHint("make room")
	})
	err := control.Dial(r.opt.CatalogDir).Flush(t.Context(), nil)
	if !errors.Is(err, remote.Quota) || remote.KindOf(err) != remote.Quota ||
		err.Error() != "upload a.jpg: quota exceeded (make room)" {
		t.Errorf("got %v (%v)", err, remote.KindOf(err))
	}
}

func TestGivingUpAFlushEndsIt(t *testing.T) {
	r := newRig(t, func(r *rig) { r.lib.gate = make(chan struct{}) })
	ctx, cancel := context.WithCancel(t.Context())
	err := control.Dial(r.opt.CatalogDir).Flush(ctx, func(control.Pending) { cancel() })
	if !errors.Is(err, remote.Interrupted) {
		t.Errorf("got %v, want interrupted", err)
	}
}

// The kernel may still let its pages go when the daemon has closed everything.
func TestStopDoesNotWaitForTheKernelsPages(t *testing.T) {
	r := newRig(t, func(r *rig) { r.kernel.tail = make(chan struct{}) })
	closed := r.run()
	if _, err := control.Dial(r.opt.CatalogDir).Stop(t.Context(), false, nil); err != nil {
		t.Error(err)
	}
	close(r.kernel.tail)
	if err := <-closed; err != nil {
		t.Error(err)
	}
}

func TestStop(t *testing.T) {
	tests := []struct {
		name   string
		busy   bool
		force  bool
		fails  remote.Kind
		events []string
	}{
		{"idle", false, false, remote.Other, []string{"unmount", "flush", "close library"}},
		{"files open", true, false, remote.Busy, nil},
		{"files open, forced", true, true, remote.Other, []string{"detach", "abort", "close library"}},
		{"idle, forced", false, true, remote.Other, []string{"unmount", "close library"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := newRig(t, func(r *rig) { r.kernel.busy = tt.busy })
			closed := r.run()
			r.lib.set(control.Pending{Files: 1})
			left, err := control.Dial(r.opt.CatalogDir).Stop(t.Context(), tt.force, nil)
			if tt.fails != remote.Other {
				if !errors.Is(err, tt.fails) {
					t.Fatalf("got %v, want %v", err, tt.fails)
				}
				if ev := r.events.all(); len(ev) != 0 {
					t.Errorf("a refused stop did %v", ev)
				}
				if _, err := control.Dial(r.opt.CatalogDir).Status(t.Context()); err != nil {
					t.Errorf("after a refused stop: %v", err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if left.None() == tt.force {
				t.Errorf("left %+v, want something only when forced", left)
			}
			if err := <-closed; errors.Is(err, ErrPending) != tt.force {
				t.Fatal(err)
			}
			if got := r.events.all(); !reflect.DeepEqual(got, tt.events) {
				t.Errorf("order %v, want %v", got, tt.events)
			}
			// Stop has waited until another daemon can start.
			lock, err := control.LockDir(r.opt.CatalogDir)
			if err != nil {
				t.Fatal(err)
			}
			lock.Close()
			if ms, _ := r.opt.Registry.List(); len(ms) != 0 {
				t.Errorf("still noted: %v", ms)
			}
			if _, err := os.Stat(filepath.Join(r.opt.CatalogDir, control.SocketName)); !errors.Is(err, os.ErrNotExist) {
				t.Errorf("socket: %v, want none", err)
			}
		})
	}
}

func TestCloseLeavesWhatDoesNotEnd(t *testing.T) {
	r := newRig(t, func(r *rig) { r.lib.gate = make(chan struct{}) })
	r.lib.set(control.Pending{Files: 3, Bytes: 5000, Operations: 2})
	err := r.Close(t.Context())
	if !errors.Is(err, ErrPending) ||
		!strings.Contains(err.Error(), "3 files (5000 bytes) and 2 changes are kept in "+r.opt.CatalogDir) {
		t.Errorf("got %v", err)
	}
	if want := []string{"flush", "unmount", "close library"}; !reflect.DeepEqual(r.events.all(), want) {
		t.Errorf("order %v, want %v", r.events.all(), want)
	}
	if err := r.Flush(t.Context()); !errors.Is(err, remote.Interrupted) {
		t.Errorf("flush after close: %v", err)
	}
}

func TestUnmountFromOutside(t *testing.T) {
	r := newRig(t, nil)
	closed := r.run()
	r.kernel.end("somebody unmounts")
	select {
	case err := <-closed:
		if err != nil {
			t.Fatal(err)
		}
	case <-time.After(5 * time.Second):
		t.Fatal("not closed")
	}
}

// Somebody unmounted, and the last uploads go on: the daemon says so and stays in the list of
// mounts until its end, which a stop waits for.
func TestEndingDaemonIsFound(t *testing.T) {
	r := newRig(t, func(r *rig) {
		r.lib.gate = make(chan struct{})
		r.opt.StopTimeout = time.Minute
	})
	client := control.Dial(r.opt.CatalogDir)
	if s, err := client.Status(t.Context()); err != nil || s.Ending {
		t.Errorf("before: %+v, %v", s, err)
	}
	closed := r.run()
	r.kernel.end("somebody unmounts")
	for {
		s, err := client.Status(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if s.Ending {
			break
		}
		time.Sleep(time.Millisecond)
	}
	if p, err := r.opt.Registry.Locate(r.opt.Dir); err != nil || p.Mounted || !p.Known {
		t.Errorf("while it ends: %+v, %v", p, err)
	}
	stopped := make(chan error, 1)
	go func() {
		_, err := client.Stop(t.Context(), false, nil)
		stopped <- err
	}()
	select {
	case err := <-stopped:
		t.Errorf("stopped with %v while it ends", err)
	case <-time.After(50 * time.Millisecond):
	}
	close(r.lib.gate)
	if err := <-closed; err != nil {
		t.Error(err)
	}
	if err := <-stopped; err != nil {
		t.Error(err)
	}
	if p, err := r.opt.Registry.Locate(r.opt.Dir); err == nil {
		t.Errorf("after its end: %+v", p)
	}
}

// A daemon that goes on is not waited for; one that ends is, for LockTimeout, and the caller hears
// of it.
func TestWaitForTheLock(t *testing.T) {
	r := newRig(t, func(r *rig) {
		r.lib.gate = make(chan struct{})
		r.opt.StopTimeout = time.Minute
	})
	opt := r.opt
	var told []string
	opt.LockTimeout, opt.Waiting = time.Hour, func(text string) { told = append(told, text) }
	if _, err := awaitLock(t.Context(), opt); !errors.Is(err, remote.Busy) || len(told) > 0 {
		t.Errorf("while it goes on: %v, told %q", err, told)
	}
	closed := r.run()
	r.kernel.end("somebody unmounts")
	<-r.Done()
	opt.LockTimeout = 30 * time.Millisecond
	if _, err := awaitLock(
		t.Context(), opt,
	); !errors.Is(err, remote.Busy) || !strings.Contains(err.Error(), "has not ended for 30ms") ||
		len(told) != 1 {
		t.Errorf("one that does not end in time: %v, told %q", err, told)
	}
	opt.LockTimeout = 0
	if _, err := awaitLock(t.Context(), opt); !errors.Is(err, remote.Busy) {
		t.Errorf("not waiting at all: %v", err)
	}
	opt.LockTimeout, told = time.Hour, nil
	opt.Waiting = func(text string) {
		told = append(told, text)
		close(r.lib.gate)
	}
	lock, err := awaitLock(t.Context(), opt)
	if err != nil {
		t.Fatal(err)
	}
	lock.Close()
	if want := "waiting up to 1h0m0s for the end of the daemon that had /mnt/photos mounted"; len(told) != 1 ||
		!strings.HasPrefix(told[0], want) {
		t.Errorf("told %q, want once %q", told, want)
	}
	if err := <-closed; err != nil {
		t.Error(err)
	}
}

func TestNoDaemon(t *testing.T) {
	dir := t.TempDir()
	_, err := control.Dial(dir).Status(t.Context())
	if !errors.Is(err, remote.NotExist) {
		t.Errorf("got %v, want does not exist", err)
	}
	_, err = control.Dial(filepath.Join(dir, "missing")).Status(t.Context())
	if !errors.Is(err, remote.NotExist) {
		t.Errorf("got %v, want does not exist", err)
	}
}

// What a killed daemon leaves: its socket, its note, its lock file. The next one starts over them.
func TestAfterAKilledDaemon(t *testing.T) {
	r := newRig(t, func(r *rig) {
		if err := os.MkdirAll(r.opt.CatalogDir, 0o700); err != nil {
			t.Fatal(err)
		}
		for name, content := range map[string]string{control.SocketName: "", control.LockName: "99999999\n"} {
			if err := os.WriteFile(filepath.Join(r.opt.CatalogDir, name), []byte(content), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if err := r.opt.Registry.add(Mount{Dir: "/mnt/photos", PID: 99999999, CatalogDir: "/nowhere"}); err != nil {
			t.Fatal(err)
		}
	})
	m, err := r.opt.Registry.Find("/mnt/photos")
	if err != nil || m.PID != os.Getpid() || !m.Alive() {
		t.Errorf("noted %+v, %v; want this process, alive", m, err)
	}
}
