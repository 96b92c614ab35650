package vfstest

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"mediafs/fs/vfs"
)

// Cases of links and special files.
var linkCases = []testCase{
	{"link", func(e *env) {
		e.write("a", "x")
		before := e.stat("a")
		tick()
		e.mkdir("d")
		e.ok("link", e.sys.Link(e.p("a"), e.p("d/b")))
		a, b := e.stat("a"), e.stat("d/b")
		if a != b || a.Nlink != 2 {
			e.Errorf("%+v and %+v", a, b)
		}
		if !after(a.Ctime, before.Ctime) || a.Mtime != before.Mtime {
			e.Errorf("times %v %v, were %v %v", a.Ctime, a.Mtime, before.Ctime, before.Mtime)
		}
		e.write("d/b", "through the other name")
		e.holds("a", "through the other name")
		e.ok("chmod", e.sys.Chmod(e.p("a"), 0o600))
		if m := e.stat("d/b").Mode; m != unix.S_IFREG|0o600 {
			e.Errorf("mode %o", m)
		}
		e.unlink("a")
		if n := e.stat("d/b").Nlink; n != 1 {
			e.Errorf("%d links", n)
		}
		e.holds("d/b", "through the other name")
	}},
	{"link-refused", func(e *env) {
		e.write("a", "x")
		e.write("b", "y")
		e.mkdir("d")
		e.want("over a file", e.sys.Link(e.p("a"), e.p("b")), syscall.EEXIST)
		e.want("over itself", e.sys.Link(e.p("a"), e.p("a")), syscall.EEXIST)
		e.want("of a folder", e.sys.Link(e.p("d"), e.p("d2")), syscall.EPERM)
		e.want("in no folder", e.sys.Link(e.p("a"), e.p("x/y")), syscall.ENOENT)
	}},
	{"link-many", func(e *env) {
		e.write("a", "x")
		for i := range 50 {
			e.ok("link", e.sys.Link(e.p("a"), e.p(fmt.Sprint(i))))
		}
		if n := e.stat("7").Nlink; n != 51 {
			e.Errorf("%d links", n)
		}
		for i := range 50 {
			e.unlink(fmt.Sprint(i))
		}
		if n := e.stat("a").Nlink; n != 1 {
			e.Errorf("%d links", n)
		}
	}},
	{"link-special", func(e *env) {
		e.ok("symlink", e.sys.Symlink("x", e.p("l")))
		e.ok("mknod", e.sys.Mknod(e.p("p"), unix.S_IFIFO|0o644, 0))
		for _, n := range []string{"l", "p"} {
			e.ok("link", e.sys.Link(e.p(n), e.p(n+"2")))
			if a, b := e.stat(n), e.stat(n+"2"); a.ID != b.ID || a.Nlink != 2 {
				e.Errorf("%s: %+v and %+v", n, a, b)
			}
		}
	}},
	{"symlink", func(e *env) {
		for i, target := range []string{"x", "/absolute/path", "../up", "not UTF-8 \xff\xfe", strings.Repeat("t", 4095)} {
			name := fmt.Sprint(i)
			e.ok("symlink", e.sys.Symlink(target, e.p(name)))
			got, err := e.sys.Readlink(e.p(name))
			e.ok("readlink", err)
			if got != target {
				e.Errorf("target %q, want %q", cut([]byte(got), 0), cut([]byte(target), 0))
			}
			a := e.stat(name)
			if a.Mode != unix.S_IFLNK|0o777 || a.Size != int64(len(target)) || a.Nlink != 1 {
				e.Errorf("mode %o, %d bytes, %d links", a.Mode, a.Size, a.Nlink)
			}
		}
		e.want("over a name", e.sys.Symlink("x", e.p("0")), syscall.EEXIST)
		e.write("f", "")
		_, err := e.sys.Readlink(e.p("f"))
		e.want("readlink of a file", err, syscall.EINVAL)
		_, err = e.sys.Open(e.p("0"), unix.O_RDONLY, 0)
		e.want("open without following", err, syscall.ELOOP)
	}},
	{"symlink-attributes", func(e *env) {
		e.ok("symlink", e.sys.Symlink("x", e.p("l")))
		e.ok("chown", e.sys.Chown(e.p("l"), 12, 34))
		t := vfs.Time{Sec: 1e9, Nsec: 7}
		e.ok("utimes", e.sys.Utimes(e.p("l"), nil, &t))
		if a := e.stat("l"); a.UID != 12 || a.GID != 34 || a.Mtime != t {
			e.Errorf("%+v", a)
		}
	}},
	{"special-files", func(e *env) {
		for name, s := range map[string]struct{ mode, rdev uint32 }{
			"fifo":   {unix.S_IFIFO | 0o640, 0},
			"socket": {unix.S_IFSOCK | 0o600, 0},
			"null":   {unix.S_IFCHR | 0o644, uint32(unix.Mkdev(1, 3))},
			"disk":   {unix.S_IFBLK | 0o600, uint32(unix.Mkdev(259, 70000))},
			"plain":  {unix.S_IFREG | 0o644, 0},
		} {
			e.ok("mknod", e.sys.Mknod(e.p(name), s.mode, s.rdev))
			if a := e.stat(name); a.Mode != s.mode || a.Rdev != s.rdev || a.Nlink != 1 || a.Size != 0 {
				e.Errorf("%s: mode %o, device %x, %d links, %d bytes", name, a.Mode, a.Rdev, a.Nlink, a.Size)
			}
			e.want("again", e.sys.Mknod(e.p(name), s.mode, s.rdev), syscall.EEXIST)
		}
		e.write("plain", "made by mknod")
		e.holds("plain", "made by mknod")
		e.rename("fifo", "fifo2")
		e.unlink("fifo2")
	}},
}

