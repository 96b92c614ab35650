package main

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"mediafs/remote/storetest/wiretap"
)

// powerLossDisk names the only file system that TestPowerLoss uses, for scripts/powerloss.
const powerLossDisk = "MEDIAFS_POWERLOSS_DISK"

// A testDisk is a file system in a file, whose power can be cut.
type testDisk struct {
	t     *testing.T
	kind  string // ext4 or xfs
	image string
	dir   string
}

// diskBytes is what the spool keeps free and a catalog with its logs need, several times; an image
// has few blocks of its own. XFS takes no less than 300 MiB.
const diskBytes = 512 << 20

func newDisk(t *testing.T, kind string) *testDisk {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("not root: no file system can be mounted here")
	}
	for _, program := range []string{"mkfs." + kind, "mount", "umount"} {
		if _, err := exec.LookPath(program); err != nil {
			t.Skipf("no %s here (Debian packages e2fsprogs, xfsprogs, mount)", program)
		}
	}
	d := &testDisk{
		t:     t,
		kind:  kind,
		image: filepath.Join(t.TempDir(), "image"),
		dir:   filepath.Join(t.TempDir(), "disk"),
	}
	if err := errors.Join(
		os.WriteFile(d.image, nil, 0o600), os.Truncate(d.image, diskBytes), os.Mkdir(d.dir, 0o700),
	); err != nil {
		t.Fatal(err)
	}
	d.do("mkfs."+kind, "-q", d.image)
	if out, err := exec.Command("mount", "-o", "loop", d.image, d.dir).CombinedOutput(); err != nil {
		t.Skipf("no %s can be mounted from a file here: %v: %s", kind, err, out)
	}
	t.Cleanup(func() { unix.Unmount(d.dir, unix.MNT_DETACH) }) //nolint:errcheck // it may be unmounted already
	return d
}

func (d *testDisk) do(program string, args ...string) {
	d.t.Helper()
	if out, err := exec.Command(program, args...).CombinedOutput(); err != nil {
		d.t.Fatalf("%s %v: %v\n%s", program, args, err, out)
	}
}

func (d *testDisk) mount() {
	d.t.Helper()
	if d.kind == "ext4" {
		exec.Command("e2fsck", "-fy", d.image).
			Run()
		//nolint:errcheck // as at the start of a machine; what it cannot mend shows
	}
	d.do("mount", "-o", "loop", d.image, d.dir)
}

// unmount waits until nobody has a file open there.
func (d *testDisk) unmount() {
	d.t.Helper()
	if !eventually(func() bool { return unix.Unmount(d.dir, 0) == nil }) {
		d.t.Fatal("somebody uses the disk")
	}
}

// cut is the loss of power: from here on nothing reaches the disk, neither what is in memory nor
// what the file system's own log has not.
func (d *testDisk) cut() {
	d.t.Helper()
	const shutdown, noLogFlush = 0x8004587d, 2 // FS_IOC_SHUTDOWN
	f, err := os.Open(d.dir)
	if err != nil {
		d.t.Fatal(err)
	}
	defer f.Close()
	if err := unix.IoctlSetPointerInt(int(f.Fd()), shutdown, noLogFlush); err != nil {
		d.t.Fatalf("cut the power of %s: %v", d.kind, err)
	}
}

// scatter has the kernel write parts of files back early, in no order, as it may at any time; until
// what it returns is called.
func (d *testDisk) scatter(r *rand.Rand) (stop func()) {
	quit := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		var names []string
		for i := 0; ; i++ {
			select {
			case <-quit:
				return
			case <-time.After(2 * time.Millisecond):
			}
			if i%10 == 0 {
				names = names[:0]
				filepath.WalkDir(
					d.dir,
					func(name string, e fs.DirEntry, err error) error { //nolint:errcheck // files come and go
						if err == nil && e.Type().IsRegular() && !strings.HasPrefix(e.Name(), "ballast") {
							names = append(names, name)
						}
						return nil
					},
				)
			}
			if len(names) == 0 {
				continue
			}
			f, err := os.Open(names[r.IntN(len(names))])
			if err != nil {
				continue
			}
			const writeAndWait = unix.SYNC_FILE_RANGE_WRITE | unix.SYNC_FILE_RANGE_WAIT_AFTER
			unix.SyncFileRange(
				int(f.Fd()), int64(r.IntN(20))*4096, int64(1+r.IntN(8))*4096, writeAndWait,
			) //nolint:errcheck // a hint
			f.Close()
		}
	})
	return sync.OnceFunc(func() { close(quit); wg.Wait() })
}

