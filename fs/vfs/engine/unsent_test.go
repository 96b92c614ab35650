package engine_test

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"mediafs/fs/vfs/engine"
	"mediafs/remote"
	"mediafs/remote/object/mem"
	"mediafs/remote/storetest"
)

// An unsent rig has a machine with bytes of "d/f" in its spool that are in no operation yet, and
// another one that changes the library meanwhile. Contents fail until they are let through.
type unsentRig struct {
	t        *testing.T
	s, o     tree
	dir      string
	machine  string // its name
	deaths   int
	clock    clock
	contents func() // lets contents through
	begins   chan struct{}
	goes     chan struct{} // closed by release: heads may be set
	release  func()
	change   func(*engine.Options)
	line     *storetest.Faulty
}

func newUnsentRig(t *testing.T) *unsentRig {
	b := mem.New(mem.Options{})
	r := &unsentRig{
		t:      t,
		dir:    t.TempDir(),
		line:   storetest.New(b),
		begins: make(chan struct{}, 100),
		goes:   make(chan struct{}),
	}
	r.machine = r.dir
	r.release = sync.OnceFunc(func() { close(r.goes) })
	r.o = tree{openMachine(t, b, t.TempDir(), trashing).with(t)}
	t.Cleanup(func() { r.o.Close() })
	for _, d := range []do{mkdir("d"), mkdir("e"), put("d/f", "old"), put("g", "g")} {
		r.o.ok(d(r.o))
	}
	r.o.ok(r.o.Flush(bg))
	tree{openMachine(t, b, r.dir, trashing).with(t)}.Close() // it has joined the library, which nothing hurries
	r.change = func(o *engine.Options) {
		trashing(o)
		impatient(o)
		r.clock.use(o)
		o.StreamFrom = 64 << 10
		o.Step = func(point string) {
			if point == "set head" {
				r.begins <- struct{}{}
				<-r.goes
			}
		}
	}
	r.open(r.machine)
	r.meet()
	r.fail()
	return r
}

// open starts a process of the machine.
func (r *unsentRig) open(machine string) {
	name := func(o *engine.Options) { o.Catalog.Machine = []byte(machine) }
	s := tree{openMachine(r.t, r.line, r.dir, r.change, name).with(r.t)}
	r.t.Cleanup(func() {
		r.release()
		s.Close()
	})
	r.s = s
}

// fail has all contents fail that are sent from now on.
func (r *unsentRig) fail() {
	heal := r.line.Fail(storetest.Fault{Op: storetest.Put, Prefix: "content/", Times: -1})
	r.contents = func() { heal() }
}

// meet waits until both machines have seen all commits.
func (r *unsentRig) meet() {
	r.t.Helper()
	waitFor(r.t, func() bool { return r.s.Status().Catalog.Applied == r.o.Status().Catalog.Applied })
}

// queued leaves bytes to the uploader, as a close does that ends in an error.
func (r *unsentRig) queued(data string) {
	r.t.Helper()
	if err := put("d/f", data)(r.s); !errors.Is(err, remote.Unavailable) {
		r.t.Fatalf("close without a store: %v", err)
	}
}

// sent is queued, and has the bytes sent up to where their head is set.
func (r *unsentRig) sent(data string) {
	r.queued(data)
	r.contents()
	<-r.begins
}

// ends waits until nothing is left to be uploaded.
func (r *unsentRig) ends() {
	r.t.Helper()
	r.contents()
	r.release()
	r.s.ok(r.s.Flush(bg))
	waitFor(r.t, func() bool {
		st := r.s.Status()
		return st.Pending.Files+st.Catalog.Outbox == 0
	})
	r.meet()
}

// die ends the machine as a kill does, and starts its next process after what happens meanwhile.
func (r *unsentRig) die(meanwhile func()) {
	r.t.Helper()
	dead := copyDir(r.t, r.dir)
	r.line.SetDown(true) // what was killed reaches nothing any more
	meanwhile()
	r.line = storetest.New(r.line.Unwrap())
	r.fail()
	r.dir, r.deaths = dead, r.deaths+1
	r.open(r.machine)
}

func (r *unsentRig) wants(want files, version string) {
	r.t.Helper()
	for who, s := range map[string]tree{"that wrote": r.s, "that deleted": r.o} {
		s.t = r.t
		if got := s.state(); !maps.Equal(got, want) {
			r.t.Errorf("the machine %s has %v, wanted %v", who, got, want)
		}
	}
	if version != "" {
		has("d/f", version)(r.t, r.o)
	}
}

