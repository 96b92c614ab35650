package local_test

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"mediafs/fs/local"
	"mediafs/fs/vfs"
	"mediafs/remote"
)

const double = "\x00\x05\x16\x07\x00\x02\x00\x00"

// newCrossing is a rig with the names that a mount has, whose inner files may leave it.
func newCrossing(t *testing.T, change ...func(*local.Options)) *rig {
	r := newRig(t)
	r.reopen(r.crossing(change...))
	return r
}

func (r *rig) crossing(change ...func(*local.Options)) func(*local.Options) {
	return func(o *local.Options) {
		o.Names, o.OpenForWriting = nil, r.inner.OpenForWriting
		for _, c := range change {
			c(o)
		}
	}
}

// side says where a name lies: "here", "library" or "" for nowhere.
func (r *rig) side(folder vfs.ID, name string) string {
	r.Helper()
	a, err := r.inner.Lookup(bg, folder, name)
	if err == nil {
		r.inner.Forget(a.ID, 1)
		return "library"
	}
	r.is(err, remote.NotExist)
	if a, err = r.Lookup(bg, folder, name); err == nil {
		r.Forget(a.ID, 1)
		return "here"
	}
	r.is(err, remote.NotExist)
	return ""
}

func (r *rig) lies(folder vfs.ID, name, side, data string) {
	r.Helper()
	if got := r.side(folder, name); got != side {
		r.Fatalf("%q lies in %q, want %q", name, got, side)
	}
	if side != "" {
		r.holds(folder, name, data)
	}
}

// Not the name but the bytes tell an AppleDouble file; other names tell all there is.
func TestContentDecides(t *testing.T) {
	r := newCrossing(t, func(o *local.Options) { o.MaxBytes = 100 })
	for _, c := range []struct{ name, data, side string }{
		{"._IMG.JPG", double, "here"},
		{"._IMG.JPG.x1Y2z3", "\xff\xd8\xff\xe0 a photo", "library"},
		{"._empty", "", "library"},
		{"._short", "\x00\x05", "library"},
		{"._almost", "\x00\x05\x16\x00 AppleSingle", "library"},
		{".DS_Store", "\x00\x00\x00\x01Bud1", "here"},
		{"Thumbs.db", "", "here"},
		{"._large", double + strings.Repeat("x", 200), "library"},
		{"desktop.ini", strings.Repeat("x", 101), "library"},
	} {
		r.create(vfs.Root, c.name, c.data)
		r.lies(vfs.Root, c.name, c.side, c.data)
	}
	// However it is written.
	for name, write := range map[string]func(f vfs.File){
		"backwards": func(f vfs.File) { r.write(f, "\x07", 3); r.write(f, "\x16", 2); r.write(f, "\x00\x05", 0) },
		"by bytes":  func(f vfs.File) { r.write(f, "\x00", 0); r.write(f, "\x05\x16\x07", 1) },
		"its end":   func(f vfs.File) { r.write(f, "tail", 50); r.write(f, double, 0) },
	} {
		a, f, err := r.Create(bg, me, vfs.Root, "._"+name, 0o600, unix.O_RDWR)
		r.ok(err)
		write(f)
		r.ok(f.Flush(bg, me))
		f.Release()
		r.Forget(a.ID, 1)
		if got := r.side(vfs.Root, "._"+name); got != "here" {
			t.Errorf("written %s it lies in %q", name, got)
		}
	}
	// An AppleDouble file that is written over with something else.
	a, err := r.Lookup(bg, vfs.Root, "._IMG.JPG")
	r.ok(err)
	f, err := r.Open(bg, me, a.ID, unix.O_RDWR|unix.O_TRUNC)
	r.ok(err)
	r.write(f, "plain", 0)
	r.ok(f.Flush(bg, me))
	r.write(f, " text", 5)
	r.ok(f.Fsync(bg))
	f.Release()
	r.lies(vfs.Root, "._IMG.JPG", "library", "plain text")
	size := int64(2)
	b, err := r.SetAttr(bg, me, a.ID, nil, vfs.AttrChange{Size: &size}) // by the id that the kernel has
	r.ok(err)
	if b.ID != a.ID || b.Size != 2 {
		t.Errorf("%+v, the kernel knows it as %#x", b, a.ID)
	}
	r.Forget(a.ID, 1)
	r.lies(vfs.Root, "._IMG.JPG", "library", "pl")
	if n := r.References(); n != 0 {
		t.Errorf("%d droppings are still known", n)
	}
}

