package fuse

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

func later(a, b unix.Timespec) bool { return a.Sec > b.Sec || a.Sec == b.Sec && a.Nsec > b.Nsec }

// Cases of times.
var timeCases = []conformanceCase{
	{"times-exact", func(g *ground) {
		g.write("f", "x")
		g.ok("mkdir", unix.Mkdir(g.p("d"), 0o755))
		g.ok("symlink", unix.Symlink("x", g.p("l")))
		g.ok("mkfifo", unix.Mkfifo(g.p("p"), 0o644))
		want := map[string]unix.Timespec{
			"f": {Sec: -1, Nsec: 999_999_999},
			"d": {Sec: -2_147_480_000, Nsec: 1}, // 1901
			"l": {Sec: 4_294_967_296, Nsec: 123_456_789},
			"p": {Sec: 0, Nsec: 1},
		}
		check := func(when string) {
			g.Helper()
			for name, m := range want {
				if st := g.stat(name); st.Mtim != m || st.Atim != (unix.Timespec{Sec: m.Sec + 1, Nsec: m.Nsec}) {
					g.Errorf("%s, %s: %v and %v, want %v", when, name, st.Atim, st.Mtim, m)
				}
			}
		}
		for name, m := range want {
			ts := []unix.Timespec{{Sec: m.Sec + 1, Nsec: m.Nsec}, m}
			g.ok("utimensat", unix.UtimesNanoAt(unix.AT_FDCWD, g.p(name), ts, unix.AT_SYMLINK_NOFOLLOW))
		}
		check("set")
		g.again()
		check("another machine")
	}},
	{"times-now", func(g *ground) {
		g.write("f", "x")
		old := []unix.Timespec{{Sec: 10}, {Sec: 20}}
		set := func(a, m int64) unix.Stat_t {
			g.Helper()
			g.ok("utimensat", unix.UtimesNanoAt(unix.AT_FDCWD, g.p("f"), old, 0))
			g.ok("utimensat", unix.UtimesNanoAt(unix.AT_FDCWD, g.p("f"), []unix.Timespec{{Nsec: a}, {Nsec: m}}, 0))
			return g.stat("f")
		}
		recent := func(ts unix.Timespec) bool {
			age := time.Since(time.Unix(ts.Sec, ts.Nsec))
			return age > -time.Minute && age < time.Hour
		}
		if st := set(unix.UTIME_NOW, unix.UTIME_OMIT); !recent(st.Atim) || st.Mtim != old[1] {
			g.Errorf("atime now: %v and %v", st.Atim, st.Mtim)
		}
		if st := set(unix.UTIME_OMIT, unix.UTIME_NOW); !recent(st.Mtim) || st.Atim != old[0] {
			g.Errorf("mtime now: %v and %v", st.Atim, st.Mtim)
		}
		if st := set(unix.UTIME_NOW, unix.UTIME_NOW); !recent(st.Mtim) || st.Atim != st.Mtim {
			g.Errorf("both now: %v and %v", st.Atim, st.Mtim)
		}
		if st := set(unix.UTIME_OMIT, unix.UTIME_OMIT); st.Atim != old[0] || st.Mtim != old[1] {
			g.Errorf("neither: %v and %v", st.Atim, st.Mtim)
		}
	}},
	{"times-changed", changedTimes},
}

