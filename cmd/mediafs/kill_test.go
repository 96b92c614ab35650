package main

import (
	"bytes"
	"context"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"mediafs/fs/control"
	"mediafs/fs/daemon"
	"mediafs/remote/storetest/wiretap"
)

const (
	// runAsCopier as the value of runAsProgram makes the test binary a program that copies a tree
	// and keeps a journal.
	runAsCopier = "copier"
	// killAtPoint has a daemon kill itself: name of the point, how often it is passed, file to
	// leave as a sign, with | between.
	killAtPoint = "MEDIAFS_TEST_KILL_AT"
	// killCount says how often TestKillMoments kills; scripts/test leaves it at defaultKills.
	killCount    = "MEDIAFS_TEST_KILLS"
	defaultKills = 20
)

func init() {
	if os.Getenv(runAsProgram) == runAsCopier {
		if err := copyWithJournal(os.Args[1], os.Args[2], os.Args[3]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	if d, err := time.ParseDuration(os.Getenv(flushAfter)); err == nil {
		flushDelay = d
	}
	if f := strings.Split(os.Getenv(killAtPoint), "|"); len(f) == 3 {
		nth, _ := strconv.ParseInt(f[1], 10, 64)
		var passed atomic.Int64
		step = func(point string) {
			if point != f[0] || passed.Add(1) != nth {
				return
			}
			os.WriteFile(f[2], nil, 0o600)
			syscall.Kill(os.Getpid(), syscall.SIGKILL)
			select {}
		}
	}
}

// copyWithJournal copies the files of a folder one after the other. After each write that returned
// without an error it notes the file's name and how much is written; after each close the name and
// "closed".
func copyWithJournal(from, to, journal string) error {
	j, err := os.OpenFile(journal, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	defer j.Close()
	if err := os.Mkdir(to, 0o755); err != nil {
		return err
	}
	entries, err := os.ReadDir(from)
	if err != nil {
		return err
	}
	for _, e := range entries {
		b, err := os.ReadFile(filepath.Join(from, e.Name()))
		if err != nil {
			return err
		}
		f, err := os.OpenFile(filepath.Join(to, e.Name()), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
		if err != nil {
			return err
		}
		written := 0
		for piece := range slices.Chunk(b, 300_000) {
			n, err := f.Write(piece)
			if err != nil {
				return err
			}
			written += n
			if _, err := fmt.Fprintln(j, e.Name(), written); err != nil {
				return err
			}
		}
		if err := f.Close(); err != nil {
			return err
		}
		if _, err := fmt.Fprintln(j, e.Name(), "closed"); err != nil {
			return err
		}
	}
	return nil
}

// A moment is when a daemon is killed: at a request that the tap sees, or at a point that the
// daemon passes.
type moment struct {
	name    string
	request func(wiretap.Request) bool
	after   bool   // when the store has answered, and not before it hears of the request
	point   string // without request
	most    int    // a copy passes it at least so often
}

func isChunk(r wiretap.Request) bool    { return r.Method == "PUT" && r.Kind() == "partNumber" }
func isComplete(r wiretap.Request) bool { return r.Method == "POST" && r.Kind() == "uploadId" }
func isAppend(r wiretap.Request) bool   { return r.Method == "PUT" && strings.HasPrefix(r.Key, "log/") }

var moments = []moment{
	{name: "before a chunk", request: isChunk, most: 2},
	{name: "after a chunk", request: isChunk, after: true, most: 2},
	{name: "before complete", request: isComplete, most: 1},
	{name: "after complete", request: isComplete, after: true, most: 1},
	{name: "before an append", request: isAppend, most: 12},
	{name: "after an append", request: isAppend, after: true, most: 12},
	{name: "before a write to the spool", point: "spool write", most: 60},
	{name: "after a write to the spool", point: "spool written", most: 60},
	{name: "after the pin", point: "pinned", most: 12},
	{name: "before applying", point: "confirm", most: 12},
	{name: "after applying", point: "confirmed", most: 12},
}

// killed is where one machine copies and is killed again and again.
type killed struct {
	*wire
	t       *testing.T
	m       *machine
	upload  string // the flag
	source  string
	closed  map[string]bool // round/name of what was closed, in all rounds
	written map[string]int  // round/name → bytes
}

// TestKillMoments kills the daemon at every moment where a write is on its way from the spool to
// the log, mounts again, and looks with another machine for everything that was written.
// scripts/test-kills kills more often.
func TestKillMoments(t *testing.T) {
	if testing.Short() {
		t.Skip("copies hundreds of megabytes")
	}
	kills := defaultKills
	if text := os.Getenv(killCount); text != "" {
		var err error
		if kills, err = strconv.Atoi(text); err != nil || kills < len(moments) {
			t.Fatalf("%s=%s: a number from %d on is needed", killCount, text, len(moments))
		}
	}
	source := filepath.Join(t.TempDir(), "source")
	if err := os.Mkdir(source, 0o700); err != nil {
		t.Fatal(err)
	}
	for i := range 12 {
		pseudoRandom(t, filepath.Join(source, fmt.Sprintf("%c-small", 'a'+i)), int64(1+i*3001))
	}
	pseudoRandom(t, filepath.Join(source, "f-large"), 36<<20) // two or three chunks
	for _, upload := range []string{"close", "background"} {
		t.Run(upload, func(t *testing.T) {
			t.Parallel()
			w := newWire(t)
			k := &killed{
				wire:    w,
				t:       t,
				m:       w.machine(),
				upload:  "--upload=" + upload,
				source:  source,
				closed:  map[string]bool{},
				written: map[string]int{},
			}
			for i := range kills {
				mo := moments[i%len(moments)]
				k.round(fmt.Sprint("round-", i), mo, 1+i*5%mo.most)
				if t.Failed() {
					return
				}
			}
		})
	}
}

// round copies the source into a folder of its own until the nth of a moment.
func (k *killed) round(folder string, mo moment, nth int) {
	t, m := k.t, k.m
	t.Logf("%s: %s, the %d. one", folder, mo.name, nth)
	sign, journal := filepath.Join(m.home, folder+".killed"), filepath.Join(m.home, folder+".journal")
	env := m.env
	if mo.point != "" {
		m.env = append(env[:len(env):len(env)], fmt.Sprintf("%s=%s|%d|%s", killAtPoint, mo.point, nth, sign))
	}
	m.mount(k.store, k.upload, "--cache-size=64MiB")
	m.env = env
	s := m.status()
	if mo.request != nil {
		k.killAtRequest(mo, nth, s, sign)
	}
	output, err := k.copy(filepath.Join(m.mnt, folder), journal)
	if err == nil {
		m.mediafs("flush", m.mnt) // with uploads behind, the moment is still to come
	}
	if _, err := os.Stat(sign); err != nil {
		t.Fatalf("the moment never was: the copy ended with %q (%v)", output, err)
	}
	if !eventually(func() bool { return !(daemon.Mount{CatalogDir: s.CatalogDir}).Alive() }) {
		t.Fatal("killed, and still there")
	}
	k.tap.Before(nil)
	k.tap.After(nil)

	m.do("umount", m.mnt)
	m.mount(k.store, k.upload, "--cache-size=64MiB")
	m.do("flush", m.mnt)
	if s := m.status(); !s.Pending.None() || s.LastError != nil || s.Dropped != 0 {
		t.Errorf("after the flush: pending %+v, dropped %d, %+v", s.Pending, s.Dropped, s.LastError)
	}
	m.umount()
	if left, err := os.ReadDir(filepath.Join(s.CatalogDir, "spool")); err != nil || len(left) != 0 {
		t.Errorf("left in the spool: %v, %v", left, err)
	}
	k.readJournal(folder, journal)
	k.check(folder)
}

// readJournal notes what the copier did before it broke off.
func (k *killed) readJournal(folder, journal string) {
	b, err := os.ReadFile(journal)
	if err != nil {
		k.t.Fatal(err)
	}
	closed := 0
	for line := range strings.Lines(string(b)) {
		name, what, _ := strings.Cut(strings.TrimSuffix(line, "\n"), " ")
		name = folder + "/" + name
		if what == "closed" {
			k.closed[name] = true
			closed++
		} else if k.written[name], err = strconv.Atoi(what); err != nil {
			k.t.Fatal(err)
		}
	}
	k.t.Logf("%d files were closed", closed)
}

// killAtRequest has the daemon killed at the nth of its requests that a moment is about. The store
// hears of it or does not, the daemon hears no answer.
func (k *killed) killAtRequest(mo moment, nth int, s control.Status, sign string) {
	var passed atomic.Int64
	hook := func(r *wiretap.Request) {
		if !mo.request(*r) || passed.Add(1) != int64(nth) {
			return
		}
		os.WriteFile(sign, nil, 0o600)
		syscall.Kill(s.PID, syscall.SIGKILL)
		eventually(func() bool { return !(daemon.Mount{CatalogDir: s.CatalogDir}).Alive() })
		r.Drop()
	}
	if mo.after {
		k.tap.After(hook)
	} else {
		k.tap.Before(hook)
	}
}

// copy runs the copier in a process of its own: what hangs in the mount hangs that one.
func (k *killed) copy(to, journal string) (output string, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), commandDeadline)
	defer cancel()
	self, err := os.Executable()
	if err != nil {
		k.t.Fatal(err)
	}
	cmd := exec.CommandContext(ctx, self, k.source, to, journal)
	cmd.Env = append(os.Environ(), runAsProgram+"="+runAsCopier)
	out, err := cmd.CombinedOutput()
	if ctx.Err() != nil {
		k.t.Fatalf("the copier hung: %s", out)
	}
	return string(out), err
}

// check looks at a round's folder with a machine that knows nothing but the store: what was closed
// is exact, whatever a write had taken is there, and nothing has bytes that were never written. Of
// former rounds it looks whether every file still has its size.
func (k *killed) check(folder string) {
	t := k.t
	reader := newMachine(t, credentials(k.server)...)
	reader.mount(k.store, "--read-only")
	err := filepath.WalkDir(filepath.Join(reader.mnt, folder), func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		got, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		whole, err := os.ReadFile(filepath.Join(k.source, d.Name()))
		switch {
		case err != nil:
			t.Errorf("%s was never written: %v", d.Name(), err)
		case !bytes.HasPrefix(whole, got):
			t.Errorf("%s has %d bytes that were never written there, %d would be right", d.Name(), len(got), len(whole))
		case k.closed[folder+"/"+d.Name()] && len(got) < len(whole):
			t.Errorf("%s was closed, and has %d of %d bytes", d.Name(), len(got), len(whole))
		}
		return nil
	})
	if err != nil && !os.IsNotExist(err) { // the kill came before the folder was made
		t.Error(err)
	}
	for name, written := range k.written {
		if got, err := os.Stat(filepath.Join(reader.mnt, name)); err != nil {
			t.Errorf("%d bytes of it were written: %v", written, err)
		} else if got.Size() < int64(written) {
			t.Errorf("%s has %d bytes, %d were written", name, got.Size(), written)
		}
	}
	reader.umount()
}
