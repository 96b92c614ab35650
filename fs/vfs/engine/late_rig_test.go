package engine_test

import (
	"errors"
	"os"
	"path"
	"regexp"
	"slices"
	"strings"
	"testing"

	"mediafs/fs/acl"
	"mediafs/fs/media"
	"mediafs/fs/vfs"
	"mediafs/fs/vfs/engine"
	"mediafs/remote"
	"mediafs/remote/object/mem"
	"mediafs/remote/storetest"
)

// The tests of this file have two machines on one store. One is cut off: what its users do is
// answered with an error and stays in the outbox. Meanwhile the other one changes the same things,
// and is told that they are in the store. Then the first is back, and what it did runs late.

// A pair is such machines, and what both see at first.
type pair struct {
	t          testing.TB
	cut, other tree
	line       *storetest.Faulty // of the one that is cut off
	reopen     func() tree       // a new process of that
	restarts   bool              // it ends while it is cut off, and the next process goes on
}

func newPair(t testing.TB, change ...func(*engine.Options)) *pair {
	t.Helper()
	b := mem.New(mem.Options{})
	p := &pair{t: t, line: storetest.New(b)}
	p.other = tree{openMachine(t, b, t.TempDir(), change...).with(t)}
	t.Cleanup(func() { p.other.Close() })
	dir := t.TempDir()
	p.reopen = func() tree {
		return tree{openMachine(t, p.line, dir, append([]func(*engine.Options){impatient}, change...)...).with(t)}
	}
	tree{openMachine(t, b, dir, change...).with(t)}.Close() // it has joined the library, which nothing hurries
	p.cut = p.reopen()
	t.Cleanup(func() { p.cut.Close() })
	return p
}

// meet waits until both machines have all that both did.
func (p *pair) meet() {
	p.t.Helper()
	waitFor(p.t, func() bool {
		c, o := p.cut.Status(), p.other.Status()
		return c.Catalog.Outbox+o.Catalog.Outbox+c.Pending.Files+o.Pending.Files == 0 &&
			c.Catalog.Applied == o.Catalog.Applied
	})
}

// late has one machine do what cannot be confirmed, then the other what is, and joins them again.
// The contents of what is written while the machine is cut off reach the store, so that what is
// late is the change of the catalog.
func (p *pair) late(cutOff, online []do) {
	p.t.Helper()
	must := func(ds []do, want func(error) bool) (out []do) {
		for i, d := range ds {
			out = append(out, func(s tree) error {
				err := d(s)
				if !want(err) {
					p.t.Fatalf("change %d: %v", i, err)
				}
				return err
			})
		}
		return out
	}
	unavailable := func(err error) bool { return errors.Is(err, remote.Unavailable) }
	p.mixed(must(cutOff, unavailable), must(online, func(err error) bool { return err == nil }), func() {})
}

// mixed is late for changes that may fail. before is called when all are done and the machines have
// not met again.
func (p *pair) mixed(cutOff, online []do, before func()) {
	p.t.Helper()
	var restore []func()
	for _, op := range []storetest.Op{storetest.Put, storetest.Get, storetest.List} {
		restore = append(restore, p.line.Fail(storetest.Fault{Op: op, Prefix: "log/", Times: -1}))
	}
	for _, d := range cutOff {
		_ = d(p.cut)
	}
	if p.restarts {
		p.cut.Close()
	}
	for _, d := range online {
		_ = d(p.other)
	}
	before()
	for _, f := range restore {
		f()
	}
	if p.restarts {
		p.cut = p.reopen()
	}
	p.meet()
}

// A tree is a machine whose files are named by paths.
type tree struct{ steps }

// A do is something that a user does.
type do func(s tree) error

// at finds what a path names, without taking a reference.
func (s tree) at(p string) (parent vfs.ID, name string, id vfs.ID, err error) {
	parent, name = vfs.Root, path.Base(p)
	parts := strings.Split(strings.Trim(p, "/"), "/")
	id = vfs.Root
	for i, part := range parts {
		if i == len(parts)-1 {
			parent = id
		}
		a, err := s.Lookup(bg, id, part)
		if err != nil {
			return parent, name, 0, err
		}
		s.Forget(a.ID, 1)
		id = a.ID
	}
	return parent, name, id, nil
}

func on(p string, f func(s tree, parent vfs.ID, name string, id vfs.ID) error) do {
	return func(s tree) error {
		parent, name, id, err := s.at(p)
		if err != nil {
			return err
		}
		return f(s, parent, name, id)
	}
}