// changedTimes says which times each call moves: of the file, and of the folder that it is in.
func changedTimes(g *ground) {
	const (
		none = iota
		ctime
		both
	)
	g.ok("mkdir", unix.Mkdir(g.p("d"), 0o755))
	g.write("d/f", "0123456789")
	g.ok("link", unix.Link(g.p("d/f"), g.p("second")))
	fd := g.open("d/f", unix.O_RDWR)
	f := g.p("d/f")
	direct := func(flags int) func() error {
		return func() error {
			x, err := unix.Open(f, flags, 0o644)
			if err != nil {
				return err
			}
			return unix.Close(x)
		}
	}
	wrote := func(n int, err error) error { return err }
	refused := func(err error) error {
		if err == nil {
			return errors.New("not refused")
		}
		return nil
	}
	for _, c := range []struct {
		name         string
		do           func() error
		file, folder int
	}{
		{"chmod", func() error { return unix.Chmod(f, 0o600) }, ctime, none},
		{"chmod to the same", func() error { return unix.Chmod(f, 0o600) }, ctime, none},
		{"fchmod", func() error { return unix.Fchmod(fd, 0o644) }, ctime, none},
		{"chown", func() error { return unix.Chown(f, 1, 2) }, ctime, none},
		{"chgrp", func() error { return unix.Fchown(fd, -1, 3) }, ctime, none},
		{"utimes", func() error { return unix.UtimesNano(f, []unix.Timespec{{Sec: 1}, {Nsec: unix.UTIME_OMIT}}) }, ctime, none},
		{"link", func() error { return unix.Link(f, g.p("third")) }, ctime, none},
		{"link beside", func() error { return unix.Link(f, g.p("d/g")) }, ctime, both},
		{"unlink another name", func() error { return unix.Unlink(g.p("third")) }, ctime, none},
		{"unlink a name beside", func() error { return unix.Unlink(g.p("d/g")) }, ctime, both},
		{"rename", func() error { return unix.Rename(f, g.p("d/r")) }, ctime, both},
		{"rename back, noreplace", func() error { return g.rename2("d/r", "d/f", unix.RENAME_NOREPLACE) }, ctime, both},
		{"write", func() error { return wrote(unix.Pwrite(fd, []byte("x"), 3)) }, both, none},
		{"write the same", func() error { return wrote(unix.Pwrite(fd, []byte("x"), 3)) }, both, none},
		{"write behind the end", func() error { return wrote(unix.Pwrite(fd, []byte("x"), 5000)) }, both, none},
		{"write nothing", func() error { return wrote(unix.Pwrite(fd, nil, 0)) }, none, none},
		{"fsync", func() error { return unix.Fsync(fd) }, none, none},
		{"truncate", func() error { return unix.Truncate(f, 7) }, both, none},
		{"truncate to the same", func() error { return unix.Truncate(f, 7) }, both, none},
		{"ftruncate", func() error { return unix.Ftruncate(fd, 100_000) }, both, none},
		{"ftruncate to the same", func() error { return unix.Ftruncate(fd, 100_000) }, both, none},
		{"allocate", func() error { return unix.Fallocate(fd, 0, 100_000, 1000) }, both, none},
		{"open truncating", direct(unix.O_WRONLY | unix.O_TRUNC), both, none},
		{"open truncating nothing", direct(unix.O_WRONLY | unix.O_TRUNC), both, none},
		{"setxattr", func() error { return unix.Setxattr(f, "user.a", []byte("1"), 0) }, ctime, none},
		{"setxattr again", func() error { return unix.Fsetxattr(fd, "user.a", []byte("2"), 0) }, ctime, none},
		{"removexattr", func() error { return unix.Removexattr(f, "user.a") }, ctime, none},
		{"open", direct(unix.O_RDWR | unix.O_CREAT), none, none},
		{"read", func() error { return wrote(unix.Pread(fd, make([]byte, 10), 0)) }, none, none},
		{"access", func() error { return unix.Access(f, unix.W_OK) }, none, none},
		{"getxattr", func() error { return refused(wrote(unix.Getxattr(f, "user.a", nil))) }, none, none},
		{"removexattr of nothing", func() error { return refused(unix.Removexattr(f, "user.a")) }, none, none},
		{"link over a name", func() error { return refused(unix.Link(f, g.p("second"))) }, none, none},
		{"rename onto its other name", func() error { return unix.Rename(f, g.p("second")) }, none, none},
		{"rename onto itself", func() error { return unix.Rename(f, f) }, none, none},
		{"mkdir", func() error { return unix.Mkdir(g.p("d/s"), 0o755) }, none, both},
		{"mkdir again", func() error { return refused(unix.Mkdir(g.p("d/s"), 0o755)) }, none, none},
		{"chmod of a folder in it", func() error { return unix.Chmod(g.p("d/s"), 0o700) }, none, none},
		{"create in a folder in it", func() error { return unix.Mkfifo(g.p("d/s/p"), 0o644) }, none, none},
		{"rmdir, refused", func() error { return refused(unix.Rmdir(g.p("d/s"))) }, none, none},
		{"unlink in a folder in it", func() error { return unix.Unlink(g.p("d/s/p")) }, none, none},
		{"rmdir", func() error { return unix.Rmdir(g.p("d/s")) }, none, both},
		{"mkfifo", func() error { return unix.Mkfifo(g.p("d/p"), 0o644) }, none, both},
		{"symlink", func() error { return unix.Symlink("x", g.p("d/l")) }, none, both},
		{"readlink", func() error { return wrote(unix.Readlink(g.p("d/l"), make([]byte, 10))) }, none, none},
		{"rename over it", func() error { return unix.Rename(g.p("d/p"), g.p("d/f")) }, ctime, both},
	} {
		file, folder := g.fstat(fd), g.stat("d")
		pause()
		if err := c.do(); err != nil {
			g.Errorf("%s: %v", c.name, err)
			continue
		}
		check := func(what string, was, now unix.Stat_t, want int) {
			g.Helper()
			if m, c2 := later(now.Mtim, was.Mtim), later(now.Ctim, was.Ctim); m != (want == both) ||
				c2 != (want >= ctime) {
				g.Errorf("%s, %s: mtime moved: %v, ctime moved: %v", c.name, what, m, c2)
			}
		}
		check("file", file, g.fstat(fd), c.file)
		check("folder", folder, g.stat("d"), c.folder)
	}
	g.close(fd)
}

