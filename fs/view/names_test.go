package view

import (
	"slices"
	"strings"
	"testing"
	"unicode/utf8"
)

func TestSuffixes(t *testing.T) {
	const id = 0x10000000abc
	for _, c := range []struct{ name, want string }{
		{"a.jpg", "a (10000000abc).jpg"},
		{"a", "a (10000000abc)"},
		{".hidden", ".hidden (10000000abc)"},
		{"a.tar.gz", "a.tar (10000000abc).gz"},
		{"a." + strings.Repeat("x", 40), "a." + strings.Repeat("x", 40) + " (10000000abc)"},
		{"line\nbreak.png", "line\nbreak (10000000abc).png"},
		{strings.Repeat("n", 251) + ".jpg", strings.Repeat("n", 237) + " (10000000abc).jpg"},
		{strings.Repeat("ü", 127) + "x", strings.Repeat("ü", 120) + " (10000000abc)"},
	} {
		got := suffixed(c.name, id)
		if got != c.want || len(got) > 255 {
			t.Errorf("%q: %q (%d bytes), want %q", c.name, got, len(got), c.want)
		}
		if utf8.ValidString(c.name) && !utf8.ValidString(got) {
			t.Errorf("%q is cut within a character: %q", c.name, got)
		}
		if n, ok := suffix(got); !ok || n != id {
			t.Errorf("%q: %x, %v", got, n, ok)
		}
	}
	for _, name := range []string{"a (1).jpg", "a (10000000ABC).jpg", "a (010000000abc)", "a(10000000abc)", "a (10000000abc) b", "", " ()", "a (fffffffffffffffffff)"} {
		if n, ok := suffix(name); ok {
			t.Errorf("%q is taken for a suffixed name, of %x", name, n)
		}
	}
}

func FuzzSuffix(f *testing.F) {
	f.Add("a.jpg", uint64(1)<<40)
	f.Add("\xff\xfe (10000000abc).x", uint64(0x10000000abc))
	f.Fuzz(func(t *testing.T, name string, id uint64) {
		id |= 1 << 40
		suffix(name)
		if !entryName(name) {
			return
		}
		s := suffixed(name, id)
		if n, ok := suffix(s); len(s) > 255 || !ok || n != id {
			t.Errorf("%q: %q gives %x, %v", name, s, n, ok)
		}
		if suffixed(name, id) != s || !entryName(s) {
			t.Errorf("%q: %q", name, s)
		}
	})
}

func TestGroups(t *testing.T) {
	got := parseGroups([]byte("Name:\tcat\nGid:\t1 1 1 1\nGroups:\t4 24 1000 \nNStgid:\t5\n"))
	if !slices.Equal(got, []uint32{4, 24, 1000}) {
		t.Errorf("%v", got)
	}
	if parseGroups([]byte("Name:\tGroups: 5\n")) != nil || groupsOf(0) != nil {
		t.Error("groups out of nothing")
	}
	if _, uid := desktopName(".Trash-01"); uid {
		t.Error("a number with a zero before it")
	}
	for name, want := range map[string]bool{".Trash-0": true, ".Trash-4294967295": true, ".Trash-4294967296": false, ".Trash-": false, ".Trash--1": false, ".Trash": false, ".Trash-1 ": false} {
		if _, ok := desktopName(name); ok != want {
			t.Errorf("%q: %v", name, ok)
		}
	}
}
