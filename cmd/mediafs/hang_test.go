package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"mediafs/fs/daemon"
	"mediafs/remote/storetest/wiretap"
)

// blockAtPoint has a daemon stand still for ever at a named point of its work.
const blockAtPoint = "MEDIAFS_TEST_BLOCK_AT"

func init() {
	point := os.Getenv(blockAtPoint)
	if point == "" {
		return
	}
	before := step
	step = func(p string) {
		if p == point {
			select {}
		}
		if before != nil {
			before(p)
		}
	}
}

// dead tells whether the daemon of a catalog directory has ended.
func dead(catalogDir string) bool { return !(daemon.Mount{CatalogDir: catalogDir}).Alive() }

// storm is a program that does everything again and again, and bears no error: EINTR least of all.
func storm(dir string) error {
	for i := range 4 {
		name, next := filepath.Join(dir, fmt.Sprint("a", i)), filepath.Join(dir, fmt.Sprint("b", i))
		want := bytes.Repeat([]byte{byte(i + 1)}, 300_000)
		f, err := os.Create(name)
		if err != nil {
			return err
		}
		if _, err := f.Write(want); err != nil {
			return err
		}
		if err := f.Sync(); err != nil {
			return err
		}
		if _, err := f.WriteAt([]byte("edit"), 1000); err != nil {
			return err
		}
		copy(want[1000:], "edit")
		if err := f.Close(); err != nil {
			return err
		}
		if err := os.Rename(name, next); err != nil {
			return err
		}
		if got, err := os.ReadFile(next); err != nil || !bytes.Equal(got, want) {
			return errors.Join(err, fmt.Errorf("%s: %d bytes", next, len(got)))
		}
		if err := os.Mkdir(name, 0o755); err != nil {
			return err
		}
		if err := os.Link(next, filepath.Join(name, "link")); err != nil {
			return err
		}
		if err := os.Truncate(next, 1000); err != nil {
			return err
		}
		if err := os.RemoveAll(name); err != nil {
			return err
		}
		if _, err := os.ReadDir(dir); err != nil {
			return err
		}
		if err := os.Remove(next); err != nil {
			return err
		}
	}
	return nil
}

// A Go program gets a signal for every goroutine that runs for long. None of them breaks a call on
// the mount, however long that waits for the store.
func TestSignalStorm(t *testing.T) {
	w := newWire(t)
	m := w.machine()
	m.mount(w.store)
	defer w.tap.Fault(wiretap.Fault{Latency: 30 * time.Millisecond})()
	cmd, said := m.startOperation(runAsOperator, "storm", m.mnt)
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	signals := 0
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	hang := time.After(commandDeadline)
	for {
		select {
		case err := <-ended:
			if err != nil {
				t.Errorf("after %d signals: %s", signals, said.err.String())
			}
			if signals < 100 {
				t.Errorf("%d signals are no storm", signals)
			}
			m.umount()
			return
		case <-tick.C:
			if cmd.Process.Signal(syscall.SIGURG) == nil {
				signals++
			}
		case <-hang:
			t.Fatalf("it hangs\n%s", m.dump())
		}
	}
}

// forEver are limits that nothing in a test outlasts: what ends there is ended by something else.
const forEver = "answer=1h,stall=1h,read=1h,retry=100ms,hang=1h,close=10s"

// Whoever waits for a store that has fallen silent dies when it is killed, and what it had written
// is not lost. Who asks for nothing but names is answered all along.
func TestKilledInTheBlackHole(t *testing.T) {
	w := newWire(t)
	m := w.machine()
	m.mount(w.store)
	cold := t.TempDir()
	pseudoRandom(t, filepath.Join(cold, "cold"), 1<<20)
	m.sh(`cp "$1/cold" cold; echo x > moved; echo x > removed; echo old > copied`, cold)
	m.umount()
	m = w.machine()
	m.env = append(m.env, testLimits+"="+forEver)
	m.mount(w.store, "--append-timeout=1h")
	catalog := m.status().CatalogDir
	silence := w.tap.Fault(wiretap.Fault{BlackHole: true})
	for _, script := range []string{"exec cp /bin/sh copied", "exec cat cold", "exec mkdir folder", "exec mv moved there", "exec rm removed", "exec touch new", "exec truncate -s 1 cold"} {
		cmd := exec.Command("sh", "-c", script)
		cmd.Dir = m.mnt
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		if !waitsInTheMount(cmd.Process.Pid) {
			t.Errorf("%s does not wait", script)
		}
		if err := cmd.Process.Kill(); err != nil {
			t.Error(err)
		}
		begin := time.Now()
		ended := make(chan error, 1)
		go func() { ended <- cmd.Wait() }()
		select {
		case <-ended:
			if cmd.ProcessState.Success() {
				t.Errorf("%s ended well before it was killed", script)
			}
			t.Logf("%s: dead after %s", script, time.Since(begin))
		case <-time.After(20 * time.Second):
			t.Fatalf("%s was killed and goes on\n%s", script, m.dump())
		}
	}
	if out := m.sh(
		"ls -lR",
	); !strings.Contains(out, "cold") || !strings.Contains(out, "copied") ||
		!strings.Contains(out, "folder") {
		t.Errorf("listed in the black hole: %s", out)
	}
	if code, _, stderr := m.mediafs("umount", "--timeout=300ms", m.mnt); code != exitPending || !m.mounted() {
		t.Errorf("umount in the black hole: exit code %d, %s", code, stderr)
	}
	if said := m.do("umount", "--force", m.mnt); !strings.Contains(said, "not in the store yet") || m.mounted() ||
		!dead(catalog) {
		t.Errorf("umount --force in the black hole: %s; mounted %v, daemon dead %v", said, m.mounted(), dead(catalog))
	}
	silence()
	m.mount(w.store)
	m.umount()
	m = w.machine()
	m.mount(w.store)
	if out := m.sh(`cmp copied /bin/sh && ls`); out != "cold\ncopied\nfolder\nnew\nthere\n" {
		t.Errorf("in the store is %q", out)
	}
	m.umount()
}

