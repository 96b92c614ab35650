package objecttest

import (
	"fmt"
	"slices"
	"strings"

	"mediafs/remote/object"
)

// keysOf joins the keys of a page.
func keysOf(page []object.Info) string {
	var keys []string
	for _, i := range page {
		keys = append(keys, i.Key)
	}
	return strings.Join(keys, " ")
}

// The order is that of the bytes of the whole key: '-' and '.' come before '/', and folders mean
// nothing.
func testList(s *suite) {
	keys := []string{
		"a-b", "a-b-c/x", "a.b", "a/b", "a/b-c", "a/b.d/e", "a0", "ab/c", "Z", "log/0/00000000000000000001",
		"log/0/00000000000000000002", "log/0/00000000000000000010", "log/1/00000000000000000001", "log-old/x",
		"log.txt", "log0", "é", "zz/top", "zz!/top", "zz0/top",
	}
	for i, key := range keys {
		s.put(key, strings.Repeat("x", i))
	}
	sizes := map[string]int64{}
	for i, key := range keys {
		sizes[key] = int64(i)
	}
	slices.Sort(keys)

	afters := append(
		[]string{"", "0", "a", "a-", "a/", "a/b", "a/b.d", "a/b.d/e", "a/b/c", "log", "log/", "log/0", "log/0/",
			"log/0/00000000000000000005", "log/0/zz", "log/1", "zz", "zz/top/more", "~", "é", "\U0010ffff"},
		keys...)
	for _, prefix := range []string{"", "a", "a/", "a/b", "a/b.", "a-", "log", "log/", "log/0", "log/0/", "log/0/0000000000000000000",
		"zz", "zz/", "Z", "é", "missing", "missing/", "a/b.d/e/f", "a//", "../", "/"} {
		for _, after := range afters {
			var want []string
			for _, key := range keys {
				if strings.HasPrefix(key, prefix) && key > after {
					want = append(want, key)
				}
			}
			page, more, err := s.b.List(s.ctx, prefix, after, 0)
			s.ok(fmt.Sprintf("list %q after %q", prefix, after), err)
			if more || keysOf(page) != strings.Join(want, " ") {
				s.Errorf("list %q after %q: got %q (more: %v), want %q", prefix, after, keysOf(page), more, want)
			}
		}
		s.listInPages(prefix, keys)
	}

	page, _, err := s.b.List(s.ctx, "", "", 0)
	s.ok("list", err)
	for _, i := range page {
		head, err := s.b.Head(s.ctx, i.Key)
		s.ok("head", err)
		if i.Size != sizes[i.Key] || i.ETag != head.ETag || i.Modified.IsZero() {
			s.Errorf("list describes %+v, head %+v", i, head)
		}
	}
}

// listInPages follows pages of several sizes to the end.
func (s *suite) listInPages(prefix string, keys []string) {
	s.Helper()
	var want []string
	for _, key := range keys {
		if strings.HasPrefix(key, prefix) {
			want = append(want, key)
		}
	}
	for _, size := range []int{1, 3, len(want), len(want) + 1} {
		if size == 0 {
			continue
		}
		var got []string
		for more, after := true, ""; more; {
			page, m, err := s.b.List(s.ctx, prefix, after, size)
			s.ok("list", err)
			if len(page) > size || m && len(page) == 0 {
				s.Fatalf("list %q in pages of %d: a page of %d, more: %v", prefix, size, len(page), m)
			}
			for _, i := range page {
				got = append(got, i.Key)
				after = i.Key
			}
			more = m
			if len(got) > len(want) {
				break
			}
		}
		if !slices.Equal(got, want) {
			s.Errorf("list %q in pages of %d: got %q, want %q", prefix, size, got, want)
		}
	}
}

func testListMissing(s *suite) {
	for _, prefix := range []string{"", "x", "x/", "x/y/z"} {
		page, more, err := s.b.List(s.ctx, prefix, "", 0)
		s.ok("list", err)
		if len(page) != 0 || more {
			s.Errorf("an empty bucket lists %v", page)
		}
	}
}