// A dropping that loses its name enters the library whole: bytes, attributes, whoever has it open.
func TestEnter(t *testing.T) {
	r := newCrossing(t)
	d, e := r.mkdir(vfs.Root, "d"), r.mkdir(vfs.Root, "e")
	data := double + strings.Repeat("fork", 1000)
	a, f, err := r.Create(bg, me, d, "._a", 0o2640, unix.O_RDWR)
	r.ok(err)
	r.write(f, data, 0)
	r.ok(f.Flush(bg, me))
	uid, mode, at := uint32(77), uint32(0o4751), vfs.Time{Sec: 1e9, Nsec: 5}
	_, err = r.SetAttr(bg, me, a.ID, f, vfs.AttrChange{UID: &uid, Mode: &mode, Mtime: &at, Atime: &at})
	r.ok(err)
	r.ok(r.SetXattr(bg, me, a.ID, "user.mark", []byte("yes"), 0))
	reader, err := r.Open(bg, me, a.ID, unix.O_RDONLY)
	r.ok(err)
	r.create(e, "photo.jpg", "older")
	r.ok(r.Rename(bg, me, d, "._a", e, "photo.jpg", 0))
	r.lies(d, "._a", "", "")
	r.lies(e, "photo.jpg", "library", data)
	in, err := r.inner.Lookup(bg, e, "photo.jpg")
	r.ok(err)
	defer r.inner.Forget(in.ID, 1)
	if in.UID != 77 || in.GID != me.GID || in.Mode != unix.S_IFREG|0o4751 || in.Mtime != at || in.Atime != at ||
		in.Nlink != 1 {
		t.Errorf("in the library: %+v", in)
	}
	if v, err := r.inner.GetXattr(bg, in.ID, "user.mark"); err != nil || string(v) != "yes" {
		t.Errorf("%q, %v", v, err)
	}
	// The kernel goes on with the id it has, and gets it for the new name.
	if got := r.stat(e, "photo.jpg").ID; got != a.ID {
		t.Errorf("looked up as %#x, known as %#x", got, a.ID)
	}
	b, err := r.GetAttr(bg, a.ID)
	r.ok(err)
	if b.ID != a.ID || b.Mode != in.Mode || b.Nlink != 1 {
		t.Errorf("%+v", b)
	}
	r.write(f, "new", 0)
	p := make([]byte, 3)
	if n, err := reader.Read(bg, p, 0); err != nil || string(p[:n]) != "new" {
		t.Errorf("%q, %v", p[:n], err)
	}
	r.ok(r.SetXattr(bg, me, a.ID, "user.mark", []byte("again"), 0))
	if v, err := r.inner.GetXattr(bg, in.ID, "user.mark"); err != nil || string(v) != "again" {
		t.Errorf("%q, %v", v, err)
	}
	l, err := r.Link(bg, me, a.ID, d, "second")
	r.ok(err)
	if l.ID != a.ID || l.Nlink != 2 {
		t.Errorf("linked: %+v", l)
	}
	r.Forget(l.ID, 1)
	r.ok(r.Unlink(bg, me, e, "photo.jpg"))
	r.ok(r.Unlink(bg, me, d, "second"))
	r.write(f, "orphan", 0) // who has it open keeps it
	r.ok(f.Flush(bg, me))
	f.Release()
	reader.Release()
	r.Forget(a.ID, 1)
	_, err = r.GetAttr(bg, a.ID)
	r.is(err, remote.NotExist)
	if n := r.References(); n != 0 {
		t.Errorf("%d droppings are still known", n)
	}
	for _, folder := range []vfs.ID{vfs.Root, d, e} {
		for _, name := range r.names(r, folder) {
			if strings.HasPrefix(name, ".mediafs-") {
				t.Errorf("left: %q", name)
			}
		}
	}
}