// Three users, none of them root, and a group.
const anna, bert, carl, friends = 4711, 4712, 4713, 4800

// Cases of owners, with processes that are those users.
var ownerCases = []conformanceCase{
	{"sticky", func(g *ground) {
		// A folder that all may write to: a name in it is its owner's, the folder's owner's and
		// root's to take away.
		for _, c := range []struct {
			what string
			uid  uint32
			want string
		}{
			{"owner of the folder", anna, "ok"},
			{"owner of the file", bert, "ok"},
			{"somebody else", carl, "EPERM"},
			{"root", 0, "ok"},
		} {
			dir := "of " + c.what
			g.ok("mkdir", unix.Mkdir(g.p(dir), 0o755))
			g.ok("chown", unix.Chown(g.p(dir), anna, anna))
			g.ok("chmod", unix.Chmod(g.p(dir), 0o1777))
			make := func(name string, uid int, folder bool) string {
				g.Helper()
				p := g.p(dir + "/" + name)
				if folder {
					g.ok("mkdir", unix.Mkdir(p, 0o777))
				} else {
					g.ok("write", os.WriteFile(p, nil, 0o666))
				}
				g.ok("chown", unix.Chown(p, uid, uid))
				return p
			}
			does := func(arg ...string) {
				g.Helper()
				g.said(c.what+": "+arg[0], says(g, actor(c.uid, c.uid, arg...)), c.want)
			}
			does("unlink", make("a", bert, false))
			does("rmdir", make("b", bert, true))
			does("rename", make("c", bert, false), g.p(dir+"/to"))
			does("rename", make("e", bert, true), g.p(dir+"/to too"))
			if c.uid != 0 {
				does("rename", make("mine", int(c.uid), false), make("f", bert, false))
			}
			if c.want == "ok" {
				continue
			}
			// Without the bit it may.
			g.ok("chmod", unix.Chmod(g.p(dir), 0o777))
			g.said("not sticky", says(g, actor(c.uid, c.uid, "unlink", g.p(dir+"/a"))), "ok")
		}
	}},
	{"setgid-folder-users", func(g *ground) {
		g.ok("mkdir", unix.Mkdir(g.p("d"), 0o755))
		g.ok("chown", unix.Chown(g.p("d"), 0, friends))
		g.ok("chmod", unix.Chmod(g.p("d"), 0o2777))
		for _, c := range []struct {
			name     string
			gid      uint32 // anna's
			do, mode string
			want     uint32
		}{
			{"file of a member", friends, "create", "0644", unix.S_IFREG | 0o644},
			{"program of a member", friends, "create", "02755", unix.S_IFREG | 0o2755},
			{"program of a stranger", anna, "create", "02755", unix.S_IFREG | 0o755},
			{"folder of a member", friends, "mkdir", "0755", unix.S_IFDIR | 0o2755},
			{"folder of a stranger", anna, "mkdir", "0755", unix.S_IFDIR | 0o2755},
		} {
			p := "d/" + c.name
			g.said(c.name, says(g, actor(anna, c.gid, c.do, g.p(p), c.mode)), "ok")
			if st := g.stat(p); st.Mode != c.want || st.Gid != friends || st.Uid != anna {
				g.Errorf(
					"%s: mode %o of %d:%d, want %o of %d:%d", c.name, st.Mode, st.Uid, st.Gid, c.want, anna, friends,
				)
			}
		}
		// A stranger to the group cannot set the bit; the call goes well.
		g.said("chmod by a stranger", says(g, actor(anna, anna, "chmod", g.p("d/file of a member"), "02755")), "ok")
		if st := g.stat("d/file of a member"); st.Mode != unix.S_IFREG|0o755 {
			g.Errorf("mode %o", st.Mode)
		}
		g.said("chmod by a member", says(g, actor(anna, friends, "chmod", g.p("d/file of a member"), "02755")), "ok")
		if st := g.stat("d/file of a member"); st.Mode != unix.S_IFREG|0o2755 {
			g.Errorf("mode %o", st.Mode)
		}
		g.said(
			"chmod by another user", says(g, actor(bert, friends, "chmod", g.p("d/file of a member"), "0777")), "EPERM",
		)
	}},
	{"permissions", func(g *ground) {
		g.ok("mkdir", unix.Mkdir(g.p("closed"), 0o700))
		g.write("closed/f", "x")
		g.ok("mkdir", unix.Mkdir(g.p("readable"), 0o755))
		g.said("into a closed folder", says(g, actor(anna, anna, "sum", g.p("closed/f"))), "EACCES")
		g.said("create", says(g, actor(anna, anna, "create", g.p("readable/f"), "0644")), "EACCES")
		g.write("readable/own", "x")
		g.ok("chmod", unix.Chmod(g.p("readable/own"), 0o600))
		g.said("read", says(g, actor(anna, anna, "sum", g.p("readable/own"))), "EACCES")
		g.ok("chown", unix.Chown(g.p("readable/own"), anna, -1))
		g.said("read one's own", says(g, actor(anna, anna, "sum", g.p("readable/own"))), checksum([]byte("x")))
		g.ok("chmod", unix.Chmod(g.p("readable/own"), 0o077))
		g.said("the owner is not one of the others", says(g, actor(anna, anna, "sum", g.p("readable/own"))), "EACCES")
	}},
}