// Cases of modes, owners and times.
var attributeCases = []testCase{
	{"chmod", func(e *env) {
		e.write("a", "x")
		before := e.stat("a")
		tick()
		for _, m := range []uint32{0, 0o777, 0o4755, 0o2755, 0o1644, 0o7777, 0o640} {
			e.ok("chmod", e.sys.Chmod(e.p("a"), m))
			if got := e.stat("a").Mode; got != unix.S_IFREG|m {
				e.Errorf("mode %o, want %o", got, m)
			}
		}
		now := e.stat("a")
		if !after(now.Ctime, before.Ctime) || now.Mtime != before.Mtime {
			e.Errorf("times %v %v, were %v %v", now.Ctime, now.Mtime, before.Ctime, before.Mtime)
		}
		e.mkdir("d")
		e.ok("chmod", e.sys.Chmod(e.p("d"), 0o1777))
		if got := e.stat("d").Mode; got != unix.S_IFDIR|0o1777 {
			e.Errorf("mode %o", got)
		}
	}},
	{"chown", func(e *env) {
		e.write("a", "x")
		before := e.stat("a")
		tick()
		e.ok("chown", e.sys.Chown(e.p("a"), 1234, 5678))
		now := e.stat("a")
		if now.UID != 1234 || now.GID != 5678 || !after(now.Ctime, before.Ctime) || now.Mtime != before.Mtime {
			e.Errorf("%+v, was %+v", now, before)
		}
		e.ok("chgrp", e.sys.Chown(e.p("a"), -1, 9))
		e.ok("chown", e.sys.Chown(e.p("a"), 1<<31+5, -1))
		if a := e.stat("a"); a.UID != 1<<31+5 || a.GID != 9 {
			e.Errorf("owner %d:%d", a.UID, a.GID)
		}
	}},
	{"chown-clears", func(e *env) {
		e.write("a", "x")
		e.ok("chmod", e.sys.Chmod(e.p("a"), 0o6755))
		e.ok("chown", e.sys.Chown(e.p("a"), 1, 1))
		if m := e.stat("a").Mode; m != unix.S_IFREG|0o755 {
			e.Errorf("mode %o", m)
		}
		// A folder keeps its bits.
		e.mkdir("d")
		e.ok("chmod", e.sys.Chmod(e.p("d"), 0o2755))
		e.ok("chown", e.sys.Chown(e.p("d"), 1, 1))
		if m := e.stat("d").Mode; m != unix.S_IFDIR|0o2755 {
			e.Errorf("mode %o", m)
		}
	}},
	{"utimes", func(e *env) {
		e.write("a", "x")
		for _, t := range []vfs.Time{
			{Sec: 1_234_567_890, Nsec: 123_456_789},
			{Sec: 0, Nsec: 0},
			{Sec: -1, Nsec: 999_999_999},   // the last nanosecond before 1970
			{Sec: -315_619_200, Nsec: 1},   // 1960
			{Sec: 4_294_967_296, Nsec: 2},  // 2106
			{Sec: 7_258_118_400, Nsec: 42}, // 2200
		} {
			at := vfs.Time{Sec: t.Sec + 1, Nsec: t.Nsec}
			e.ok("utimes", e.sys.Utimes(e.p("a"), &at, &t))
			if a := e.stat("a"); a.Mtime != t || a.Atime != at {
				e.Errorf("times %v %v, want %v %v", a.Atime, a.Mtime, at, t)
			}
		}
		before := e.stat("a")
		tick()
		t := vfs.Time{Sec: 5}
		e.ok("mtime only", e.sys.Utimes(e.p("a"), nil, &t))
		if a := e.stat("a"); a.Mtime != t || a.Atime != before.Atime || !after(a.Ctime, before.Ctime) {
			e.Errorf("%+v, was %+v", a, before)
		}
		e.ok("atime only", e.sys.Utimes(e.p("a"), &t, nil))
		if a := e.stat("a"); a.Mtime != t || a.Atime != t {
			e.Errorf("%+v", a)
		}
	}},
	{"utimes-after-write", func(e *env) {
		// As rsync and cp -p do: write, set the time, close. Closing must not touch it.
		t := vfs.Time{Sec: 1e9, Nsec: 987_654_321}
		f := e.create("a")
		e.writeAt(f, noise(8, 300_000), 0)
		e.ok("utimes", e.sys.Utimes(e.p("a"), &t, &t))
		e.close(f)
		if a := e.stat("a"); a.Mtime != t {
			e.Errorf("mtime %v, want %v", a.Mtime, t)
		}
		e.mkdir("d")
		e.write("d/f", "")
		e.ok("utimes", e.sys.Utimes(e.p("d"), &t, &t))
		e.holds("d/f", "")
		if a := e.stat("d"); a.Mtime != t {
			e.Errorf("mtime of the folder %v, want %v", a.Mtime, t)
		}
	}},
	{"times-of-folder", func(e *env) {
		e.mkdir("d")
		e.write("d/f", "")
		check := func(what string, f func() error) {
			e.Helper()
			before := e.stat("d")
			tick()
			e.ok(what, f())
			if now := e.stat("d"); !after(now.Mtime, before.Mtime) || !after(now.Ctime, before.Ctime) {
				e.Errorf("%s leaves the folder's times", what)
			}
		}
		check("create", func() error {
			f, err := e.sys.Open(e.p("d/new"), unix.O_RDWR|unix.O_CREAT, 0o644)
			if err != nil {
				return err
			}
			return f.Close()
		})
		check("link", func() error { return e.sys.Link(e.p("d/f"), e.p("d/g")) })
		check("symlink", func() error { return e.sys.Symlink("x", e.p("d/l")) })
		check("mknod", func() error { return e.sys.Mknod(e.p("d/p"), unix.S_IFIFO|0o644, 0) })
		check("rename", func() error { return e.sys.Rename(e.p("d/g"), e.p("d/h"), 0) })
		check("unlink", func() error { return e.sys.Unlink(e.p("d/f")) })
		before := e.stat("d")
		tick()
		e.write("d/h", "content is not the folder's business")
		e.ok("chmod", e.sys.Chmod(e.p("d/h"), 0o600))
		if now := e.stat("d"); now.Mtime != before.Mtime {
			e.Errorf("mtime %v, was %v", now.Mtime, before.Mtime)
		}
	}},
}