// reboot makes what is on the disk of another boot of the kernel.
func (d *testDisk) reboot(round int) {
	d.t.Helper()
	boot, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		d.t.Fatal(err)
	}
	boot = bytes.TrimSpace(boot)
	names, _ := filepath.Glob(filepath.Join(d.dir, "catalog/spool/*.json"))
	for _, name := range append(names, filepath.Join(d.dir, "catalog/catalog/in-use")) {
		b, err := os.ReadFile(name)
		if err == nil && bytes.Contains(b, boot) {
			err = os.WriteFile(name, bytes.ReplaceAll(b, boot, fmt.Appendf(nil, "before-cut-%d", round)), 0o600)
		}
		if err != nil && !os.IsNotExist(err) {
			d.t.Fatal(err)
		}
	}
	unix.Sync() // or the next cut takes this back
}

// TestPowerLoss cuts the power of the disk with catalog and cache at random moments while processes
// work in the mount: all that was not synced is lost there. What a close, fsync or flush had
// confirmed must be there then, no file may hold what was never written, and the store may not be
// damaged. scripts/powerloss does it hundreds of times.
func TestPowerLoss(t *testing.T) {
	if testing.Short() {
		t.Skip("cuts the power for half a minute")
	}
	seed, rounds := churnSetup(t, 2)
	for i, kind := range []string{"ext4", "xfs"} {
		if only := os.Getenv(powerLossDisk); only != "" && only != kind {
			continue
		}
		store := []string{"s3", "dir"}[i]
		if only := os.Getenv(tortureStore); only != "" {
			store = only
		}
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			t.Logf("%s=%d", tortureSeed, seed)
			r := rand.New(rand.NewPCG(seed, uint64(100+i)))
			for left := rounds; left > 0 && !t.Failed(); left -= tortureLibrary {
				t.Run(fmt.Sprint(left), func(t *testing.T) {
					d := newDisk(t, kind)
					k := newTorture(t, store, r)
					k.large = false
					k.flags = []string{
						"--catalog-dir=" + filepath.Join(d.dir, "catalog"),
						"--cache-dir=" + filepath.Join(d.dir, "cache"),
					}
					k.begin()
					for i := range k.own {
						k.own[i].history = true
					}
					for k.round = range min(left, tortureLibrary) {
						if k.cutPower(d); t.Failed() {
							return
						}
					}
					t.Logf("%d rounds, %d operations", k.round+1, k.ops)
				})
			}
		})
	}
}

// churnSetup reads seed and number of rounds from the environment.
func churnSetup(t *testing.T, defaultRounds int) (seed uint64, rounds int) {
	t.Helper()
	seed, rounds = uint64(time.Now().UnixNano()), defaultRounds
	var err error
	if s := os.Getenv(tortureSeed); s != "" {
		if seed, err = strconv.ParseUint(s, 10, 64); err != nil {
			t.Fatalf("%s: %v", tortureSeed, err)
		}
	}
	if s := os.Getenv(tortureRounds); s != "" {
		if rounds, err = strconv.Atoi(s); err != nil || rounds < 1 {
			t.Fatalf("%s=%s: a number from 1 on is needed", tortureRounds, s)
		}
	}
	return seed, rounds
}

// cutPower is one round: mount, churn, cut the power, kill, mount all anew, flush, compare.
func (k *torture) cutPower(d *testDisk) {
	t, m := k.t, k.m
	k.slow()
	k.behind = false
	k.mount("")
	pid := m.status().PID
	stop := d.scatter(rand.New(rand.NewPCG(k.r.Uint64(), 0)))
	defer stop()
	churns := k.churn()
	time.Sleep(time.Duration(150+k.r.IntN(900)) * time.Millisecond)
	var journals [][]*op
	k.powerOff(
		d,
		pid,
		time.Duration(k.r.IntN(200))*time.Millisecond,
		func() { // a daemon without a disk must not harm the store
			journals = churns()
			stop()
		},
	)
	if t.Failed() {
		return
	}
	if k.wire != nil {
		k.wire.tap.Before(nil)
	}
	behind := k.behind
	k.mount("")
	m.do("flush", m.mnt)
	k.settle = settlePower(behind)
	k.compare(journals)
	k.umount()
	if code, stdout, stderr := m.mediafs("check", k.store, "--data"); code != exitOK {
		t.Errorf("round %d: check: exit code %d\n%s%s", k.round, code, stdout, stderr)
	}
}

