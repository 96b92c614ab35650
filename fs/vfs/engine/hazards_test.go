package engine_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"mediafs/cache/catalog"
	"mediafs/fs/vfs"
	"mediafs/fs/vfs/engine"
	"mediafs/remote"
	"mediafs/remote/object"
	"mediafs/remote/object/mem"
	"mediafs/remote/storetest"
)

// The tests of this file are about what could lose bytes that somebody was told are safe, or keep
// somebody waiting for a store that he needs nothing from.

// opener and child are two processes where the library tells them apart.
var opener, child = vfs.Caller{PID: 1}, vfs.Caller{PID: 2}

func processes(o *engine.Options) { o.ThreadGroup = func(tid uint32) uint32 { return tid } }

func trashing(o *engine.Options) { o.Trash = time.Hour }

// impatient gives the log up soon, and the upload after it.
func impatient(o *engine.Options) {
	o.Catalog.AppendTimeout = 20 * time.Millisecond
	o.UploadTimeout = 50 * time.Millisecond
}

// made has a machine of its own, which nothing hurries, make a media.
func made(t *testing.T, b object.Bucket, name, data string) {
	t.Helper()
	s := openMachine(t, b, t.TempDir()).with(t)
	s.write(name, data)
	s.ok(s.Close())
}

// open opens a media for the opener and keeps no reference but the file's.
func (s steps) open(name string, flags int) vfs.File {
	s.t.Helper()
	f, err := s.Open(bg, opener, s.stat(name).ID, uint32(flags))
	s.ok(err)
	return f
}

// sees waits until a machine has what another one did.
func (s steps) sees(name, data string) {
	s.t.Helper()
	waitFor(s.t, func() bool { return slices.Contains(s.names(), name) && s.read(name) == data })
}

func (s steps) names() (all []string) {
	s.t.Helper()
	d, err := s.OpenDir(bg, vfs.Root)
	s.ok(err)
	defer d.Release()
	s.ok(d.Read(bg, 2, false, func(group []vfs.DirEntry) bool {
		for _, e := range group {
			all = append(all, e.Name)
		}
		return true
	}))
	slices.Sort(all)
	return all
}

// kept lists what the versions of a media hold, sorted.
func (s steps) kept(b object.Bucket, media []byte) (all []string) {
	s.t.Helper()
	for _, v := range s.versions(media) {
		all = append(all, s.bytesOf(b, v.Head))
	}
	slices.Sort(all)
	return all
}

// result is the answer of something that a mistake would keep waiting for ever.
func result[T any](t testing.TB, what string, answer <-chan T) (v T) {
	t.Helper()
	select {
	case v = <-answer:
	case <-time.After(20 * time.Second):
		t.Fatal(what + " waits for an upload that does not end")
	}
	return v
}

// A waiter is a context that tells when somebody begins to wait.
type waiter struct {
	context.Context
	once  sync.Once
	waits chan struct{}
}

func (w *waiter) Done() <-chan struct{} {
	w.once.Do(func() { close(w.waits) })
	return w.Context.Done()
}

// heldUpload is a machine with a media, "f", of which an upload behind is on its way that ends only
// when it is let go.
func heldUpload(t *testing.T, change ...func(*engine.Options)) (s steps, f vfs.File, letGo func()) {
	t.Helper()
	bad := storetest.New(mem.New(mem.Options{}))
	made(t, bad, "f", "")
	s = openMachine(t, bad, t.TempDir(), append(change, processes)...).with(t)
	f = s.open("f", os.O_RDWR)
	s.put(f, "hello", 0)
	gate := make(chan struct{})
	letGo = sync.OnceFunc(func() { close(gate) })
	bad.Fail(storetest.Fault{Op: storetest.Put, Prefix: "content/", Action: storetest.Hold, Release: gate})
	s.ok(f.Flush(bg, child))
	waitFor(t, func() bool { return bad.Count(storetest.Put, "content") > 0 })
	return s, f, letGo
}

// A file that lost its last name keeps its bytes and its size for who has it open, whatever fsync
// finds to do.
func TestUnlinkedFileKeepsItsSize(t *testing.T) {
	s := openMachine(t, mem.New(mem.Options{}), t.TempDir()).with(t)
	defer s.Close()
	a, f, err := s.Create(bg, me, vfs.Root, "f", 0o644, uint32(os.O_RDWR))
	s.ok(err)
	s.unlink("f")
	s.put(f, "hello", 0)
	for _, when := range []string{"before", "after"} {
		st, err := s.GetAttr(bg, a.ID)
		if got := s.readFile(f); err != nil || st.Size != 5 || got != "hello" {
			t.Errorf("%s fsync: size %d, bytes %q, %v", when, st.Size, got, err)
		}
		s.ok(f.Fsync(bg))
	}
	f.Release()
	s.Forget(a.ID, 1)
}