// Cases of extended attributes.
var xattrCases = []testCase{
	{"xattr", func(e *env) {
		e.write("a", "x")
		e.mkdir("d")
		for _, path := range []string{"a", "d"} {
			p := e.p(path)
			_, err := e.sys.GetXattr(p, "user.none")
			e.want("get what is not set", err, syscall.ENODATA)
			e.want("remove what is not set", e.sys.RemoveXattr(p, "user.none"), syscall.ENODATA)
			values := map[string][]byte{
				"user.text":                        []byte("hello"),
				"user.empty":                       {},
				"user.binary":                      {0, 1, 2, 0xff, 0, 10},
				"user." + strings.Repeat("n", 250): []byte("long name"),
				"user.dots.and ünicode":            []byte("x"),
				"trusted.mine":                     []byte("root's"),
			}
			for name, v := range values {
				e.ok("set "+name, e.sys.SetXattr(p, name, v, 0))
			}
			names, err := e.sys.ListXattr(p)
			e.ok("list", err)
			for name, v := range values {
				got, err := e.sys.GetXattr(p, name)
				e.ok("get "+name, err)
				same(e, name, got, v)
				if !slices.Contains(names, name) {
					e.Errorf("%s is not listed", name)
				}
			}
			if len(names) != len(values) {
				e.Errorf("listed: %q", names)
			}
			e.ok("remove", e.sys.RemoveXattr(p, "user.text"))
			_, err = e.sys.GetXattr(p, "user.text")
			e.want("get what was removed", err, syscall.ENODATA)
		}
		e.holds("a", "x")
	}},
	{"xattr-flags", func(e *env) {
		e.write("a", "x")
		p := e.p("a")
		e.want("replace nothing", e.sys.SetXattr(p, "user.a", []byte("1"), vfs.XattrReplace), syscall.ENODATA)
		e.ok("create", e.sys.SetXattr(p, "user.a", []byte("1"), vfs.XattrCreate))
		e.want("create again", e.sys.SetXattr(p, "user.a", []byte("2"), vfs.XattrCreate), syscall.EEXIST)
		e.ok("replace", e.sys.SetXattr(p, "user.a", []byte("3"), vfs.XattrReplace))
		got, err := e.sys.GetXattr(p, "user.a")
		e.ok("get", err)
		same(e, "user.a", got, []byte("3"))
		before := e.stat("a")
		tick()
		e.ok("set", e.sys.SetXattr(p, "user.a", []byte("4"), 0))
		if now := e.stat("a"); !after(now.Ctime, before.Ctime) || now.Mtime != before.Mtime {
			e.Errorf("times %v %v, were %v %v", now.Ctime, now.Mtime, before.Ctime, before.Mtime)
		}
	}},
	{"xattr-large", func(e *env) {
		n := min(e.traits.MaxXattr, 60_000)
		e.write("a", "x")
		for i, size := range []int{n, 1, n - 1, n} {
			v := noise(uint64(i), size)
			e.ok("set", e.sys.SetXattr(e.p("a"), "user.large", v, 0))
			got, err := e.sys.GetXattr(e.p("a"), "user.large")
			e.ok("get", err)
			same(e, "user.large", got, v)
		}
		err := e.sys.SetXattr(e.p("a"), "user.large", make([]byte, 1<<16+1), 0)
		e.want("more than there may be", err, syscall.E2BIG)
	}},
	{"xattr-many", func(e *env) {
		e.write("a", "x")
		const n = 60
		for i := range n {
			e.ok("set", e.sys.SetXattr(e.p("a"), fmt.Sprintf("user.%d", i), fmt.Append(nil, i), 0))
		}
		names, err := e.sys.ListXattr(e.p("a"))
		e.ok("list", err)
		if len(names) != n {
			e.Errorf("%d attributes", len(names))
		}
	}},
	{"xattr-special", func(e *env) {
		// user.* is for files and folders; root's own may be anywhere.
		e.ok("symlink", e.sys.Symlink("x", e.p("l")))
		e.ok("mknod", e.sys.Mknod(e.p("p"), unix.S_IFIFO|0o644, 0))
		for _, name := range []string{"l", "p"} {
			e.ok("set", e.sys.SetXattr(e.p(name), "trusted.t", []byte("v"), 0))
			got, err := e.sys.GetXattr(e.p(name), "trusted.t")
			e.ok("get", err)
			same(e, name, got, []byte("v"))
		}
	}},
	{"xattr-moves", func(e *env) {
		e.write("a", "x")
		e.ok("set", e.sys.SetXattr(e.p("a"), "user.a", []byte("goes along"), 0))
		e.rename("a", "b")
		e.ok("link", e.sys.Link(e.p("b"), e.p("c")))
		e.unlink("b")
		got, err := e.sys.GetXattr(e.p("c"), "user.a")
		e.ok("get", err)
		same(e, "user.a", got, []byte("goes along"))
		e.unlink("c")
		e.write("c", "another")
		if names, err := e.sys.ListXattr(e.p("c")); err != nil || len(names) != 0 {
			e.Errorf("a new file has %q, %v", names, err)
		}
	}},
	{"capability", func(e *env) {
		// As setcap stores it: version 2, cap_net_raw permitted and effective. A write takes it
		// away.
		caps := []byte{1, 0, 0, 2, 0, 32, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}
		e.write("a", "x")
		e.ok("set", e.sys.SetXattr(e.p("a"), "security.capability", caps, 0))
		got, err := e.sys.GetXattr(e.p("a"), "security.capability")
		e.ok("get", err)
		if !bytes.Equal(got, caps) {
			e.Errorf("got %x", got)
		}
		e.ok("remove", e.sys.RemoveXattr(e.p("a"), "security.capability"))
		_, err = e.sys.GetXattr(e.p("a"), "security.capability")
		if !errors.Is(err, syscall.ENODATA) {
			e.Errorf("get what was removed: %v", err)
		}
	}},
}
