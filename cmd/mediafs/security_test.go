package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"mediafs/fs/control"
	"mediafs/remote"
)

// Three users: who owns things, who is in their group, and somebody else.
var users = []struct {
	name   string
	uid    uint32
	gid    uint32
	groups []uint32
}{
	{"owner", 64711, 64711, []uint32{65000}},
	{"member", 64712, 64712, []uint32{65000}},
	{"other", 64713, 64713, nil},
}

// needsRoot skips a test that becomes other users.
func needsRoot(t *testing.T) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("only root can become other users")
	}
}

// passable lets other users through to dir.
func passable(t *testing.T, dir string) {
	t.Helper()
	for d := dir; d != os.TempDir() && d != "/"; d = filepath.Dir(d) {
		if err := os.Chmod(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
}

// as runs a shell script as a user, in dir.
func as(t *testing.T, user int, dir, script string, args ...string) string {
	t.Helper()
	u := users[user]
	ctx, cancel := context.WithTimeout(context.Background(), commandDeadline)
	defer cancel()
	cmd := exec.CommandContext(ctx, "bash", append([]string{"-c", "umask 022\n" + script, "bash"}, args...)...)
	cmd.Dir, cmd.Env = "/", []string{"PATH=" + os.Getenv("PATH"), "LC_ALL=C", "DIR=" + dir}
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: u.uid, Gid: u.gid, Groups: u.groups}}
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %q: %v\n%s", u.name, script, err, out)
	}
	return string(out)
}

// arrange makes, as root, what the users then try their hands at.
const arrange = `cd "$1"; umask 022
mkdir shared sticky setgid closed unlisted away
for mode in 000 400 040 004 600 060 006 640 700 070 007 755; do
	echo x >f-$mode; mkdir d-$mode; echo x >d-$mode/in; chmod $mode f-$mode d-$mode
done
printf '#!/bin/sh\necho ran\n' >program; chmod 710 program
chown -R 64711:65000 f-* d-* program
chmod 775 shared; chmod 1777 sticky; chmod 2775 setgid; chmod 777 away
chown 64711:65000 shared setgid
chmod 700 closed; echo secret >closed/in
echo here >unlisted/known; chmod 711 unlisted
echo a >sticky/of-root; echo b >sticky/of-owner; chown 64711 sticky/of-owner
for who in 64711 64712; do for bits in 4755 2755 6755; do
	for how in write truncate chown chgrp; do
		echo x >shared/bits-$who-$bits-$how; chown $who:65000 shared/bits-$who-$bits-$how; chmod $bits shared/bits-$who-$bits-$how
		chmod o+w,g+w shared/bits-$who-$bits-$how; done; done; done
`

// attempts are tried by each of the users in turn; each line is told with its outcome, so that two
// file systems can be compared.
const attempts = `cd "$DIR" 2>/dev/null || { echo "no way in"; exit 0; }
# The mode of a file without set-id bits; the kernel of a mount hears of it just after the write that took them.
cleared() { for i in {1..200}; do m=$(stat -c %a $1); if ((0$m & 06000)); then sleep 0.02; else break; fi; done; echo $m; }
try() { if out=$( (eval "$1") 2>/dev/null ); then echo "$1: yes $out"; else echo "$1: no"; fi; }
for mode in 000 400 040 004 600 060 006 640 700 070 007 755; do
	try "cat f-$mode"
	try "echo more >>f-$mode"
	try "ls d-$mode"
	try "cat d-$mode/in"
	try "touch d-$mode/new-$UID"
	try "rm -f d-$mode/new-$UID && test ! -e d-$mode/new-$UID"
	try "chmod $mode f-$mode"
	try "chgrp $(id -g) f-$mode"
	try "chown $UID f-$mode"
	try "touch -d @1000000000 f-$mode"
	try "touch f-$mode"
	try "setfattr -n user.a -v $UID f-$mode"
done
try "./program"
try "sh program"
try "ls closed"
try "cat closed/in"
try "ls unlisted"
try "cat unlisted/known"
try "rm -f sticky/of-root && test ! -e sticky/of-root"
try "mv sticky/of-owner away/taken-$UID"
try "mv away/taken-$UID sticky/of-owner"
try "touch sticky/mine-$UID"
try "mv sticky/mine-$UID sticky/renamed-$UID"
try "mkdir setgid/d-$UID && touch setgid/d-$UID/f && stat -c '%a %u %g' setgid/d-$UID setgid/d-$UID/f"
try "touch setgid/x-$UID && chmod 2755 setgid/x-$UID && stat -c '%a %g' setgid/x-$UID"
try "touch shared/y-$UID && chmod 2755 shared/y-$UID && chmod 6755 shared/y-$UID && stat -c '%a %g' shared/y-$UID"
try "touch away/z-$UID && chgrp 65000 away/z-$UID && stat -c '%g' away/z-$UID"
try "touch away/w-$UID && chown 64712 away/w-$UID"
for f in shared/bits-*-write; do try "echo more >>$f; cleared $f"; done
for f in shared/bits-*-truncate; do try ": >$f; cleared $f"; done
for f in shared/bits-*-chown; do try "chown $UID $f; stat -c %a $f"; done
for f in shared/bits-*-chgrp; do try "chgrp 65000 $f; stat -c %a $f"; done
try "ln f-600 away/link-$UID"
try "mknod away/dev-$UID c 1 3"
true
`

