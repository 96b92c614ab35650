package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"mediafs/fs/daemon"
	"mediafs/fs/fuse"
)

// inNamespace in the environment says that the test runs in a mount namespace of its own, where
// this program is a helper of mount(8).
const inNamespace = "MEDIAFS_TEST_NAMESPACE"

// asHelper runs the test binary, with its arguments, where mount(8) finds it. What is mounted there
// ends with the namespace.
const asHelper = `
self=$1; shift
mount --make-rprivate /
sbin=$(readlink -f /sbin)
mount -t tmpfs -o mode=755 test "$sbin"
cp "$self" "$sbin/mediafs"
chmod 755 "$sbin/mediafs"
for helper in mount.mediafs mount.fuse.mediafs umount.mediafs; do
	ln -s mediafs "$sbin/$helper"
done
mount -t tmpfs -o mode=755 test /run
mkdir /run/mount
exec "$sbin/mediafs" "$@"`

// mount8 runs a test in such a namespace, as root.
func mount8(t *testing.T, test func(t *testing.T)) {
	if os.Getenv(inNamespace) != "" {
		test(t)
		return
	}
	if os.Geteuid() != 0 {
		t.Skip("only root makes a mount namespace with helpers of mount(8)")
	}
	for _, tool := range []string{"unshare", "mount", "umount", "findmnt", "setpriv"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("mount(8) is tried with it: %v", err)
		}
	}
	if out, err := exec.Command("unshare", "-m", "true").CombinedOutput(); err != nil {
		t.Skipf("root may not make a mount namespace here: %v: %s", err, out)
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*commandDeadline)
	defer cancel()
	c := exec.CommandContext(
		ctx, "unshare", "-m", "sh", "-ec", asHelper, "sh", self, "-test.run=^"+t.Name()+"$", "-test.v",
	)
	c.Env = append(os.Environ(), inNamespace+"=1")
	out, err := c.CombinedOutput()
	switch {
	case err != nil:
		t.Errorf("in a namespace: %v\n%s", err, out)
	case bytes.Contains(out, []byte("--- SKIP: "+t.Name())):
		t.Skipf("in a namespace:\n%s", out)
	case !bytes.Contains(out, []byte("--- PASS: "+t.Name())):
		t.Errorf("in a namespace it did not run:\n%s", out)
	}
}

// machine8 is a machine whose home the user database knows: mount(8) takes HOME away.
func machine8(t *testing.T, uid int) *machine {
	t.Helper()
	m := newMachine(t)
	users := filepath.Join(t.TempDir(), "passwd")
	write(
		t,
		users,
		fmt.Sprintf(
			"root:x:0:0:root:%s:/bin/sh\nnobody:x:%d:%d:nobody:%s:/bin/sh\n", m.home, max(uid, 1), max(uid, 1), m.home,
		),
	)
	m.must("mount", "--bind", users, "/etc/passwd")
	t.Cleanup(func() { m.must("umount", "/etc/passwd") })
	return m
}

// run runs a tool; its output and exit code.
func (m *machine) run(name string, args ...string) (out string, code int) {
	m.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), commandDeadline)
	defer cancel()
	c := exec.CommandContext(ctx, name, args...)
	c.Env, c.Dir = m.env, "/"
	b, err := c.CombinedOutput()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) || ctx.Err() != nil {
		m.t.Fatalf("%s %v: %v", name, args, err)
	}
	return string(b), c.ProcessState.ExitCode()
}

// must is a tool that must work and say nothing.
func (m *machine) must(name string, args ...string) {
	m.t.Helper()
	if out, code := m.run(name, args...); code != 0 || out != "" {
		m.t.Fatalf("%s %v: exit code %d, %s", name, args, code, out)
	}
}

// entry is the line of the mount table.
func (m *machine) entry() fuse.MountInfo {
	m.t.Helper()
	mounts, err := fuse.Mounts()
	if err != nil {
		m.t.Fatal(err)
	}
	for _, mount := range mounts {
		if mount.Dir == m.mnt {
			return mount
		}
	}
	return fuse.MountInfo{}
}

func (m *machine) hasOptions(words ...string) {
	m.t.Helper()
	have := "," + m.entry().Options + ","
	for _, word := range words {
		no, unwanted := strings.CutPrefix(word, "-")
		if strings.Contains(have, ","+no+",") == unwanted {
			m.t.Errorf("mounted with %s, want %s", m.entry().Options, word)
		}
	}
}

