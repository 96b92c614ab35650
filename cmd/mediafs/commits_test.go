package main

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// commitsSince counts the commits that were sent since a request.
func (w *wire) commitsSince(mark int) (n int) {
	for _, r := range w.tap.Since(mark) {
		if r.Method == http.MethodPut && strings.HasPrefix(r.Key, "log/") && r.Status == http.StatusOK {
			n++
		}
	}
	return n
}

// What programs do to copy small files costs two commits a file, its name and then all the rest,
// and a third for programs that rename what they copied; and what they set is there on another
// machine.
func TestCommitsOfPrograms(t *testing.T) {
	needs(t, "tar", "rsync", "unzip", "zip")
	const files = 40
	source := filepath.Join(t.TempDir(), "source")
	for i := range files {
		name := filepath.Join(source, fmt.Sprintf("file-%d", i))
		if err := os.MkdirAll(source, 0o755); err != nil {
			t.Fatal(err)
		}
		write(t, name, strings.Repeat("bytes of a file\n", i*10))
		if err := os.Chmod(name, os.FileMode(0o600+i%64)); err != nil {
			t.Fatal(err)
		}
		when := []unix.Timespec{{Sec: 1_000_000_000 + int64(i)*2}, {Sec: 1_100_000_000 + int64(i)*2}}
		if err := unix.UtimesNanoAt(unix.AT_FDCWD, name, when, 0); err != nil {
			t.Fatal(err)
		}
	}
	whole := []unix.Timespec{{Sec: 1_000_000_000}, {Sec: 1_100_000_000}} // archives know seconds
	if err := unix.UtimesNanoAt(unix.AT_FDCWD, source, whole, 0); err != nil {
		t.Fatal(err)
	}
	if out, err := run(
		t, "sh", "-ec", `cd "$1/.." && tar -cf source.tar source && zip -qr source.zip source`, "sh", source,
	); err != nil {
		t.Fatal(err, out)
	}
	w := newWire(t)
	m := w.machine()
	m.mount(w.store)
	for _, prog := range []struct {
		name, script string
		each         int
	}{
		{"tar", `mkdir tar && tar -xf "$1.tar" -C tar`, 2},
		{"cp", `mkdir cp && cp -a "$1" cp/`, 2},
		{"unzip", `mkdir unzip && unzip -q "$1.zip" -d unzip`, 2},
		{"rsync", `rsync -a "$1" rsync/`, 3},
	} {
		mark, begin := w.settle(), time.Now()
		m.sh(prog.script, source)
		m.do("flush", m.mnt)
		// What is deferred goes by itself after a second: at most one commit each, should the
		// machine be that slow.
		most := prog.each*files + 10 + int(time.Since(begin)/time.Second)
		n := w.commitsSince(mark)
		t.Logf("%s: %d commits for %d files in %s", prog.name, n, files, time.Since(begin).Round(time.Millisecond))
		if n > most {
			t.Errorf("%s: %d commits for %d files, want at most %d", prog.name, n, files, most)
		}
	}
	second := w.machine()
	second.mount(w.store, "--read-only")
	for _, prog := range []string{"tar", "cp", "unzip", "rsync"} {
		second.compare(source, filepath.Join(second.mnt, prog, "source"))
	}
	second.umount()
	m.umount()
}