// TestThreeUsers has three users do what a library's modes and owners let them do or not, on the
// mount and on a file system of this machine: every attempt ends in the same way, and the same
// modes and owners are left.
func TestThreeUsers(t *testing.T) {
	needsRoot(t)
	needs(t, "setfattr")
	m := newMachine(t)
	_, url := m.localStore()
	m.mount(url, "--allow-other")
	local := filepath.Join(m.home, "local")
	if err := os.Mkdir(local, 0o755); err != nil {
		t.Fatal(err)
	}
	passable(t, m.home)
	var told [2][]string
	for i, dir := range []string{local, m.mnt} {
		if out, err := run(t, "bash", "-euc", arrange, "bash", dir); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		// One after the other, and all again: what one did is what the next finds.
		for _, user := range []int{2, 1, 0, 1, 2} {
			for line := range strings.Lines(as(t, user, dir, attempts)) {
				told[i] = append(told[i], users[user].name+": "+strings.TrimSuffix(line, "\n"))
			}
		}
		out, err := run(
			t, "bash", "-euc",
			`cd "$1"; find . -mindepth 1 -printf '%p %m %U %G %y\n' | LC_ALL=C sort; find . -type f | LC_ALL=C sort | xargs cat`,
			"bash", dir,
		)
		if err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		told[i] = append(told[i], strings.Split(out, "\n")...)
	}
	if len(told[0]) != len(told[1]) || len(told[0]) < 500 {
		t.Fatalf("%d attempts here, %d on the mount", len(told[0]), len(told[1]))
	}
	for i, want := range told[0] {
		if got := told[1][i]; got != want {
			t.Errorf("%q, on a local file system %q", got, want)
		}
	}
	m.umount()
}

// Without --allow-other nobody but the user of the mount gets in, whatever the modes say; and what
// the library says of set-user-id programs and devices counts for nothing.
func TestOthersAndPrivileges(t *testing.T) {
	needsRoot(t)
	m := newMachine(t)
	_, url := m.localStore()
	passable(t, m.home)
	m.mount(url)
	m.sh(
		`echo open >file; chmod 666 file; chmod 777 .; cp "$(type -P id)" id; chmod 6755 id; mknod null c 1 3; chmod 666 null`,
	)
	for user := range users {
		out := as(t, user, m.mnt, `cat "$DIR/file" 2>&1; ls "$DIR" 2>&1; touch "$DIR/new" 2>&1; true`)
		if n := strings.Count(out, "Permission denied"); n != 3 || strings.Contains(out, "open") {
			t.Errorf("%s got in:\n%s", users[user].name, out)
		}
	}
	m.umount()
	m.mount(url, "--allow-other")
	table, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(table)) {
		f := strings.Fields(line)
		if f[4] != m.mnt {
			continue
		}
		options := strings.Split(f[5]+","+f[len(f)-1], ",")
		for _, want := range []string{"nosuid", "nodev", "default_permissions", "allow_other"} {
			if !slices.Contains(options, want) {
				t.Errorf("the mount has not %s: %s", want, line)
			}
		}
	}
	out := as(t, 2, m.mnt, `cat "$DIR/file"; "$DIR/id" -u; "$DIR/id" -g; : 2>&1 >"$DIR/null" || true`)
	if want := fmt.Sprintf("open\n%d\n%d\n", users[2].uid, users[2].gid); !strings.HasPrefix(out, want) ||
		!strings.Contains(out, "Permission denied") {
		t.Errorf("got %q, want %q and that the device is refused", out, want)
	}
	m.umount()
}

