package vfstest

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// Cases of making and opening files, and of their names.
var fileCases = []testCase{
	{"create", func(e *env) {
		e.write("a", "hello")
		e.holds("a", "hello")
		a := e.stat("a")
		if a.Mode != unix.S_IFREG|0o644 || a.Nlink != 1 || a.Size != 5 {
			e.Errorf("mode %o, %d links, %d bytes", a.Mode, a.Nlink, a.Size)
		}
		if a.Mtime.Sec == 0 || a.Ctime.Sec == 0 {
			e.Errorf("a new file has no times: %v", a)
		}
		e.write("empty", "")
		e.holds("empty", "")
	}},
	{"exclusive", func(e *env) {
		e.close(e.create("a"))
		_, err := e.sys.Open(e.p("a"), unix.O_RDWR|unix.O_CREAT|unix.O_EXCL, 0o644)
		e.want("create again", err, syscall.EEXIST)
		e.mkdir("d")
		_, err = e.sys.Open(e.p("d"), unix.O_RDWR|unix.O_CREAT|unix.O_EXCL, 0o644)
		e.want("create over a folder", err, syscall.EEXIST)
		e.ok("symlink", e.sys.Symlink("nowhere", e.p("l")))
		_, err = e.sys.Open(e.p("l"), unix.O_RDWR|unix.O_CREAT|unix.O_EXCL, 0o644)
		e.want("create over a dangling symlink", err, syscall.EEXIST)
	}},
	{"create-existing", func(e *env) {
		e.write("a", "old")
		ino := e.stat("a").ID
		f := e.open("a", unix.O_RDWR|unix.O_CREAT)
		e.fileHolds(f, []byte("old"))
		e.close(f)
		if got := e.stat("a").ID; got != ino {
			e.Errorf("inode %d became %d", ino, got)
		}
	}},
	{"not-there", func(e *env) {
		_, err := e.sys.Open(e.p("a"), unix.O_RDONLY, 0)
		e.want("open", err, syscall.ENOENT)
		_, err = e.sys.Open(e.p("d/a"), unix.O_RDWR|unix.O_CREAT, 0o644)
		e.want("create in no folder", err, syscall.ENOENT)
		_, err = e.sys.Lstat(e.p("a"))
		e.want("lstat", err, syscall.ENOENT)
		e.want("unlink", e.sys.Unlink(e.p("a")), syscall.ENOENT)
		e.want("rmdir", e.sys.Rmdir(e.p("a")), syscall.ENOENT)
		e.want("rename", e.sys.Rename(e.p("a"), e.p("b"), 0), syscall.ENOENT)
		e.want("link", e.sys.Link(e.p("a"), e.p("b")), syscall.ENOENT)
		e.want("chmod", e.sys.Chmod(e.p("a"), 0o600), syscall.ENOENT)
		e.want("truncate", e.sys.Truncate(e.p("a"), 0), syscall.ENOENT)
		_, err = e.sys.OpenDir(e.p("a"))
		e.want("open folder", err, syscall.ENOENT)
	}},
	{"file-as-folder", func(e *env) {
		e.write("a", "x")
		_, err := e.sys.Lstat(e.p("a/b"))
		e.want("lstat", err, syscall.ENOTDIR)
		_, err = e.sys.Open(e.p("a/b"), unix.O_RDWR|unix.O_CREAT, 0o644)
		e.want("create", err, syscall.ENOTDIR)
		e.want("mkdir", e.sys.Mkdir(e.p("a/b"), 0o755), syscall.ENOTDIR)
		e.want("rmdir", e.sys.Rmdir(e.p("a")), syscall.ENOTDIR)
		_, err = e.sys.OpenDir(e.p("a"))
		e.want("open as folder", err, syscall.ENOTDIR)
	}},
	{"folder-as-file", func(e *env) {
		e.mkdir("d")
		_, err := e.sys.Open(e.p("d"), unix.O_RDWR, 0)
		e.want("open for writing", err, syscall.EISDIR)
		e.want("unlink", e.sys.Unlink(e.p("d")), syscall.EISDIR)
	}},
	{"names", func(e *env) {
		names := []string{
			strings.Repeat("n", 255),
			strings.Repeat("ü", 127) + "x", // 255 bytes
			"\x01\x02\xff\xfe not UTF-8",
			"line\nbreak\ttab",
			" leading and trailing ",
			"...", ".hidden", "-rf", "*?[a]\"'$`\\",
			"e\u0301", "\u00e9", // two spellings of é are two names
			"UPPER", "upper",
		}
		for i, n := range names {
			e.write(n, fmt.Sprint(i))
		}
		for i, n := range names {
			e.holds(n, fmt.Sprint(i))
		}
		if got := e.list(""); len(got) != len(names) {
			e.Errorf("%d names, want %d", len(got), len(names))
		}
		for _, n := range names {
			if e.list("")[n].Name != n {
				e.Errorf("%q is not listed", n)
			}
			e.unlink(n)
		}
	}},
	{"name-too-long", func(e *env) {
		long := strings.Repeat("n", 256)
		e.write("a", "x")
		_, err := e.sys.Open(e.p(long), unix.O_RDWR|unix.O_CREAT, 0o644)
		e.want("create", err, syscall.ENAMETOOLONG)
		_, err = e.sys.Lstat(e.p(long))
		e.want("lstat", err, syscall.ENAMETOOLONG)
		e.want("mkdir", e.sys.Mkdir(e.p(long), 0o755), syscall.ENAMETOOLONG)
		e.want("mknod", e.sys.Mknod(e.p(long), unix.S_IFIFO|0o644, 0), syscall.ENAMETOOLONG)
		e.want("symlink", e.sys.Symlink("x", e.p(long)), syscall.ENAMETOOLONG)
		e.want("link", e.sys.Link(e.p("a"), e.p(long)), syscall.ENAMETOOLONG)
		e.want("rename", e.sys.Rename(e.p("a"), e.p(long), 0), syscall.ENAMETOOLONG)
	}},
	{"many-small", func(e *env) {
		// As an archive is unpacked, with some folders on the way.
		const n = 200
		for i := range n {
			if i%20 == 0 {
				e.mkdir(fmt.Sprintf("d%d", i/20))
			}
			e.write(fmt.Sprintf("d%d/f%d", i/20, i), strings.Repeat("x", i))
		}
		for i := range n {
			e.holds(fmt.Sprintf("d%d/f%d", i/20, i), strings.Repeat("x", i))
		}
	}},
	{"big", func(e *env) {
		data := noise(1, 20<<20)
		f := e.create("a")
		for off := 0; off < len(data); off += 1 << 20 {
			e.writeAt(f, data[off:off+1<<20], int64(off))
		}
		e.ok("fsync", f.Sync())
		e.close(f)
		e.holds("a", string(data))
		f = e.open("a", unix.O_RDONLY)
		defer e.close(f)
		for _, off := range []int64{19<<20 + 17, 1, 7<<20 - 1, 256<<10 - 1, 13 << 20} {
			p := make([]byte, 70_000)
			n, err := f.ReadAt(p, off)
			e.ok("read", err)
			same(e, fmt.Sprintf("from %d", off), p[:n], data[off:off+int64(n)])
			if n != len(p) {
				e.Errorf("read at %d: %d bytes of %d", off, n, len(p))
			}
		}
	}},
}