// powerOff cuts the power, kills the daemon a little later, and has the disk mounted again as after
// another boot. between is called when nothing runs any more.
func (k *torture) powerOff(d *testDisk, pid int, later time.Duration, between func()) {
	k.t.Helper()
	d.cut()
	time.Sleep(later)
	k.killDead(pid)
	between()
	k.boot(d)
}

// killDead kills a daemon whose lock lies on a disk that is gone.
func (k *torture) killDead(pid int) {
	k.t.Helper()
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil && !errors.Is(err, syscall.ESRCH) {
		k.t.Fatal(err)
	}
	if !eventually(func() bool { return errors.Is(syscall.Kill(pid, 0), syscall.ESRCH) || zombie(pid) }) {
		k.t.Fatal("killed, and still there")
	}
}

// boot mounts the disk of a daemon that is dead again, as after another boot.
func (k *torture) boot(d *testDisk) {
	k.t.Helper()
	k.must(unix.Unmount(k.m.mnt, unix.MNT_DETACH))
	d.unmount()
	d.mount()
	d.reboot(k.round)
}

// onlyHere mounts a library on S3 with uploads behind, none of which ever ends: the only copy of
// what is written lies on the disk.
func onlyHere(t *testing.T, kind string) (*testDisk, *torture) {
	t.Helper()
	d := newDisk(t, kind)
	k := newTorture(t, "s3", rand.New(rand.NewPCG(1, 1)))
	k.uploads = []string{"background"}
	k.flags = []string{
		"--catalog-dir=" + filepath.Join(d.dir, "catalog"), "--cache-dir=" + filepath.Join(d.dir, "cache"),
	}
	k.mount("")
	k.wire.tap.Before(func(r *wiretap.Request) {
		if r.Method != http.MethodGet && strings.HasPrefix(r.Key, "content/") {
			r.Drop()
		}
	})
	return d, k
}

// What is done after a close with uploads behind survives a loss of power that comes at once as
// well: a deletion, and a time that was set before it. So do the attributes that a program has set
// before a close, which wait for it, with and without bytes.
func TestPowerLossAfterClose(t *testing.T) {
	for _, kind := range []string{"ext4", "xfs"} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			d, k := onlyHere(t, kind)
			deleted, timed, closed := filepath.Join(k.m.mnt, "deleted"), filepath.Join(
				k.m.mnt, "timed",
			), filepath.Join(k.m.mnt, "closed")
			for _, name := range []string{deleted, timed, closed} {
				write(t, name, "bytes of "+name)
			}
			set := time.Unix(1_000_000_007, 7)
			pid := k.m.status().PID
			k.must(os.Chtimes(timed, set, set))
			k.must(os.Remove(deleted))
			copied, touched := filepath.Join(k.m.mnt, "copied"), filepath.Join(k.m.mnt, "touched")
			for _, name := range []string{copied, touched} {
				f, err := os.Create(name)
				k.must(err)
				if name == copied {
					_, err = f.WriteString("bytes of " + name)
				}
				k.must(
					errors.Join(err, f.Chmod(0o604), unix.Fsetxattr(int(f.Fd()), "user.a", []byte("1"), 0), f.Close()),
				)
			}
			k.powerOff(d, pid, 0, func() { k.wire.tap.Before(nil) })
			k.mount("")
			k.m.do("flush", k.m.mnt)
			mustRead(t, timed, "bytes of "+timed)
			mustRead(t, closed, "bytes of "+closed)
			if st, err := os.Stat(timed); err != nil || !st.ModTime().Equal(set) {
				t.Errorf("%v, %v: the time was set to %v", st.ModTime(), err, set)
			}
			mustRead(t, copied, "bytes of "+copied)
			for _, name := range []string{"copied", "touched"} {
				if st, err := os.Stat(
					filepath.Join(k.m.mnt, name),
				); err != nil || st.Mode() != 0o604 ||
					k.m.attribute(name, "user.a") != "1" {
					t.Errorf("%v, %v: mode and attribute were set", st, err)
				}
			}
			if _, err := os.Stat(deleted); !os.IsNotExist(err) {
				t.Errorf("a deleted file is there again: %v", err)
			}
			k.umount()
		})
	}
}