// byUser runs mediafs, which it reads from standard input, as an ordinary user, in a mount
// namespace of its own that ends with its processes: a /tmp that this user can get to, a /dev/fuse
// that everybody may open, as udev makes it, and /etc/fuse.conf as Debian has it, with a line that
// the third step adds.
const byUser = `
mount --make-rprivate /
mount -t tmpfs -o mode=1777 test /tmp
mknod -m 666 /tmp/device c 10 229
mount --bind /tmp/device /dev/fuse
printf '# mount_max = 1000\n#user_allow_other\n' >/tmp/fuse.conf
test -e /etc/fuse.conf || touch /etc/fuse.conf
mount --bind /tmp/fuse.conf /etc/fuse.conf
cat /etc/passwd - >/tmp/passwd <<END
mfs-test:x:64711:64711::/tmp/home:/bin/sh
END
chmod 644 /tmp/fuse.conf /tmp/passwd
say() { echo "== $1"; shift; "$@" 2>&1 && echo "ok" || echo "exit code $?"; }
user() { setpriv --reuid 64711 --regid 64711 --clear-groups "$@"; }
other() { setpriv --reuid 64713 --regid 64713 --clear-groups "$@"; }
cat >/tmp/mediafs
chmod 755 /tmp/mediafs
mkdir -m 700 /tmp/home
chown 64711:64711 /tmp/home
cd /
export HOME=/tmp/home TMPDIR=/tmp
user mkdir -p /tmp/home/mnt
say nobody user /tmp/mediafs mount /tmp/home/mnt
mount --bind /tmp/passwd /etc/passwd
say mount user /tmp/mediafs mount /tmp/home/mnt
say write user sh -c 'echo bytes >/tmp/home/mnt/file; cat /tmp/home/mnt/file; stat -c "%u %g" /tmp/home/mnt /tmp/home/mnt/file'
chmod 755 /tmp/home
say other other cat /tmp/home/mnt/file
say root cat /tmp/home/mnt/file
grep /tmp/home/mnt /proc/self/mounts
say status user /tmp/mediafs status /tmp/home/mnt
say umount user /tmp/mediafs umount /tmp/home/mnt
say allow-other user /tmp/mediafs mount --allow-other /tmp/home/mnt
echo user_allow_other >>/tmp/fuse.conf
say permitted user /tmp/mediafs mount --allow-other /tmp/home/mnt
say other-permitted other cat /tmp/home/mnt/file
say umount-by-other other /tmp/mediafs umount /tmp/home/mnt
say umount-again user /tmp/mediafs umount /tmp/home/mnt
say suid user /tmp/mediafs mount -o suid /tmp/home/mnt
# What cannot be mounted leaves nothing, neither in a home that is new nor where it failed.
fails() {
	name=$1; shift
	user mkdir -m 700 /tmp/new; user mkdir /tmp/new/mnt
	say "$name" user env HOME=/tmp/new "$@" /tmp/mediafs mount /tmp/new/mnt
	echo "left: $(find /tmp/new /tmp/theirs /tmp/full -mindepth 1 ! -path /tmp/new/mnt ! -path /tmp/full/ballast | sort | tr '\n' ' ')."
	rm -rf /tmp/new
}
mkdir -m 755 /tmp/theirs /tmp/full
mount -t tmpfs -o size=64k,mode=1777 test /tmp/full
dd if=/dev/zero of=/tmp/full/ballast 2>/dev/null
for place in STATE CACHE DATA; do
	fails "$place-theirs" XDG_${place}_HOME=/tmp/theirs
done
fails STATE-full XDG_STATE_HOME=/tmp/full
fails DATA-full XDG_DATA_HOME=/tmp/full
for helper in fusermount3 fusermount; do
	for f in $(type -aP $helper); do mount --bind /dev/null $f; done
done
say no-helper user /tmp/mediafs mount /tmp/home/mnt
fails no-helper-new
chmod 600 /tmp/device
fails no-device-rights-new
say no-device user /tmp/mediafs mount /tmp/home/mnt
user test -z "$(ls -A /tmp/home/mnt)"
umount /dev/fuse
mkdir /tmp/dev
mknod -m 666 /tmp/dev/null c 1 3
mknod -m 666 /tmp/dev/urandom c 1 9
mount --bind /tmp/dev /dev
fails no-device-new
`