// A file that is open for writing here and was replaced elsewhere since it was last uploaded reads
// as the new head, and what is written then goes onto that: the spool's copy of the old one hides
// and replaces nothing.
func TestWriteOntoAHeadFromElsewhere(t *testing.T) {
	b := mem.New(mem.Options{})
	s, o := openMachine(t, b, t.TempDir()).with(t), openMachine(t, b, t.TempDir()).with(t)
	defer s.Close()
	defer o.Close()
	f := s.create("f", "aaaaa")
	s.ok(f.Fsync(bg))
	s.read("f")
	o.sees("f", "aaaaa")
	o.write("f", "BBBBBBBBBB")
	waitFor(t, func() bool { return s.stat("f").Size == 10 })
	r := s.open("f", os.O_RDONLY)
	if got := s.readFile(r); got != "BBBBBBBBBB" || r.KeepCache() {
		t.Errorf("opened anew it reads %q, the kernel's pages of the old head are kept: %v", got, r.KeepCache())
	}
	r.Release()
	s.put(f, "z", 9)
	s.close(f)
	if got := s.read("f"); got != "BBBBBBBBBz" {
		t.Errorf("after a write of the last byte it holds %q", got)
	}
}

// A truncation that fails changes nothing: the media reads as before, later writes go onto all of
// it, and nothing of it is in the spool for the next mount to upload.
func TestFailedTruncation(t *testing.T) {
	const whole = "0123456789"
	for _, c := range []struct {
		name string
		size int64
		// fail makes the next truncation fail and returns what ends that.
		fail func(t *testing.T, bad *storetest.Faulty, spool string) (end func())
	}{
		{"no room in the spool", 3, func(t *testing.T, bad *storetest.Faulty, spool string) func() {
			// From the moment when the bytes that are left are fetched, their spool file cannot be
			// described any more.
			var blocks []string
			bad.Hook(func(c storetest.Call) error {
				if c.Op != storetest.Get || !strings.HasPrefix(c.Key, "content/") {
					return nil
				}
				files, err := filepath.Glob(spool + "/*.data")
				for _, f := range files {
					block := strings.TrimSuffix(f, ".data") + ".tmp"
					blocks = append(blocks, block)
					err = errors.Join(err, os.Mkdir(block, 0o700))
				}
				return err
			})
			return func() {
				bad.Hook(nil)
				for _, b := range blocks {
					if err := os.Remove(b); err != nil {
						t.Error(err)
					}
				}
			}
		}},
		{"too large for the disk", 1 << 41, func(t *testing.T, _ *storetest.Faulty, _ string) func() {
			var old unix.Rlimit
			if err := unix.Getrlimit(unix.RLIMIT_FSIZE, &old); err != nil {
				t.Fatal(err)
			}
			set := func(l unix.Rlimit) {
				if err := unix.Setrlimit(unix.RLIMIT_FSIZE, &l); err != nil {
					t.Fatal(err)
				}
			}
			signal.Ignore(unix.SIGXFSZ)
			set(unix.Rlimit{Cur: min(1<<40, old.Max), Max: old.Max})
			return func() { set(old); signal.Reset(unix.SIGXFSZ) }
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			bad, dir := storetest.New(mem.New(mem.Options{})), t.TempDir()
			made(t, bad, "f", whole)
			s := openMachine(t, bad, dir).with(t)
			end := c.fail(t, bad, filepath.Join(dir, "spool"))
			_, err := s.SetAttr(bg, me, s.stat("f").ID, nil, vfs.AttrChange{Size: &c.size})
			end()
			if err == nil {
				t.Fatal("the truncation did not fail")
			}
			if left, err := filepath.Glob(filepath.Join(dir, "spool", "*")); err != nil || len(left) > 0 {
				t.Errorf("left in the spool: %q, %v", left, err)
			}
			if got := s.read("f"); got != whole {
				t.Errorf("after %q it holds %q", err, got)
			}
			f := s.open("f", os.O_WRONLY)
			s.put(f, "X", 0)
			s.close(f)
			s.ok(s.Close())
			s = openMachine(t, bad, dir).with(t)
			defer s.Close()
			s.ok(s.Flush(bg))
			if got := s.read("f"); got != "X123456789" {
				t.Errorf("after a write of the first byte and another mount it holds %q", got)
			}
		})
	}
}

