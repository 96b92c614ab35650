package acl

import (
	"bytes"
	"math/rand/v2"
	"slices"
	"testing"
)

// list writes a list as its entries' tags, permissions and ids.
func list(entries ...Entry) List { return entries }

var (
	plain = list(Entry{Owner, 6, 0}, Entry{Group, 4, 0}, Entry{Other, 4, 0})
	named = list(
		Entry{Owner, 7, 0}, Entry{User, 6, 11}, Entry{User, 0, 12}, Entry{Group, 5, 0}, Entry{Member, 7, 21},
		Entry{Member, 2, 22}, Entry{Mask, 6, 0}, Entry{Other, 1, 0},
	)
)

func TestBytes(t *testing.T) {
	want := []byte{
		2, 0, 0, 0,
		1, 0, 7, 0, 255, 255, 255, 255,
		2, 0, 6, 0, 11, 0, 0, 0,
		2, 0, 0, 0, 12, 0, 0, 0,
		4, 0, 5, 0, 255, 255, 255, 255,
		8, 0, 7, 0, 21, 0, 0, 0,
		8, 0, 2, 0, 22, 0, 0, 0,
		16, 0, 6, 0, 255, 255, 255, 255,
		32, 0, 1, 0, 255, 255, 255, 255,
	}
	if got := named.Bytes(); !bytes.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
	for _, l := range []List{plain, named} {
		got, err := Parse(l.Bytes())
		if err != nil || !bytes.Equal(got.Bytes(), l.Bytes()) {
			t.Errorf("%v: %v, %v", l, got, err)
		}
	}
}

func TestMalformed(t *testing.T) {
	without := func(l List, t Tag) List {
		return slices.DeleteFunc(slices.Clone(l), func(e Entry) bool { return e.Tag == t })
	}
	swapped := slices.Clone(named)
	swapped[1], swapped[3] = swapped[3], swapped[1]
	for name, b := range map[string][]byte{
		"nothing":             nil,
		"no entries":          {2, 0, 0, 0},
		"half an entry":       append(plain.Bytes(), 1, 0, 7, 0),
		"another version":     append([]byte{1}, plain.Bytes()[1:]...),
		"an unknown kind":     list(plain[0], plain[1], Entry{3, 4, 0}, plain[2]).Bytes(),
		"kinds in one":        list(plain[0], plain[1], Entry{Mask | Other, 4, 0}).Bytes(),
		"too many rights":     list(Entry{Owner, 8, 0}, plain[1], plain[2]).Bytes(),
		"out of order":        swapped.Bytes(),
		"two owners":          list(plain[0], plain[0], plain[1], plain[2]).Bytes(),
		"two masks":           list(plain[0], plain[1], Entry{Mask, 7, 0}, Entry{Mask, 7, 0}, plain[2]).Bytes(),
		"nobody named":        list(plain[0], Entry{User, 4, noID}, plain[1], Entry{Mask, 7, 0}, plain[2]).Bytes(),
		"no mask":             without(named, Mask).Bytes(),
		"no owner":            without(plain, Owner).Bytes(),
		"no group":            without(named, Group).Bytes(),
		"none for the others": without(named, Other).Bytes(),
	} {
		if l, err := Parse(b); err == nil {
			t.Errorf("%s: %v", name, l)
		}
	}
	if l, err := Parse(list(plain[0], plain[1], Entry{Mask, 7, 0}, plain[2]).Bytes()); err != nil {
		t.Errorf("a mask where nobody is named: %v, %v", l, err)
	}
}

func FuzzParse(f *testing.F) {
	f.Add(plain.Bytes())
	f.Add(named.Bytes())
	f.Fuzz(func(t *testing.T, b []byte) {
		l, err := Parse(b)
		if err != nil {
			return
		}
		again, err := Parse(l.Bytes())
		if err != nil || !slices.Equal(again.Bytes(), l.Bytes()) {
			t.Errorf("%v: %v, %v", l, again, err)
		}
		for _, mode := range []uint32{0, 0o777, 0o640, 0o6755} {
			if got := l.Chmod(mode).Mode(mode); got != mode {
				t.Errorf("%v after chmod %o: %o", l, mode, got)
			}
			got, m := l.Inherit(mode)
			if m&^mode != 0 || got != nil && got.Mode(m) != m {
				t.Errorf("%v: %o became %v with %o", l, mode, got, m)
			}
		}
	})
}