// Cases of writing at offsets and of sizes.
var writeCases = []testCase{
	{"read-past-end", func(e *env) {
		f := e.create("a")
		defer e.close(f)
		e.writeAt(f, []byte("0123456789"), 0)
		for off, want := range map[int64]int{0: 10, 5: 5, 9: 1, 10: 0, 1 << 40: 0} {
			n, err := f.ReadAt(make([]byte, 100), off)
			e.ok("read", err)
			if n != want {
				e.Errorf("read at %d: %d bytes, want %d", off, n, want)
			}
		}
	}},
	{"write-anywhere", func(e *env) {
		// Against a plain slice: overlapping, beyond the end, in any order.
		f := e.create("a")
		var model []byte
		for i, w := range []struct{ off, n int }{
			{10, 20}, {0, 5}, {100_000, 1}, {99_990, 30}, {4090, 20}, {300_000, 70_000}, {0, 1}, {262_140, 10}, {1 << 20, 4096}, {369_999, 2},
		} {
			data := noise(uint64(i), w.n)
			e.writeAt(f, data, int64(w.off))
			model = put(model, data, w.off)
		}
		e.fileHolds(f, model)
		e.close(f)
		e.holds("a", string(model))
	}},
	{"sparse", func(e *env) {
		f := e.create("a")
		e.writeAt(f, []byte("end"), 3<<30)
		e.close(f)
		a := e.stat("a")
		if a.Size != 3<<30+3 {
			e.Errorf("%d bytes", a.Size)
		}
		if e.traits.Sparse && a.Blocks*512 > 1<<20 {
			e.Errorf("a hole takes %d blocks", a.Blocks)
		}
		f = e.open("a", unix.O_RDONLY)
		defer e.close(f)
		p := make([]byte, 100)
		for _, off := range []int64{0, 1 << 30, 3<<30 - 100} {
			n, err := f.ReadAt(p, off)
			e.ok("read", err)
			same(e, fmt.Sprintf("hole at %d", off), p[:n], make([]byte, 100))
		}
		n, err := f.ReadAt(p, 3<<30)
		e.ok("read", err)
		same(e, "end", p[:n], []byte("end"))
	}},
	{"overwrite-middle", func(e *env) {
		// As dd conv=notrunc does.
		data := noise(2, 3<<20)
		e.write("a", string(data))
		f := e.open("a", unix.O_WRONLY)
		part := noise(3, 4096)
		e.writeAt(f, part, 1<<20+13)
		e.close(f)
		copy(data[1<<20+13:], part)
		e.holds("a", string(data))
		if got := e.stat("a").Size; got != 3<<20 {
			e.Errorf("%d bytes", got)
		}
	}},
	{"truncate", func(e *env) {
		e.write("a", "0123456789")
		e.ok("shrink", e.sys.Truncate(e.p("a"), 4))
		e.holds("a", "0123")
		e.ok("grow", e.sys.Truncate(e.p("a"), 8))
		e.holds("a", "0123\x00\x00\x00\x00")
		e.ok("to nothing", e.sys.Truncate(e.p("a"), 0))
		e.holds("a", "")
		e.ok("grow from nothing", e.sys.Truncate(e.p("a"), 100_000))
		e.holds("a", strings.Repeat("\x00", 100_000))
		e.want("below nothing", e.sys.Truncate(e.p("a"), -1), syscall.EINVAL)
	}},
	{"truncate-open", func(e *env) {
		f := e.create("a")
		data := noise(4, 600_000)
		e.writeAt(f, data, 0)
		e.ok("shrink", f.Truncate(300_001))
		e.fileHolds(f, data[:300_001])
		e.ok("grow", f.Truncate(500_000))
		e.fileHolds(f, append(bytes.Clone(data[:300_001]), make([]byte, 199_999)...))
		e.writeAt(f, []byte("x"), 400_000)
		e.ok("shrink by path", e.sys.Truncate(e.p("a"), 10))
		e.fileHolds(f, data[:10])
		a, err := f.Stat()
		e.ok("fstat", err)
		if a.Size != 10 {
			e.Errorf("fstat: %d bytes", a.Size)
		}
		e.close(f)
		e.holds("a", string(data[:10]))
	}},
	{"truncate-times", func(e *env) {
		e.write("a", "0123456789")
		before := e.stat("a")
		tick()
		e.ok("truncate", e.sys.Truncate(e.p("a"), 4))
		now := e.stat("a")
		if !after(now.Mtime, before.Mtime) || !after(now.Ctime, before.Ctime) {
			e.Errorf("times stay at %v %v", now.Mtime, now.Ctime)
		}
	}},
	{"open-truncates", func(e *env) {
		e.write("a", "0123456789")
		before := e.stat("a")
		tick()
		f := e.open("a", unix.O_WRONLY|unix.O_TRUNC)
		now := e.stat("a")
		if now.Size != 0 || !after(now.Mtime, before.Mtime) || now.ID != before.ID {
			e.Errorf("after O_TRUNC: %+v", now)
		}
		e.writeAt(f, []byte("abc"), 0)
		e.close(f)
		e.holds("a", "abc")
		e.close(e.open("a", unix.O_RDWR|unix.O_CREAT|unix.O_TRUNC))
		e.holds("a", "")
	}},
	{"append", func(e *env) {
		e.write("a", "start ")
		f := e.open("a", unix.O_WRONLY|unix.O_APPEND)
		g := e.open("a", unix.O_WRONLY|unix.O_APPEND)
		for i, h := range []File{f, g, g, f, g} {
			e.writeAt(h, fmt.Appendf(nil, "%d ", i), 0)
		}
		e.holds("a", "start 0 1 2 3 4 ")
		e.ok("truncate", e.sys.Truncate(e.p("a"), 6))
		e.writeAt(g, []byte("again"), 0)
		e.close(f)
		e.close(g)
		e.holds("a", "start again")
	}},
	{"write-times", func(e *env) {
		e.write("a", "x")
		before := e.stat("a")
		tick()
		f := e.open("a", unix.O_WRONLY)
		e.writeAt(f, []byte("y"), 0)
		e.close(f)
		now := e.stat("a")
		if !after(now.Mtime, before.Mtime) || !after(now.Ctime, before.Ctime) {
			e.Errorf("times stay at %v %v", now.Mtime, now.Ctime)
		}
		tick()
		e.holds("a", "y")
		if read := e.stat("a"); read.Mtime != now.Mtime || read.Ctime != now.Ctime {
			e.Errorf("reading changed %v %v to %v %v", now.Mtime, now.Ctime, read.Mtime, read.Ctime)
		}
	}},
	{"two-handles", func(e *env) {
		f := e.create("a")
		g := e.open("a", unix.O_RDONLY)
		e.writeAt(f, []byte("seen at once"), 0)
		e.fileHolds(g, []byte("seen at once"))
		e.writeAt(f, []byte("SEEN"), 0)
		e.fileHolds(g, []byte("SEEN at once"))
		a := e.stat("a")
		if a.Size != 12 {
			e.Errorf("lstat while it is written: %d bytes", a.Size)
		}
		e.close(f)
		e.fileHolds(g, []byte("SEEN at once"))
		e.close(g)
	}},
	{"database", func(e *env) {
		// A journal beside a file of pages, as SQLite does: write journal, sync, write pages, sync,
		// remove journal.
		db := e.create("db")
		model := make([]byte, 0, 64*4096)
		for round := range 20 {
			j := e.create("db-journal")
			page := noise(uint64(round), 4096)
			at := (round * 7 % 32) * 4096
			e.writeAt(j, page, 0)
			e.ok("fsync journal", j.Sync())
			e.writeAt(db, page, int64(at))
			e.ok("fsync", db.Sync())
			model = put(model, page, at)
			e.close(j)
			e.unlink("db-journal")
			e.fileHolds(db, model)
		}
		e.close(db)
		e.holds("db", string(model))
		if names := e.list(""); len(names) != 1 {
			e.Errorf("%d files are left", len(names))
		}
	}},
	{"mapped", func(e *env) {
		f := e.create("a")
		defer e.close(f)
		m, ok := f.(Mapper)
		if !ok {
			e.Skip("files cannot be mapped here")
		}
		data := noise(5, 3*4096+100)
		e.writeAt(f, data, 0)
		mem, unmap, err := m.Map(len(data))
		e.ok("map", err)
		same(e, "mapping", mem, data)
		copy(mem[4090:], "through the mapping")
		copy(data[4090:], "through the mapping")
		e.fileHolds(f, data)
		e.writeAt(f, []byte("through the file"), 9000)
		copy(data[9000:], "through the file")
		same(e, "mapping", mem, data)
		e.ok("unmap", unmap())
		e.holds("a", string(data))
	}},
	{"mapped-append", func(e *env) {
		// Pages are written back through any handle that can write; one that appends must not put
		// them at the end.
		e.write("a", string(noise(6, 8192)))
		want := noise(6, 8192)
		f := e.open("a", unix.O_RDWR|unix.O_APPEND)
		m, ok := f.(Mapper)
		if !ok {
			e.close(f)
			e.Skip("files cannot be mapped here")
		}
		mem, unmap, err := m.Map(8192)
		e.ok("map", err)
		copy(mem[100:], "mapped")
		copy(want[100:], "mapped")
		e.ok("unmap", unmap())
		e.writeAt(f, []byte("appended"), 0)
		e.close(f)
		e.holds("a", string(want)+"appended")
	}},
}

