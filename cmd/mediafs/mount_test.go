package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/sirupsen/logrus"

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
		if !s.Running || !s.Pending.None() || s.Mount != m.mnt || s.Library == "" || s.Client == 0 || s.Log.Applied == 0 || s.LastError != nil {
			t.Errorf("status %+v", s)
		}
		code, stdout, _ := m.mediafs("status")
		if code != exitOK || !strings.HasPrefix(stdout, m.mnt+"\n") || !strings.Contains(stdout, "pending  nothing") {
			t.Errorf("status: exit code %d\n%s", code, stdout)
		}
		// What is refused while it is mounted.
		if code, _, stderr := m.mediafs("mount", store, m.mnt); code != exitBusy || !strings.Contains(stderr, "is mounted there already") {
			t.Errorf("mounting on it again: exit code %d, %s", code, stderr)
		}
		other := filepath.Join(m.home, "other")
		if err := os.Mkdir(other, 0o755); err != nil {
			t.Fatal(err)
		}
		if code, _, stderr := m.mediafs("mount", store, other); code != exitBusy || !strings.Contains(stderr, fmt.Sprintf("process %d uses it", s.PID)) {
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
	if code != exitOK || strings.Contains(stdout, "\x1b") || !strings.HasPrefix(stdout, m.home+`/odd \n\x1b[31m\\040 name`) && !strings.HasPrefix(stdout, m.home+`/odd \n\x1b[31m\040 name`) {
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
	write(t, filepath.Join(config, "config.toml"), fmt.Sprintf("[library.films]\nstore = %q\nmount = %q\ncache-size = '64MiB'\n", url, m.mnt))
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

// What is wrong with a mount point, directory or store is said in one line, with the documented exit code, and leaves nothing behind.
func TestRefusedMounts(t *testing.T) {
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	nobody := "http://" + closed.Addr().String()
	closed.Close()
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
		{"missing folder", func(m *machine) []string { return []string{m.home + "/none"} }, nil, exitMountPoint, "does not exist"},
		{"a file", func(m *machine) []string {
			write(t, m.home+"/file", "")
			return []string{m.home + "/file"}
		}, nil, exitMountPoint, "not a folder"},
		{"not empty", func(m *machine) []string {
			write(t, m.mnt+"/x", "")
			return []string{m.mnt}
		}, nil, exitMountPoint, "folder not empty"},
		{"catalog in the mount", func(m *machine) []string { return []string{"--catalog-dir=" + m.mnt + "/c", m.mnt} }, nil, exitUsage, "lies in the mount point"},
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
		{"local store missing", func(m *machine) []string { return []string{fileURL(m.home + "/none"), m.mnt} }, nil, exitNoLibrary, "does not exist"},
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
		{"parameter of the URL", func(m *machine) []string { return []string{"s3://b?colour=red", m.mnt} }, nil, exitUsage, "colour"},
		{"store not reached", func(m *machine) []string {
			return []string{"--connect-timeout=300ms", "s3://bucket?endpoint=" + nobody, m.mnt}
		}, credentials(server), exitUnavailable, nobody[len("http://"):]},
		{"wrong key", func(m *machine) []string { return []string{"s3://" + server.Bucket + query, m.mnt} },
			[]string{"AWS_ACCESS_KEY_ID=wrong", "AWS_SECRET_ACCESS_KEY=sesame-open"}, exitPermission, ""},
		{"wrong secret", func(m *machine) []string { return []string{"s3://" + server.Bucket + query, m.mnt} },
			[]string{"AWS_ACCESS_KEY_ID=" + server.AccessKey, "AWS_SECRET_ACCESS_KEY=sesame-open"}, exitPermission, ""},
		{"no such bucket", func(m *machine) []string { return []string{"s3://no-such-bucket-here" + query, m.mnt} }, credentials(server), exitNoLibrary, "no-such-bucket-here"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			m := newMachine(t, tt.env...)
			args := tt.args(m)
			before := objects(t, m.home, "store")
			code, stdout, stderr := m.mediafs(append([]string{"mount"}, args...)...)
			if code != tt.code || !strings.Contains(stderr, tt.says) || stdout != "" {
				t.Errorf("exit code %d, want %d; said %q, want %q in it; stdout %q", code, tt.code, stderr, tt.says, stdout)
			}
			if strings.Count(stderr, "\n") != 1 || !strings.HasPrefix(stderr, "mediafs: ") || strings.Contains(stderr, "sesame") {
				t.Errorf("not one plain line without secrets: %q", stderr)
			}
			if m.mounted() {
				t.Error("mounted all the same")
			}
			if after := objects(t, m.home, "store"); strings.Join(before, "\n") != strings.Join(after, "\n") {
				t.Errorf("the store was changed: %q, before %q", after, before)
			}
			for _, log := range objects(t, m.home, ".local") {
				if b, _ := os.ReadFile(log); bytes.Contains(b, []byte("sesame")) {
					t.Errorf("a secret is in %s", log)
				}
			}
		})
	}
}