// An ordinary user mounts with the help of fusermount3, alone gets in, and is told what is missing.
func TestOrdinaryUser(t *testing.T) {
	needsRoot(t)
	needs(t, "unshare", "setpriv", "fusermount3")
	if out, err := run(t, "unshare", "-m", "true"); err != nil {
		t.Skipf("root may not make a mount namespace here: %v: %s", err, out)
	}
	self, err := os.Open("/proc/self/exe")
	if err != nil {
		t.Fatal(err)
	}
	defer self.Close()
	ctx, cancel := context.WithTimeout(t.Context(), commandDeadline)
	defer cancel()
	cmd := exec.CommandContext(ctx, "unshare", "-m", "bash", "-c", byUser)
	cmd.Stdin = self
	cmd.Env = []string{
		"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C", runAsProgram + "=mediafs",
	}
	b, err := cmd.CombinedOutput()
	out := string(b)
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	steps := map[string]string{}
	for part := range strings.SplitSeq(out, "== ") {
		name, said, _ := strings.Cut(part, "\n")
		steps[name] = said
	}
	for _, c := range []struct{ step, want string }{
		{"nobody", "could not determine username\n"}, // the helper's own words
		{"mount", "ok\n"},
		{"write", "bytes\n64711 64711\n64711 64711\nok\n"},
		{"other", "Permission denied"},
		{"root", "Permission denied"},
		{"root", "fuse.mediafs rw,nosuid,nodev,"},
		{"status", "mounted"},
		{"umount", "ok\n"},
		{"allow-other", "allow_other is not permitted to users (add a line user_allow_other to /etc/fuse.conf)"},
		{"permitted", "ok\n"},
		{"other-permitted", "bytes\nok\n"},
		{"umount-by-other", "exit code"},
		{"umount-again", "ok\n"},
		{"suid", "exit code"},
		{"no-helper", "fusermount3 is missing (install the package fuse3, or mount as root)"},
		{"no-device", "this user must be able to read and write /dev/fuse"},
		{"STATE-theirs", "--catalog-dir or XDG_STATE_HOME names another place"},
		{"CACHE-theirs", "--cache-dir or XDG_CACHE_HOME names another place"},
		{"DATA-theirs", "XDG_DATA_HOME, or a STORE, names another place"},
		{"STATE-full", "free space on this disk"},
		{"DATA-full", "free space on the disk that the store is on"},
		{"STATE-theirs", "exit code 5\nleft: .\n"},
		{"CACHE-theirs", "exit code 5\nleft: .\n"},
		{"DATA-theirs", "exit code 5\nleft: .\n"},
		{"STATE-full", "no space left"},
		{"STATE-full", "exit code 1\nleft: .\n"},
		{"DATA-full", "no space left"},
		{"DATA-full", "exit code 1\nleft: .\n"},
		{"no-helper-new", "fusermount3 is missing (install the package fuse3, or mount as root)"},
		{"no-helper-new", "exit code 7\nleft: .\n"},
		{"no-device-rights-new", "exit code 5\nleft: .\n"},
		{"no-device-new", "/dev/fuse"},
		{"no-device-new", "exit code 7\nleft: .\n"},
	} {
		if !strings.Contains(steps[c.step], c.want) {
			t.Errorf("%s said %q, want %q", c.step, steps[c.step], c.want)
		}
	}
	if t.Failed() {
		t.Log(out)
	}
}

