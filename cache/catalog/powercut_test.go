package catalog

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"iter"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"

	"mediafs/remote"
	"mediafs/remote/bucket"
	"mediafs/remote/bucket/record"
)

// The tests of this file cut the power of the disk below a catalog right after a point that one of
// its syncs is for, and each fails without that sync.

// A powered is a file system in a file, whose power can be cut.
type powered struct {
	t     *testing.T
	kind  string
	image string
	dir   string // of the catalog
}

// onDisks runs a test on each file system.
func onDisks(t *testing.T, test func(t *testing.T, d *powered)) {
	if os.Geteuid() != 0 {
		t.Skip("not root: no file system can be mounted here")
	}
	for _, kind := range []string{"ext4", "xfs"} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			if _, err := exec.LookPath("mkfs." + kind); err != nil {
				t.Skipf("no mkfs.%s here (Debian packages e2fsprogs, xfsprogs)", kind)
			}
			d := &powered{t: t, kind: kind, image: filepath.Join(t.TempDir(), "image")}
			const size = 320 << 20 // XFS takes no less than 300 MiB
			if err := errors.Join(os.WriteFile(d.image, nil, 0o600), os.Truncate(d.image, size)); err != nil {
				t.Fatal(err)
			}
			if out, err := exec.Command("mkfs."+kind, "-q", d.image).CombinedOutput(); err != nil {
				t.Fatalf("mkfs.%s: %v\n%s", kind, err, out)
			}
			d.dir = d.mount("loop", d.image)
			test(t, d)
		})
	}
}

func (d *powered) mount(options, image string) (dir string) {
	d.t.Helper()
	at := d.t.TempDir()
	if out, err := exec.Command("mount", "-o", options, image, at).CombinedOutput(); err != nil {
		d.t.Skipf("no %s can be mounted from a file here: %v: %s", d.kind, err, out)
	}
	// The catalog on it is never closed, as that of a machine without power is not: its descriptors
	// last as long as this process.
	d.t.Cleanup(func() { unix.Unmount(at, unix.MNT_DETACH) }) //nolint:errcheck // nothing more can be done
	return filepath.Join(at, "catalog")
}

// cut has the disk keep what it has: from here on nothing more reaches it, neither what is in
// memory nor what the file system's own log has not.
func (d *powered) cut() {
	const shutdown, noLogFlush = 0x8004587d, 2 // FS_IOC_SHUTDOWN
	f, err := os.Open(d.dir)
	if err == nil {
		err = errors.Join(unix.IoctlSetPointerInt(int(f.Fd()), shutdown, noLogFlush), f.Close())
	}
	if err != nil {
		d.t.Errorf("cut the power: %v", err)
	}
}

// settled has everything that was written so far reach the disk.
func (d *powered) settled() {
	f, err := os.Open(d.dir)
	if err == nil {
		err = errors.Join(unix.Syncfs(int(f.Fd())), f.Close())
	}
	if err != nil {
		d.t.Errorf("sync the disk: %v", err)
	}
}

// next mounts what is on the disk at the next boot, and gives the catalog's directory.
func (d *powered) next() string {
	d.t.Helper()
	copied := filepath.Join(d.t.TempDir(), "image")
	if err := copySparse(d.image, copied); err != nil {
		d.t.Fatal(err)
	}
	options := "loop"
	if d.kind == "xfs" {
		options += ",nouuid" // the first one is still mounted
	}
	return d.mount(options, copied)
}

// steps has a catalog do something at the nth passings of points: "point n" → what. What stands is
// never woken again.
type atSteps map[string]func()

func (s atSteps) use(o *Options) {
	passed := make(map[string]int)
	var mu sync.Mutex
	o.Step = func(point string) {
		mu.Lock()
		passed[point]++
		n := passed[point]
		mu.Unlock()
		if do := s[fmt.Sprint(point, " ", n)]; do != nil {
			do()
		}
	}
}

// halted is where a catalog without power stands for ever, with its lock: nobody may touch Badger's
// memory maps any more, which is death by SIGBUS.
func (d *powered) halted(a **box) (halt func(), there chan struct{}) {
	there = make(chan struct{})
	return func() {
		if *a != nil {
			(*a).mu.Lock()
		}
		d.cut()
		close(there)
		select {}
	}, there
}

// runBlobs is "blobs K", which writes 480,000 bytes under eight settings, besides the words of
// runWord.
func runBlobs(tx *Tx, intent []byte) error {
	k, ok := strings.CutPrefix(string(intent), "blobs ")
	if !ok {
		return runWord(tx, intent)
	}
	for i := range 8 {
		tx.Put(record.SettingKey(fmt.Sprint(k, i)), bytes.Repeat([]byte(k), 60000))
	}
	return nil
}

func blobs(o *Options) { o.Run = runBlobs }

