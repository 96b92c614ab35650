package fuse

import (
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Cases of names: renaming, listing, length.
var nameCases = []conformanceCase{
	{"rename-noreplace", func(g *ground) {
		g.write("a", "a")
		g.write("b", "b")
		g.ok("link", unix.Link(g.p("a"), g.p("a2")))
		g.ok("symlink", unix.Symlink("nowhere", g.p("l")))
		g.ok("mkdir", unix.Mkdir(g.p("d"), 0o755))
		for _, to := range []string{"a", "a2", "b", "l", "d"} {
			g.want("over "+to, g.rename2("a", to, unix.RENAME_NOREPLACE), unix.EEXIST)
		}
		g.want("a folder over an empty one", g.rename2("d", "d", unix.RENAME_NOREPLACE), unix.EEXIST)
		g.ok("to a free name", g.rename2("l", "d/l", unix.RENAME_NOREPLACE))
		g.want("of nothing", g.rename2("none", "free", unix.RENAME_NOREPLACE), unix.ENOENT)
		g.want("with exchange", g.rename2("a", "b", unix.RENAME_NOREPLACE|unix.RENAME_EXCHANGE), unix.EINVAL)
		g.said("a", g.read("a"), "a")
		g.said("b", g.read("b"), "b")
	}},
	{"rename-exchange", func(g *ground) {
		g.write("a", "a")
		g.ok("link", unix.Link(g.p("a"), g.p("a2")))
		g.ok("mkdir", unix.Mkdir(g.p("d"), 0o755))
		g.write("d/f", "f")
		a, d := g.open("a", unix.O_RDWR), g.open("d", unix.O_RDONLY|unix.O_DIRECTORY)
		before := g.stat("a")
		pause()
		g.ok("file and folder", g.rename2("a", "d", unix.RENAME_EXCHANGE))
		if now := g.stat(
			"d",
		); now.Ino != before.Ino || now.Nlink != 2 || !later(now.Ctim, before.Ctim) ||
			now.Mtim != before.Mtim {
			g.Errorf("%+v became %+v", before, now)
		}
		g.said("file in the folder", g.read("a/f"), "f")
		g.pwrite(a, []byte("A"), 0)
		g.said("through an open file", g.read("d"), "A")
		fd, err := unix.Openat(d, "new", unix.O_CREAT|unix.O_EXCL|unix.O_WRONLY, 0o644)
		g.ok("create in an open folder", err)
		g.close(fd, a, d)
		g.said("made there", g.read("a/new"), "")
		g.ok("symlink", unix.Symlink("a2", g.p("l")))
		g.ok("symlink and file", g.rename2("l", "d", unix.RENAME_EXCHANGE))
		if target, err := os.Readlink(g.p("d")); target != "a2" || err != nil {
			g.Errorf("%q, %v", target, err)
		}
		g.ok("with itself", g.rename2("d", "d", unix.RENAME_EXCHANGE))
		g.want("with nothing", g.rename2("d", "none", unix.RENAME_EXCHANGE), unix.ENOENT)
		g.want("into itself", g.rename2("a", "a/f", unix.RENAME_EXCHANGE), unix.EINVAL)
	}},
	{"concurrent-list-churn", func(g *ground) {
		// Another process makes, renames and removes names all the while. What was there all the
		// time is listed once in every listing, and always in the same order, wherever it is
		// resumed.
		n, rounds := 700, "600"
		if raceEnabled {
			n, rounds = 300, "150"
		}
		var stable []string
		for i := range n {
			stable = append(stable, fmt.Sprintf("stable name number %d", i))
			g.close(g.create(stable[i]))
		}
		c := actor(0, 0, "churn", g.dir, rounds)
		said := make(chan string, 1)
		go func() {
			out, err := c.Output()
			said <- fmt.Sprint(strings.TrimSpace(string(out)), err)
		}()
		var first []entry
		list := func(fd int) (all []entry) {
			g.Helper()
			seen := map[string]bool{}
			for {
				es := g.getdents(fd)
				if len(es) == 0 {
					return all
				}
				for _, e := range es {
					if seen[e.name] {
						g.Errorf("%q is listed twice", e.name)
					}
					seen[e.name] = true
					if strings.HasPrefix(e.name, "stable") {
						all = append(all, e)
					}
				}
			}
		}
		check := func(what string, got, want []entry) {
			g.Helper()
			if !slices.EqualFunc(got, want, func(a, b entry) bool { return a.name == b.name }) {
				g.Errorf("%s: %d names that stay, want %d, or in another order", what, len(got), len(want))
			}
		}
		fd := g.open(".", unix.O_RDONLY|unix.O_DIRECTORY)
		for round, over := 0, false; !over; round++ {
			select {
			case s := <-said:
				g.said("churn", s, "ok<nil>")
				over = true // and once more in peace
			default:
			}
			all := list(fd)
			if first == nil {
				first = all
				if len(first) != n {
					g.Fatalf("%d names that stay are listed, want %d", len(first), n)
				}
			}
			check("listing", all, first)
			at := round * 131 % n
			_, err := unix.Seek(fd, first[at].off, unix.SEEK_SET) // telldir gave it in another listing
			g.ok("seekdir", err)
			check(fmt.Sprintf("from %d on", at+1), list(fd), first[at+1:])
			_, err = unix.Seek(fd, 0, unix.SEEK_SET)
			g.ok("rewinddir", err)
		}
		g.close(fd)
	}},
	{"longest-names", func(g *ground) {
		// 255 bytes a name, 4,095 bytes a path, and deeper than any path reaches.
		name := func(i int) string { return fmt.Sprintf("%03d", i) + strings.Repeat("n", 252) }
		dir := g.dir
		for i := 0; len(dir)+256 < 4095-260; i++ {
			dir += "/" + name(i)
			g.ok("mkdir", unix.Mkdir(dir, 0o755))
		}
		for len(dir) < 4094 {
			n := min(255, 4094-1-len(dir)-2)
			if n <= 0 {
				break
			}
			dir += "/" + strings.Repeat("d", n)
			g.ok("mkdir", unix.Mkdir(dir, 0o755))
		}
		file := dir + "/" + strings.Repeat("f", 4095-len(dir)-1)
		if len(file) != 4095 {
			g.Fatalf("a path of %d bytes", len(file))
		}
		g.ok("write", os.WriteFile(file, []byte("deep"), 0o644))
		g.ok("rename", unix.Rename(file, g.p("up")))
		g.ok("link", unix.Link(g.p("up"), file))
		g.ok("symlink", unix.Symlink(file, g.p("l")))
		if b, err := os.ReadFile(g.p("l")); string(b) != "deep" || err != nil {
			g.Errorf("through a symlink: %q, %v", b, err)
		}
		g.want("a byte more", unix.Access(file+"x", unix.F_OK), unix.ENAMETOOLONG)
		g.want("a name of 256 bytes", unix.Access(g.p(strings.Repeat("n", 256)), unix.F_OK), unix.ENAMETOOLONG)
		fd, err := unix.Open(dir, unix.O_RDONLY|unix.O_DIRECTORY, 0)
		g.ok("open", err)
		for i := range 20 {
			g.ok("mkdirat", unix.Mkdirat(fd, name(i), 0o755))
			below, err := unix.Openat(fd, name(i), unix.O_RDONLY|unix.O_DIRECTORY, 0)
			g.ok("openat", err)
			g.close(fd)
			fd = below
		}
		bottom, err := unix.Openat(fd, name(99), unix.O_CREAT|unix.O_RDWR, 0o644)
		g.ok("create at the bottom", err)
		g.pwrite(bottom, []byte("bottom"), 0)
		g.same("at the bottom", g.pread(bottom, 100, 0), []byte("bottom"))
		g.close(fd, bottom)
		top := filepath.Join(g.dir, name(0))
		if out, err := exec.Command("rm", "-r", top).CombinedOutput(); err != nil {
			g.Errorf("rm -r: %v: %.200s", err, out)
		}
		g.want("what is left", unix.Access(top, unix.F_OK), unix.ENOENT)
	}},
}

func (g *ground) rename2(from, to string, flags uint) error {
	return unix.Renameat2(unix.AT_FDCWD, g.p(from), unix.AT_FDCWD, g.p(to), flags)
}

// An entry is a name in a listing, with what telldir says after it.
type entry struct {
	name string
	off  int64
}

// getdents reads on with a small buffer; nothing at the end.
func (g *ground) getdents(fd int) (es []entry) {
	g.Helper()
	buf := make([]byte, 4096)
	n, err := unix.Getdents(fd, buf)
	g.ok("getdents", err)
	for buf = buf[:n]; len(buf) > 0; {
		const off, reclen, name = 8, 16, 19 // of struct linux_dirent64
		length := *(*uint16)(unsafe.Pointer(&buf[reclen]))
		s, _, _ := strings.Cut(string(buf[name:length]), "\x00")
		es = append(es, entry{s, *(*int64)(unsafe.Pointer(&buf[off]))})
		buf = buf[length:]
	}
	return es
}

// Cases of what is open and has no name any more.
var openCases = []conformanceCase{
	{"replaced-open", func(g *ground) {
		// A row of files, each renamed over the one before while all are open.
		var fds []int
		for i := range 8 {
			g.write("new", fmt.Sprintf("content %d", i))
			fds = append(fds, g.open("new", unix.O_RDWR))
			g.ok("rename", unix.Rename(g.p("new"), g.p("a")))
		}
		last := len(fds) - 1
		for i, fd := range fds {
			g.same("open file", g.pread(fd, 100, 0), fmt.Appendf(nil, "content %d", i))
			if st := g.fstat(fd); (st.Nlink == 1) != (i == last) || st.Nlink > 1 {
				g.Errorf("file %d has %d links", i, st.Nlink)
			}
			g.pwrite(fd, fmt.Appendf(nil, "CONTENT %d and more", i), 0)
			g.ok("fsync", unix.Fsync(fd))
			g.same("written", g.pread(fd, 100, 0), fmt.Appendf(nil, "CONTENT %d and more", i))
		}
		g.close(fds...)
		g.said("the last", g.read("a"), fmt.Sprintf("CONTENT %d and more", last))
		g.again()
		g.said("the last, later", g.read("a"), fmt.Sprintf("CONTENT %d and more", last))
	}},
	{"unlinked-attributes", func(g *ground) {
		fd := g.create("a")
		g.pwrite(fd, []byte("bytes"), 0)
		g.ok("unlink", unix.Unlink(g.p("a")))
		g.ok("fchmod", unix.Fchmod(fd, 0o600))
		g.ok("fchown", unix.Fchown(fd, 12, 34))
		g.ok("futimes", unix.Futimes(fd, []unix.Timeval{{Sec: 5}, {Sec: 6}}))
		g.ok("truncate", unix.Ftruncate(fd, 3))
		st := g.fstat(fd)
		if st.Nlink != 0 || st.Mode&0o7777 != 0o600 || st.Uid != 12 || st.Gid != 34 || st.Atim.Sec != 5 ||
			st.Size != 3 {
			g.Errorf("%+v", st)
		}
		again, err := unix.Open(fmt.Sprintf("/proc/self/fd/%d", fd), unix.O_RDWR, 0)
		g.ok("open again through /proc", err)
		g.same("opened again", g.pread(again, 100, 0), []byte("byt"))
		g.want(
			"link back",
			unix.Linkat(
				unix.AT_FDCWD, fmt.Sprintf("/proc/self/fd/%d", fd), unix.AT_FDCWD, g.p("b"), unix.AT_SYMLINK_FOLLOW,
			),
			unix.ENOENT,
		)
		g.close(fd, again)
	}},
	{"unlinked-special", func(g *ground) {
		// What is open without content: a folder, a fifo, and a symlink.
		g.ok("mkdir", unix.Mkdir(g.p("d"), 0o755))
		g.ok("mkdir", unix.Mkdir(g.p("e"), 0o755))
		g.ok("mkfifo", unix.Mkfifo(g.p("p"), 0o644))
		g.ok("symlink", unix.Symlink("x", g.p("l")))
		d, p, l := g.open("d", unix.O_RDONLY|unix.O_DIRECTORY), g.open(
			"p", unix.O_RDWR,
		), g.open("l", unix.O_PATH|unix.O_NOFOLLOW)
		g.ok("rename over an open folder", unix.Rename(g.p("e"), g.p("d")))
		g.ok("unlink", unix.Unlink(g.p("p")))
		g.ok("unlink", unix.Unlink(g.p("l")))
		for what, fd := range map[string]int{"folder": d, "fifo": p, "symlink": l} {
			if st := g.fstat(fd); st.Nlink != 0 {
				g.Errorf("%s has %d links", what, st.Nlink)
			}
		}
		_, err := unix.Openat(d, "new", unix.O_CREAT|unix.O_WRONLY, 0o644)
		g.want("create in a folder that is gone", err, unix.ENOENT)
		g.want("mkdir in it", unix.Mkdirat(d, "new", 0o755), unix.ENOENT)
		g.want("rename into it", unix.Renameat(unix.AT_FDCWD, g.p("d"), d, "x"), unix.ENOENT)
		if _, err := unix.Write(p, []byte("through")); err != nil {
			g.Errorf("write into a fifo without a name: %v", err)
		}
		buf := make([]byte, 10)
		if n, err := unix.Read(p, buf); string(buf[:max(n, 0)]) != "through" {
			g.Errorf("a fifo gives %q, %v", buf[:max(n, 0)], err)
		}
		if n, err := unix.Readlinkat(l, "", buf); err != nil || string(buf[:n]) != "x" {
			g.Errorf("a symlink without a name: %q, %v", buf[:max(n, 0)], err)
		}
		g.close(d, p, l)
	}},
	{"create-not-exclusive", func(g *ground) {
		// O_CREAT of what exists opens it, changes nothing, and asks for the rights on it.
		g.write("a", "x")
		before := g.stat("a")
		pause()
		g.close(g.open("a", unix.O_CREAT|unix.O_RDWR))
		if now := g.stat("a"); now != before {
			g.Errorf("%+v became %+v", before, now)
		}
		_, err := unix.Open(g.p("."), unix.O_CREAT|unix.O_RDWR, 0o644)
		g.want("of a folder", err, unix.EISDIR)
		g.ok("symlink", unix.Symlink("made", g.p("l")))
		fd, err := unix.Open(g.p("l"), unix.O_CREAT|unix.O_RDWR, 0o644)
		g.ok("through a symlink", err)
		g.close(fd)
		g.said("made", g.read("made"), "")
		_, err = unix.Open(g.p("a")+"/", unix.O_CREAT|unix.O_RDWR, 0o644)
		if err != unix.EISDIR && err != unix.ENOTDIR {
			g.Errorf("with a slash at the end: %v", err)
		}
	}},
	{"executed", func(g *ground) {
		g.ok("copy", exec.Command("cp", "/bin/sleep", g.p("sleep")).Run())
		c := exec.Command(g.p("sleep"), "100")
		g.ok("start", c.Start())
		_, err := unix.Open(g.p("sleep"), unix.O_RDWR, 0)
		g.want("write to a program that runs", err, syscall.ETXTBSY)
		g.ok("unlink", unix.Unlink(g.p("sleep")))
		g.ok("kill", c.Process.Kill())
		_ = c.Wait()
	}},
	{"removed-tree", func(g *ground) {
		// The working directory of a process goes away above it.
		g.ok("mkdir", os.MkdirAll(g.p("a/b/c"), 0o755))
		fd := g.open("a/b/c", unix.O_RDONLY|unix.O_DIRECTORY)
		g.ok("rm -r", os.RemoveAll(g.p("a")))
		_, err := unix.Openat(fd, "../../x", unix.O_CREAT|unix.O_WRONLY, 0o644)
		g.want("create above", err, unix.ENOENT)
		if n, err := unix.Getdents(fd, make([]byte, 4096)); err != nil && err != unix.ENOENT ||
			n > 48 { // "." and ".." take 24 bytes each
			g.Errorf("a removed folder lists %d bytes, %v", n, err)
		}
		g.close(fd)
		g.write("a", "the name is free")
		found := 0
		g.ok("walk", filepath.WalkDir(g.dir, func(string, fs.DirEntry, error) error { found++; return nil }))
		if found != 2 {
			g.Errorf("%d entries", found)
		}
	}},
}
