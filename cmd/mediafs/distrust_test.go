package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"mediafs/remote/storetest/fakes3"
)

// frameParts is what a store keeps of parts that takes more than their bytes for data.
func frameParts(h *fakes3.Habits) {
	h.Keep = func(key string, part int, body []byte) []byte {
		if part == 0 {
			return body
		}
		return append([]byte("400000;chunk-signature=0\r\n"), body...)
	}
}

func fakeMachine(t *testing.T) *machine {
	return newMachine(t, "AWS_ACCESS_KEY_ID=id", "AWS_SECRET_ACCESS_KEY=secret", "MEDIAFS_FACTS=off")
}

// A store that keeps parts wrongly is refused when a library is made there, and when it is opened
// by a machine that does not know the store.
func TestMountRefusesAStoreThatCorruptsParts(t *testing.T) {
	srv := fakes3.Start(t, fakes3.Habits{Checksums: fakes3.Ignore})
	srv.Change(frameParts)
	m := fakeMachine(t)
	code, _, stderr := m.mediafs("mount", srv.Store("library"), m.mnt)
	if code == exitOK || m.mounted() || !strings.Contains(stderr, "the store has") ||
		!strings.Contains(stderr, "changes what it stores") {
		t.Errorf("mount: exit code %d, %s", code, stderr)
	}
	m.mount(srv.Store("library"), "--read-only")
	m.umount()
	srv.Change(func(h *fakes3.Habits) { h.Keep = nil })
	m.mount(srv.Store("library"))
	m.umount()

	// What an older version found out is not enough.
	noted, err := filepath.Glob(filepath.Join(m.home, ".local/state/mediafs/*/probed"))
	if err != nil || len(noted) != 1 {
		t.Fatalf("%q, %v", noted, err)
	}
	b, err := os.ReadFile(noted[0])
	if err != nil {
		t.Fatal(err)
	}
	var file struct{ Store string }
	if err := json.Unmarshal(b, &file); err != nil || file.Store == "" {
		t.Fatalf("%s: %v", b, err)
	}
	write(t, noted[0], file.Store+"\n")
	srv.Change(frameParts)
	if code, _, stderr := m.mediafs("mount", srv.Store("library"), m.mnt); code == exitOK ||
		!strings.Contains(stderr, "changes what it stores") {
		t.Errorf("mount after an older version: exit code %d, %s", code, stderr)
	}
	// What this version found out is.
	write(t, noted[0], string(b))
	srv.Requests()
	m.mount(srv.Store("library"))
	for _, r := range srv.Requests() {
		if strings.Contains(r.Key, "/probe/") {
			t.Errorf("it was probed again: %s %s", r.Method, r.Key)
			break
		}
	}
	m.umount()
}

// A store that begins to corrupt what it is given is told as such at the close; the bytes stay on
// this machine until a store takes them.
func TestStoreBeginsToCorrupt(t *testing.T) {
	srv := fakes3.Start(t, fakes3.Habits{Checksums: fakes3.Ignore})
	m := fakeMachine(t)
	m.mount(srv.Store("library"))
	source := t.TempDir()
	pseudoRandom(t, filepath.Join(source, "large"), 40<<20)
	pseudoRandom(t, filepath.Join(source, "small"), 100_000)
	srv.Change(func(h *fakes3.Habits) {
		h.Keep = func(key string, part int, body []byte) []byte {
			if !strings.Contains(key, "/content/") {
				return body
			}
			return append([]byte("framing\r\n"), body...)
		}
	})
	for _, name := range []string{"large", "small"} {
		o := m.operate(runAsOperator, "create", filepath.Join(m.mnt, name), filepath.Join(source, name))
		if o.errno() != "EIO" || !strings.Contains(o.output, "written") {
			t.Errorf("%s: %q after %q, want EIO at the close", name, o.failed, o.output)
		}
	}
	s := m.status()
	if s.Pending.Files != 2 || s.LastError == nil || !strings.Contains(s.LastError.Text, "changes what it stores") {
		t.Errorf("status: %+v, %+v", s.Pending, s.LastError)
	}
	m.sh(`cmp large "$1/large"; cmp small "$1/small"`, source)
	srv.Change(func(h *fakes3.Habits) { h.Keep = nil })
	m.do("flush", m.mnt)
	m.umount()
	m.again(srv.Store("library"))
	m.sh(`cmp large "$1/large"; cmp small "$1/small"`, source)
	m.umount()
}