// What a program writes under another name first, and is a dropping, stays here. Older files, and
// what somebody writes, stay in the library under any name.
func TestLeave(t *testing.T) {
	r := newCrossing(t)
	put := func(name, data string) vfs.Attr {
		r.create(vfs.Root, name, data)
		return r.stat(vfs.Root, name)
	}
	rename := func(from, to string) { r.Helper(); r.ok(r.Rename(bg, me, vfs.Root, from, vfs.Root, to, 0)) }
	put(".DS_Store", "old")
	id := put("..DS_Store.x1Y2z3", "new").ID
	a, err := r.Lookup(bg, vfs.Root, "..DS_Store.x1Y2z3") // the kernel knows it
	r.ok(err)
	at := vfs.Time{Sec: 1e9}
	_, err = r.SetAttr(bg, me, id, nil, vfs.AttrChange{Mtime: &at})
	r.ok(err)
	r.ok(r.SetXattr(bg, me, id, "user.mark", []byte("yes"), 0))
	rename("..DS_Store.x1Y2z3", ".DS_Store")
	r.lies(vfs.Root, "..DS_Store.x1Y2z3", "", "")
	r.lies(vfs.Root, ".DS_Store", "here", "new")
	if b, err := r.GetAttr(bg, a.ID); err != nil || b.ID != a.ID || b.Size != 3 || b.Mtime != at || b.Nlink != 1 {
		t.Errorf("by the id that the kernel has: %+v, %v", b, err)
	}
	f, err := r.Open(bg, me, a.ID, unix.O_RDWR)
	r.ok(err)
	r.write(f, "bytes", 0)
	f.Release()
	r.holds(vfs.Root, ".DS_Store", "bytes")
	if v, err := r.GetXattr(bg, a.ID, "user.mark"); err != nil || string(v) != "yes" {
		t.Errorf("%q, %v", v, err)
	}
	r.Forget(a.ID, 1)
	_, err = r.inner.GetAttr(bg, a.ID)
	r.is(err, remote.NotExist)
	r.lies(vfs.Root, ".DS_Store", "here", "bytes")

	put(".._IMG.JPG.x1Y2z3", double)
	rename(".._IMG.JPG.x1Y2z3", "._IMG.JPG")
	r.lies(vfs.Root, "._IMG.JPG", "here", double)
	put("plain", "text")
	rename("plain", "._plain")
	r.lies(vfs.Root, "._plain", "library", "text")

	// One that is open for writing.
	a, f, err = r.Create(bg, me, vfs.Root, "open", 0o600, unix.O_RDWR)
	r.ok(err)
	r.create(vfs.Root, "Thumbs.db", "replaced")
	rename("open", "Thumbs.db")
	r.write(f, "later", 0)
	r.ok(f.Flush(bg, me))
	f.Release()
	r.Forget(a.ID, 1)
	r.lies(vfs.Root, "Thumbs.db", "library", "later")
	r.ok(r.Unlink(bg, me, vfs.Root, "Thumbs.db"))
	r.lies(vfs.Root, "Thumbs.db", "", "") // nor is the replaced one back

	// One with two names.
	put("two", "names")
	a, err = r.Lookup(bg, vfs.Root, "two")
	r.ok(err)
	l, err := r.Link(bg, me, a.ID, vfs.Root, "other")
	r.ok(err)
	r.Forget(l.ID, 1)
	r.Forget(a.ID, 1)
	rename("two", "desktop.ini")
	r.lies(vfs.Root, "desktop.ini", "library", "names")

	// An old one.
	put("old", "file")
	r.reopen(r.crossing(func(o *local.Options) {
		o.Now = func() time.Time { return time.Now().Add(5 * time.Minute) }
	}))
	rename("old", "thumbs.db")
	r.lies(vfs.Root, "thumbs.db", "library", "file")
	if n := r.References(); n != 0 {
		t.Errorf("%d droppings are still known", n)
	}
}

