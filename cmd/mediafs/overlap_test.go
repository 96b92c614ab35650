package main

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// Folders of a library that lie in one another are refused, with both paths and before anything is
// made.
func TestMisplacedFolders(t *testing.T) {
	tests := []struct {
		name string
		args func(m *machine, store, url string) []string
		code int
		says []string // below the home
	}{
		{"mount point in the store", func(m *machine, store, url string) []string {
			return []string{"mount", url, folder(m.t, store+"/mnt"), "--create"}
		}, exitMountPoint, []string{"mount point HOME/store/mnt lies in the store HOME/store"}},
		{"mount point through a link into the store", func(m *machine, store, url string) []string {
			folder(m.t, store+"/mnt")
			linkTo(m.t, store, m.home+"/link")
			return []string{"mount", url, m.home + "/link/mnt", "--create"}
		}, exitMountPoint, []string{"mount point HOME/store/mnt lies in the store HOME/store"}},
		{
			"the store is the mount point",
			func(m *machine, store, url string) []string { return []string{"mount", url, store} }, exitMountPoint,
			[]string{"mount point HOME/store is also the store HOME/store"},
		},
		{"store in the mount point", func(m *machine, store, url string) []string {
			return []string{"mount", fileURL(m.mnt + "/store"), m.mnt}
		}, exitUsage, []string{"store HOME/mnt/store lies in the mount point HOME/mnt"}},
		{"catalog in the store", func(m *machine, store, url string) []string {
			return []string{"mount", url, m.mnt, "--catalog-dir=" + store + "/a/b"}
		}, exitUsage, []string{"catalog directory HOME/store/a/b lies in the store HOME/store", "--catalog-dir"}},
		{"cache in the store", func(m *machine, store, url string) []string {
			return []string{"mount", url, m.mnt, "--cache-dir=" + store + "/cache"}
		}, exitUsage, []string{"cache directory HOME/store/cache lies in the store HOME/store", "--cache-dir"}},
		{"cache in the catalog", func(m *machine, store, url string) []string {
			return []string{"mount", url, m.mnt, "--catalog-dir=" + m.home + "/c", "--cache-dir=" + m.home + "/c/cache"}
		}, exitUsage, []string{"cache directory HOME/c/cache lies in the catalog directory HOME/c"}},
		{"everything in the store", func(m *machine, store, url string) []string {
			m.env = append(m.env, "XDG_STATE_HOME="+store+"/state")
			return []string{"mount", url, m.mnt, "--create", "--catalog-dir=" + m.home + "/c"}
		}, exitUsage, []string{"log file HOME/store/state/mediafs/", "lies in the store HOME/store"}},
		{"a library that is not mounted", func(m *machine, store, url string) []string {
			return []string{"find", "--library", url, "--catalog-dir=" + store + "/c", "x"}
		}, exitUsage, []string{"catalog directory HOME/store/c lies in the store HOME/store"}},
		{"a copy of the catalog in the store", func(m *machine, store, url string) []string {
			m.mount(url)
			m.umount()
			return []string{"check", url, "--temp-dir=" + folder(m.t, store+"/tmp")}
		}, exitUsage, []string{"temporary directory HOME/store/tmp lies in the store HOME/store", "--temp-dir"}},
		{"a copy of the catalog in the mount", func(m *machine, store, url string) []string {
			m.mount(url)
			return []string{"gc", "--dry-run", m.mnt, "--temp-dir=" + folder(m.t, m.mnt+"/tmp")}
		}, exitUsage, []string{"temporary directory HOME/mnt/tmp lies in the mount HOME/mnt"}},
		{"an export into the store", func(m *machine, store, url string) []string {
			m.mount(url)
			return []string{"export", m.mnt, "--output", store + "/x.jsonl"}
		}, exitUsage, []string{"file HOME/store/x.jsonl lies in the store HOME/store"}},
		{"a copy of the mount into itself", func(m *machine, store, url string) []string {
			m.mount(url)
			return []string{"import", m.home, m.mnt + "/all"}
		}, exitUsage, []string{"lies in the folder HOME", "copied into itself"}},
		{"a copy of the store into itself", func(m *machine, store, url string) []string {
			m.mount(url)
			return []string{"import", store, m.mnt + "/all"}
		}, exitUsage, []string{"folder HOME/store is also the store HOME/store", "mediafs import HOME/mnt PREFIX"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			m := newMachine(t)
			store, url := m.localStore()
			args := tt.args(m, store, url)
			mounted, before := m.mounted(), objects(t, m.home, "store")
			code, stdout, stderr := m.mediafs(args...)
			if code != tt.code || stdout != "" || strings.Count(stderr, "\n") != 1 {
				t.Errorf("exit code %d, want %d; said %q, %q", code, tt.code, stderr, stdout)
			}
			for _, says := range tt.says {
				if says = strings.ReplaceAll(says, "HOME", m.home); !strings.Contains(stderr, says) {
					t.Errorf("said %q, want %q in it", stderr, says)
				}
			}
			if m.mounted() != mounted {
				t.Error("mounted all the same")
			}
			if after := objects(t, m.home, "store"); len(after) != len(before) {
				t.Errorf("made in the store: %q, before %q", after, before)
			}
			if mounted {
				m.umount()
			}
		})
	}
	// An export is of one commit and reads no mount: it may go into one.
	m := newMachine(t)
	_, url := m.localStore()
	m.mount(url)
	m.do("export", m.mnt, "--output", filepath.Join(m.mnt, "x.jsonl"))
	m.umount()
}

// A bind mount gives a folder a second path that no symbolic link shows.
func TestMountPointInTheStoreThroughABindMount(t *testing.T) {
	if out, err := exec.Command("unshare", "-m", "true").CombinedOutput(); err != nil {
		t.Skipf("no mount namespace of its own can be made here: %v: %s", err, out)
	}
	m := newMachine(t)
	store, url := m.localStore()
	folder(t, store+"/sub")
	folder(t, store+"/sub/mnt")
	bound := folder(t, m.home+"/bound")
	ctx, cancel := context.WithTimeout(t.Context(), commandDeadline)
	defer cancel()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for _, below := range []string{store, store + "/sub"} {
		mnt := strings.Replace(store+"/sub/mnt", below, bound, 1)
		cmd := exec.CommandContext(
			ctx, "unshare", "-m", "sh", "-ec", `mount --bind "$1" "$2"; shift 2; exec "$@"`, "sh", below, bound, self,
			"mount", url, mnt, "--create",
		)
		cmd.Env, cmd.Dir = m.env, m.home
		out, _ := cmd.CombinedOutput()
		if code := cmd.ProcessState.ExitCode(); code != exitMountPoint ||
			!strings.Contains(string(out), "mount point "+mnt+" lies in the store "+store) {
			t.Errorf("%s bound to %s: exit code %d, %s", below, bound, code, out)
		}
	}
}

func folder(t *testing.T, dir string) string {
	t.Helper()
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}

func linkTo(t *testing.T, target, name string) {
	t.Helper()
	if err := os.Symlink(target, name); err != nil {
		t.Fatal(err)
	}
}