// put writes data into b at off, growing it with zeroes.
func put(b, data []byte, off int) []byte {
	if n := off + len(data); n > len(b) {
		b = append(b, make([]byte, n-len(b))...)
	}
	copy(b[off:], data)
	return b
}

// Cases of files that are open while their names change.
var openedCases = []testCase{
	{"unlink-open", func(e *env) {
		f := e.create("a")
		e.writeAt(f, []byte("still here"), 0)
		e.unlink("a")
		e.gone("a")
		a, err := f.Stat()
		e.ok("fstat", err)
		if a.Nlink != 0 || a.Size != 10 {
			e.Errorf("fstat: %d links, %d bytes", a.Nlink, a.Size)
		}
		e.fileHolds(f, []byte("still here"))
		big := noise(7, 300_000)
		e.writeAt(f, big, 5)
		e.fileHolds(f, append([]byte("still"), big...))
		e.ok("truncate", f.Truncate(3))
		e.fileHolds(f, []byte("sti"))
		e.ok("fsync", f.Sync())
		e.write("a", "another")
		e.fileHolds(f, []byte("sti"))
		e.close(f)
		e.holds("a", "another")
	}},
	{"unlink-open-synced", func(e *env) {
		// fsync of a file without a name stores nothing and must take nothing away.
		f := e.create("a")
		e.writeAt(f, noise(1, 50_000), 0)
		e.unlink("a")
		want := noise(1, 50_000)
		for i, off := range []int{0, 60_000, 10} {
			data := noise(uint64(i), 20_000)
			e.writeAt(f, data, int64(off))
			want = put(want, data, off)
			e.ok("fsync", f.Sync())
			if a, err := f.Stat(); err != nil || a.Size != int64(len(want)) {
				e.Errorf("fstat: %d bytes, want %d, %v", a.Size, len(want), err)
			}
			e.fileHolds(f, want)
		}
		e.close(f)
	}},
	{"replace-open", func(e *env) {
		e.write("a", "old")
		f := e.open("a", unix.O_RDWR)
		e.write("b", "new")
		e.rename("b", "a")
		e.fileHolds(f, []byte("old"))
		e.writeAt(f, []byte("OLD"), 0)
		a, err := f.Stat()
		e.ok("fstat", err)
		if a.Nlink != 0 {
			e.Errorf("a replaced file has %d links", a.Nlink)
		}
		e.holds("a", "new")
		e.close(f)
		e.holds("a", "new")
	}},
	{"rename-open", func(e *env) {
		f := e.create("a")
		e.writeAt(f, []byte("one "), 0)
		e.mkdir("d")
		e.rename("a", "d/b")
		e.writeAt(f, []byte("two"), 4)
		e.holds("d/b", "one two")
		e.rename("d", "c")
		e.writeAt(f, []byte("!"), 7)
		e.close(f)
		e.holds("c/b", "one two!")
	}},
	{"unlink-opened-twice", func(e *env) {
		e.write("a", "both")
		f, g := e.open("a", unix.O_RDWR), e.open("a", unix.O_RDONLY)
		e.unlink("a")
		e.writeAt(f, []byte("BO"), 0)
		e.close(f)
		e.fileHolds(g, []byte("BOth"))
		e.close(g)
	}},
	{"save-by-rename", func(e *env) {
		// As editors do: a new file beside, synced, renamed over; some keep a backup link first.
		e.write("doc", "v0")
		for i := 1; i <= 5; i++ {
			f := e.create("doc.tmp")
			e.writeAt(f, fmt.Appendf(nil, "v%d", i), 0)
			e.ok("fsync", f.Sync())
			e.close(f)
			if err := e.sys.Unlink(e.p("doc~")); err != nil && !errors.Is(err, syscall.ENOENT) {
				e.Fatal(err)
			}
			e.ok("link", e.sys.Link(e.p("doc"), e.p("doc~")))
			e.rename("doc.tmp", "doc")
			e.holds("doc", fmt.Sprintf("v%d", i))
			e.holds("doc~", fmt.Sprintf("v%d", i-1))
		}
		if a := e.stat("doc"); a.Nlink != 1 {
			e.Errorf("%d links", a.Nlink)
		}
	}},
	{"remove-open-folder", func(e *env) {
		e.mkdir("d")
		d, err := e.sys.OpenDir(e.p("d"))
		e.ok("open folder", err)
		e.ok("rmdir", e.sys.Rmdir(e.p("d")))
		es, err := d.Next()
		if err != nil && !errors.Is(err, syscall.ENOENT) {
			e.Errorf("list a removed folder: %v", err)
		}
		if i := slices.IndexFunc(es, func(x entry) bool { return x.Name != "." && x.Name != ".." }); i >= 0 {
			e.Errorf("a removed folder has %q", es[i].Name)
		}
		e.ok("close folder", d.Close())
		e.mkdir("d")
	}},
}
