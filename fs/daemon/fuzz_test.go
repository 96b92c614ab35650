package daemon

import (
	"os"
	"path/filepath"
	"testing"
)

// What lies in the list of mounts may be cut, old or somebody's joke; it is read or left out.
func FuzzMountNote(f *testing.F) {
	f.Add([]byte(`{"dir":"/mnt","pid":1,"catalog_dir":"/c","store":"file:///s","started":"2026-01-02T03:04:05Z"}`))
	f.Add([]byte(`{"dir":"../..","pid":-1,"catalog_dir":"\u0000"}`))
	f.Add([]byte(`{`))
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, b []byte) {
		r := Registry{Dir: dir}
		name := filepath.Join(dir, "0000000000000000.json")
		if err := os.WriteFile(name, b, 0o600); err != nil {
			t.Fatal(err)
		}
		ms, err := r.List()
		if err != nil || len(ms) > 1 {
			t.Errorf("%d mounts, %v", len(ms), err)
		}
		for _, m := range ms {
			m.Alive()
			if err := r.Forget(m); err != nil {
				t.Errorf("%q: %v", b, err)
			}
		}
		if _, err := os.Stat(name); err != nil {
			t.Errorf("%q made away with another note: %v", b, err)
		}
	})
}
