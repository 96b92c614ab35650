package fuse

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// asUser runs the test binary, which it reads from standard input, as user nobody with the
// arguments it is given. It is run by root in a mount namespace of its own, which ends with its
// processes: a /tmp that this user can get to, and a /dev/fuse that everybody may open, as udev
// makes it.
const asUser = `
mount -t tmpfs -o mode=1777 test /tmp
mknod -m 666 /tmp/device c 10 229
mount --bind /tmp/device /dev/fuse
cat >/tmp/fuse.test
chmod 755 /tmp/fuse.test
cd /
exec setpriv --reuid 65534 --regid 65534 --clear-groups env TMPDIR=/tmp /tmp/fuse.test "$@" </dev/null`

// An ordinary user mounts through fusermount3, uses the mount, is told when it is in use, and
// unmounts it. Run by root, the test runs itself once more as such a user.
func TestMountedByUser(t *testing.T) {
	t.Parallel()
	helper := helperPath()
	if helper == "" {
		t.Skip("fusermount3 is missing (package fuse3)")
	}
	var st unix.Stat_t
	if err := unix.Stat(helper, &st); err != nil || st.Mode&unix.S_ISUID == 0 {
		t.Skipf("%s is not set-user-id root (%o, %v): it cannot mount for others", helper, st.Mode, err)
	}
	if os.Geteuid() == 0 {
		runAsUser(t)
		return
	}
	served(t, func(t *testing.T, s *servedMount) {
		if err := s.do("open"); err != nil {
			t.Fatal(err)
		}
		name := filepath.Join(s.dir, "file")
		f, err := os.Create(name)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.WriteString("bytes of a user"); err != nil {
			t.Error(err)
		}
		if got, err := os.ReadFile(name); err != nil || string(got) != "bytes of a user" {
			t.Errorf("read %q, %v", got, err)
		}
		var st unix.Stat_t
		if err := unix.Stat(name, &st); err != nil || int(st.Uid) != os.Geteuid() {
			t.Errorf("owner %d, %v", st.Uid, err)
		}
		if m, ok := mountAt(s.dir); !ok || m.Connection == 0 {
			t.Errorf("not in the mount table: %+v", m)
		}
		if err := s.do("close"); err == nil || !strings.Contains(err.Error(), "close what is open there") {
			t.Errorf("unmount while a file is open, want Busy with its hint: %v", err)
		}
		if err := f.Close(); err != nil {
			t.Error(err)
		}
		if err := s.do("close"); err != nil {
			t.Error(err)
		}
		if m, ok := mountAt(s.dir); ok {
			t.Errorf("still mounted: %+v", m)
		}
	})
}

// runAsUser runs the calling test in a process of an ordinary user.
func runAsUser(t *testing.T) {
	if err := checkDevice(""); err != nil {
		t.Skip(err)
	}
	for _, tool := range []string{"unshare", "setpriv", "mknod", "mount"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("to become an ordinary user: %v", err)
		}
	}
	if out, err := exec.Command("unshare", "-m", "true").CombinedOutput(); err != nil {
		t.Skipf("root may not make a mount namespace here: %v: %s", err, out)
	}
	self, err := os.Open(os.Args[0])
	if err != nil {
		t.Fatal(err)
	}
	defer self.Close()
	ctx, cancel := context.WithTimeout(t.Context(), childTime)
	defer cancel()
	c := exec.CommandContext(ctx, "unshare", "-m", "sh", "-ec", asUser, "sh", "-test.run=^"+t.Name()+"$", "-test.v")
	c.Stdin = self
	out, err := c.CombinedOutput()
	switch {
	case err != nil:
		t.Errorf("as a user: %v\n%s", err, out)
	case bytes.Contains(out, []byte("--- SKIP")):
		t.Skipf("as a user:\n%s", out)
	case !bytes.Contains(out, []byte("--- PASS: "+t.Name())):
		t.Errorf("as a user it did not run:\n%s", out)
	}
}
