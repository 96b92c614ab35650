package fuse

import (
	"bufio"
	"bytes"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"mediafs/remote"
)

// A MountInfo is one mount of ours in this process's view of the file tree.
type MountInfo struct {
	Dir        string
	FSName     string
	ReadOnly   bool
	Connection uint32 // number of its FUSE connection
	Options    string // of the mount and of its file system, as the mount table has them
}

// Abort breaks the connection of a mount, whoever serves it: every call that waits there fails, and
// so does every later one. Unsupported: the control file system of FUSE is not mounted, or the
// mount is another user's.
func (m MountInfo) Abort() error {
	err := abortConnection(m.Connection)
	if err != nil && forceAbort(m.Dir) != nil {
		return remote.E("abort", m.Dir, remote.Unsupported, err).
			WithHint("mount -t fusectl none /sys/fs/fuse/connections")
	}
	return nil
}

// Mounts lists the mounts of mediafs, those of other processes included, in the order they were
// made.
func Mounts() ([]MountInfo, error) {
	f, err := os.Open("/proc/self/mountinfo")
	if err != nil {
		return nil, remote.E("list mounts", "", remote.Unsupported, err)
	}
	defer f.Close()
	ms, err := parseMounts(f)
	if err != nil {
		return nil, remote.E("list mounts", "", remote.Other, err)
	}
	return ms, nil
}

// parseMounts reads lines of the form
//
//	36 35 0:45 / /mnt rw,noatime shared:1 - fuse.mediafs s3://bucket rw,user_id=0
//
// where any number of words may stand before the dash. Spaces and backslashes in words are octal
// escapes.
func parseMounts(r io.Reader) ([]MountInfo, error) {
	var ms []MountInfo
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		before, after, ok := strings.Cut(lines.Text(), " - ")
		f, g := strings.Fields(before), strings.Fields(after)
		if !ok || len(f) < 6 || len(g) < 2 || g[0] != TypeName {
			continue
		}
		m := MountInfo{Dir: Unescape(f[4]), FSName: Unescape(g[1])}
		// A FUSE connection is numbered as the device of its mount, which has no major number.
		if _, minor, ok := strings.Cut(f[2], ":"); ok {
			n, _ := strconv.ParseUint(minor, 10, 32)
			m.Connection = uint32(n)
		}
		m.Options = f[5]
		if len(g) > 2 {
			m.Options += "," + g[2]
		}
		m.ReadOnly = slices.Contains(strings.Split(m.Options, ","), "ro")
		ms = append(ms, m)
	}
	return ms, lines.Err()
}

// Location tells where an absolute path without symbolic links lies: on which device, as
// major:minor, and under which path in that file system, which is the same through every bind
// mount. The path need not be there. ok is false when the mount table does not tell.
func Location(real string) (device, path string, ok bool) {
	f, err := os.Open("/proc/self/mountinfo")
	if err != nil {
		return "", "", false
	}
	defer f.Close()
	return locate(f, real)
}

func locate(table io.Reader, real string) (device, path string, ok bool) {
	lines := bufio.NewScanner(table)
	lines.Buffer(nil, 1<<20)
	best := -1
	for lines.Scan() {
		f := strings.Fields(lines.Text())
		if len(f) < 6 {
			continue
		}
		dir := Unescape(f[4])
		rest, below := strings.CutPrefix(real, strings.TrimSuffix(dir, "/"))
		// The longest mount point that real lies in, and of several mounts there the last.
		if below && (rest == "" || rest[0] == '/') && len(dir) >= best {
			best, ok = len(dir), true
			device, path = f[2], filepath.Join(Unescape(f[3]), rest)
		}
	}
	return device, path, ok && lines.Err() == nil
}

// Unescape reads the octal numbers, such as \040 for a space, of the mount table and of /etc/fstab.
func Unescape(s string) string {
	var b bytes.Buffer
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+4 <= len(s) {
			if n, err := strconv.ParseUint(s[i+1:i+4], 8, 8); err == nil {
				b.WriteByte(byte(n))
				i += 3
				continue
			}
		}
		b.WriteByte(s[i])
	}
	return b.String()
}

// mountAt finds the topmost mount at a real path.
func mountAt(dir string) (MountInfo, bool) {
	ms, err := Mounts()
	if err != nil {
		return MountInfo{}, false
	}
	for i := len(ms) - 1; i >= 0; i-- {
		if ms[i].Dir == dir {
			return ms[i], true
		}
	}
	return MountInfo{}, false
}

// realPath is the path of a folder without symlinks; the folder itself, which may be a dead mount,
// is not looked at.
func realPath(dir string) (string, error) {
	abs, err := filepath.Abs(dir)
	if err != nil {
		return "", err
	}
	parent, err := filepath.EvalSymlinks(filepath.Dir(abs))
	if err != nil {
		return "", err
	}
	return filepath.Join(parent, filepath.Base(abs)), nil
}

// reach asks the file system at dir for a sign of life: ENOTCONN says that a daemon served it and
// is gone. It asks statfs, since a stat is answered by the kernel from its memory for as long as
// the attributes are believed, also after the daemon has died.
func reach(dir string) error { return unix.Statfs(dir, new(unix.Statfs_t)) }

// Stale tells whether a mount of ours is at dir whose daemon is gone.
func Stale(dir string) bool {
	if reach(dir) != unix.ENOTCONN {
		return false
	}
	real, err := realPath(dir)
	if err != nil {
		return false
	}
	_, ok := mountAt(real)
	return ok
}

// CleanStale unmounts a mount whose daemon is gone. Anything else at dir is left alone, without an
// error.
func CleanStale(dir string) error {
	if !Stale(dir) {
		return nil
	}
	real, err := realPath(dir)
	if err != nil {
		return remote.E("unmount", dir, remote.Invalid, err)
	}
	return unmount(real, true)
}
