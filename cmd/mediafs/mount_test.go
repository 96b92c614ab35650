package main

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"mediafs/fs/daemon"
	"mediafs/remote/object/s3/s3server"
)

// localStore makes an empty folder for a library.
func (m *machine) localStore() (dir, url string) {
	m.t.Helper()
	dir = filepath.Join(m.home, "store")
	if err := os.Mkdir(dir, 0o700); err != nil {
		m.t.Fatal(err)
	}
	return dir, fileURL(dir)
}

func write(t *testing.T, name, content string) {
	t.Helper()
	if err := os.WriteFile(name, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
}

func mustRead(t *testing.T, name, want string) {
	t.Helper()
	b, err := os.ReadFile(name)
	if err != nil || string(b) != want {
		t.Errorf("%s: %q, %v; want %q", name, b[:min(len(b), 100)], err, want)
	}
}

// objects lists what lies below prefix of a local store.
func objects(t *testing.T, store, prefix string) []string {
	t.Helper()
	var found []string
	err := filepath.WalkDir(filepath.Join(store, prefix), func(name string, d os.DirEntry, err error) error {
		if errors.Is(err, os.ErrNotExist) {
			return nil
		}
		if err == nil && !d.IsDir() {
			found = append(found, name)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// tree lists everything below dir.
func tree(t *testing.T, dir string) (names []string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(name string, _ os.DirEntry, err error) error {
		names = append(names, name)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return names
}

// bothStores runs a test on a local store and on a server that speaks S3.
func bothStores(t *testing.T, test func(t *testing.T, m *machine, store string)) {
	t.Run("file", func(t *testing.T) {
		m := newMachine(t)
		_, url := m.localStore()
		test(t, m, url)
	})
	t.Run("s3", func(t *testing.T) {
		server := s3server.Start(t)
		m := newMachine(t, credentials(server)...)
		test(t, m, server.URL("family/photos"))
	})
}

func credentials(s *s3server.Server) []string {
	return []string{"AWS_ACCESS_KEY_ID=" + s.AccessKey, "AWS_SECRET_ACCESS_KEY=" + s.SecretKey}
}

func TestMountAndUmount(t *testing.T) {
	bothStores(t, func(t *testing.T, m *machine, store string) {
		if said := m.mount(store); !strings.Contains(said, "made a new library") || strings.Count(said, "\n") != 1 {
			t.Errorf("mount of an empty store said %q", said)
		}
		write(t, filepath.Join(m.mnt, "a.txt"), "one")
		if err := os.Mkdir(filepath.Join(m.mnt, "folder"), 0o755); err != nil {
			t.Fatal(err)
		}
		m.do("flush", filepath.Join(m.mnt, "folder"))
		s := m.status()
		if !s.Running || !s.Pending.None() || s.Mount != m.mnt || s.Library == "" || s.Client == 0 ||
			s.Log.Applied == 0 ||
			s.LastError != nil {
			t.Errorf("status %+v", s)
		}
		code, stdout, _ := m.mediafs("status")
		if code != exitOK || !strings.HasPrefix(stdout, m.mnt+"\n") || !strings.Contains(stdout, "pending  nothing") {
			t.Errorf("status: exit code %d\n%s", code, stdout)
		}
		// What is refused while it is mounted.
		if code, _, stderr := m.mediafs("mount", store, m.mnt); code != exitBusy ||
			!strings.Contains(stderr, "is mounted there already") {
			t.Errorf("mounting on it again: exit code %d, %s", code, stderr)
		}
		other := filepath.Join(m.home, "other")
		if err := os.Mkdir(other, 0o755); err != nil {
			t.Fatal(err)
		}
		if code, _, stderr := m.mediafs("mount", store, other); code != exitBusy ||
			!strings.Contains(stderr, fmt.Sprintf("process %d uses it", s.PID)) {
			t.Errorf("a second daemon on the catalog directory: exit code %d, %s", code, stderr)
		}
		if code, _, stderr := m.mediafs("umount", filepath.Join(m.mnt, "folder")); code != exitMountPoint {
			t.Errorf("umount of a folder in it: exit code %d, %s", code, stderr)
		}
		m.umount()
		if _, stdout, _ := m.mediafs("status"); stdout != "nothing is mounted\n" {
			t.Errorf("status after umount: %q", stdout)
		}
		if entries, err := os.ReadDir(m.mnt); err != nil || len(entries) != 0 {
			t.Errorf("below the mount: %v, %v", entries, err)
		}

		if said := m.mount(store); said != "" {
			t.Errorf("mount of a library said %q", said)
		}
		mustRead(t, filepath.Join(m.mnt, "a.txt"), "one")
		m.umount()

		m.again(store, "--read-only")
		mustRead(t, filepath.Join(m.mnt, "a.txt"), "one")
		if err := os.WriteFile(filepath.Join(m.mnt, "b.txt"), nil, 0o644); !errors.Is(err, syscall.EROFS) {
			t.Errorf("write on a read-only mount: %v", err)
		}
		if s := m.status(); !s.ReadOnly || s.Client != 0 {
			t.Errorf("status of a read-only mount: %+v", s)
		}
		m.umount()
	})
}

// The embedded library needs nothing but a folder to mount on, and odd names are no trouble.
func TestEmbeddedLibrary(t *testing.T) {
	m := newMachine(t)
	m.mnt = filepath.Join(m.home, "odd \n\x1b[31m\\040 name")
	if err := os.Mkdir(m.mnt, 0o755); err != nil {
		t.Fatal(err)
	}
	m.do("mount", m.mnt)
	write(t, filepath.Join(m.mnt, "x"), "y")
	if len(objects(t, filepath.Join(m.home, ".local/share/mediafs/library"), "content")) != 1 {
		t.Error("the file is not in the embedded library")
	}
	code, stdout, _ := m.mediafs("status")
	if code != exitOK || strings.Contains(stdout, "\x1b") ||
		!strings.HasPrefix(stdout, m.home+`/odd \n\x1b[31m\\040 name`) &&
			!strings.HasPrefix(stdout, m.home+`/odd \n\x1b[31m\040 name`) {
		t.Errorf("status of an odd name: exit code %d, %q", code, stdout)
	}
	for _, dir := range []string{".local/state/mediafs/mounts", ".local/share/mediafs/library", m.status().CatalogDir, m.status().CacheDir} {
		if !filepath.IsAbs(dir) {
			dir = filepath.Join(m.home, dir)
		}
		if info, err := os.Stat(dir); err != nil || info.Mode().Perm() != 0o700 {
			t.Errorf("%s: %v, %v; want mode 0700", dir, info.Mode(), err)
		}
	}
	m.umount()
}

// As mount(8) and fstab do it, with a library of the configuration file.
func TestConfiguredLibrary(t *testing.T) {
	m := newMachine(t)
	store, url := m.localStore()
	config := filepath.Join(m.home, ".config/mediafs")
	if err := os.MkdirAll(config, 0o700); err != nil {
		t.Fatal(err)
	}
	write(
		t, filepath.Join(config, "config.toml"),
		fmt.Sprintf("[library.films]\nstore = %q\nmount = %q\ncache-size = '64MiB'\n", url, m.mnt),
	)
	m.do("mount", m.mnt, "-o", "_netdev,noauto,allow_other,x-systemd.automount")
	m.umount()
	// mount(8) calls it under this name.
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	helper := filepath.Join(m.home, "mount.mediafs")
	if err := os.Symlink(self, helper); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(helper, "films", m.mnt, "-n", "-o", "rw,_netdev")
	cmd.Env = m.env
	if out, err := cmd.CombinedOutput(); err != nil || len(out) > 0 {
		t.Fatalf("mount.mediafs: %v, %s", err, out)
	}
	if s := m.status(); s.Store != url && s.Store != url+"/" || s.Cache.Limit != 64<<20 {
		t.Errorf("status %+v, want store %s with 64 MiB", s, url)
	}
	write(t, filepath.Join(m.mnt, "film"), "f")
	if len(objects(t, store, "content")) != 1 {
		t.Error("the file is not in the store when close has returned")
	}
	m.umount()
}

// What is wrong with a mount point, directory or store is said in one line, with the documented
// exit code, and leaves nothing behind.
func TestRefusedMounts(t *testing.T) {
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	nobody := "http://" + closed.Addr().String()
	closed.Close()
	deaf, err := net.Listen("tcp", "127.0.0.1:0") // takes connections and never says a word
	if err != nil {
		t.Fatal(err)
	}
	defer deaf.Close()
	server := s3server.Start(t)
	query := "?region=" + server.Region + "&endpoint=" + server.Endpoint

	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	tests := []struct {
		name string
		args func(m *machine) []string // after "mount"
		env  []string
		code int
		says string
	}{
		{
			"missing folder", func(m *machine) []string { return []string{m.home + "/none"} }, nil, exitMountPoint,
			"does not exist",
		},
		{"a file", func(m *machine) []string {
			write(t, m.home+"/file", "")
			return []string{m.home + "/file"}
		}, nil, exitMountPoint, "not a folder"},
		{"not empty", func(m *machine) []string {
			write(t, m.mnt+"/x", "")
			return []string{m.mnt}
		}, nil, exitMountPoint, "folder not empty"},
		{
			"catalog in the mount",
			func(m *machine) []string { return []string{"--catalog-dir=" + m.mnt + "/c", m.mnt} }, nil, exitUsage,
			"lies in the mount point",
		},
		{"catalog is a link", func(m *machine) []string {
			must(os.Mkdir(m.home+"/elsewhere", 0o700))
			must(os.Symlink("elsewhere", m.home+"/link"))
			return []string{"--catalog-dir=" + m.home + "/link", m.mnt}
		}, nil, exitUsage, "symbolic link"},
		{"catalog of another user", func(m *machine) []string {
			must(os.Mkdir(m.home+"/theirs", 0o700))
			if os.Chown(m.home+"/theirs", 12345, 12345) != nil {
				t.Skip("only root can give a folder away")
			}
			return []string{"--catalog-dir=" + m.home + "/theirs", m.mnt}
		}, nil, exitPermission, "belongs to user 12345"},
		{"one directory for both", func(m *machine) []string {
			return []string{"--catalog-dir=" + m.home + "/both", "--cache-dir=" + m.home + "/both", m.mnt}
		}, nil, exitUsage, "catalog and cache share"},
		{"no such scheme", func(m *machine) []string { return []string{"ftp://host/x", m.mnt} }, nil, exitUsage, "ftp"},
		{
			"local store missing", func(m *machine) []string { return []string{fileURL(m.home + "/none"), m.mnt} }, nil,
			exitNoLibrary, "does not exist",
		},
		{"local store holds other things", func(m *machine) []string {
			dir, url := m.localStore()
			write(t, dir+"/holiday.jpg", "bytes")
			return []string{url, m.mnt}
		}, nil, exitNoLibrary, "--create"},
		{"read-only of an empty store", func(m *machine) []string {
			_, url := m.localStore()
			return []string{"--read-only", url, m.mnt}
		}, nil, exitNoLibrary, "without --read-only"},
		{"broken library", func(m *machine) []string {
			dir, url := m.localStore()
			write(t, dir+"/format.json", "{\"mediafs\"")
			return []string{url, m.mnt}
		}, nil, exitCorrupt, "format.json"},
		{"library of a later version", func(m *machine) []string {
			dir, url := m.localStore()
			write(t, dir+"/format.json", `{"magic": "mediafs", "format": 99}`)
			return []string{url, m.mnt}
		}, nil, exitVersion, "format"},
		{
			"parameter of the URL", func(m *machine) []string { return []string{"s3://b?colour=red", m.mnt} }, nil,
			exitUsage, "colour",
		},
		{"store not reached", func(m *machine) []string {
			return []string{"--connect-timeout=300ms", "s3://bucket?endpoint=" + nobody, m.mnt}
		}, credentials(server), exitUnavailable, nobody[len("http://"):]},
		{"store does not answer", func(m *machine) []string {
			return []string{"--connect-timeout=300ms", "s3://bucket?endpoint=http://" + deaf.Addr().String(), m.mnt}
		}, credentials(server), exitUnavailable, deaf.Addr().String()},
		{"wrong key", func(m *machine) []string { return []string{"s3://" + server.Bucket + query, m.mnt} },
			[]string{"AWS_ACCESS_KEY_ID=wrong", "AWS_SECRET_ACCESS_KEY=sesame-open"}, exitPermission, ""},
		{"wrong secret", func(m *machine) []string { return []string{"s3://" + server.Bucket + query, m.mnt} },
			[]string{"AWS_ACCESS_KEY_ID=" + server.AccessKey, "AWS_SECRET_ACCESS_KEY=sesame-open"}, exitPermission, ""},
		{
			"no such bucket", func(m *machine) []string { return []string{"s3://no-such-bucket-here" + query, m.mnt} },
			credentials(server), exitNoLibrary, "no-such-bucket-here",
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			m := newMachine(t, tt.env...)
			args := tt.args(m)
			before, there := objects(t, m.home, "store"), tree(t, m.home)
			code, stdout, stderr := m.mediafs(append([]string{"mount"}, args...)...)
			if code != tt.code || !strings.Contains(stderr, tt.says) || stdout != "" {
				t.Errorf(
					"exit code %d, want %d; said %q, want %q in it; stdout %q", code, tt.code, stderr, tt.says, stdout,
				)
			}
			if strings.Count(stderr, "\n") != 1 || !strings.HasPrefix(stderr, "mediafs: ") ||
				strings.Contains(stderr, "sesame") {
				t.Errorf("not one plain line without secrets: %q", stderr)
			}
			if m.mounted() {
				t.Error("mounted all the same")
			}
			if after := objects(t, m.home, "store"); strings.Join(before, "\n") != strings.Join(after, "\n") {
				t.Errorf("the store was changed: %q, before %q", after, before)
			}
			// Neither folders nor a log, which could hold secrets too.
			if now := tree(t, m.home); strings.Join(now, "\n") != strings.Join(there, "\n") {
				t.Errorf("left behind: %q, before %q", now, there)
			}
		})
	}
}

// A library among other objects is made when a person says yes, or with --create, and not
// otherwise.
func TestForeignStore(t *testing.T) {
	m := newMachine(t)
	dir, url := m.localStore()
	write(t, filepath.Join(dir, "holiday.jpg"), "bytes")
	code, said := m.answer("n", "mount", url, m.mnt)
	if code != exitNoLibrary || !strings.Contains(said, "holds other objects and no library") || m.mounted() ||
		len(objects(t, dir, "")) != 1 {
		t.Errorf("answered no: exit code %d, said %q, store %q", code, said, objects(t, dir, ""))
	}
	if code, said = m.answer("y", "mount", url, m.mnt); code != exitOK || !m.mounted() {
		t.Fatalf("answered yes: exit code %d, said %q", code, said)
	}
	m.umount()
	mustRead(t, filepath.Join(dir, "holiday.jpg"), "bytes")

	other := filepath.Join(m.home, "other")
	if err := os.Mkdir(other, 0o700); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(other, "holiday.jpg"), "bytes")
	m.mount(fileURL(other), "--create")
	m.umount()
}

// Somebody unmounts without asking the daemon: it finishes and ends all the same.
func TestUnmountFromOutside(t *testing.T) {
	m := newMachine(t)
	_, url := m.localStore()
	m.mount(url)
	write(t, filepath.Join(m.mnt, "x"), "y")
	catalog := daemon.Mount{CatalogDir: m.status().CatalogDir}
	if out, err := exec.Command("umount", m.mnt).CombinedOutput(); err != nil {
		t.Fatalf("umount: %v, %s", err, out)
	}
	if !eventually(func() bool { return !catalog.Alive() }) {
		t.Fatal("the daemon goes on")
	}
	if _, stdout, _ := m.mediafs("status"); stdout != "nothing is mounted\n" {
		t.Errorf("status: %q", stdout)
	}
	m.again(url)
	mustRead(t, filepath.Join(m.mnt, "x"), "y")
	m.umount()
}

// A catalog directory belongs to one library.
func TestCatalogOfAnotherLibrary(t *testing.T) {
	m := newMachine(t)
	_, url := m.localStore()
	flag := "--catalog-dir=" + filepath.Join(m.home, "catalog")
	m.mount(url, flag)
	m.umount()
	if code, _, stderr := m.mediafs("mount", m.mnt, flag); code == exitOK || strings.Count(stderr, "\n") != 1 ||
		m.mounted() {
		t.Errorf("exit code %d, %q", code, stderr)
	}
}

// Two machines have one library mounted at the same time, and each sees what the other does.
func TestTwoMachines(t *testing.T) {
	bothStores(t, func(t *testing.T, a *machine, store string) {
		b := newMachine(t, a.env...)
		b.env = append(b.env, "HOME="+b.home)
		a.mount(store)
		b.mount(store)
		if a.status().Client == b.status().Client {
			t.Error("both have one client number")
		}
		reads := func(m *machine, name, want string) {
			t.Helper()
			if !eventually(func() bool {
				got, err := os.ReadFile(filepath.Join(m.mnt, name))
				return err == nil && string(got) == want
			}) {
				t.Errorf("%s never read %q", name, want)
			}
		}
		write(t, filepath.Join(a.mnt, "x"), "from a")
		reads(b, "x", "from a")
		write(t, filepath.Join(b.mnt, "x"), "edited by b")
		reads(a, "x", "edited by b")
		if err := os.Rename(filepath.Join(a.mnt, "x"), filepath.Join(a.mnt, "y")); err != nil {
			t.Fatal(err)
		}
		reads(b, "y", "edited by b")
		if err := os.Remove(filepath.Join(b.mnt, "y")); err != nil {
			t.Fatal(err)
		}
		if !eventually(
			func() bool { _, err := os.Stat(filepath.Join(a.mnt, "y")); return errors.Is(err, os.ErrNotExist) },
		) {
			t.Error("a still has what b removed")
		}
		a.umount()
		b.umount()
	})
}