// waitsInTheMount waits until a process stands in a call that a FUSE daemon has to answer, and
// stays there.
func waitsInTheMount(pid int) bool {
	there := 0
	return eventually(func() bool {
		stack, err := os.ReadFile(fmt.Sprintf("/proc/%d/stack", pid))
		if err != nil { // only root sees it; whoever has nothing else to wait for sleeps there
			stat, _ := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
			if _, state, ok := strings.Cut(string(stat), ") "); ok && (state[0] == 'S' || state[0] == 'D') {
				stack = []byte("fuse_")
			}
		}
		// A read waits for a page, whatever file system fills it.
		if !bytes.Contains(stack, []byte("fuse_")) && !bytes.Contains(stack, []byte("filemap_")) {
			there = 0
		}
		there++
		return there > 20
	})
}

// When something in the daemon stands still for ever, callers get an error, the log says where it
// stands, the daemon ends, and the next mount needs nobody's help and has everything that was
// written.
func TestStuckDaemon(t *testing.T) {
	for _, point := range []string{"spool written", "chunk", "complete", "pinned", "confirm"} {
		t.Run(point, func(t *testing.T) {
			w := newWire(t)
			m := w.machine()
			m.mount(w.store)
			m.sh("echo before > before")
			m.umount()
			env := m.env
			m.env = append(
				env[:len(env):len(env)], blockAtPoint+"="+point,
				testLimits+"=answer=5s,stall=5s,read=5s,retry=100ms,hang=1s,close=1s",
			)
			m.mount(w.store, "--append-timeout=1h")
			m.env = env
			catalog := m.status().CatalogDir
			source := t.TempDir()
			pseudoRandom(t, filepath.Join(source, "film"), testChunk+1000)
			begin := time.Now()
			o := m.operate(runAsOperator, "create", filepath.Join(m.mnt, "new"), filepath.Join(source, "film"))
			if o.failed == "" {
				t.Error("a stuck daemon has stored a file")
			}
			t.Logf("%s after %s, %q", o.failed, time.Since(begin), o.output)
			if !eventually(func() bool { return dead(catalog) }) {
				t.Fatalf("the daemon goes on\n%s", m.dump())
			}
			logs, err := filepath.Glob(filepath.Join(m.home, ".local/state/mediafs/*.log"))
			if err != nil || len(logs) != 1 {
				t.Fatalf("logs %v, %v", logs, err)
			}
			text, err := os.ReadFile(logs[0])
			if err != nil || !bytes.Contains(text, []byte("a request has had no answer for 1s")) ||
				!bytes.Contains(text, []byte("mediafs.init.")) {
				t.Errorf("the log does not say where it stands (%v)", err)
			}
			for _, secret := range []string{w.server.SecretKey, w.server.AccessKey} {
				if bytes.Contains(text, []byte(secret)) {
					t.Error("a secret is in the log")
				}
			}
			m.mount(w.store)
			m.do("flush", m.mnt)
			mustRead(t, filepath.Join(m.mnt, "before"), "before\n")
			got, _ := os.ReadFile(filepath.Join(m.mnt, "new"))
			want, err := os.ReadFile(filepath.Join(source, "film"))
			switch {
			case err != nil:
				t.Fatal(err)
			case !bytes.HasPrefix(want, got):
				t.Errorf("%d bytes, others than were written", len(got))
			case strings.Contains(o.output, "written") && len(got) != len(want):
				t.Errorf("%d bytes of %d, although they were written", len(got), len(want))
			}
			m.umount()
		})
	}
}