// Whatever the umask, nobody else can read what this user keeps.
func TestPrivateFiles(t *testing.T) {
	m := newMachine(t)
	_, url := m.localStore()
	// nothing of what is looked at is there before
	m.env = append(m.env, "XDG_DATA_HOME="+filepath.Join(m.home, "data"))
	old := unix.Umask(0)
	defer unix.Umask(old)
	m.mount(url, "--upload=background")
	unix.Umask(old)
	f, err := os.Create(filepath.Join(m.mnt, "being-written"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteString("secret"); err != nil {
		t.Fatal(err)
	}
	s := m.status()
	var names []string
	for _, dir := range []string{s.CatalogDir, s.CacheDir, filepath.Join(m.home, ".local/state/mediafs"), filepath.Join(m.home, ".cache/mediafs")} {
		err := filepath.WalkDir(dir, func(name string, d fs.DirEntry, err error) error {
			if errors.Is(err, fs.ErrNotExist) {
				return nil
			}
			if err != nil {
				return err
			}
			info, err := d.Info()
			if errors.Is(err, fs.ErrNotExist) {
				return nil
			}
			names = append(names, filepath.Base(name))
			if err == nil && info.Mode().Perm()&0o077 != 0 {
				t.Errorf("%s has mode %v", name, info.Mode())
			}
			return err
		})
		if err != nil {
			t.Error(err)
		}
	}
	for _, want := range []string{"lock", "control.sock", "spool", "catalog", "mounts", "probed"} {
		if !slices.Contains(names, want) {
			t.Errorf("%s was not looked at, among %v", want, names)
		}
	}
	f.Close()
	m.umount()
}

// TestPlantedLinks puts a symbolic link in the place of everything that a daemon keeps on this
// machine: it is refused or replaced, and what it leads to is neither read, written, made nor
// removed.
func TestPlantedLinks(t *testing.T) {
	for _, c := range []struct {
		place  string // below the home folder
		folder bool
	}{
		{"c", true},
		{"c/catalog", true},
		{"c/spool", true},
		{"k", true},
		{"state/mediafs/mounts", true},
		{"c/lock", false},
		{"c/control.sock", false},
		{"c/probed", false},
		{"c/catalog/lock", false},
		{"c/spool/0000010000000001-1.data", false},
		{"c/spool/0000010000000001-1.json", false},
		{"c/spool/0000010000000001-1.tmp", false},
		{"LOG", false},
		{"LOG.1", false},
		{"NOTE", false},
		{"NOTE.new", false},
	} {
		t.Run(strings.ReplaceAll(c.place, "/", " "), func(t *testing.T) {
			t.Parallel()
			m := newMachine(t)
			m.env = append(m.env, "XDG_STATE_HOME="+filepath.Join(m.home, "state"))
			_, url := m.localStore()
			place := strings.NewReplacer("LOG", "state/mediafs/"+libraryKey(url)+".log", "NOTE", "state/mediafs/mounts/"+mountNote(m.mnt)).
				Replace(c.place)
			place = filepath.Join(m.home, place)
			victim := filepath.Join(m.home, "victim")
			inside := victim
			if c.folder {
				if err := os.Mkdir(victim, 0o755); err != nil {
					t.Fatal(err)
				}
				inside = filepath.Join(victim, "precious")
			}
			// It looks like a spool file's description to whoever reads it.
			const precious = `{"format":1,"node":1099511627777,"dirty":true,"name":"c3RvbGVu"}`
			write(t, inside, precious)
			if err := os.MkdirAll(filepath.Dir(place), 0o700); err != nil {
				t.Fatal(err)
			}
			if data, ok := strings.CutSuffix(place, ".json"); ok && strings.Contains(place, "spool") {
				write(t, data+".data", "planted")
			}
			if err := os.Symlink(victim, place); err != nil {
				t.Fatal(err)
			}
			before, err := os.Lstat(victim)
			if err != nil {
				t.Fatal(err)
			}
			code, _, stderr := m.mediafs(
				"mount", url, m.mnt, "--catalog-dir="+filepath.Join(m.home, "c"),
				"--cache-dir="+filepath.Join(m.home, "k"),
			)
			if code == exitOK {
				write(t, filepath.Join(m.mnt, "x"), "bytes")
				if names, err := os.ReadDir(m.mnt); err != nil || len(names) != 1 {
					t.Errorf("the mount has %v, %v", names, err)
				}
				m.mediafs("umount", "--force", m.mnt)
			}
			t.Logf("exit code %d: %s", code, stderr)
			if b, err := os.ReadFile(inside); err != nil || string(b) != precious {
				t.Errorf("what the link leads to is now %q, %v", b, err)
			}
			after, err := os.Lstat(victim)
			if err != nil || after.Mode() != before.Mode() || !after.ModTime().Equal(before.ModTime()) {
				t.Errorf("what the link leads to was changed: %v, was %v", after, before)
			}
		})
	}
}

// mountNote is the file in the list of mounts.
func mountNote(dir string) string {
	sum := sha256.Sum256([]byte(dir))
	return hex.EncodeToString(sum[:8]) + ".json"
}

const (
	runAsListener = "listener" // values of runAsProgram
	runAsDialer   = "dialer"
)

func init() {
	switch os.Getenv(runAsProgram) {
	case runAsListener: // listens on the socket that it is given, and claims that all is well
		l, err := net.Listen("unix", os.Args[1])
		if err == nil {
			err = http.Serve(l, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				fmt.Fprintln(w, `{"mount":"/lie","running":true,"done":true}`)
			}))
		}
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	case runAsDialer: // asks a daemon to stop
		c, err := net.Dial("unix", os.Args[1])
		if err == nil {
			fmt.Fprint(c, "POST /1/stop?force=true HTTP/1.1\r\nHost: daemon\r\n\r\n")
			var answer bytes.Buffer
			_, err = answer.ReadFrom(c)
			fmt.Println(answer.String())
		}
		fmt.Println(err)
		os.Exit(0)
	}
}