// A file that is cut after a close with uploads behind, and written to again, may reach the disk
// with its new end before what lies in front of that. After a loss of power it is what it was when
// it was cut, with no zeros where the confirmed bytes were or the new ones would have been.
func TestPowerLossAfterCutting(t *testing.T) {
	for _, kind := range []string{"ext4", "xfs"} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			d, k := onlyHere(t, kind)
			const kept = 4 * 4096
			old, later := bytes.Repeat([]byte("old "), 5000), bytes.Repeat([]byte("new"), 1000)
			name := filepath.Join(k.m.mnt, "cut")
			write(t, name, string(old))
			f, err := os.OpenFile(name, os.O_RDWR, 0)
			k.must(err)
			k.must(f.Truncate(kept))
			for off := int64(kept); off < 14*4096; off += int64(len(later)) {
				_, err := f.WriteAt(later, off)
				k.must(err)
			}
			spooled, _ := filepath.Glob(filepath.Join(d.dir, "catalog/spool/*.data"))
			if len(spooled) != 1 {
				t.Fatalf("in the spool there is %q", spooled)
			}
			writeBack(t, spooled[0], 7*4096, 4096)
			write(t, filepath.Join(k.m.mnt, "other"), "its close syncs the disk's own log")
			k.powerOff(d, k.m.status().PID, 0, func() { k.wire.tap.Before(nil); f.Close() })
			k.mount("")
			k.m.do("flush", k.m.mnt)
			is, err := os.ReadFile(name)
			k.must(err)
			if !bytes.Equal(is, old[:kept]) {
				t.Error(firstDifference(is, old[:kept]))
			}
			k.umount()
		})
	}
}

// A disk that dies below a daemon which lives on, and reaches the store again, gives it nothing to
// send: a file system that was shut down answers each read, and each description of a spool file,
// with an error and never with zeros. What was confirmed is sent at the next mount.
func TestDiskDiesBelowADaemon(t *testing.T) {
	for _, kind := range []string{"ext4", "xfs"} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			d, k := onlyHere(t, kind)
			files := map[string]string{
				"small": "bytes",
				"pages": strings.Repeat("page", 30_000),
				"open":  strings.Repeat("part", 5000),
			}
			for name, data := range files {
				write(t, filepath.Join(k.m.mnt, name), data)
			}
			f, err := os.OpenFile(filepath.Join(k.m.mnt, "open"), os.O_RDWR, 0)
			k.must(err)
			_, err = f.WriteAt([]byte(strings.Repeat("more", 5000)), 20_000)
			k.must(err)
			pid := k.m.status().PID
			d.cut()
			k.wire.tap.Before(nil)
			logs := func() string {
				names, _ := filepath.Glob(filepath.Join(k.m.home, ".local/state/mediafs/*.log"))
				b, _ := os.ReadFile(strings.Join(names, ""))
				return string(b)
			}
			if !eventually(func() bool { return strings.Count(logs(), "input/output error") >= len(files) }) {
				t.Errorf("nothing was tried on the dead disk:\n%s", logs())
			}
			other := k.wire.machine()
			other.do("mount", k.store, other.mnt)
			for name := range files {
				if b, err := os.ReadFile(filepath.Join(other.mnt, name)); err != nil || len(b) > 0 {
					t.Errorf("%s was sent from the dead disk: %d bytes, %v", name, len(b), err)
				}
			}
			other.do("umount", other.mnt)
			k.killDead(pid)
			f.Close()
			k.boot(d)
			k.mount("")
			k.m.do("flush", k.m.mnt)
			for name, data := range files {
				mustRead(t, filepath.Join(k.m.mnt, name), data)
			}
			k.umount()
		})
	}
}