func rm(p string) do {
	return on(p, func(s tree, parent vfs.ID, name string, _ vfs.ID) error { return s.Unlink(bg, me, parent, name) })
}

func rmdir(p string) do {
	return on(p, func(s tree, parent vfs.ID, name string, _ vfs.ID) error { return s.Rmdir(bg, me, parent, name) })
}

func toTrash(p string) do {
	return on(p, func(s tree, parent vfs.ID, name string, _ vfs.ID) error {
		_, err := s.TrashName(bg, me, parent, name)
		return err
	})
}

func mv(from, to string, flags ...uint32) do {
	return on(from, func(s tree, parent vfs.ID, name string, _ vfs.ID) error {
		np, nn, _, err := s.at(to)
		if err != nil && !errors.Is(err, remote.NotExist) {
			return err
		}
		f := uint32(0)
		for _, flag := range flags {
			f |= flag
		}
		return s.Rename(bg, me, parent, name, np, nn, f)
	})
}

func ln(from, to string) do {
	return on(from, func(s tree, _ vfs.ID, _ string, id vfs.ID) error {
		np, nn, _, err := s.at(to)
		if err != nil && !errors.Is(err, remote.NotExist) {
			return err
		}
		a, err := s.Link(bg, me, id, np, nn)
		if err == nil {
			s.Forget(a.ID, 1)
		}
		return err
	})
}

// put makes or replaces a file, as a program does that opens it with O_TRUNC.
func put(p, data string) do {
	return func(s tree) error {
		parent, name, id, err := s.at(p)
		var f vfs.File
		var made error
		if errors.Is(err, remote.NotExist) {
			var a vfs.Attr
			if a, f, err = s.Create(bg, me, parent, name, 0o644, uint32(os.O_WRONLY)); err != nil {
				made = err
				// As programs do that try again: the name is there.
				if _, _, id, err = s.at(p); err != nil {
					return made
				}
				f, err = s.Open(bg, me, id, uint32(os.O_WRONLY))
			} else {
				s.Forget(a.ID, 1)
			}
		} else if err == nil {
			f, err = s.Open(bg, me, id, uint32(os.O_WRONLY|os.O_TRUNC))
		}
		if err != nil {
			return err
		}
		defer f.Release()
		if _, err := f.Write(bg, []byte(data), 0); err != nil {
			return err
		}
		return errors.Join(made, f.Flush(bg, me))
	}
}

func mkdir(p string) do {
	return func(s tree) error {
		parent, name, _, _ := s.at(p)
		a, err := s.Mkdir(bg, me, parent, name, 0o755)
		if err == nil {
			s.Forget(a.ID, 1)
		}
		return err
	}
}

func symlink(p, target string) do {
	return func(s tree) error {
		parent, name, _, _ := s.at(p)
		a, err := s.Symlink(bg, me, parent, name, []byte(target))
		if err == nil {
			s.Forget(a.ID, 1)
		}
		return err
	}
}

func attrs(p string, ch vfs.AttrChange) do {
	return on(p, func(s tree, _ vfs.ID, _ string, id vfs.ID) error {
		_, err := s.SetAttr(bg, me, id, nil, ch)
		return err
	})
}

func chmod(p string, mode uint32) do { return attrs(p, vfs.AttrChange{Mode: &mode}) }

func cutTo(p string, size int64) do { return attrs(p, vfs.AttrChange{Size: &size}) }

func setx(p, name, value string) do {
	return on(p, func(s tree, _ vfs.ID, _ string, id vfs.ID) error {
		return s.SetXattr(bg, me, id, name, []byte(value), 0)
	})
}

// setfacl lets another user read and write as far as a mask does.
func setfacl(p string, mask uint32) do {
	return setx(p, acl.Access, string(acl.List{{Tag: acl.Owner, Perm: 6}, {Tag: acl.User, ID: 77, Perm: 6},
		{Tag: acl.Group, Perm: 4}, {Tag: acl.Mask, Perm: mask}, {Tag: acl.Other, Perm: 4}}.Bytes()))
}

func rmx(p, name string) do {
	return on(p, func(s tree, _ vfs.ID, _ string, id vfs.ID) error { return s.RemoveXattr(bg, me, id, name) })
}

