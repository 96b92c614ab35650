package local_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"testing"

	"mediafs/fs/local"
	"mediafs/fs/vfs"
)

// A listing of both kinds of names gives each once, by pages of any size, from any cookie it gave.
func TestListing(t *testing.T) {
	r := newRig(t)
	var want []string
	for i := range 30 {
		for _, form := range []string{".-%d", "media %d"} {
			name := fmt.Sprintf(form, i)
			r.create(vfs.Root, name, "")
			want = append(want, name)
		}
	}
	slices.Sort(want)
	for _, size := range []int{1, 2, 7, 1000} {
		for _, attrs := range []bool{false, true} {
			d, err := r.OpenDir(bg, vfs.Root)
			r.ok(err)
			var all []vfs.DirEntry
			for cookie := uint64(0); ; {
				some := r.page(r, d, cookie, attrs, size)
				if len(some) == 0 {
					break
				}
				all = append(all, some...)
				cookie = some[len(some)-1].Cookie
			}
			var names []string
			for i, e := range all {
				if e.Cookie > 1<<63-1 {
					t.Errorf("%q has cookie %#x, which is negative", e.Name, e.Cookie)
				}
				if rest := r.page(r, d, e.Cookie, attrs, 1<<20); len(rest) != len(all)-i-1 {
					t.Errorf("behind %q: %d entries, want %d", e.Name, len(rest), len(all)-i-1)
				}
				names = append(names, e.Name)
			}
			d.Release()
			if len(names) < 2 || names[0] != "." || names[1] != ".." {
				t.Fatalf("begins with %q", names[:2])
			}
			names = names[2:]
			if slices.Sort(names); !slices.Equal(names, want) {
				t.Errorf("pages of %d: %q", size, names)
			}
		}
	}
	if n := r.References(); n != 0 {
		t.Errorf("%d droppings are still known", n)
	}
}

// Who renames or rewrites what they list comes to an end, misses nothing that stays, and a rewind
// shows all.
func TestListingWhileChanging(t *testing.T) {
	r := newRig(t)
	for i := range 20 {
		r.create(vfs.Root, fmt.Sprintf(".-%02d", i), "")
	}
	r.create(vfs.Root, "media", "")
	d, err := r.OpenDir(bg, vfs.Root)
	r.ok(err)
	defer d.Release()
	seen := map[string]int{}
	cookie := uint64(0)
	for n := 0; ; n++ {
		if n > 100 {
			t.Fatal("the listing has no end")
		}
		some := r.page(r, d, cookie, n%2 == 0, 1)
		if len(some) == 0 {
			break
		}
		cookie = some[0].Cookie
		name := some[0].Name
		if seen[name]++; len(name) != 4 {
			if name[0] == '.' && len(name) > 4 {
				r.ok(r.Rename(bg, me, vfs.Root, name, vfs.Root, name+"x", 0))
			}
			continue
		}
		r.create(vfs.Root, name+".tmp", "new") // a save by rename keeps the place
		r.ok(r.Rename(bg, me, vfs.Root, name+".tmp", vfs.Root, name, 0))
		if n%3 == 0 {
			r.ok(r.Rename(bg, me, vfs.Root, name, vfs.Root, name+".bak", 0))
		}
	}
	for i := range 20 {
		if n := seen[fmt.Sprintf(".-%02d", i)]; n != 1 {
			t.Errorf("%d was listed %d times", i, n)
		}
	}
	if seen["media"] != 1 {
		t.Error("media was not listed")
	}
	if again := r.page(r, d, 0, true, 100); len(again) != 23 {
		t.Errorf("after a rewind: %d entries", len(again))
	}
}

// rm -r: delete what was listed, go on from the same cookie.
func TestDeleteWhileListing(t *testing.T) {
	r := newRig(t)
	d := r.mkdir(vfs.Root, "d")
	for i := range 300 {
		r.create(d, fmt.Sprintf(".-%d", i), "")
	}
	r.create(d, "media", "")
	h, err := r.OpenDir(bg, d)
	r.ok(err)
	cookie := uint64(0)
	for {
		some := r.page(r, h, cookie, false, 10)
		if len(some) == 0 {
			break
		}
		for _, e := range some {
			if cookie = e.Cookie; e.Name != "." && e.Name != ".." {
				r.ok(r.Unlink(bg, me, d, e.Name))
			}
		}
	}
	h.Release()
	r.ok(r.Rmdir(bg, me, vfs.Root, "d"))
}

// Where places were dealt out anew in the middle of a listing, it still ends and shows what is
// there.
func TestListingWithFewPlaces(t *testing.T) {
	r := newRig(t)
	r.create(vfs.Root, ".-keep", "")
	r.ok(r.Unlink(bg, me, vfs.Root, ".-keep"))
	r.SetEndPlaces(vfs.Root, 8) // 5 names
	for i := range 4 {
		r.create(vfs.Root, fmt.Sprintf(".-%d", i), "")
	}
	d, err := r.OpenDir(bg, vfs.Root)
	r.ok(err)
	defer d.Release()
	first := r.page(r, d, 0, true, 3)
	for i := range 20 {
		name := fmt.Sprintf(".-t%d", i)
		r.create(vfs.Root, name, "")
		r.ok(r.Unlink(bg, me, vfs.Root, name))
	}
	rest := r.page(r, d, first[2].Cookie, true, 100)
	if len(rest) != 3 {
		t.Errorf("%d of 3 are left: %v", len(rest), rest)
	}
	r.create(vfs.Root, ".-4", "")
	if id := r.create(vfs.Root, ".-5", ""); isLocal(id) {
		t.Error("a sixth has room here")
	}
	if got := r.names(r, vfs.Root); len(got) != 6 {
		t.Errorf("%q", got)
	}
}

// Names that left the list lie where they are, out of sight, and come back with it.
func TestListChanges(t *testing.T) {
	r := newRig(t)
	d := r.mkdir(vfs.Root, "d")
	r.create(d, ".-a", "a")
	r.create(d, ".DS_Store", "ds")
	r.reopen(func(o *local.Options) { o.Names = []string{".DS_Store"} })
	r.gone(d, ".-a")
	if got := r.names(r, d); !slices.Equal(got, []string{".DS_Store"}) {
		t.Errorf("%q", got)
	}
	r.ok(r.Unlink(bg, me, d, ".DS_Store"))
	r.reopen()
	r.holds(d, ".-a", "a")
	r.reopen(func(o *local.Options) { o.Names = []string{".DS_Store"} })
	r.ok(r.Rmdir(bg, me, vfs.Root, "d")) // for all to see it is empty; what is out of sight goes with it
	if _, err := os.Stat(filepath.Join(r.dir, strconv.FormatUint(d, 16))); err == nil {
		t.Error("what was out of sight is still there")
	}
	r.reopen()
	d2 := r.mkdir(vfs.Root, "d")
	r.gone(d2, ".-a")
}