// The close of a file that was opened for reading only, and cut by that, returns when nothing is
// left of it in the store as well.
func TestTruncatingOpenIsUploadedAtClose(t *testing.T) {
	b := mem.New(mem.Options{})
	s := openMachine(t, b, t.TempDir(), processes, func(o *engine.Options) { o.FlushDelay = time.Hour }).with(t)
	defer s.Close()
	s.write("f", "bytes")
	f := s.open("f", os.O_RDONLY|os.O_TRUNC)
	s.ok(f.Flush(bg, opener))
	defer f.Release()
	o := openMachine(t, b, t.TempDir()).with(t)
	defer o.Close()
	if got := o.read("f"); got != "" {
		t.Errorf("another machine reads %q", got)
	}
}

// While an upload runs, reads of what is here go on: also when a writer waits for its end, when one
// that waited was killed, and when one has closed.
func TestReadsDuringAnUpload(t *testing.T) {
	s, f, letGo := heldUpload(t)
	defer s.Close()
	defer letGo()
	r := s.open("f", os.O_RDONLY)
	defer r.Release()
	read := func(when string) {
		t.Helper()
		got := make(chan string, 1)
		go func() {
			p := make([]byte, 9)
			n, err := r.Read(bg, p, 0)
			got <- fmt.Sprint(string(p[:n]), err)
		}()
		if got := result(t, "a read "+when, got); got != "hello<nil>" {
			t.Errorf("%s it reads %q", when, got)
		}
	}
	read("of what is being uploaded")

	ctx, kill := context.WithCancel(bg)
	defer kill()
	w := &waiter{Context: ctx, waits: make(chan struct{})}
	wrote := make(chan error, 1)
	go func() {
		_, err := f.Write(w, []byte("!"), 5)
		wrote <- err
	}()
	result(t, "a write does not begin: it", w.waits)
	read("while a writer waits")
	kill()
	if err := result(t, "a killed writer", wrote); !errors.Is(err, remote.Interrupted) {
		t.Errorf("a killed writer gets %v", err)
	}
	read("after a writer was killed")
	released := make(chan struct{})
	go func() { f.Release(); close(released) }()
	result(t, "a release", released)
	read("after the writer closed")
}

// Fsync and writes that wait for another's upload of the same media wait no longer than close may,
// and not at all once the caller is killed; what was written before is safe all the same.
func TestWaitingForAnotherUpload(t *testing.T) {
	for _, c := range []struct {
		name  string
		limit time.Duration
		kill  bool
		want  remote.Kind
	}{
		{"killed", time.Hour, true, remote.Interrupted},
		{"over its time", 20 * time.Millisecond, false, remote.Unavailable},
	} {
		t.Run(c.name, func(t *testing.T) {
			s, f, letGo := heldUpload(t, func(o *engine.Options) { o.UploadTimeout = c.limit })
			defer s.Close()
			defer letGo()
			ctx, kill := context.WithCancel(bg)
			defer kill()
			if c.kill {
				kill()
			}
			synced := make(chan error, 1)
			go func() { synced <- f.Fsync(ctx) }()
			if err := result(t, "fsync", synced); !errors.Is(err, c.want) {
				t.Errorf("fsync: %v, want %v", err, c.want)
			}
			wrote := make(chan error, 1)
			go func() {
				_, err := f.Write(ctx, []byte("!"), 5)
				wrote <- err
			}()
			if err := result(t, "a write", wrote); !errors.Is(err, c.want) {
				t.Errorf("write: %v, want %v", err, c.want)
			}
			letGo()
			f.Release()
			s.ok(s.Flush(bg))
			if _, n := s.node("f"); n.Head.GetSize() != 5 {
				t.Errorf("the head has %d bytes", n.Head.GetSize())
			}
		})
	}
}

// What is written in the moment when an upload ends, and left to be uploaded behind, is.
func TestWriteAtTheEndOfAnUpload(t *testing.T) {
	bad := storetest.New(mem.New(mem.Options{}))
	s := openMachine(t, bad, t.TempDir(), processes, func(o *engine.Options) { o.FlushDelay = time.Nanosecond }).with(t)
	defer s.Close()
	s.write("f", "")
	f := s.open("f", os.O_RDWR)
	for i := range 40 {
		bad.Reset()
		s.put(f, "hello", 0)
		s.ok(f.Flush(bg, child))
		waitFor(t, func() bool { return bad.Count(storetest.Put, "content") > 0 })
		s.put(f, fmt.Sprintf("%5d", i), 0) // waits for the upload's end
		s.ok(f.Flush(bg, child))
		waitFor(t, func() bool { return s.Status().Pending.Files == 0 })
	}
	f.Release()
}

