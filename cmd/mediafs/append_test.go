package main

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"
)

// A shell appends line by line, each with an open and a close of its own: to a new file, and to one
// that a cold machine has not read. Each line is one object of its own, and all of them have at
// most four times the lines' bytes. The old file is not fetched; a line may be that was written
// before the release of the one before it, since the cache has not got its content then.
func TestShellAppends(t *testing.T) {
	const lines, size = 100, 25
	w := newWire(t)
	first := w.machine()
	first.mount(w.store)
	first.sh(`head -c 500000 /dev/zero | tr '\0' x >old`)
	first.umount()

	m := w.machine()
	m.mount(w.store)
	for _, name := range []string{"new", "old"} {
		want := strings.Repeat("x", map[string]int{"old": 500000}[name])
		mark := w.settle()
		m.sh(`for i in $(seq `+fmt.Sprint(lines)+`); do printf 'line %019d\n' "$i" >>"$1"; done`, name)
		for i := range lines {
			want += fmt.Sprintf("line %019d\n", i+1)
		}
		w.settle()
		sent, contents := int64(0), w.contentsSince(mark)
		fetched := int64(0)
		for _, r := range w.tap.Since(mark) {
			switch {
			case !strings.HasPrefix(r.Key, "content/"):
			case r.Method == "PUT":
				sent += r.Sent
			default:
				fetched += r.Received
			}
		}
		if len(contents) > lines || sent > 4*lines*size || fetched > lines*size {
			t.Errorf(
				"%s: %d lines of %d bytes made %d objects, sent %d bytes and fetched %d", name, lines, size,
				len(contents), sent, fetched,
			)
		}
		mustRead(t, filepath.Join(m.mnt, name), want)
		third := w.machine()
		third.mount(w.store, "--read-only")
		mustRead(t, filepath.Join(third.mnt, name), want)
		third.umount()
	}
	m.umount()
}