func edit(p, field string, how media.Do, value string) do {
	return on(p, func(s tree, _ vfs.ID, _ string, id vfs.ID) error {
		return s.EditMedia(bg, me, id, vfs.MediaChange{Edits: []media.Edit{{Field: field, Do: how, Value: value}}})
	})
}

func title(p, value string) do { return edit(p, "title", media.Set, value) }

// entry finds what is in the trash under a name.
func (s tree) entry(name string) (uint64, error) {
	found := uint64(0)
	err := s.TrashEntries(bg, func(e vfs.TrashEntry) bool {
		if e.Name == name {
			found = e.Entry
		}
		return true
	})
	if err == nil && found == 0 {
		err = remote.E("find in the trash", name, remote.NotExist, nil)
	}
	return found, err
}

func purge(name string) do {
	return func(s tree) error {
		e, err := s.entry(name)
		if err != nil {
			return err
		}
		return s.Purge(bg, me, e)
	}
}

func restore(name, to string) do {
	return func(s tree) error {
		e, err := s.entry(name)
		if err != nil {
			return err
		}
		parent, nn, _, _ := s.at(to)
		return s.Restore(bg, me, e, parent, nn)
	}
}

// oldest makes the oldest version the head.
func oldest(p string) do {
	return on(p, func(s tree, _ vfs.ID, _ string, id vfs.ID) error {
		vs, err := s.Versions(bg, id)
		if err != nil || len(vs) == 0 {
			return errors.Join(err, errors.New("it has no versions"))
		}
		return s.RestoreVersion(bg, me, id, vs[0].Number)
	})
}

var conflictDate = regexp.MustCompile(`\(conflict testhost \d{4}-\d\d-\d\d`)

// state is the tree by paths, with dates taken out of names: what each file holds, "/" for a
// folder, "-> TARGET" for a link.
func (s tree) state() map[string]string {
	s.t.Helper()
	all := make(map[string]string)
	s.walk(vfs.Root, "", func(p string, e vfs.DirEntry) {
		p = conflictDate.ReplaceAllString(p, "(conflict")
		switch e.Mode & 0o170000 {
		case 0o040000:
			all[p] = "/"
		case 0o120000:
			target, err := s.Readlink(bg, e.ID)
			s.ok(err)
			all[p] = "-> " + string(target)
		default:
			f, err := s.Open(bg, me, e.ID, uint32(os.O_RDONLY))
			s.ok(err)
			all[p] = s.readFile(f)
			f.Release()
		}
	})
	return all
}

func (s tree) walk(folder vfs.ID, at string, each func(p string, e vfs.DirEntry)) {
	s.t.Helper()
	d, err := s.OpenDir(bg, folder)
	s.ok(err)
	var list []vfs.DirEntry
	s.ok(d.Read(bg, 2, false, func(group []vfs.DirEntry) bool {
		list = append(list, group...)
		return true
	}))
	d.Release()
	for _, e := range list {
		p := path.Join(at, e.Name)
		each(p, e)
		if e.Mode&0o170000 == 0o040000 {
			s.walk(e.ID, p, each)
		}
	}
}

// olds lists what the versions of the media at a path hold, sorted.
func (s tree) olds(p string) (all []string) {
	s.t.Helper()
	_, _, id, err := s.at(p)
	s.ok(err)
	vs, err := s.Versions(bg, id)
	s.ok(err)
	for _, v := range vs {
		f, err := s.OpenVersion(bg, id, v.Number)
		s.ok(err)
		all = append(all, s.readFile(f))
		f.Release()
	}
	slices.Sort(all)
	return all
}

func has(p, data string) func(*testing.T, tree) {
	return func(t *testing.T, s tree) {
		if got := s.olds(p); !slices.Contains(got, data) {
			t.Errorf("versions of %s: %q", p, got)
		}
	}
}

func wantMode(t *testing.T, s tree, p string, mode uint32) {
	t.Helper()
	_, _, id, err := s.at(p)
	s.ok(err)
	a, err := s.GetAttr(bg, id)
	s.ok(err)
	if a.Mode&0o7777 != mode {
		t.Errorf("%s has mode %o, wanted %o", p, a.Mode&0o7777, mode)
	}
}

func wantXattr(t *testing.T, s tree, p, name, value string) {
	t.Helper()
	_, _, id, err := s.at(p)
	s.ok(err)
	got, err := s.GetXattr(bg, id, name)
	if err != nil || string(got) != value {
		t.Errorf("%s of %s is %q, wanted %q: %v", name, p, got, value, err)
	}
}