// A mount that finds in the spool what was uploaded before the crash, since its end had not been
// noted, replaces nothing with it: not the newer bytes of another machine, and not what it uploaded
// itself when the power loss took the spool's copy.
func TestSpoolOfWhatWasUploaded(t *testing.T) {
	const first, newer = "the first version", "the newer bytes of another machine"
	for _, c := range []struct {
		name  string
		since func(t *testing.T, b object.Bucket, spool string) // what happens before the next mount
		want  string
		kept  []string // as versions
	}{
		{"another machine wrote", func(t *testing.T, b object.Bucket, _ string) {
			o := openMachine(t, b, t.TempDir()).with(t)
			o.write("f", newer)
			o.ok(o.Close())
		}, newer, []string{first}},
		{"the bytes were never on disk", func(t *testing.T, _ object.Bucket, spool string) {
			data, err := filepath.Glob(spool + "/*.data")
			if err != nil || len(data) != 1 {
				t.Fatalf("spool: %q, %v", data, err)
			}
			if err := os.Truncate(data[0], 0); err != nil {
				t.Fatal(err)
			}
		}, first, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			bad, dir := storetest.New(mem.New(mem.Options{})), t.TempDir()
			spool, dead := filepath.Join(dir, "spool"), filepath.Join(dir, "dead")
			s := openMachine(t, bad, dir).with(t)
			f := s.create("f", first)
			bad.Hook(func(call storetest.Call) error {
				if call.Op != storetest.Put || !strings.HasPrefix(call.Key, "log/") {
					return nil
				}
				bad.Hook(nil)
				return os.CopyFS(dead, os.DirFS(spool))
			})
			s.close(f)
			s.ok(s.Close())
			s.ok(os.RemoveAll(spool))
			s.ok(os.Rename(dead, spool))
			c.since(t, bad, spool)
			s = openMachine(t, bad, dir).with(t)
			defer s.Close()
			s.ok(s.Flush(bg))
			if got := s.read("f"); got != c.want {
				t.Errorf("it holds %q, want %q", got, c.want)
			}
			_, n := s.node("f")
			if got := s.kept(bad, n.MediaId); !slices.Equal(got, c.kept) {
				t.Errorf("versions %q, want %q", got, c.kept)
			}
		})
	}
}

// Bytes that a mount could not upload bring the media back when another machine deleted it before
// the next mount.
func TestSpoolOfWhatWasDeletedElsewhere(t *testing.T) {
	b, dir := mem.New(mem.Options{}), t.TempDir()
	bad := storetest.New(b)
	made(t, b, "f", "first")
	s, o := openMachine(t, bad, dir, impatient).with(t), openMachine(t, b, t.TempDir()).with(t)
	defer o.Close()
	s.read("f")
	bad.SetDown(true)
	f := s.open("f", os.O_RDWR)
	s.put(f, "edited without a store", 0)
	if err := f.Flush(bg, opener); !errors.Is(err, remote.Unavailable) {
		t.Errorf("close without a store: %v", err)
	}
	f.Release()
	s.ok(s.Close())
	o.unlink("f")
	bad.SetDown(false)
	s = openMachine(t, bad, dir).with(t)
	defer s.Close()
	s.ok(s.Flush(bg))
	o.sees("f", "edited without a store")
}

// Bytes written to a media that another machine has meanwhile moved to the trash are what lies in
// the trash.
func TestWrittenWhileDeletedElsewhere(t *testing.T) {
	var c clock
	b := mem.New(mem.Options{})
	s, o := openMachine(t, b, t.TempDir(), c.use, trashing).with(t),
		openMachine(t, b, t.TempDir(), c.use, trashing).with(t)
	defer s.Close()
	defer o.Close()
	s.write("f", "first")
	o.sees("f", "first")
	f := s.open("f", os.O_RDWR)
	c.advance(6 * time.Minute)
	o.unlink("f")
	waitFor(t, func() bool { return len(s.names()) == 0 })
	s.put(f, "later", 0)
	s.close(f)
	es := s.trash()
	if len(es) != 1 {
		t.Fatalf("trash %v", es)
	}
	s.ok(s.View(func(tx *catalog.Tx) error {
		if got := s.bytesOf(b, tx.Node(es[0].Node).Head); got != "later" {
			t.Errorf("in the trash lies %q", got)
		}
		return nil
	}))
}

