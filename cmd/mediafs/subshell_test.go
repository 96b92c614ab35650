package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"mediafs/remote/storetest/wiretap"
)

// flushDelay is when the daemon uploads what a close by another process than the opener's left.
const flushDelay = 2 * time.Second

// A hundred processes write to one descriptor and close it, each once: that is one upload, when the last of them is done and not before.
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
			m.mount(w.store)
			// On a machine so slow that the hundred take longer than the delay, more uploads are right, and the try says nothing.
			for try := 1; ; try++ {
				name := fmt.Sprint("file", try)
				gate, done := filepath.Join(m.home, "gate"+name), filepath.Join(m.home, "done"+name)
				if err := syscall.Mkfifo(gate, 0o600); err != nil {
					t.Fatal(err)
				}
				mark := w.settle()
				begin := time.Now()
				if strings.Contains(tt.script, "$2") {
					// sh waits for everybody who has its output: the background must not.
					m.sh("exec </dev/null 2>/dev/null; "+tt.script, name, gate, done)
					begin = time.Now()
					if err := os.WriteFile(gate, []byte("go\n"), 0); err != nil {
						t.Fatal(err)
					}
					if !eventually(func() bool { _, err := os.Stat(done); return err == nil }) {
						t.Fatal("the loop never ended")
					}
				} else {
					m.sh(tt.script, name)
				}
				took := time.Since(begin)
				t.Logf("try %d: written within %s", try, took)
				if !eventually(func() bool { return m.status().Pending.None() && len(w.contentsSince(mark)) > 0 }) {
					t.Fatalf("never uploaded: %+v", m.status().Pending)
				}
				w.settle()
				mustRead(t, filepath.Join(m.mnt, name), want.String())
				if n := len(w.contentsSince(mark)); n == 1 {
					m.umount()
					m.again(w.store)
					mustRead(t, filepath.Join(m.mnt, name), want.String())
					m.umount()
					return
				} else if took < flushDelay {
					t.Fatalf("%d contents were uploaded, want 1", n)
				}
				if try == 5 {
					t.Skipf("a hundred processes take %s here", took)
				}
			}
		})
	}
}

// contentsSince are the keys of the contents that were made.
func (w *wire) contentsSince(mark int) map[string]bool {
	made := map[string]bool{}
	for _, r := range w.tap.Since(mark) {
		if isContent(r) && r.Status == 200 && (r.Method == "PUT" && r.Kind() == "" || r.Method == "POST" && r.Kind() == "uploadId") {
			made[r.Key] = true
		}
	}
	return made
}

// isContent tells a content from its side objects and from all else.
func isContent(r wiretap.Request) bool {
	return strings.HasPrefix(r.Key, "content/") && !strings.Contains(r.Key, ".")
}
