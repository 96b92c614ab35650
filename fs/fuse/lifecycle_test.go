package fuse

import (
	"bufio"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"mediafs/remote"
)

func TestParseMounts(t *testing.T) {
	const table = `22 1 254:1 / / rw,relatime shared:1 - ext4 /dev/vda1 rw
36 35 0:45 / /mnt/my\040photos\134\011 rw,nosuid,nodev,relatime shared:7 master:3 - fuse.mediafs s3://bucket/with\040space rw,user_id=0
37 35 0:46 / /mnt/sshfs rw - fuse.sshfs host:/ rw
38 35 0:47 / /mnt/ro ro,nodev - fuse.mediafs mediafs rw
39 35 0:48 / /short - fuse.mediafs
`
	got, err := parseMounts(strings.NewReader(table))
	want := []MountInfo{
		{
			Dir:        "/mnt/my photos\\\t",
			FSName:     "s3://bucket/with space",
			Connection: 45,
			Options:    "rw,nosuid,nodev,relatime,rw,user_id=0",
		},
		{Dir: "/mnt/ro", FSName: "mediafs", ReadOnly: true, Connection: 47, Options: "ro,nodev,rw"},
	}
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("%+v, %v", got, err)
	}
}

func TestMountOptions(t *testing.T) {
	const usual = unix.MS_NOSUID | unix.MS_NODEV
	for _, c := range []struct {
		opts  []string
		root  bool
		flags uintptr
		words string
		data  string
		kind  remote.Kind // 0: none
	}{
		{nil, false, usual, "", "default_permissions", 0},
		{[]string{"suid,dev"}, true, 0, "suid dev", "default_permissions", 0},
		{[]string{"suid"}, false, 0, "", "", remote.Permission},
		{[]string{"dev"}, false, 0, "", "", remote.Permission},
		{[]string{"noatime", "noexec,ro"}, false, usual | unix.MS_NOATIME | unix.MS_NOEXEC | unix.MS_RDONLY, "noatime noexec ro", "default_permissions", 0},
		{[]string{"ro,rw"}, false, usual, "ro rw", "default_permissions", 0},
		{[]string{"defaults,_netdev,x-systemd.automount,nofail", "context=a_b"}, false, usual, "", "default_permissions context=a_b", 0},
		{[]string{"idmap"}, false, usual, "", "default_permissions", 0}, // go-fuse's
		{[]string{"fd=3"}, true, 0, "", "", remote.Invalid},
		{[]string{"fsname=x"}, true, 0, "", "", remote.Invalid},
	} {
		o := Options{Mount: c.opts}
		m, err := o.parse(c.root)
		if c.kind != 0 {
			if remote.KindOf(err) != c.kind {
				t.Errorf("%q: %v, want %v", c.opts, err, c.kind)
			}
			continue
		}
		if err != nil || m.flags != c.flags || strings.Join(m.words, " ") != c.words ||
			strings.Join(m.data, " ") != c.data {
			t.Errorf("%q: %+v, %v", c.opts, m, err)
		}
	}
	m, err := (&Options{ReadOnly: true, Mount: []string{"allow_other"}}).parse(false)
	if err != nil || !m.allowOther || m.flags&unix.MS_RDONLY == 0 {
		t.Errorf("%+v, %v", m, err)
	}
}

func TestMountRefusals(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		o    Options
		kind remote.Kind
	}{
		{Options{Dir: dir}, remote.Invalid},
		{Options{Library: newFake()}, remote.Invalid},
		{Options{Library: newFake(), Dir: dir, MaxBackground: 1 << 20}, remote.Invalid},
		{Options{Library: newFake(), Dir: filepath.Join(dir, "none")}, remote.NotExist},
		{Options{Library: newFake(), Dir: file}, remote.NotDir},
	} {
		if s, err := Mount(c.o); remote.KindOf(err) != c.kind {
			t.Errorf("%+v: %v, want %v", c.o, err, c.kind)
			if err == nil {
				_ = s.Unmount()
			}
		}
	}
	conf := filepath.Join(dir, "fuse.conf")
	for text, ok := range map[string]bool{"": false, "#user_allow_other\n": false, "mount_max = 3\n user_allow_other\n": true} {
		if err := os.WriteFile(conf, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := checkAllowOther(dir, conf); (err == nil) != ok {
			t.Errorf("%q: %v", text, err)
		}
	}
	var e *remote.Error
	if err := checkAllowOther(dir, filepath.Join(dir, "none")); !errors.As(err, &e) || e.Hint == "" {
		t.Errorf("%v", err)
	}
}

// stayer is a process that has its working directory in dir until it is ended.
func stayer(t *testing.T, dir string) (end func()) {
	t.Helper()
	c := exec.Command("sh", "-c", `cd "$1" && echo there && read x`, "sh", dir)
	in, err := c.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	if line, err := bufio.NewReader(out).ReadString('\n'); line != "there\n" {
		t.Fatalf("%q, %v", line, err)
	}
	return func() {
		_ = in.Close()
		_ = c.Wait()
	}
}

func TestUnmountBusy(t *testing.T) {
	s := mountFake(t, newFake())
	end := stayer(t, s.Dir())
	if err := s.Unmount(); remote.KindOf(err) != remote.Busy {
		t.Errorf("unmount of what is used: %v", err)
	}
	ms, err := Mounts()
	if err != nil ||
		!slices.ContainsFunc(ms, func(m MountInfo) bool { return m.Dir == s.Dir() && m.FSName == "fake" }) {
		t.Errorf("%+v, %v", ms, err)
	}
	if err := s.LazyUnmount(); err != nil {
		t.Error(err)
	}
	if _, ok := mountAt(s.Dir()); ok {
		t.Error("still in the mount table")
	}
	if s.over() {
		t.Error("the server ended while somebody was there")
	}
	end()
	within(t, "the end", s.Done())
	if err := errors.Join(s.Unmount(), s.LazyUnmount(), s.Abort()); err != nil {
		t.Errorf("after the end: %v", err)
	}
}

// A mount whose connection broke is told from a living one even while the kernel still answers a
// stat from memory.
func TestStale(t *testing.T) {
	s := mountFake(t, newFake(), func(o *Options) { o.AttrTimeout = time.Hour })
	if out, err := exec.Command("stat", s.Dir()).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if Stale(t.TempDir()) {
		t.Error("a plain folder is stale")
	}
	if err := s.Abort(); err != nil {
		t.Fatal(err)
	}
	within(t, "the end", s.Done())
	if err := unix.Stat(s.Dir(), new(unix.Stat_t)); err != nil {
		t.Errorf("the kernel remembers nothing: %v", err)
	}
	if !Stale(s.Dir()) {
		t.Error("an aborted mount is not stale")
	}
	if over, err := Mount(Options{Library: newFake(), Dir: s.Dir()}); remote.KindOf(err) != remote.Stale {
		t.Errorf("mount over it: %v", err)
		if err == nil {
			_ = over.Unmount()
		}
	}
	if err := CleanStale(s.Dir()); err != nil {
		t.Error(err)
	}
	if Stale(s.Dir()) {
		t.Error("it is still there")
	}
	if err := CleanStale(s.Dir()); err != nil {
		t.Errorf("nothing to clean: %v", err)
	}
}
