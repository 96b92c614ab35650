package local

import (
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"
)

func (l *list) all(t *testing.T) (names []string) {
	t.Helper()
	last := uint64(firstPlace - 1)
	for _, e := range l.after(0, l.end, 1<<30) {
		if e.place <= last || e.place >= l.end {
			t.Fatalf("%q at %d, behind %d, end %d", e.name, e.place, last, l.end)
		}
		last = e.place
		names = append(names, e.name)
	}
	return names
}

// A name keeps its place as long as it is there; a listing from any place gives what lies behind
// it, whatever was removed.
func TestPlacesOfDroppings(t *testing.T) {
	l := newList(1 << 20)
	rnd := rand.New(rand.NewPCG(1, 2))
	places := map[string]uint64{}
	for i := range 5000 {
		name := fmt.Sprint(rnd.IntN(300))
		if e := l.names[name]; e != nil && rnd.IntN(2) == 0 {
			l.remove(name)
			delete(places, name)
		} else {
			l.set(name, uint64(i))
			if was, ok := places[name]; ok && was != l.names[name].place {
				t.Fatalf("%q moved from %d to %d", name, was, l.names[name].place)
			}
			places[name] = l.names[name].place
		}
		if i%100 != 0 {
			continue
		}
		if got := l.all(t); len(got) != len(places) {
			t.Fatalf("%d listed, %d there", len(got), len(places))
		}
		from, want := uint64(rnd.IntN(6000)), 0
		for _, p := range places {
			if p > from {
				want++
			}
		}
		if got := l.after(from, l.end, 1<<30); len(got) != want {
			t.Fatalf("%d behind %d, want %d", len(got), from, want)
		}
	}
	if len(l.order) > 2*len(l.names)+100 {
		t.Errorf("%d places are kept for %d names", len(l.order), len(l.names))
	}
}

// When all places were used they are dealt out anew, in the same order, and a full list says so.
func TestPlacesRunOut(t *testing.T) {
	l := newList(firstPlace + 4)
	for i, name := range []string{"a", "b", "c", "d"} {
		l.set(name, uint64(i))
	}
	if !l.full() {
		t.Error("there is room for a fifth of four")
	}
	l.remove("b")
	if l.full() {
		t.Error("there is no room for a fourth")
	}
	l.set("e", 9)
	if got := l.all(t); !slices.Equal(got, []string{"a", "c", "d", "e"}) {
		t.Errorf("%q", got)
	}
	l.remove("nobody")
	l.set("a", 7)
	if l.names["a"].ino != 7 || !l.full() {
		t.Errorf("%+v, full %v", l.names["a"], l.full())
	}
}

func FuzzRecord(f *testing.F) {
	f.Add([]byte("1 0 0 0"))
	f.Add(record{uid: 1001, gid: 4294967295, mode: 0o7777}.encode())
	f.Add([]byte("1 1 2 644 what a later version adds"))
	f.Add([]byte("2 1 2 644"))
	f.Add([]byte("1 1 2 100644"))
	f.Add([]byte("1 -1 2 644"))
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := parseRecord(b)
		if err != nil {
			return
		}
		if r.mode&^permissions != 0 {
			t.Errorf("%q: mode %o", b, r.mode)
		}
		if again, err := parseRecord(r.encode()); err != nil || !reflect.DeepEqual(again, r) {
			t.Errorf("%q: %+v, again %+v, %v", b, r, again, err)
		}
	})
}

func TestRecord(t *testing.T) {
	for text, want := range map[string]record{
		"1 7 8 2755":       {uid: 7, gid: 8, mode: 0o2755},
		"1 7 8 644 locked": {uid: 7, gid: 8, mode: 0o644},
	} {
		if r, err := parseRecord([]byte(text)); err != nil || !reflect.DeepEqual(r, want) {
			t.Errorf("%q: %+v, %v", text, r, err)
		}
	}
	for _, text := range []string{"", "1", "1 7 8", "2 7 8 644", "1 7 8 10000", "1 7 8 9", "1 4294967296 8 644", "1  7 8 644", " 1 7 8 644"} {
		if r, err := parseRecord([]byte(text)); err == nil {
			t.Errorf("%q: %+v", text, r)
		}
	}
}

func FuzzFolderName(f *testing.F) {
	f.Add("1")
	f.Add("01")
	f.Add("2000000000a")
	f.Add("new")
	f.Add("../x")
	f.Fuzz(func(t *testing.T, name string) {
		if id, ok := folderID(name); ok && (id == 0 || folderName(id) != name) {
			t.Errorf("%q: %x", name, id)
		}
	})
}
