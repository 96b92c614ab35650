package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"mediafs/remote/storetest/wiretap"
)

// flushAfter names the environment variable that sets flushDelay in a child of the test.
const flushAfter = "MEDIAFS_TEST_FLUSH_DELAY"

// A hundred processes write to one descriptor and close it, each once: that is one upload, when the
// last of them is done and not before.
func TestSubshell(t *testing.T) {
	var want strings.Builder
	for i := range 100 {
		fmt.Fprintf(&want, "line %d\n", i+1)
	}
	const loop = `for i in $(seq 100); do /bin/echo "line $i"; done`
	tests := []struct{ name, script string }{
		{"opener stays", `( ` + loop + ` ) >"$1"`},
		// The opener has ended when the gate opens; what it left writes on.
		{"opener is gone", `( ( read -r <"$2"; ` + loop + `; : >"$3" ) & ) >"$1"`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := newWire(t)
			m := w.machine()
			m.env = append(m.env, flushAfter+"=1h") // however slow this machine is
			m.mount(w.store)
			gate, done := filepath.Join(m.home, "gate"), filepath.Join(m.home, "done")
			if err := syscall.Mkfifo(gate, 0o600); err != nil {
				t.Fatal(err)
			}
			mark := w.settle()
			if strings.Contains(tt.script, "$2") {
				// sh waits for everybody who has its output: the background must not.
				m.sh("exec </dev/null 2>/dev/null; "+tt.script, "file", gate, done)
				if err := os.WriteFile(gate, []byte("go\n"), 0); err != nil {
					t.Fatal(err)
				}
				if !eventually(func() bool { _, err := os.Stat(done); return err == nil }) {
					t.Fatal("the loop never ended")
				}
			} else {
				m.sh(tt.script, "file")
			}
			if !eventually(func() bool { return m.status().Pending.None() && len(w.contentsSince(mark)) > 0 }) {
				t.Fatalf("never uploaded: %+v", m.status().Pending)
			}
			w.settle()
			mustRead(t, filepath.Join(m.mnt, "file"), want.String())
			if n := len(w.contentsSince(mark)); n != 1 {
				t.Errorf("%d contents were uploaded, want 1", n)
			}
			m.umount()
			m.again(w.store)
			mustRead(t, filepath.Join(m.mnt, "file"), want.String())
			m.umount()
		})
	}
}

// contentsSince are the keys of the contents that were made.
func (w *wire) contentsSince(mark int) map[string]bool {
	made := map[string]bool{}
	for _, r := range w.tap.Since(mark) {
		if isContent(r) && r.Status == 200 &&
			(r.Method == "PUT" && r.Kind() == "" || r.Method == "POST" && r.Kind() == "uploadId") {
			made[r.Key] = true
		}
	}
	return made
}

// isContent tells a content from its side objects and from all else.
func isContent(r wiretap.Request) bool {
	return strings.HasPrefix(r.Key, "content/") && !strings.Contains(r.Key, ".")
}