// As /etc/fstab has it: mounted, mounted once more, found by its source, taken away by it.
func TestFstab(t *testing.T) {
	mount8(t, func(t *testing.T) {
		m := machine8(t, 0)
		store, url := m.localStore()
		folder(t, m.home+"/.config")
		folder(t, m.home+"/.config/mediafs")
		write(t, m.home+"/.config/mediafs/config.toml", fmt.Sprintf("[library.films]\nstore = %q\n", url))
		table := filepath.Join(m.home, "fstab")
		for _, tt := range []struct {
			source, options string
			want            []string
		}{
			{url, "defaults", []string{"rw", "nosuid", "nodev", "-noexec"}},
			{"films", "rw,user,noauto,suid,exec,_netdev,nofail,x-systemd.automount,x-gvfs-show,comment=a", []string{"-nosuid", "-noexec", "nodev"}},
			{url + "/", "users,owner,group,auto,relatime,iversion,silent,loud,mand,uid=0,gid=root,cache_size=1GiB", []string{"nosuid", "nodev", "noexec", "relatime"}},
			{url, "suid,dev,idmap", []string{"-nosuid", "-nodev"}},
			{url, "dev,suid,nosuid", []string{"nosuid", "-nodev"}},
			{"films", "nodiratime,lazytime,dirsync,strictatime,sync,noexec,nosymfollow",
				[]string{"nodiratime", "lazytime", "dirsync", "-relatime", "-noatime", "sync", "noexec", "nosymfollow"}},
		} {
			write(
				t, table,
				fmt.Sprintf("%s %s mediafs %s 0 0\n", tt.source, m.mnt, strings.ReplaceAll(tt.options, "noauto,", "")),
			)
			if out, code := m.run("mount", "-T", table, "-f", "-n", "-s", "-v", m.mnt); code != 0 || m.mounted() ||
				!strings.Contains(out, tt.source+" mounted on "+m.mnt) {
				t.Errorf("mount -f: exit code %d, mounted %v, %s", code, m.mounted(), out)
			}
			if out, code := m.run("mount", "-T", table, "-a"); code != 0 || !m.mounted() {
				t.Fatalf("%s: exit code %d, %s", tt.options, code, out)
			}
			m.must("mount", "-T", table, "-a") // a second time
			if m.entry().FSName != tt.source {
				t.Errorf("the mount table calls it %q, want %q", m.entry().FSName, tt.source)
			}
			m.hasOptions(tt.want...)
			if out, code := m.run("findmnt", "-n", "-o", "TARGET", "-S", tt.source); code != 0 ||
				strings.TrimSpace(out) != m.mnt {
				t.Errorf("findmnt %s: exit code %d, %q", tt.source, code, out)
			}
			if strings.Contains(tt.options, "nosymfollow") {
				m.carriedOut(store)
			}
			m.must("umount", tt.source)
			m.ended()
		}

		if out, code := m.run("mount", "-t", "mediafs", "-o", "suid,ro", "-odev", url, m.mnt); code != 0 {
			t.Fatalf("mount -o suid: exit code %d, %s", code, out)
		}
		m.hasOptions("-nosuid", "-nodev", "ro")
		m.umount()
		m.ended()

		write(t, table, fmt.Sprintf("%s %s mediafs colour=red 0 0\n", url, m.mnt))
		if out, code := m.run(
			"mount", "-T", table, "-a",
		); code == 0 || !strings.Contains(out, "-o colour: unknown option") ||
			m.mounted() {
			t.Errorf("an unknown option: exit code %d, %s", code, out)
		}
		if out, code := m.run(
			"mount", "-T", table, "-s", m.mnt,
		); code != 0 || !strings.Contains(out, "-o colour: unknown option, left out") ||
			!m.mounted() {
			t.Errorf("an unknown option with -s: exit code %d, %s", code, out)
		}
		m.umount()
	})
}