var deletions = []struct {
	name    string
	do      []do
	want    files
	version bool // the bytes become one of what has the name now
	// What the next process makes of it, when that differs: it goes by the name that the bytes were
	// written under.
	next files
}{
	{"rm", []do{rm("d/f")}, files{"d": "/", "e": "/", "d/f": "mine", "g": "g"}, false, nil},
	{"rm, and another file of that name", []do{rm("d/f"), put("d/f", "other")},
		files{"d": "/", "e": "/", "d/f": "other", "d/f (conflict)": "mine", "g": "g"}, false, nil},
	{"mv and rm", []do{mv("d/f", "e/h"), rm("e/h")}, files{"d": "/", "e": "/", "e/h": "mine", "g": "g"}, false,
		files{"d": "/", "e": "/", "d/f": "mine", "g": "g"}},
	{"rm -r of its folder", []do{rm("d/f"), rmdir("d")}, files{"e": "/", "f": "mine", "g": "g"}, false, nil},
	{"to the trash", []do{toTrash("d/f")}, files{"d": "/", "e": "/", "d/f": "mine", "g": "g"}, false, nil},
	{"its folder to the trash", []do{toTrash("d")}, files{"e": "/", "f": "mine", "g": "g"}, false, nil},
	{"its folder to the trash, purged", []do{toTrash("d"), purge("d")}, files{"e": "/", "f": "mine", "g": "g"}, false, nil},
	{"to the trash, purged", []do{toTrash("d/f"), purge("f")}, files{"d": "/", "e": "/", "d/f": "mine", "g": "g"}, false, nil},
	{"mv over", []do{mv("g", "d/f")}, files{"d": "/", "e": "/", "d/f": "g"}, true, nil},
	{"mv over, of what is no next version of it", []do{ln("g", "h"), mv("g", "d/f")},
		files{"d": "/", "e": "/", "d/f": "g", "d/f (conflict)": "mine", "h": "g"}, false, nil},
}

// Bytes that are in no operation yet when another machine deletes the media are not those that it
// deleted: they live on, wherever their upload is, also when this process is killed then.
func TestUnsentBytesOfWhatIsDeletedElsewhere(t *testing.T) {
	for _, way := range []struct {
		name string
		do   func(r *unsentRig, deleted func())
		// With a kill: the process that goes on has been told of the deletion itself.
		knows bool
	}{
		{"queued", func(r *unsentRig, deleted func()) {
			r.queued("mine")
			deleted()
			r.meet()
		}, false},
		{"sent", func(r *unsentRig, deleted func()) {
			r.sent("mine")
			deleted()
			r.meet()
		}, false},
		{"killed, deleted afterwards", func(r *unsentRig, deleted func()) {
			r.queued("mine")
			r.die(func() {})
			deleted()
			r.meet()
		}, true},
		{"killed, deleted meanwhile", func(r *unsentRig, deleted func()) {
			r.queued("mine")
			r.die(deleted)
			r.meet()
		}, false},
		{"killed, deleted before", func(r *unsentRig, deleted func()) {
			r.queued("mine")
			deleted()
			r.meet()
			r.die(func() {})
		}, false},
		{"sent and killed, deleted before", func(r *unsentRig, deleted func()) {
			r.sent("mine")
			deleted()
			r.meet()
			r.die(func() {})
		}, false},
	} {
		for _, d := range deletions {
			t.Run(way.name+", "+d.name, func(t *testing.T) {
				t.Parallel()
				r := newUnsentRig(t)
				way.do(r, func() {
					for _, f := range d.do {
						r.o.ok(f(r.o))
					}
				})
				r.ends()
				version, want := "", d.want
				if d.version {
					version = "mine"
				}
				if d.next != nil && r.deaths > 0 && !way.knows {
					want = d.next
				}
				r.wants(want, version)
			})
		}
	}
}

// The same for a file that is open and being sent while it is written, and for one that is written
// to after another machine has deleted it: its close confirms the bytes, and they are there.
func TestWrittenWhileItIsDeletedElsewhere(t *testing.T) {
	mine := strings.Repeat("mine, ", 50_000)
	for _, after := range []bool{false, true} {
		t.Run(fmt.Sprintf("after=%v", after), func(t *testing.T) {
			r := newUnsentRig(t)
			r.contents()
			r.release()
			_, _, id, err := r.s.at("d/f")
			r.s.ok(err)
			flags := uint32(os.O_RDWR)
			if !after {
				flags |= uint32(os.O_TRUNC)
			}
			f, err := r.s.Open(bg, opener, id, flags)
			r.s.ok(err)
			defer f.Release()
			parts := []int{0, 200_000, len(mine)}
			if after {
				parts = parts[1:]
			} else {
				r.s.put(f, mine[:parts[1]], 0)
				waitFor(t, func() bool { return r.line.Count(storetest.PutPart, "content") > 0 })
			}
			r.o.ok(rm("d/f")(r.o))
			r.o.ok(rmdir("d")(r.o))
			r.meet()
			if after {
				r.s.put(f, mine, 0)
			} else {
				r.s.put(f, mine[parts[1]:], int64(parts[1]))
			}
			r.s.ok(f.Flush(bg, opener))
			r.ends()
			if got := r.s.state(); len(got["f"]) != len(mine) {
				t.Fatalf("f has %d bytes of %d", len(got["f"]), len(mine))
			}
			r.wants(files{"e": "/", "f": mine, "g": "g"}, "")
		})
	}
}