// writeBack has the kernel write a part of a file to its disk, as it may at any time, and no other.
func writeBack(t *testing.T, name string, off, n int64) {
	t.Helper()
	f, err := os.Open(name)
	if err == nil {
		err = errors.Join(
			unix.SyncFileRange(int(f.Fd()), off, n, unix.SYNC_FILE_RANGE_WRITE|unix.SYNC_FILE_RANGE_WAIT_AFTER),
			f.Close(),
		)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// slow makes an S3 store take its time for contents in every other round: what was closed with
// uploads behind is still here when the power goes, and was opened again.
func (k *torture) slow() {
	if k.wire == nil || k.round%2 == 0 {
		return
	}
	k.wire.tap.Before(func(r *wiretap.Request) {
		if r.Method != http.MethodGet && strings.HasPrefix(r.Key, "content/") {
			time.Sleep(300 * time.Millisecond)
		}
	})
}

// zombie tells whether a process has ended and nobody has asked for its status.
func zombie(pid int) bool {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	i := bytes.LastIndexByte(b, ')')
	return err == nil && i > 0 && i+2 < len(b) && b[i+2] == 'Z'
}

// settlePower is what must be there after a loss of power: every change of names that returned,
// every change of attributes that something confirmed, or of the others those up to one of them,
// and of each file what it held when it was confirmed last, or at one moment after that.
func settlePower(behind bool) func(m *model, journal []*op, is *model) string {
	return func(m *model, journal []*op, is *model) string {
		bytesOK := func(name string, want, is *modelNode) string { return someBytes(name, want, is, behind) }
		holds := func(m *model, journal []*op) string {
			doubt, wrong := m.replay(journal)
			switch {
			case wrong != "":
				return wrong
			case doubt != nil:
				return m.either(doubt, is, bytesOK)
			}
			return m.differs(is, bytesOK)
		}
		all := holds(m.clone(), journal)
		loose := unconfirmed(journal)
		for n := len(loose) - 1; n >= 0 && all != ""; n-- {
			journal = slices.Delete(slices.Clone(journal), loose[n], loose[n]+1)
			if holds(m.clone(), journal) == "" {
				return ""
			}
		}
		return all
	}
}

// unconfirmed lists the changes of attributes in a journal that may have been deferred and that
// nothing after them has waited for.
func unconfirmed(journal []*op) (loose []int) {
	wrote := map[int]bool{} // files that a close sends
	for i, o := range journal {
		if o.Err != "" || o.inDoubt() {
			continue
		}
		switch o.Do {
		case "chmod", "utimens", "setxattr", "removexattr":
			loose = append(loose, i)
		case "write", "ftruncate":
			wrote[o.FD] = true
		case "copy":
			wrote[o.To2] = true
		case "close":
			if wrote[o.FD] {
				loose = nil
			}
			delete(wrote, o.FD)
		case "create",
			"mkdir",
			"symlink",
			"link",
			"unlink",
			"rmdir",
			"fsync",
			"flush": // a rename may have nothing to do
			loose = nil
		}
	}
	return loose
}

// someBytes wants a file to be what it was at one of the moments of its states. With uploads
// behind, what was confirmed is on the local disk alone, and written over there: then each byte is
// what it was at one of them.
func someBytes(name string, want, is *modelNode, behind bool) string {
	if len(want.states) == 1 {
		return exactBytes(name, &modelNode{data: want.states[0], mtime: want.mtime}, is)
	}
	shortest, longest := want.states[0], want.states[0]
	for i, s := range want.states {
		if bytes.Equal(s, is.data) || i > 0 && halfWritten(is.data, want.states[i-1], s) {
			return ""
		}
		if len(s) < len(shortest) {
			shortest = s
		}
		if len(s) > len(longest) {
			longest = s
		}
	}
	if behind && len(is.data) >= len(shortest) && len(is.data) <= len(longest) {
		i := 0
		for i < len(is.data) && slices.ContainsFunc(want.states, func(s []byte) bool { return i < len(s) && s[i] == is.data[i] }) {
			i++
		}
		if i == len(is.data) {
			return ""
		}
	}
	return fmt.Sprintf(
		"%s holds what it never held in %d states since it was confirmed; against the last: %s; against the confirmed: %s",
		name, len(want.states), firstDifference(is.data, want.states[len(want.states)-1]),
		firstDifference(is.data, want.states[0]),
	)
}

// halfWritten tells whether a file is what it was in the middle of a write: the kernel hands a long
// one on in pieces, and what another process flushes then is what was written by then.
func halfWritten(is, old, now []byte) bool {
	n := 0
	for n < min(len(is), len(now)) && is[n] == now[n] {
		n++
	}
	return bytes.Equal(is[n:], old[min(n, len(old)):])
}