// A library among other objects is made when a person says yes, or with --create, and not otherwise.
func TestForeignStore(t *testing.T) {
	m := newMachine(t)
	dir, url := m.localStore()
	write(t, filepath.Join(dir, "holiday.jpg"), "bytes")
	code, said := m.answer("n", "mount", url, m.mnt)
	if code != exitNoLibrary || !strings.Contains(said, "holds other objects and no library") || m.mounted() || len(objects(t, dir, "")) != 1 {
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

// kill -9 loses nothing that was written, and the next mount needs nobody to clean up first.
func TestKilledDaemon(t *testing.T) {
	bothStores(t, func(t *testing.T, m *machine, store string) {
		m.mount(store)
		write(t, filepath.Join(m.mnt, "closed"), "confirmed")
		open, err := os.Create(filepath.Join(m.mnt, "open"))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := open.WriteString("written, not closed"); err != nil {
			t.Fatal(err)
		}
		m.kill()
		open.Close() // fails: its daemon is gone
		if s := m.status(); s.Running || s.Mount != m.mnt || s.LastError == nil || !strings.Contains(s.LastError.Text, "has died") {
			t.Errorf("status of a dead mount: %+v", s)
		}
		if code, _, stderr := m.mediafs("flush", m.mnt); code == exitOK || !strings.Contains(stderr, "has died") {
			t.Errorf("flush of a dead mount: exit code %d, %s", code, stderr)
		}
		if said := m.mount(store); !strings.Contains(said, "died; its mount was removed") {
			t.Errorf("mount over a dead one said %q", said)
		}
		mustRead(t, filepath.Join(m.mnt, "closed"), "confirmed")
		mustRead(t, filepath.Join(m.mnt, "open"), "written, not closed")
		m.kill()
		if said := m.do("umount", m.mnt); !strings.Contains(said, "had died") || m.mounted() {
			t.Errorf("umount of a dead mount said %q", said)
		}
		if code, _, _ := m.mediafs("umount", m.mnt); code != exitMountPoint {
			t.Errorf("umount of nothing: exit code %d", code)
		}
		m.mount(store)
		m.umount()
		m.again(store)
		mustRead(t, filepath.Join(m.mnt, "open"), "written, not closed")
		m.umount()
	})
}

func TestUmountWhileFilesAreOpen(t *testing.T) {
	m := newMachine(t)
	_, url := m.localStore()
	m.mount(url)
	f, err := os.Create(filepath.Join(m.mnt, "open"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteString("half"); err != nil {
		t.Fatal(err)
	}
	if code, _, stderr := m.mediafs("umount", m.mnt); code != exitBusy || !strings.Contains(stderr, "fuser") {
		t.Errorf("exit code %d, %s", code, stderr)
	}
	if _, err := f.WriteString(" and half"); err != nil {
		t.Errorf("after a refused umount: %v", err)
	}
	m.do("umount", "--force", m.mnt)
	if m.mounted() {
		t.Error("still mounted")
	}
	m.mount(url)
	mustRead(t, filepath.Join(m.mnt, "open"), "half and half")
	m.umount()
}

// A daemon that hangs keeps neither the commands nor, with --force, the mount.
func TestHungDaemon(t *testing.T) {
	m := newMachine(t)
	_, url := m.localStore()
	m.mount(url)
	pid := m.status().PID
	if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	defer syscall.Kill(pid, syscall.SIGKILL)
	for _, args := range [][]string{{"flush", "--timeout=100ms", m.mnt}, {"umount", "--timeout=100ms", m.mnt}} {
		if code, _, stderr := m.mediafs(args...); code != exitUnavailable || !strings.Contains(stderr, "did not answer") {
			t.Errorf("%v: exit code %d, %s", args, code, stderr)
		}
	}
	said := m.do("umount", "--force", "--timeout=100ms", m.mnt)
	if !strings.Contains(said, fmt.Sprintf("unmounted without it, process %d still runs", pid)) || m.mounted() {
		t.Errorf("umount --force said %q; mounted %v", said, m.mounted())
	}
	if code, _, stderr := m.mediafs("mount", url, m.mnt); code != exitBusy {
		t.Errorf("mount while it hangs: exit code %d, %s", code, stderr)
	}
}

// start runs a mount in the foreground and waits until it can be used.
func (m *machine) start(args ...string) *exec.Cmd {
	m.t.Helper()
	cmd := m.command(context.Background(), append([]string{"mount", "--foreground"}, args...)...)
	log := &bytes.Buffer{}
	cmd.Stderr = log
	if err := cmd.Start(); err != nil {
		m.t.Fatal(err)
	}
	m.t.Cleanup(func() {
		cmd.Process.Kill()
		if cmd.ProcessState == nil {
			cmd.Wait()
		}
	})
	if !eventually(m.mounted) {
		m.t.Fatalf("not mounted: %s", log)
	}
	return cmd
}

// The second signal does not wait for anything.
func TestSecondSignal(t *testing.T) {
	server := s3server.Start(t)
	m := newMachine(t, credentials(server)...)
	cmd := m.start(server.URL("library"), m.mnt, "--append-timeout=100ms", "--stop-timeout=1h")
	f, err := os.Create(filepath.Join(m.mnt, "x"))
	if err != nil {
		t.Fatal(err)
	}
	server.Stop()
	if _, err := f.WriteString("y"); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err == nil {
		t.Error("close worked without a store")
	}
	cmd.Process.Signal(syscall.SIGTERM)
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	select {
	case err := <-ended:
		t.Fatalf("ended with %v although an upload is pending and it may wait an hour", err)
	case <-time.After(200 * time.Millisecond):
	}
	cmd.Process.Signal(syscall.SIGTERM)
	<-ended
	if code := cmd.ProcessState.ExitCode(); code != exitPending || m.mounted() {
		t.Errorf("exit code %d, mounted %v", code, m.mounted())
	}
}

func TestSignals(t *testing.T) {
	for _, sig := range []syscall.Signal{syscall.SIGTERM, syscall.SIGINT} {
		t.Run(sig.String(), func(t *testing.T) {
			m := newMachine(t)
			_, url := m.localStore()
			cmd := m.start(url, m.mnt)
			write(t, filepath.Join(m.mnt, "x"), "y")
			cmd.Process.Signal(syscall.SIGHUP)
			mustRead(t, filepath.Join(m.mnt, "x"), "y")
			cmd.Process.Signal(sig)
			if err := cmd.Wait(); err != nil || m.mounted() {
				t.Errorf("%v, still mounted: %v", err, m.mounted())
			}
		})
	}
}

// Without the store nothing is lost and every command ends.
func TestStoreGoesDown(t *testing.T) {
	server := s3server.Start(t)
	m := newMachine(t, credentials(server)...)
	store := server.URL("library")
	m.mount(store, "--append-timeout=300ms", "--stop-timeout=300ms")
	write(t, filepath.Join(m.mnt, "before"), "stored")
	f, err := os.Create(filepath.Join(m.mnt, "during"))
	if err != nil {
		t.Fatal(err)
	}
	server.Stop()
	if _, err = f.WriteString("kept here"); err != nil {
		t.Errorf("write while the store is down: %v", err)
	}
	if err = f.Close(); !errors.Is(err, syscall.EIO) {
		t.Errorf("close while the store is down: %v, want EIO", err)
	}
	mustRead(t, filepath.Join(m.mnt, "during"), "kept here")
	if s := m.status(); s.Pending.None() || s.LastError == nil {
		t.Errorf("status while the store is down: %+v", s)
	}
	if code, _, stderr := m.mediafs("flush", "--timeout=200ms", m.mnt); code != exitPending || !strings.Contains(stderr, "not in the store yet") {
		t.Errorf("flush: exit code %d, %s", code, stderr)
	}
	if code, _, stderr := m.mediafs("umount", "--timeout=200ms", m.mnt); code != exitPending || !strings.Contains(stderr, "--force") || !m.mounted() {
		t.Errorf("umount: exit code %d, %s; mounted %v", code, stderr, m.mounted())
	}
	if said := m.do("umount", "--force", m.mnt); !strings.Contains(said, "not in the store yet: 1 file") || m.mounted() {
		t.Errorf("umount --force said %q", said)
	}
	if code, _, stderr := m.mediafs("mount", "--connect-timeout=300ms", store, m.mnt); code != exitUnavailable || strings.Count(stderr, "\n") != 1 {
		t.Errorf("mount: exit code %d, %q", code, stderr)
	}
	if err := server.Restart(); err != nil {
		t.Fatal(err)
	}
	m.mount(store)
	m.umount() // which uploads
	m.again(store)
	mustRead(t, filepath.Join(m.mnt, "before"), "stored")
	mustRead(t, filepath.Join(m.mnt, "during"), "kept here")
	m.umount()
}

// Keys may come from a file, and which one may be said everywhere but in the URL.
func TestCredentialsFile(t *testing.T) {
	server := s3server.Start(t)
	m := newMachine(t)
	file := filepath.Join(m.home, "keys")
	write(t, file, fmt.Sprintf("[family]\naws_access_key_id = %s\naws_secret_access_key = %s\n", server.AccessKey, server.SecretKey))
	m.mount(server.URL("a"), "--credentials-file="+file, "--profile=family")
	args, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", m.status().PID))
	if err != nil || bytes.Contains(args, []byte(server.SecretKey)) {
		t.Errorf("arguments of the daemon: %v, %q", err, args)
	}
	m.umount()
}

// Whoever waits in close(2) for a store that is down is let go by umount --force, and loses nothing.
func TestForceFreesWhoWaits(t *testing.T) {
	server := s3server.Start(t)
	m := newMachine(t, credentials(server)...)
	store := server.URL("library")
	m.mount(store, "--append-timeout=1h")
	f, err := os.Create(filepath.Join(m.mnt, "x"))
	if err != nil {
		t.Fatal(err)
	}
	server.Stop()
	if _, err := f.WriteString("kept here"); err != nil {
		t.Fatal(err)
	}
	closed := make(chan error, 1)
	go func() { closed <- f.Close() }()
	if !eventually(func() bool { return m.status().Pending.Files == 1 }) {
		t.Fatal("nothing is pending")
	}
	select {
	case err := <-closed:
		t.Fatalf("close returned %v before the hour was over", err)
	case <-time.After(200 * time.Millisecond):
	}
	if said := m.do("umount", "--force", m.mnt); !strings.Contains(said, "1 file") || m.mounted() {
		t.Errorf("umount --force said %q", said)
	}
	if err := <-closed; err == nil {
		t.Error("close said that the file is in the store")
	}
	if err := server.Restart(); err != nil {
		t.Fatal(err)
	}
	m.mount(store)
	mustRead(t, filepath.Join(m.mnt, "x"), "kept here")
	m.umount()
}

// panicIntoLog is the other process of TestPanicIsLogged.
func panicIntoLog() {
	l, err := openLog(os.Getenv("MEDIAFS_TEST_LOG"), logLimit)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(99)
	}
	log := newLog(l, "info", "text")
	log.WithFields(logrus.Fields{"a": 1}).Info("before")
	go panic("the end of this daemon")
	time.Sleep(time.Minute)
}

// A panic in any goroutine is in the log with its stack, although the daemon's standard error goes nowhere.
func TestPanicIsLogged(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	log := filepath.Join(t.TempDir(), "log")
	cmd := exec.Command(self)
	cmd.Env = append(os.Environ(), runAsProgram+"=panic", "MEDIAFS_TEST_LOG="+log)
	if err := cmd.Run(); err == nil || cmd.ProcessState.ExitCode() != 2 {
		t.Fatalf("ended with %v, want the runtime's exit code 2", err)
	}
	b, err := os.ReadFile(log)
	if err != nil || !bytes.Contains(b, []byte("before")) || !bytes.Contains(b, []byte("panic: the end of this daemon")) || !bytes.Contains(b, []byte("goroutine ")) {
		t.Errorf("log: %v\n%s", err, b)
	}
}