// What this machine's own user deletes is wanted by nobody, wherever its upload is.
func TestUnsentBytesOfWhatIsDeletedHere(t *testing.T) {
	none := files{"d": "/", "e": "/", "g": "g"}
	for _, c := range []struct {
		name string
		do   []do
		want files
	}{
		{"rm", []do{rm("d/f")}, none},
		{"rm -r of its folder", []do{rm("d/f"), rmdir("d")}, files{"e": "/", "g": "g"}},
		{"to the trash, purged", []do{toTrash("d/f"), purge("f")}, none},
		{"its folder to the trash, purged", []do{toTrash("d"), purge("d")}, files{"e": "/", "g": "g"}},
		{"mv over", []do{mv("g", "d/f")}, files{"d": "/", "e": "/", "d/f": "g"}},
	} {
		sends := map[string]func(r *unsentRig, data string){"queued": (*unsentRig).queued, "sent": (*unsentRig).sent}
		for name, send := range sends {
			t.Run(name+", "+c.name, func(t *testing.T) {
				t.Parallel()
				r := newUnsentRig(t)
				send(r, "mine")
				for _, d := range c.do {
					r.s.ok(d(r.s))
				}
				r.ends()
				r.wants(c.want, "")
			})
		}
	}
}

// A deletion that was not made, since another machine had changed the file, or since the process
// died before it, says nothing of what is written to the file later.
func TestUnsentBytesAfterADeletionThatWasNotMade(t *testing.T) {
	want := files{"d": "/", "e": "/", "d/f": "mine", "g": "g"}
	t.Run("another machine had changed it", func(t *testing.T) {
		r := newUnsentRig(t)
		_, _, id, err := r.s.at("d/f")
		r.s.ok(err)
		f, err := r.s.Open(bg, opener, id, uint32(os.O_RDWR))
		r.s.ok(err)
		defer f.Release()
		var heal []func()
		for _, op := range []storetest.Op{storetest.Put, storetest.Get, storetest.List} {
			heal = append(heal, r.line.Fail(storetest.Fault{Op: op, Prefix: "log/", Times: -1}))
		}
		if err := rm("d/f")(r.s); !errors.Is(err, remote.Unavailable) {
			t.Fatalf("rm without a log: %v", err)
		}
		r.o.ok(put("d/f", "new")(r.o))
		for _, h := range heal {
			h()
		}
		waitFor(t, func() bool { return r.s.Status().Catalog.Outbox == 0 })
		r.meet()
		r.s.put(f, "mine", 0)
		if err := f.Flush(bg, opener); !errors.Is(err, remote.Unavailable) {
			t.Fatalf("close without a store: %v", err)
		}
		r.o.ok(rm("d/f")(r.o))
		r.meet()
		r.ends()
		r.wants(want, "")
	})
	t.Run("the process died", func(t *testing.T) {
		r := newUnsentRig(t)
		r.queued("mine")
		change := r.change
		r.change = func(o *engine.Options) {
			change(o)
			step := o.Step
			o.Step = func(point string) {
				if point == "unlink" {
					r.begins <- struct{}{}
					<-r.goes
				}
				step(point)
			}
		}
		r.die(func() {})
		done := make(chan error, 1)
		go func() { done <- rm("d/f")(r.s) }()
		<-r.begins
		r.die(func() {}) // with what says that the bytes are wanted by nobody
		r.die(func() {})
		r.o.ok(rm("d/f")(r.o))
		r.meet()
		r.die(func() {})
		r.ends()
		<-done
		r.wants(want, "")
	})
}

// The age at which the trash is emptied ends no bytes that nobody has seen.
func TestUnsentBytesInAnOldTrash(t *testing.T) {
	r := newUnsentRig(t)
	r.queued("mine")
	r.o.ok(toTrash("d/f")(r.o))
	r.meet()
	r.clock.advance(2 * time.Hour)
	r.s.ok(r.s.Empty())
	r.ends()
	r.wants(files{"d": "/", "e": "/", "d/f": "mine", "g": "g"}, "")
}