// Cases of locks: between processes, and between the open files of one.
var lockCases = []conformanceCase{
	{"locks", func(g *ground) {
		g.write("f", strings.Repeat("x", 100))
		lock := func(kind string, start, n int) string {
			return says(g, endAtOnce(actor(0, 0, "lock", g.p("f"), kind, fmt.Sprint(start), fmt.Sprint(n))))
		}
		for _, held := range []string{"classic", "ofd", "flock"} {
			said, end := startHolder(g, actor(0, 0, "lock", g.p("f"), held, "10", "20"))
			g.said(held, said, "ok")
			for _, kind := range []string{"classic", "ofd"} {
				if held == "flock" {
					g.said(kind+" beside flock", lock(kind, 0, 0), "ok")
					continue
				}
				g.said(kind+" over "+held, lock(kind, 20, 100), "EAGAIN")
				g.said(kind+" behind "+held, lock(kind, 30, 100), "ok")
				g.said(kind+" before "+held, lock(kind, 0, 10), "ok")
			}
			want := "ok"
			if held == "flock" {
				want = "EAGAIN"
			}
			g.said("flock beside "+held, lock("flock", 0, 0), want)
			end()
			for _, kind := range []string{"classic", "ofd", "flock"} {
				g.said(kind+" after the end of "+held, lock(kind, 0, 0), "ok")
			}
		}
	}},
	{"locks-of-one-process", func(g *ground) {
		g.write("f", "x")
		a, b := g.open("f", unix.O_RDWR), g.open("f", unix.O_RDWR)
		g.ok("ofd", tryLock(a, "ofd", 0, 10))
		g.want("ofd over another open file's", tryLock(b, "ofd", 5, 10), unix.EAGAIN)
		g.ok("ofd beside", tryLock(b, "ofd", 10, 10))
		dup, err := unix.Dup(a)
		g.ok("dup", err)
		g.close(a)
		g.want("while a duplicate is open", tryLock(b, "ofd", 0, 1), unix.EAGAIN)
		g.close(dup)
		g.ok("after the last is closed", tryLock(b, "ofd", 0, 1))
		g.close(b)

		a, b = g.open("f", unix.O_RDWR), g.open("f", unix.O_RDWR)
		g.ok("flock", tryLock(a, "flock", 0, 0))
		g.want("flock by another open file", tryLock(b, "flock", 0, 0), unix.EAGAIN)
		g.close(a)
		g.ok("flock after close", tryLock(b, "flock", 0, 0))

		// A classic lock is the process's: it does not conflict with itself, and goes with the
		// first descriptor that is closed.
		a = g.open("f", unix.O_RDWR)
		g.ok("classic", tryLock(a, "classic", 0, 1))
		g.ok("classic, the same process", tryLock(b, "classic", 0, 1))
		g.said("another process", says(g, endAtOnce(actor(0, 0, "lock", g.p("f"), "classic", "0", "1"))), "EAGAIN")
		l := unix.Flock_t{Type: unix.F_WRLCK, Whence: io.SeekStart}
		g.ok("ask", unix.FcntlFlock(uintptr(a), unix.F_GETLK, &l))
		if l.Type != unix.F_UNLCK {
			g.Errorf("a process is told of its own lock: %+v", l)
		}
		g.close(b)
		g.said(
			"another process after a close", says(g, endAtOnce(actor(0, 0, "lock", g.p("f"), "classic", "0", "1"))),
			"ok",
		)
		said, end := startHolder(g, actor(0, 0, "lock", g.p("f"), "classic", "3", "4"))
		g.said("holder", said, "ok")
		l = unix.Flock_t{Type: unix.F_WRLCK, Whence: io.SeekStart}
		g.ok("ask", unix.FcntlFlock(uintptr(a), unix.F_GETLK, &l))
		if l.Type != unix.F_WRLCK || l.Start != 3 || l.Len != 4 || l.Pid == 0 {
			g.Errorf("another's lock: %+v", l)
		}
		end()
		g.close(a)
	}},
}

// endAtOnce has an actor let go of its lock as soon as it said whether it got it.
func endAtOnce(c *exec.Cmd) *exec.Cmd {
	c.Stdin = strings.NewReader("")
	return c
}