// A close whose head comes after another machine's save-by-rename of the same media has its bytes
// kept as a version, and makes no second node of that media: not when it loses the race for the
// log, and not when the log was away and the head comes later.
func TestCloseAfterARenameOverElsewhere(t *testing.T) {
	for _, late := range []bool{false, true} {
		t.Run(fmt.Sprintf("late=%v", late), func(t *testing.T) {
			b := mem.New(mem.Options{})
			bad := storetest.New(b)
			var once sync.Once
			var save func()
			made(t, b, "f", "first")
			s := openMachine(t, bad, t.TempDir(), func(o *engine.Options) {
				if late {
					impatient(o)
				}
				o.Catalog.Step = func(point string) {
					if point == "pinned" && save != nil {
						once.Do(save)
					}
				}
			}).with(t)
			o := openMachine(t, b, t.TempDir()).with(t)
			defer o.Close()
			defer s.Close()
			_, n := s.node("f")
			o.write("tmp", "saved elsewhere")
			s.sees("tmp", "saved elsewhere")
			f := s.open("f", os.O_RDWR)
			s.put(f, "work that was closed here", 0)
			if late {
				heal := bad.Fail(storetest.Fault{Op: storetest.Put, Prefix: "log/", Times: -1})
				if err := f.Flush(bg, opener); !errors.Is(err, remote.Unavailable) {
					t.Errorf("close without a log: %v", err)
				}
				o.rename("tmp", "f")
				heal()
				s.ok(s.Flush(bg))
			} else {
				save = func() { o.rename("tmp", "f") }
				s.ok(f.Flush(bg, opener))
			}
			defer f.Release()
			again := openMachine(t, b, t.TempDir()).with(t)
			defer again.Close()
			if got := again.read("f"); got != "saved elsewhere" {
				t.Errorf("f holds %q", got)
			}
			if got := again.names(); !slices.Equal(got, []string{"f"}) {
				t.Errorf("names %q", got)
			}
			if got := again.kept(b, n.MediaId); !slices.Equal(got, []string{"first", "work that was closed here"}) {
				t.Errorf("versions %q", got)
			}
		})
	}
}

// A change of names that reaches the log late touches what it was about, and nothing that another
// machine has put there since.
func TestLateNamesTouchNothingNew(t *testing.T) {
	const work = "new work of another machine"
	for _, c := range []struct {
		name   string
		change func(s steps) error
		since  func(o steps)
		names  int // at the end: what finds its name taken gets another one
	}{
		{"unlink", func(s steps) error { return s.Unlink(bg, me, vfs.Root, "f") },
			func(o steps) { o.write("tmp", work); o.rename("tmp", "f") }, 1},
		{"rename", func(s steps) error { return s.Rename(bg, me, vfs.Root, "g", vfs.Root, "f", 0) },
			func(o steps) { o.unlink("f"); o.write("f", work) }, 2},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := mem.New(mem.Options{})
			bad := storetest.New(b)
			made(t, b, "f", "first")
			if c.name == "rename" {
				made(t, b, "g", "second")
			}
			s, o := openMachine(t, bad, t.TempDir(), impatient).with(t), openMachine(t, b, t.TempDir()).with(t)
			defer o.Close()
			defer s.Close()
			bad.SetDown(true)
			if err := c.change(s); !errors.Is(err, remote.Unavailable) {
				t.Errorf("without a store: %v", err)
			}
			c.since(o)
			bad.SetDown(false)
			s.ok(s.Flush(bg))
			again := openMachine(t, b, t.TempDir()).with(t)
			defer again.Close()
			if got := again.read("f"); got != work {
				t.Errorf("f holds %q", got)
			}
			if got := again.names(); len(got) != c.names {
				t.Errorf("names %q, want %d", got, c.names)
			}
		})
	}
}

// A media never has more attributes than can go with it in one commit: it can always be deleted.
func TestDeletionOfAMediaFullOfAttributes(t *testing.T) {
	s := openMachine(t, mem.New(mem.Options{}), t.TempDir()).with(t)
	defer s.Close()
	for name, size := range map[string]int{"many": 1, "large": 60_000} {
		s.write(name, "bytes")
		id := s.stat(name).ID
		var err error
		n := 0
		for value := make([]byte, size); err == nil && n < 1100; n++ {
			err = s.SetXattr(bg, me, id, fmt.Sprint("user.", n), value, 0)
		}
		if !errors.Is(err, remote.NoSpace) {
			t.Errorf("%s: attribute %d: %v", name, n, err)
		}
		s.unlink(name)
	}
}