func TestModes(t *testing.T) {
	if got := named.Mode(0o104000); got != 0o104761 {
		t.Errorf("%o", got)
	}
	if got := plain.Mode(0o2777); got != 0o2644 {
		t.Errorf("%o", got)
	}
	if got := named.Chmod(0o640); got.Mode(0) != 0o640 || got.entry(Group).Perm != 5 || got.entry(User).Perm != 6 {
		t.Errorf("%v", got)
	}
	if named.Mode(0) != 0o761 {
		t.Error("chmod changed the list that it was given")
	}
	for _, c := range []struct {
		of         List
		mode, want uint32
		list       bool
	}{
		{plain, 0o777, 0o644, false},
		{plain, 0o600, 0o600, false},
		{plain, 0o2077, 0o2044, false},
		{named, 0o666, 0o660, true},
		{named, 0o777, 0o761, true},
		{named, 0o700, 0o700, true},
	} {
		l, mode := c.of.Inherit(c.mode)
		if mode != c.want || (l != nil) != c.list || l != nil && l.entry(User).Perm != 6 {
			t.Errorf("%v, %o: %v with %o, want %o", c.of, c.mode, l, mode, c.want)
		}
	}
	if got := named.Bare(0o104761); got != 0o104700 {
		t.Errorf("%o", got)
	}
	if got := plain.Bare(0o644); got != 0o644 {
		t.Errorf("%o", got)
	}
}

func TestPermits(t *testing.T) {
	const group = 20
	for _, c := range []struct {
		uid    uint32
		groups []uint32
		may    uint32 // the most that is permitted
	}{
		{11, nil, 6},
		{11, []uint32{21}, 6},      // a named user's entry is his only one
		{12, []uint32{20, 21}, 0},  // also when it gives nothing
		{13, []uint32{20}, 4},      // the group's own entry, below the mask
		{13, []uint32{21}, 6},      // a named group's
		{13, []uint32{22}, 2},      //
		{13, []uint32{20, 22}, 0},  // seen below: either, and not both together
		{13, []uint32{20, 21}, 6},  // what one of the groups gives
		{13, []uint32{99}, 1},      // one of all others
		{13, nil, 1},               //
		{0xfffffffe, nil, 1},       //
		{13, []uint32{11, 12}, 1},  // ids of users are none of groups
		{21, nil, 1},               //
		{13, []uint32{20, 99}, 4},  //
		{13, []uint32{22, 99}, 2},  //
		{13, []uint32{21, 22}, 6},  //
		{11, []uint32{20, 22}, 6},  //
		{12, nil, 0},               //
		{20, []uint32{}, 1},        //
		{22, []uint32{22, 100}, 2}, //
	} {
		in := func(gid uint32) bool { return slices.Contains(c.groups, gid) }
		for want := uint32(1); want <= 7; want++ {
			may := c.may&want == want
			if len(c.groups) == 2 && c.groups[0] == 20 && c.groups[1] == 22 && c.uid == 13 {
				may = want == 4 || want == 2
			}
			if got := named.Permits(c.uid, group, in, want); got != may {
				t.Errorf("%d in %v, %o: %v", c.uid, c.groups, want, got)
			}
		}
	}
	// Without its list a file gives nobody more.
	for range 10_000 {
		l := slices.Clone(named)
		for i := range l {
			l[i].Perm = rand.Uint32N(8)
		}
		bare := l.Bare(l.Mode(0))
		for _, uid := range []uint32{11, 12, 13} {
			for _, groups := range [][]uint32{nil, {group}, {21}, {22}, {group, 22}, {21, 22}, {99}} {
				in := func(gid uint32) bool { return slices.Contains(groups, gid) }
				may := bare & 7
				if in(group) {
					may = bare >> 3 & 7
				}
				if want := rand.Uint32N(8); may&want == want && !l.Permits(uid, group, in, want) {
					t.Fatalf("%v: %o gives %d in %v %o", l, bare, uid, groups, want)
				}
			}
		}
	}
}