// umount ends whatever the daemon does, and frees who waits there.
func TestUmountOfAStuckDaemon(t *testing.T) {
	w := newWire(t)
	m := w.machine()
	env := m.env
	m.env = append(
		env[:len(env):len(env)], blockAtPoint+"=spool written",
		testLimits+"=answer=1h,stall=1h,read=1h,retry=100ms,hang=1h,close=500ms",
	)
	m.mount(w.store, "--append-timeout=1h")
	m.env = env
	catalog := m.status().CatalogDir
	cmd := exec.Command("sh", "-c", "exec echo kept > file")
	cmd.Dir = m.mnt
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if !eventually(func() bool { return m.status().Pending.Files == 1 }) {
		t.Fatal("nothing was written")
	}
	if code, _, stderr := m.mediafs("umount", "--timeout=300ms", m.mnt); code == exitOK || !m.mounted() {
		t.Errorf("umount: exit code %d, %s", code, stderr)
	}
	code, stdout, stderr := m.mediafs("umount", "--force", "--timeout=10s", m.mnt)
	t.Logf("umount --force: exit code %d, %s%s", code, stdout, stderr)
	if m.mounted() {
		t.Error("still mounted")
	}
	if err := cmd.Wait(); err == nil {
		t.Error("a write that was never answered worked")
	}
	if !eventually(func() bool { return dead(catalog) }) {
		t.Fatalf("the daemon goes on\n%s", m.dump())
	}
	m.mount(w.store)
	mustRead(t, filepath.Join(m.mnt, "file"), "kept\n")
	m.umount()
}

// umount --force frees also who waits for a daemon that was stopped by a signal.
func TestForceFreesFromAStoppedDaemon(t *testing.T) {
	m := newMachine(t)
	_, url := m.localStore()
	m.mount(url)
	write(t, filepath.Join(m.mnt, "x"), "y")
	s := m.status()
	if err := syscall.Kill(s.PID, syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	defer syscall.Kill(s.PID, syscall.SIGKILL)
	cmd := exec.Command("mkdir", filepath.Join(m.mnt, "folder"))
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if !waitsInTheMount(cmd.Process.Pid) {
		t.Fatal("it does not wait")
	}
	if said := m.do("umount", "--force", "--timeout=100ms", m.mnt); !strings.Contains(said, "still runs") ||
		m.mounted() {
		t.Errorf("umount --force said %q; mounted %v", said, m.mounted())
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	select {
	case err := <-ended:
		if err == nil {
			t.Error("a folder was made by a stopped daemon")
		}
	case <-time.After(20 * time.Second):
		t.Error("who waits was not freed")
	}
	// Once it goes on it finds that it has no mount any more.
	if err := syscall.Kill(s.PID, syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	if !eventually(func() bool { return dead(s.CatalogDir) }) {
		t.Fatalf("the daemon goes on\n%s", m.dump())
	}
	m.mount(url)
	mustRead(t, filepath.Join(m.mnt, "x"), "y")
	m.umount()
}

// A dead mount with somebody in it is no obstacle for the next.
func TestMountOverADeadOneInUse(t *testing.T) {
	m := newMachine(t)
	_, url := m.localStore()
	m.mount(url)
	write(t, filepath.Join(m.mnt, "x"), "y")
	// It sits there with its folder, an open file and a mapping, and says when, and later what it
	// sees.
	sitter := exec.CommandContext(
		deadline(t), "sh", "-c", `exec 3<x && echo there && read go && { ls; cat <&3; } 2>&1; pwd -P 2>&1; true`,
	)
	sitter.Dir = m.mnt
	in, err := sitter.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	var said lockedBuffer
	sitter.Stdout = &said
	if err := sitter.Start(); err != nil {
		t.Fatal(err)
	}
	if !eventually(func() bool { return strings.Contains(said.String(), "there") }) {
		t.Fatal("nobody sits there")
	}
	for range 2 { // the second time the dead one that is removed lies over nothing
		m.kill()
		if said := m.mount(url); !strings.Contains(said, "died; its mount was removed") {
			t.Errorf("mount over a dead one said %q", said)
		}
		mustRead(t, filepath.Join(m.mnt, "x"), "y")
	}
	if _, err := in.Write([]byte("\n")); err != nil {
		t.Error(err)
	}
	if err := sitter.Wait(); err != nil {
		t.Errorf("who sat there: %v", err)
	}
	if !strings.Contains(said.String(), "not connected") {
		t.Errorf("who sat there saw %q", said.String())
	}
	m.umount()
}

// lockedBuffer takes what a process says while a test looks at it.
type lockedBuffer struct{ text atomic.Value }

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.text.Store(b.String() + string(p)) // one process writes
	return len(p), nil
}

func (b *lockedBuffer) String() string {
	s, _ := b.text.Load().(string)
	return s
}
