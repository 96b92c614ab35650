package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Somebody deletes what a mount keeps on this machine. What is missing there never looks as if the
// user's own file were missing: programs would take the loss for a fact, and make the file anew.
func TestCatalogDeletedUnderneath(t *testing.T) {
	const script = `
f() { printf '%s: ' "$1"; shift; timeout 60 "$@" 2>&1 && echo done; true; }
f create sh -c 'echo new >new'
f mkdir mkdir made
f edit sh -c 'echo more >>large'
f shorten truncate -s 1000 large
f replace sh -c 'echo other >small'
f read cat small
f chmod chmod 600 small
f setxattr setfattr -n user.a -v b small
f rename mv small moved
f link ln large linked
f symlink ln -s large soft
f copy cp --reflink=auto large copied
f remove rm large
f 'local create' sh -c 'echo new >Thumbs.db'
f 'local read' cat folder/Thumbs.db
f 'local write' sh -c 'echo more >>folder/Thumbs.db'
f 'local rename' mv folder/Thumbs.db folder/desktop.ini
f 'local list' ls folder
f df stat -f .
true
`
	for _, what := range []string{"catalog", "cache", "both", "contents"} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			m := newMachine(t)
			store, url := m.localStore()
			m.env = append(m.env, testLimits+"="+faultLimits)
			m.mount(url, "--append-timeout=2s", "--facts=off")
			m.sh(`mkdir folder; echo thumbs >folder/Thumbs.db; head -c 3000000 /dev/urandom >large; echo small >small`)
			s := m.status()
			for _, dir := range map[string][]string{
				"catalog": {s.CatalogDir}, "cache": {s.CacheDir}, "both": {s.CatalogDir, s.CacheDir}, "contents": {filepath.Join(store, "content")},
			}[what] {
				if err := os.RemoveAll(dir); err != nil {
					t.Fatal(err)
				}
			}
			out := m.sh(script)
			t.Log(out)
			if n := strings.Count(out, "done"); what == "cache" && n != strings.Count(script, "\nf ") {
				t.Errorf("without a cache:\n%s", out)
			}
			for line := range strings.SplitSeq(out, "\n") {
				if strings.Contains(line, "No such file") {
					t.Errorf("%s", line)
				}
			}
			// Without its socket nothing can be asked of the daemon.
			m.mediafs("umount", "--force", m.mnt)
		})
	}
}