// The pin is on the disk before its PUT: one that is still on its way when the power goes, and
// lands when the next process is about to append, is known as this directory's. Without the sync
// the commit looks like one of a copy of the directory, and writing stops for good.
func TestPowerCutAfterPin(t *testing.T) {
	onDisks(t, func(t *testing.T, d *powered) {
		w := newWorld(t)
		var a *box
		halt, there := d.halted(&a)
		var late *pin
		do := atSteps{"pinned 2": func() {
			if err := a.Sync(); err != nil { // the outbox may be on the disk: a close with uploads behind has it there
				t.Error(err)
			}
			late = a.st.pin
			halt()
		}}
		a = (&world{t: t, mem: w.mem, leaky: true}).open(d.dir, boot("one"), plain, do.use)
		a.must("add k 1")
		go a.word("add k 2") //nolint:errcheck // it never returns
		<-there
		lands := atSteps{"pinned 1": func() {
			s, err := bucket.Open(t.Context(), w.mem, w.options())
			if err == nil {
				err = s.Append(t.Context(), late.seq, late.body)
			}
			if err != nil {
				t.Error(err)
			}
		}}
		again := w.open(d.next(), boot("two"), lands.use)
		if err := again.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		again.must("add k 4")
		if n := again.number("k"); n != 7 {
			t.Errorf("k is %d, not 7", n)
		}
	})
}

// A session is on the disk before anything is appended under it, together with what has left the
// outbox before: else the directory takes its own commit for a stranger's and refuses to be opened
// with what it has still to append, or does again what an earlier session had done.
func TestPowerCutAfterVouching(t *testing.T) {
	onDisks(t, func(t *testing.T, d *powered) {
		w := newWorld(t)
		first := w.open(d.dir, boot("one"), blobs)
		first.must("add k 1")
		first.bad.SetDown(true)
		first.abandon("add k 2")
		if err := first.Close(); err != nil {
			t.Fatal(err)
		}
		var a *box
		halt, there := d.halted(&a)
		opened := make(chan struct{})
		do := atSteps{
			"pinned 1": func() { <-opened },
			"appended 1": func() { // of the earlier session
				a.abandon("blobs a")
				a.abandon("blobs b") // which the commit after this one has no room for
				d.settled()
			},
			"appended 2": halt,
		}
		a = (&world{t: t, mem: w.mem, leaky: true}).open(d.dir, boot("one"), plain, blobs, do.use)
		client := a.Client()
		close(opened)
		<-there
		again := w.open(d.next(), boot("two"), blobs)
		if err := again.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		if n := again.number("k"); n != 3 || again.Client() != client {
			t.Errorf("k is %d, not 3; client %d was %d", n, again.Client(), client)
		}
		fresh := w.open(t.TempDir())
		fresh.view(func(tx *Tx) {
			for _, k := range []string{"a7", "b7"} {
				if len(tx.Get(record.SettingKey(k))) != 60000 {
					t.Errorf("%s is not in the log", k)
				}
			}
		})
	})
}

// Numbers are reserved on the disk before one of them is given: a node of a pinned batch keeps its
// id for itself after a loss of power.
func TestPowerCutAfterReserving(t *testing.T) {
	onDisks(t, func(t *testing.T, d *powered) {
		w := newWorld(t)
		var a *box
		halt, there := d.halted(&a)
		a = (&world{t: t, mem: w.mem, leaky: true}).open(d.dir, boot("one"), plain, atSteps{"pinned 2": halt}.use)
		a.must("add k 1") // and vouches for its session, which syncs as well
		given := make(map[uint64]bool)
		id := uint64(0)
		for range reserved + 1 {
			var err error
			if id, err = a.NewID(); err != nil {
				t.Fatal(err)
			}
			given[id] = true
		}
		go a.word("name 1 x %d", id) //nolint:errcheck // it never returns
		<-there
		again := w.open(d.next(), boot("two"))
		id, err := again.NewID()
		if err != nil {
			t.Fatal(err)
		}
		if given[id] {
			t.Errorf("id %d is given again", id)
		}
		again.must("name 1 y %d", id)
		again.view(func(tx *Tx) {
			if x, y := tx.Dentry(1, "x"), tx.Dentry(1, "y"); x == nil || y == nil || x.Node == y.Node {
				t.Errorf("x is %v, y is %v", x, y)
			}
		})
	})
}

// The marker of use is on the disk before the catalog changes: after a loss of power nobody trusts
// what is there.
func TestPowerCutAfterOpening(t *testing.T) {
	onDisks(t, func(t *testing.T, d *powered) {
		w := newWorld(t)
		first := w.open(d.dir, boot("one"))
		first.must("add k 1")
		if err := first.Close(); err != nil {
			t.Fatal(err)
		}
		d.settled()
		var opening *box // there is none yet, and so nobody else
		halt, there := d.halted(&opening)
		go (&world{t: t, mem: w.mem, leaky: true}).try(
			d.dir, boot("two"), func(o *Options) { o.Store = unread{o.Store, halt} },
		) //nolint:errcheck // it never returns
		<-there
		b, err := os.ReadFile(filepath.Join(d.next(), "in-use"))
		if err != nil || string(b) != "two" {
			t.Errorf("the marker says %q, %v", b, err)
		}
	})
}

// unread is a log that does something when it is read for the first time, which is before anything
// of it is applied.
type unread struct {
	remote.Log
	first func()
}

func (u unread) Read(context.Context, uint64) iter.Seq2[remote.LogEntry, error] {
	u.first()
	return nil
}

// plain has nobody but the appender write to a disk whose power is about to be cut.
func plain(o *Options) { o.NoIndex = true }