// otherProcess is this test binary as another program and user.
func otherProcess(t *testing.T, what string, user int, args ...string) *exec.Cmd {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), commandDeadline)
	t.Cleanup(cancel)
	u := users[user]
	cmd := exec.CommandContext(ctx, "/proc/self/exe", args...)
	cmd.Env = []string{runAsProgram + "=" + what}
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: u.uid, Gid: u.gid}}
	return cmd
}

// A socket proves nothing: each end asks the kernel who the other is.
func TestForeignSocket(t *testing.T) {
	needsRoot(t)
	m := newMachine(t)
	_, url := m.localStore()
	passable(t, m.home)
	m.mount(url)
	s := m.status()
	socket := filepath.Join(s.CatalogDir, "control.sock")

	// Somebody gets to the daemon's socket.
	passable(t, s.CatalogDir)
	if err := os.Chmod(socket, 0o777); err != nil {
		t.Fatal(err)
	}
	if out, err := otherProcess(t, runAsDialer, 2, socket).CombinedOutput(); err != nil ||
		bytes.Contains(out, []byte("200 OK")) {
		t.Errorf("another user was answered: %v\n%s", err, out)
	}
	if !m.mounted() || !m.status().Running {
		t.Fatal("another user has stopped the daemon")
	}

	// Somebody puts a socket of their own in its place.
	if err := os.Remove(socket); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(s.CatalogDir, 0o777); err != nil {
		t.Fatal(err)
	}
	liar := otherProcess(t, runAsListener, 2, socket)
	if err := liar.Start(); err != nil {
		t.Fatal(err)
	}
	defer liar.Wait()
	defer liar.Process.Kill()
	if !eventually(func() bool { _, err := os.Stat(socket); return err == nil }) {
		t.Fatal("nobody listens")
	}
	// Root trusts nobody but itself.
	for what, err := range map[string]error{
		"status": func() error { _, err := control.Dial(s.CatalogDir).Status(t.Context()); return err }(),
		"flush":  control.Dial(s.CatalogDir).Flush(t.Context(), nil),
	} {
		if !errors.Is(err, remote.Permission) ||
			!strings.Contains(err.Error(), fmt.Sprintf("user %d listens there", users[2].uid)) {
			t.Errorf("%s believed another user: %v", what, err)
		}
	}
	if code, _, stderr := m.mediafs("flush", m.mnt); code == exitOK {
		t.Errorf("flush believed another user: %s", stderr)
	}
	if err := syscall.Kill(s.PID, syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if !eventually(func() bool { return !m.mounted() }) {
		t.Error("the daemon does not end")
	}
}
