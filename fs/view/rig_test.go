package view

import (
	"context"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"mediafs/fs/vfs"
	"mediafs/remote"
)

// A rig is a Library over a fake.
type rig struct {
	t    *testing.T
	f    *fake
	l    *Library
	mu   sync.Mutex
	held map[vfs.ID]int
}

// The users of tests: ann is in the group of friends.
const (
	ann     = 1001
	bob     = 1002
	friends = 500
)

func newRig(t *testing.T) *rig {
	t.Helper()
	r := &rig{t: t, f: newFake(), held: make(map[vfs.ID]int)}
	l, err := New(r.f, Options{
		TrashAge: time.Hour, Location: time.UTC, Salt: [16]byte{1},
		Groups: func(pid uint32) []uint32 {
			if pid == ann {
				return []uint32{7, friends}
			}
			return nil
		},
		UserName: func(uid uint32) string { return map[uint32]string{0: "root", ann: "ann", bob: "bob"}[uid] },
	})
	if err != nil {
		t.Fatal(err)
	}
	r.l = l
	t.Cleanup(r.leaks)
	return r
}

// leaks looks whether everything that was referred to is let go of.
func (r *rig) leaks() {
	for id, n := range r.held {
		r.l.Forget(id, uint64(n))
	}
	if n := r.l.nodes.size(); n != 0 {
		r.t.Errorf("%d nodes of views are left", n)
	}
	for id, n := range r.f.refs {
		if n != 0 {
			r.t.Errorf("node %x has %d references", id, n)
		}
	}
	if r.f.opened != 0 {
		r.t.Errorf("%d files and folders are open", r.f.opened)
	}
}

func caller(uid uint32) vfs.Caller { return vfs.Caller{UID: uid, GID: uid, PID: uid} }

func as(uid uint32) context.Context { return vfs.WithCaller(context.Background(), caller(uid)) }

func (r *rig) hold(a vfs.Attr) vfs.Attr {
	r.mu.Lock()
	r.held[a.ID]++
	r.mu.Unlock()
	return a
}

// at looks a path up, by a user.
func (r *rig) at(uid uint32, p string) (vfs.Attr, error) {
	a, err := r.l.GetAttr(as(uid), vfs.Root)
	for _, name := range strings.Split(strings.Trim(p, "/"), "/") {
		if err != nil || name == "" {
			break
		}
		if a, err = r.l.Lookup(as(uid), a.ID, name); err == nil {
			r.hold(a)
		}
	}
	if err == nil {
		var b vfs.Attr
		b, err = r.l.GetAttr(as(uid), a.ID)
		b.Volatile = b.Volatile || a.Volatile
		a = b
	}
	return a, err
}

func (r *rig) must(uid uint32, p string) vfs.Attr {
	r.t.Helper()
	a, err := r.at(uid, p)
	if err != nil {
		r.t.Fatalf("%s: %v", p, err)
	}
	return a
}

// list gives the names in a folder, read with small answers, with attributes and without: both must
// agree.
func (r *rig) list(uid uint32, p string) []string {
	r.t.Helper()
	a := r.must(uid, p)
	d, err := r.l.OpenDir(as(uid), a.ID)
	if err != nil {
		r.t.Fatalf("%s: %v", p, err)
	}
	defer d.Release()
	ids := make(map[string]vfs.ID)
	var names [2][]string
	for pass, attrs := range []bool{false, true} {
		for cookie, end := uint64(0), false; !end; {
			end = true
			n := 0
			err := d.Read(as(uid), cookie, attrs, func(group []vfs.DirEntry) bool {
				if n >= 2 {
					end = false
					return false
				}
				n += len(group)
				for _, e := range group {
					cookie = e.Cookie
					if e.Name == "." || e.Name == ".." {
						continue
					}
					names[pass] = append(names[pass], e.Name)
					if attrs {
						r.hold(e.Attr)
						if !e.Attr.Volatile || e.Attr.ID != e.ID || e.Attr.Mode&unix.S_IFMT != e.Mode {
							r.t.Errorf("%s/%s: %+v", p, e.Name, e)
						}
						if ids[e.Name] != e.ID {
							r.t.Errorf("%s/%s has number %x, and %x with attributes", p, e.Name, ids[e.Name], e.ID)
						}
					}
					ids[e.Name] = e.ID
				}
				return true
			})
			if err != nil {
				r.t.Fatalf("%s: %v", p, err)
			}
		}
	}
	if !slices.Equal(names[0], names[1]) {
		r.t.Errorf("%s: %q without attributes, %q with", p, names[0], names[1])
	}
	for _, name := range names[0] {
		b, err := r.l.Lookup(as(uid), a.ID, name)
		if err != nil || b.ID != ids[name] {
			r.t.Errorf("%s/%s is listed as %x and found as %x, %v", p, name, ids[name], b.ID, err)
			continue
		}
		r.hold(b)
	}
	return names[0]
}

// lists checks what a folder shows, in any order.
func (r *rig) lists(uid uint32, p string, want ...string) {
	r.t.Helper()
	got := r.list(uid, p)
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		r.t.Errorf("%s shows %q, want %q", p, got, want)
	}
}

func (r *rig) read(uid uint32, p string) (string, error) {
	r.t.Helper()
	a := r.must(uid, p)
	f, err := r.l.Open(as(uid), caller(uid), a.ID, unix.O_RDONLY)
	if err != nil {
		return "", err
	}
	defer f.Release()
	var b []byte
	for buf := make([]byte, 100); ; {
		n, err := f.Read(as(uid), buf, int64(len(b)))
		if err != nil {
			return "", err
		}
		if n == 0 {
			return string(b), nil
		}
		b = append(b, buf[:n]...)
	}
}

// kind checks what an operation answers; 0 is success.
func (r *rig) kind(what string, err error, want remote.Kind) {
	r.t.Helper()
	if err == nil && want == remote.Other {
		return
	}
	if err == nil || remote.KindOf(err) != want {
		r.t.Errorf("%s: %v, want %v", what, err, want)
	}
}