// carriedOut looks whether noexec, nosymfollow and sync are more than words.
func (m *machine) carriedOut(store string) {
	m.t.Helper()
	script := filepath.Join(m.mnt, "script")
	if err := os.WriteFile(script, []byte("#!/bin/sh\n"), 0o755); err != nil {
		m.t.Fatal(err)
	}
	if err := exec.Command(script).Run(); !errors.Is(err, syscall.EACCES) {
		m.t.Errorf("noexec: a script ran: %v", err)
	}
	if err := os.Symlink("script", filepath.Join(m.mnt, "link")); err != nil {
		m.t.Fatal(err)
	}
	if _, err := os.ReadFile(filepath.Join(m.mnt, "link")); !errors.Is(err, syscall.ELOOP) {
		m.t.Errorf("nosymfollow: a link was followed: %v", err)
	}
	before := len(objects(m.t, store, "content"))
	f, err := os.Create(filepath.Join(m.mnt, "synced"))
	if err != nil {
		m.t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteString("bytes"); err != nil {
		m.t.Fatal(err)
	}
	if now := len(objects(m.t, store, "content")); now != before+1 {
		m.t.Errorf("sync: a write returned and the store has %d new contents, want 1", now-before)
	}
}

// ended waits for the end of all daemons of this machine.
func (m *machine) ended() {
	m.t.Helper()
	registry := daemon.Registry{Dir: filepath.Join(m.home, ".local/state/mediafs/mounts")}
	if !eventually(func() bool {
		noted, err := registry.List()
		return err == nil && len(noted) == 0
	}) {
		m.t.Fatal("a daemon goes on")
	}
}

// remount,ro lets writers finish, brings everything into the store, and then nothing can be
// changed, by whatever way; remount,rw gives it back.
func TestRemount(t *testing.T) {
	mount8(t, func(t *testing.T) {
		m := machine8(t, 0)
		store, url := m.localStore()
		none := filepath.Join(m.home, "none")
		write(t, none, "# nothing is in it\n")
		table := filepath.Join(m.home, "fstab")
		write(t, table, fmt.Sprintf("%s %s mediafs upload=background,local_names=none,idmap 0 0\n", url, m.mnt))
		if out, code := m.run("mount", "-T", table, m.mnt); code != 0 {
			t.Fatalf("exit code %d, %s", code, out)
		}
		name := filepath.Join(m.mnt, "x")
		f, err := os.Create(name)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.WriteString("bytes"); err != nil {
			t.Fatal(err)
		}
		if out, code := m.run(
			"mount", "-T", table, "-o", "remount,ro", m.mnt,
		); code != exitBusy || !strings.Contains(out, "open for writing") ||
			m.status().ReadOnly {
			t.Errorf("with a writer: exit code %d, %s", code, out)
		}
		if _, err := f.WriteString(" and more"); err != nil {
			t.Errorf("the writer was cut off: %v", err)
		}
		if err := f.Close(); err != nil {
			t.Error(err)
		}
		for i, remount := range [][]string{{"-T", table}, {"-T", none}} { // by the line of fstab, and by the mount table
			m.must("mount", append(remount, "-o", "remount,ro", m.mnt)...)
			if s := m.status(); !s.ReadOnly || !s.Pending.None() || len(objects(t, store, "content")) < 1+i {
				t.Errorf("after remount,ro: %+v, %d contents", s, len(objects(t, store, "content")))
			}
			m.hasOptions("ro", "nosuid", "nodev")
			if err := os.WriteFile(name, nil, 0o644); !errors.Is(err, syscall.EROFS) {
				t.Errorf("write: %v", err)
			}
			if err := os.Remove(name); !errors.Is(err, syscall.EROFS) {
				t.Errorf("remove: %v", err)
			}
			if code, _, stderr := m.mediafs("tag", "--add", "sea", name); code != exitPermission ||
				!strings.Contains(stderr, "mounted read-only") {
				t.Errorf("tag: exit code %d, %s", code, stderr)
			}
			mustRead(t, name, "bytes and more")
			m.must("mount", append(remount, "-o", "remount,rw", m.mnt)...)
			if m.status().ReadOnly {
				t.Error("still read-only after remount,rw")
			}
			write(t, filepath.Join(m.mnt, "again"+strconv.Itoa(i)), "more of it")
		}
		m.do("tag", "--add", "sea", name)

		// Other flags, and limits; what is not named stays.
		m.must(
			"mount", "-T", table, "-o",
			"remount,noexec,cache_size=64MiB,trash=7,append_timeout=1m,stop_timeout=30s,log_level=debug", m.mnt,
		)
		m.hasOptions("rw", "noexec", "nosuid")
		m.must("mount", "-T", none, "-o", "remount,nodiratime", m.mnt)
		m.hasOptions("noexec", "nodiratime", "relatime")
		if s := m.status(); s.Cache.Limit != 64<<20 || s.ReadOnly {
			t.Errorf("limits: %+v", s)
		}
		if out, code := m.run(
			"mount", "-T", table, "-o", "remount,local_names=a,cache_size=1GiB", m.mnt,
		); code != exitUsage ||
			!strings.Contains(out, "local-names cannot change while it is mounted") {
			t.Errorf("what cannot change: exit code %d, %s", code, out)
		}
		if out, code := m.run("mount", "-T", table, "-o", "remount,trash=never", m.mnt); code != exitUsage {
			t.Errorf("a wrong value: exit code %d, %s", code, out)
		}
		if m.status().Cache.Limit != 64<<20 {
			t.Error("a remount that was refused changed something")
		}
		m.do("mount", "-o", "remount,cache_size=65MiB", m.mnt)
		if m.status().Cache.Limit != 65<<20 {
			t.Error("mediafs mount -o remount changed nothing")
		}

		// systemd asks the kernel alone.
		if err := unix.Mount("", m.mnt, "", unix.MS_REMOUNT|unix.MS_RDONLY, ""); err != nil {
			t.Fatal(err)
		}
		if !m.status().ReadOnly {
			t.Error("status does not know what the kernel does")
		}
		m.umount()

		m.mount(url, "--read-only")
		if out, code := m.run("mount", "-T", none, "-o", "remount,rw", m.mnt); code != exitVersion ||
			!strings.Contains(out, "mount it without ro") {
			t.Errorf("rw of what began read-only: exit code %d, %s", code, out)
		}
		m.umount()
		if code, _, stderr := m.mediafs("mount", "-o", "remount,ro", m.mnt); code != exitMountPoint {
			t.Errorf("nothing is mounted: exit code %d, %s", code, stderr)
		}
	})
}

// umount(8) asks the kernel alone: the daemon uploads the rest and ends. The helper, which
// umount(8) looks for by the type in the mount table, returns only then.
func TestUmount8(t *testing.T) {
	mount8(t, func(t *testing.T) {
		m := machine8(t, 0)
		store, url := m.localStore()
		table := filepath.Join(m.home, "fstab")
		for i, helper := range []bool{false, true} {
			write(t, table, fmt.Sprintf("%s %s mediafs upload=background 0 0\n", url, m.mnt))
			if out, code := m.run("mount", "-T", table, m.mnt); code != 0 {
				t.Fatalf("exit code %d, %s", code, out)
			}
			write(t, filepath.Join(m.mnt, "file"+strconv.Itoa(i)), "bytes of "+strconv.Itoa(i))
			if helper {
				m.must("/sbin/umount.mediafs", m.mnt, "-n")
			} else {
				m.must("umount", m.mnt)
			}
			if m.mounted() {
				t.Fatal("still mounted")
			}
			if !helper {
				m.ended()
			} else if noted, _ := (daemon.Registry{Dir: filepath.Join(m.home, ".local/state/mediafs/mounts")}).List(); len(noted) > 0 {
				t.Errorf("umount with the helper returned before the daemon's end: %+v", noted)
			}
			if n := len(objects(t, store, "content")); n != i+1 {
				t.Errorf("the store has %d contents, want %d", n, i+1)
			}
		}
		m.must("mount", "-T", table, m.mnt)
		f, err := os.Open(filepath.Join(m.mnt, "file0"))
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		if out, code := m.run("/sbin/umount.mediafs", m.mnt); code != exitBusy ||
			!strings.Contains(out, "close the files that are open there") {
			t.Errorf("while a file is open: exit code %d, %s", code, out)
		}
		m.must("/sbin/umount.mediafs", m.mnt, "-l")
		if m.mounted() {
			t.Error("umount -l leaves it mounted")
		}
	})
}

// mount -N mounts in the namespace of another process, and there alone.
func TestMountInANamespace(t *testing.T) {
	mount8(t, func(t *testing.T) {
		m := machine8(t, 0)
		_, url := m.localStore()
		other := exec.Command("unshare", "-m", "sleep", "600")
		if err := other.Start(); err != nil {
			t.Fatal(err)
		}
		defer other.Wait()
		defer other.Process.Kill()
		proc := fmt.Sprintf("/proc/%d", other.Process.Pid)
		own, _ := os.Readlink("/proc/self/ns/mnt")
		if !eventually(func() bool {
			ns, err := os.Readlink(proc + "/ns/mnt")
			return err == nil && ns != own
		}) {
			t.Fatal("no other namespace")
		}
		if out, code := m.run("mount", "-N", proc+"/ns/mnt", "-t", "mediafs", url, m.mnt); code != 0 {
			t.Fatalf("exit code %d, %s", code, out)
		}
		table, err := os.ReadFile(proc + "/mountinfo")
		if err != nil || !strings.Contains(string(table), " "+m.mnt+" ") || m.mounted() {
			t.Errorf("mounted here: %v; there: %s, %v", m.mounted(), table, err)
		}
		if out, code := m.run("umount", "-N", proc+"/ns/mnt", m.mnt); code != 0 {
			t.Errorf("umount: exit code %d, %s", code, out)
		}
		m.ended()
	})
}

// A program that is in the namespace already does not begin again, however the flag is spelled: it
// would do so for ever.
func TestNamespaceOfItsOwn(t *testing.T) {
	h := helperFlags{namespace: "/proc/self/ns/mnt"}
	// Begun again, the test binary would fail with these arguments.
	if err := h.enter([]string{"mount.mediafs", "-test.run=["}); err != nil {
		t.Error(err)
	}
}

// The line of an ordinary user: mount(8) gives up root's rights before it runs a helper.
func TestFstabUser(t *testing.T) {
	mount8(t, func(t *testing.T) {
		for _, name := range []string{"mount", "fusermount3"} {
			program, err := exec.LookPath(name)
			var st unix.Stat_t
			if err != nil || unix.Stat(program, &st) != nil || st.Mode&unix.S_ISUID == 0 {
				t.Skipf("%s is not set-user-id root: it mounts for nobody else", name)
			}
		}
		const user = 65534
		m := machine8(t, user)
		base := m.home
		if err := os.Chmod(filepath.Dir(base), 0o755); err != nil {
			t.Fatal(err)
		}
		for _, dir := range []string{base, m.mnt, folder(t, base+"/store")} {
			if err := os.Chown(dir, user, user); err != nil {
				t.Fatal(err)
			}
		}
		table := filepath.Join(t.TempDir(), "fstab")
		write(
			t, table,
			fmt.Sprintf("%s %s mediafs user,noauto,noatime,nodiratime,lazytime 0 0\n", fileURL(base+"/store"), m.mnt),
		)
		m.must("mount", "--bind", table, "/etc/fstab")
		as := func(args ...string) (string, int) {
			return m.run(
				"setpriv",
				append(
					[]string{"--reuid", strconv.Itoa(user), "--regid", strconv.Itoa(user), "--clear-groups"},
					args...)...)
		}
		if out, code := as("mount", m.mnt); code != 0 || !m.mounted() {
			t.Fatalf("exit code %d, %s", code, out)
		}
		m.hasOptions("nosuid", "nodev", "noexec", "noatime")
		if out, code := as("sh", "-c", `echo bytes >"$1/x"; cat "$1/x"`, "sh", m.mnt); code != 0 || out != "bytes\n" {
			t.Errorf("exit code %d, %q", code, out)
		}
		if out, code := as(
			"/sbin/mount.mediafs", fileURL(base+"/store"), m.mnt, "-o", "remount,ro",
		); code != exitPermission ||
			!strings.Contains(out, "only root may change ro") {
			t.Errorf("remount,ro by a user: exit code %d, %s", code, out)
		}
		if out, code := as(
			"/sbin/mount.mediafs", fileURL(base+"/store"), m.mnt, "-o", "remount,cache_size=9MiB",
		); code != 0 {
			t.Errorf("remount of a limit by a user: exit code %d, %s", code, out)
		}
		if out, code := as("umount", m.mnt); code != 0 || m.mounted() {
			t.Errorf("umount: exit code %d, %s", code, out)
		}
		m.ended()
	})
}

// mount(8) keeps suid and dev to itself.
func TestWithheldOptions(t *testing.T) {
	dir := t.TempDir()
	table := filepath.Join(dir, "fstab")
	mnt := filepath.Join(dir, "my films")
	folder(t, mnt)
	write(t, table, strings.NewReplacer("DIR", dir, " + ", "\\040").Replace(`# films DIR/my + films mediafs dev
films DIR/my + films ext4 dev
films DIR/my + films mediafs user,suid,noauto 0 0
other DIR mediafs dev
`))
	for args, want := range map[string]string{
		"mount":                                         "",
		"mount s:///b DIR -o suid,dev":                  "suid dev",
		"mount -v -osuid -t mediafs s:///b DIR":         "suid",
		"mount -t mediafs,suid s:///b DIR -nvo nodev":   "",
		"mount --options=suid --options dev s:///b DIR": "suid dev",
		"mount -o suid,nosuid,dev,user s:///b DIR":      "",
		"mount s:///b -- DIR":                           "",
		"mount -T TABLE DIR":                            "suid",
		"mount -TTABLE -a":                              "suid",
		"mount --fstab TABLE -o dev films":              "suid dev",
		"mount -T TABLE films DIR":                      "",
		"mount -T TABLE --source films --target DIR":    "",
		"mount -T TABLE DIR -o remount,nosuid":          "",
		"mount -T none DIR":                             "",
		"mount -o":                                      "",
	} {
		words := strings.Fields(args)
		for i := range words {
			words[i] = strings.NewReplacer("TABLE", table, "DIR", mnt).Replace(words[i])
		}
		if got := strings.Join(withheld(words, mnt), " "); got != want {
			t.Errorf("%s: %q, want %q", args, got, want)
		}
	}
}