// Every rename and link between the two sides succeeds, and what it means is what it means on a
// local disk.
func TestEveryCrossing(t *testing.T) {
	kinds := map[string]string{
		"._double":  double,
		"._text":    "text",
		".DS_Store": "store",
		"media":     "media",
		"double":    double,
	}
	for from, data := range kinds {
		for to, other := range kinds {
			for _, flags := range []uint32{0, vfs.RenameNoReplace, vfs.RenameExchange} {
				for _, taken := range []bool{false, true} {
					if from == to {
						continue
					}
					t.Run(fmt.Sprintf("%s to %s flags %d taken %v", from, to, flags, taken), func(t *testing.T) {
						r := newCrossing(t)
						r.create(vfs.Root, from, data)
						if taken {
							r.create(vfs.Root, to, other)
						}
						err := r.Rename(bg, me, vfs.Root, from, vfs.Root, to, flags)
						switch {
						case taken && flags == vfs.RenameNoReplace:
							r.is(err, remote.Exist)
						case !taken && flags == vfs.RenameExchange:
							r.is(err, remote.NotExist)
						case flags == vfs.RenameExchange:
							r.ok(err)
							r.holds(vfs.Root, from, other)
							r.holds(vfs.Root, to, data)
						default:
							r.ok(err)
							r.gone(vfs.Root, from)
							r.holds(vfs.Root, to, data)
							r.ok(r.Unlink(bg, me, vfs.Root, to))
							r.gone(vfs.Root, to) // nothing that was hidden comes back
						}
						if n := r.References(); n != 0 {
							t.Errorf("%d droppings are still known", n)
						}
					})
				}
			}
			t.Run(fmt.Sprintf("link %s as %s", from, to), func(t *testing.T) {
				r := newCrossing(t)
				r.create(vfs.Root, from, data)
				a, err := r.Lookup(bg, vfs.Root, from)
				r.ok(err)
				if from == to {
					_, err := r.Link(bg, me, a.ID, vfs.Root, to)
					r.is(err, remote.Exist)
				} else {
					l, err := r.Link(bg, me, a.ID, vfs.Root, to)
					r.ok(err)
					if l.Nlink != 2 || l.ID != a.ID {
						t.Errorf("%+v, known as %#x", l, a.ID)
					}
					r.Forget(l.ID, 1)
					r.holds(vfs.Root, to, data)
				}
				r.Forget(a.ID, 1)
				r.holds(vfs.Root, from, data)
				if n := r.References(); n != 0 {
					t.Errorf("%d droppings are still known", n)
				}
			})
		}
	}
}

// A folder and a dropping change places, as any two names do.
func TestExchangeWithAFolder(t *testing.T) {
	r := newCrossing(t)
	r.create(vfs.Root, "._a", double)
	d := r.mkdir(vfs.Root, "d")
	r.create(d, ".DS_Store", "in it")
	r.is(r.Rename(bg, me, vfs.Root, "._a", vfs.Root, "d", 0), remote.IsDir)
	r.is(r.Rename(bg, me, vfs.Root, "d", vfs.Root, "._a", 0), remote.NotDir)
	r.ok(r.Rename(bg, me, vfs.Root, "._a", vfs.Root, "d", vfs.RenameExchange))
	r.holds(vfs.Root, "d", double)
	if got := r.names(r, r.stat(vfs.Root, "._a").ID); !slices.Equal(got, []string{".DS_Store"}) {
		t.Errorf("%q", got)
	}
}

// A reader of a name that is renamed to and fro sees all of one file or all of the other.
func TestCrossingIsAtomicForReaders(t *testing.T) {
	r := newCrossing(t)
	old, data := strings.Repeat("o", 8000), double+strings.Repeat("n", 9000)
	r.create(vfs.Root, "photo", old)
	stop, bad := make(chan struct{}), make(chan string, 1)
	var readers sync.WaitGroup
	readers.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
			}
			a, err := r.Lookup(bg, vfs.Root, "photo")
			if err != nil {
				bad <- err.Error()
				return
			}
			f, err := r.Open(bg, me, a.ID, unix.O_RDONLY)
			if err == nil {
				b := make([]byte, 1<<14)
				n := 0
				if n, err = f.Read(bg, b, 0); err == nil && string(b[:n]) != old && string(b[:n]) != data {
					err = fmt.Errorf("%d bytes of neither", n)
				}
				f.Release()
			}
			r.Forget(a.ID, 1)
			if err != nil {
				bad <- err.Error()
				return
			}
		}
	})
	for i := range 20 {
		r.create(vfs.Root, "._tmp", data)
		r.ok(r.Rename(bg, me, vfs.Root, "._tmp", vfs.Root, "photo", 0))
		if i%2 == 0 {
			r.create(vfs.Root, "photo.new", old)
			r.ok(r.Rename(bg, me, vfs.Root, "photo.new", vfs.Root, "photo", 0))
		}
	}
	close(stop)
	readers.Wait()
	select {
	case why := <-bad:
		t.Error(why)
	default:
	}
}
