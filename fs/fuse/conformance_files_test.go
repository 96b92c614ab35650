package fuse

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

const pageSize = 4096

// Cases of mappings, of appending, and of going around the page cache.
var mappedCases = []conformanceCase{
	{"mapped-shared", func(g *ground) {
		data := noise(1, 5*pageSize+100)
		fd := g.create("a")
		g.pwrite(fd, data, 0)
		mem, err := unix.Mmap(fd, 0, len(data), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
		g.ok("map", err)
		change := func(at int, with string) {
			copy(mem[at:], with)
			copy(data[at:], with)
		}
		check := func(when string) {
			g.Helper()
			g.same(when+", read", g.pread(fd, len(data)+1, 0), data)
			g.said(when+", read by another process", says(g, actor(0, 0, "sum", g.p("a"))), checksum(data))
			g.said(when+", mapped by another process", says(g, actor(0, 0, "sum-mapped", g.p("a"))), checksum(data))
		}
		change(pageSize-3, "over two pages")
		check("written through the mapping")
		g.ok("msync", unix.Msync(mem, unix.MS_SYNC))
		check("synced")
		change(10, "after the sync")
		g.close(fd) // the mapping keeps it
		fd = g.open("a", unix.O_RDWR)
		check("closed")
		g.pwrite(fd, []byte("by a write"), 2*pageSize)
		copy(data[2*pageSize:], "by a write")
		g.same("mapping after a write", mem, data)
		change(len(data)-4, "tail")
		g.ok("unmap", unix.Munmap(mem))
		check("unmapped")
		g.close(fd)
		g.again()
		g.same("another machine", []byte(g.read("a")), data)
	}},
	{"mapped-unlinked", func(g *ground) {
		data := noise(2, 3*pageSize)
		fd := g.create("a")
		g.pwrite(fd, data, 0)
		mem, err := unix.Mmap(fd, 0, len(data), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
		g.ok("map", err)
		g.close(fd)
		g.write("b", "new")
		g.ok("rename over it", unix.Rename(g.p("b"), g.p("a")))
		g.same("mapping", mem, data)
		copy(mem[pageSize:], "still writable")
		g.ok("msync", unix.Msync(mem, unix.MS_SYNC))
		g.ok("unmap", unix.Munmap(mem))
		g.said("the new file", g.read("a"), "new")
	}},
	{"mapped-time", func(g *ground) {
		if g.remount == nil {
			g.Skip("memory file systems do not see writes through mappings")
		}
		fd := g.create("a")
		g.pwrite(fd, noise(3, pageSize), 0)
		mem, err := unix.Mmap(fd, 0, pageSize, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
		g.ok("map", err)
		before := g.fstat(fd)
		pause()
		mem[7]++
		g.ok("msync", unix.Msync(mem, unix.MS_SYNC))
		if now := g.fstat(fd); !later(now.Mtim, before.Mtim) || !later(now.Ctim, before.Ctim) {
			g.Errorf("times stay at %v and %v after a page was written and synced", now.Mtim, now.Ctim)
		}
		g.ok("unmap", unix.Munmap(mem))
		g.close(fd)
	}},
	{"concurrent-append-processes", func(g *ground) {
		const lines = 300
		g.write("log", "")
		var cmds []*exec.Cmd
		for _, who := range []string{"a", "b"} {
			cmds = append(cmds, actor(0, 0, "append", g.p("log"), who, fmt.Sprint(lines)))
		}
		outs := make([]bytes.Buffer, len(cmds))
		for i, c := range cmds {
			c.Stdout = &outs[i]
			g.ok("start", c.Start())
		}
		for i, c := range cmds {
			g.ok("append", c.Wait())
			g.said("appender", strings.TrimSpace(outs[i].String()), "ok")
		}
		next := map[string]int{}
		for l := range strings.Lines(g.read("log")) {
			who := l[:1]
			if want := string(line(who, next[who])); l != want {
				g.Fatalf("%q in place of %q", l, want)
			}
			next[who]++
		}
		if next["a"] != lines || next["b"] != lines || len(next) != 2 {
			g.Errorf("lines: %v, want %d each", next, lines)
		}
	}},
	{"append-ignores-offset", func(g *ground) {
		// As Linux has it, pwrite too.
		g.write("a", "0123456789")
		fd := g.open("a", unix.O_RDWR|unix.O_APPEND)
		g.pwrite(fd, []byte("x"), 2)
		g.same("file", g.pread(fd, 100, 0), []byte("0123456789x"))
		flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFL, 0)
		g.ok("get flags", err)
		_, err = unix.FcntlInt(uintptr(fd), unix.F_SETFL, flags&^unix.O_APPEND)
		g.ok("stop appending", err)
		g.pwrite(fd, []byte("y"), 2)
		g.same("file", g.pread(fd, 100, 0), []byte("01y3456789x"))
		_, err = unix.FcntlInt(uintptr(fd), unix.F_SETFL, flags|unix.O_APPEND)
		g.ok("append again", err)
		g.pwrite(fd, []byte("z"), 2)
		g.same("file", g.pread(fd, 100, 0), []byte("01y3456789xz"))
		g.close(fd)
		fd = g.open("a", unix.O_RDWR)
		_, err = unix.FcntlInt(uintptr(fd), unix.F_SETFL, flags|unix.O_APPEND)
		g.ok("append from now on", err)
		g.pwrite(fd, []byte("!"), 0)
		g.same("file", g.pread(fd, 100, 0), []byte("01y3456789xz!"))
		g.close(fd)
	}},
	{"direct", func(g *ground) {
		fd, err := unix.Open(g.p("a"), unix.O_RDWR|unix.O_CREAT|unix.O_DIRECT|unix.O_CLOEXEC, 0o644)
		if err == unix.EINVAL {
			g.Skip("not known here")
		}
		g.ok("open", err)
		cached := g.open("a", unix.O_RDWR)
		var model []byte
		put := func(fd, at, n int) {
			g.Helper()
			b := aligned(n)
			copy(b, noise(byte(at), n))
			g.pwrite(fd, b, int64(at))
			if len(model) < at+n {
				model = append(model, make([]byte, at+n-len(model))...)
			}
			copy(model[at:], b)
		}
		check := func(when string) {
			g.Helper()
			g.same(when+", cached", g.pread(cached, len(model)+10, 0), model)
			direct := aligned(len(model) + pageSize)
			direct = direct[:len(direct)/pageSize*pageSize]
			n, err := unix.Pread(fd, direct, 0)
			g.ok("read direct", err)
			g.same(when+", direct", direct[:n], model)
		}
		put(fd, 0, 64*pageSize)
		check("direct write")
		put(cached, 3*pageSize+5, 100)
		check("cached write")
		put(fd, 3*pageSize, pageSize)
		check("direct over cached")
		put(fd, 300*pageSize, pageSize) // over a hole
		check("behind the end")
		b := aligned(pageSize)
		if n, err := unix.Pread(fd, b, int64(len(model))); n != 0 || err != nil {
			g.Errorf("direct read at the end: %d bytes, %v", n, err)
		}
		g.close(fd, cached)
		g.again()
		g.same("another machine", []byte(g.read("a")), model)
	}},
	{"direct-unaligned", func(g *ground) {
		// Disks refuse it, network file systems do not: then it must be right.
		fd, err := unix.Open(g.p("a"), unix.O_RDWR|unix.O_CREAT|unix.O_DIRECT|unix.O_CLOEXEC, 0o644)
		if err == unix.EINVAL {
			g.Skip("not known here")
		}
		g.ok("open", err)
		defer g.close(fd)
		data := noise(4, 3*pageSize+77)
		if _, err := unix.Pwrite(fd, data[1:1000], 3); err == unix.EINVAL {
			g.Skip("refused here")
		}
		g.pwrite(fd, data, 13)
		want := append(make([]byte, 13), data...)
		copy(want[3:], data[1:11])
		g.same("direct", g.pread(fd, len(want)+100, 0), want)
		g.same("direct, from an odd place", g.pread(fd, 999, 4097), want[4097:4097+999])
		g.same("cached", []byte(g.read("a")), want)
	}},
}

// aligned is memory that begins at a page.
func aligned(n int) []byte {
	b := make([]byte, n+pageSize)
	skip := pageSize - int(uintptr(unsafe.Pointer(&b[0]))%pageSize)
	return b[skip : skip+n : skip+n]
}

// Cases of holes.
var sparseCases = []conformanceCase{
	{"sparse-kept", func(g *ground) {
		const mib = 1 << 20
		fd := g.create("a")
		for i, at := range []int64{8 * mib, 40*mib + 123, 63 * mib} {
			g.pwrite(fd, noise(byte(i), mib), at)
		}
		g.ok("truncate", unix.Ftruncate(fd, 100*mib))
		want := g.segments(fd)
		if holes := sum(want, false); holes < 90*mib {
			g.Errorf("%d bytes of holes are found in a new file", holes)
		}
		g.close(fd)
		if st := g.stat("a"); st.Blocks*512 > 8*mib || st.Size != 100*mib {
			g.Errorf("%d blocks, %d bytes", st.Blocks, st.Size)
		}
		g.again()
		fd = g.open("a", unix.O_RDWR)
		after := g.segments(fd)
		if holes := sum(after, false); holes < 90*mib {
			g.Errorf("%d bytes of holes are found later: %v", holes, after)
		}
		for i, at := range []int64{8 * mib, 40*mib + 123, 63 * mib} {
			g.same("data", g.pread(fd, mib, at), noise(byte(i), mib))
		}
		g.ok("punch", unix.Fallocate(fd, unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE, 8*mib, mib))
		if off, err := unix.Seek(fd, 0, unix.SEEK_DATA); err != nil || off < 39*mib {
			g.Errorf("data from %d on after the hole was punched, %v", off, err)
		}
		g.close(fd)
		g.again()
		fd = g.open("a", unix.O_RDONLY)
		if off, err := unix.Seek(fd, 0, unix.SEEK_DATA); err != nil || off < 39*mib {
			g.Errorf("data from %d on on another machine, %v", off, err)
		}
		g.same("the punched hole", g.pread(fd, mib, 8*mib), make([]byte, mib))
		_, err := unix.Seek(fd, 70*mib, unix.SEEK_DATA)
		g.want("data in the hole at the end", err, unix.ENXIO)
		_, err = unix.Seek(fd, 100*mib, unix.SEEK_HOLE)
		g.want("hole at the end", err, unix.ENXIO)
		if off, err := unix.Seek(fd, 3, unix.SEEK_HOLE); off != 3 || err != nil {
			g.Errorf("hole at %d, %v, want 3", off, err)
		}
		g.close(fd)
	}},
	{"sparse-huge", func(g *ground) {
		const tib = 1 << 40
		fd := g.create("a")
		g.ok("truncate", unix.Ftruncate(fd, tib))
		for _, at := range []int64{tib/2 + 1, tib - 4} {
			g.pwrite(fd, []byte("here"), at)
		}
		if st := g.fstat(fd); st.Size != tib || st.Blocks == 0 || st.Blocks*512 > 1<<20 {
			g.Errorf("while it is open: %d bytes in %d blocks", st.Size, st.Blocks)
		}
		check := func() {
			g.Helper()
			g.same("middle", g.pread(fd, 6, tib/2), []byte("\x00here\x00"))
			g.same("end", g.pread(fd, 100, tib-6), []byte("\x00\x00here"))
			g.same("hole", g.pread(fd, pageSize, tib/3), make([]byte, pageSize))
			off, err := unix.Seek(fd, 0, unix.SEEK_DATA)
			if err != nil || off < tib/2-1<<20 || off > tib/2+1 {
				g.Errorf("data from %d, %v", off, err)
			}
		}
		check()
		g.close(fd)
		g.again()
		if st := g.stat("a"); st.Size != tib || st.Blocks*512 > 1<<20 {
			g.Errorf("%d bytes in %d blocks", st.Size, st.Blocks)
		}
		fd = g.open("a", unix.O_RDWR)
		check()
		g.pwrite(fd, []byte("HERE"), tib/2+1)
		g.same("edited", g.pread(fd, 6, tib/2), []byte("\x00HERE\x00"))
		g.ok("cut", unix.Ftruncate(fd, 5))
		g.same("what is left", g.pread(fd, 100, 0), make([]byte, 5))
		g.close(fd)
	}},
	{"allocated", func(g *ground) {
		fd := g.create("a")
		data := noise(5, 10*pageSize)
		g.pwrite(fd, data, 0)
		mem, err := unix.Mmap(fd, 0, len(data), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
		g.ok("map", err)
		mem[0], data[0] = 'x', 'x'
		g.ok("keep size", unix.Fallocate(fd, unix.FALLOC_FL_KEEP_SIZE, 0, 1<<20))
		if st := g.fstat(fd); st.Size != int64(len(data)) {
			g.Errorf("keeping the size made it %d", st.Size)
		}
		g.ok("punch", unix.Fallocate(fd, unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE, pageSize+1, 2*pageSize))
		clear(data[pageSize+1 : 3*pageSize+1])
		g.same("read after punching", g.pread(fd, len(data)+1, 0), data)
		g.same("mapping after punching", mem, data)
		mode := uint32(unix.FALLOC_FL_ZERO_RANGE)
		if err := unix.Fallocate(fd, mode, 5*pageSize-7, 100); err != unix.EOPNOTSUPP {
			g.ok("zero", err)
			clear(data[5*pageSize-7 : 5*pageSize+93])
			g.same("read after zeroing", g.pread(fd, len(data)+1, 0), data)
			g.same("mapping after zeroing", mem, data)
			g.ok(
				"zero over the end, keeping the size",
				unix.Fallocate(fd, mode|unix.FALLOC_FL_KEEP_SIZE, 9*pageSize, 2*pageSize),
			)
			clear(data[9*pageSize:])
			g.same("read after zeroing the end", g.pread(fd, len(data)+1, 0), data)
		}
		before := g.fstat(fd)
		pause()
		g.ok("extend", unix.Fallocate(fd, 0, int64(len(data)), 5000))
		data = append(data, make([]byte, 5000)...)
		if now := g.fstat(
			fd,
		); now.Size != int64(len(data)) || !later(now.Mtim, before.Mtim) ||
			!later(now.Ctim, before.Ctim) {
			g.Errorf(
				"extended: %d bytes, times %v and %v, were %v and %v", now.Size, now.Mtim, now.Ctim, before.Mtim,
				before.Ctim,
			)
		}
		g.want("nothing", unix.Fallocate(fd, 0, 0, 0), unix.EINVAL)
		g.want("a negative place", unix.Fallocate(fd, 0, -1, 10), unix.EINVAL)
		g.want(
			"punch without keeping the size", unix.Fallocate(fd, unix.FALLOC_FL_PUNCH_HOLE, 0, pageSize),
			unix.EOPNOTSUPP,
		)
		r := g.open("a", unix.O_RDONLY)
		g.want("without the right to write", unix.Fallocate(r, 0, 0, 10), unix.EBADF)
		g.ok("unmap", unix.Munmap(mem))
		g.close(r, fd)
		g.again()
		g.same("another machine", []byte(g.read("a")), data)
	}},
	{"too-large", func(g *ground) {
		fd := g.create("a")
		g.pwrite(fd, []byte("small"), 0)
		if _, err := unix.Pwrite(fd, []byte("x"), 1<<63-1); err != unix.EFBIG && err != unix.EINVAL &&
			err != unix.EOVERFLOW {
			g.Errorf("a byte at the end of all numbers: %v", err)
		}
		if err := unix.Ftruncate(fd, 1<<62); err != nil && err != unix.EFBIG {
			g.Errorf("a size of 4 EiB: %v", err)
		}
		g.ok("small again", unix.Ftruncate(fd, 5))
		g.same("what was there", g.pread(fd, 100, 0), []byte("small"))
		g.close(fd)
		g.said("closed", g.read("a"), "small")
	}},
}

// A segment is data or a hole, as SEEK_DATA and SEEK_HOLE tell.
type segment struct {
	off, n int64
	data   bool
}

// segments walks an open file and checks that holes read as zeroes at their ends.
func (g *ground) segments(fd int) (all []segment) {
	g.Helper()
	size := g.fstat(fd).Size
	for off := int64(0); off < size; {
		data, err := unix.Seek(fd, off, unix.SEEK_DATA)
		if err == unix.ENXIO {
			data = size
		} else {
			g.ok("seek data", err)
		}
		if data > off {
			all = append(all, segment{off, data - off, false})
			for _, at := range []int64{off, data - 1} {
				g.same("hole", g.pread(fd, 1, at), []byte{0})
			}
		}
		if data >= size {
			return all
		}
		hole, err := unix.Seek(fd, data, unix.SEEK_HOLE)
		g.ok("seek hole", err)
		if hole <= data || hole > size {
			g.Fatalf("hole from %d: %d", data, hole)
		}
		all = append(all, segment{data, hole - data, true})
		off = hole
	}
	return all
}

func sum(all []segment, data bool) (n int64) {
	for _, s := range all {
		if s.data == data {
			n += s.n
		}
	}
	return n
}

// Cases of copying without reading and writing.
var copyCases = []conformanceCase{
	{"copy-range", func(g *ground) {
		data := noise(6, 3<<20)
		g.write("a", string(data))
		a, b := g.open("a", unix.O_RDONLY), g.create("b")
		g.copyRange(a, 1<<20, b, 100, 1<<20)
		g.same("copied", g.pread(b, 2<<20, 0), append(make([]byte, 100), data[1<<20:2<<20]...))
		from, to := int64(3<<20), int64(0)
		if n, err := unix.CopyFileRange(a, &from, b, &to, 10, 0); n != 0 || err != nil {
			g.Errorf("from the end: %d bytes, %v", n, err)
		}
		from = 0
		_, err := unix.CopyFileRange(a, &from, a, &from, 10, 0)
		g.want("to where it may not write", err, unix.EBADF)
		rw := g.open("a", unix.O_RDWR)
		from, to = 0, 5
		_, err = unix.CopyFileRange(rw, &from, rw, &to, 10, 0)
		g.want("onto itself", err, unix.EINVAL)
		g.copyRange(rw, 0, rw, 2<<20, 1<<20)
		copy(data[2<<20:], data[:1<<20])
		g.same("within one file", g.pread(rw, 4<<20, 0), data)
		other, err := os.Create(filepath.Join(g.TempDir(), "other"))
		g.ok("create elsewhere", err)
		from, to = 0, 0
		if n, err := unix.CopyFileRange(a, &from, int(other.Fd()), &to, 1000, 0); err == nil {
			if n == 0 {
				g.Error("nothing was copied to another file system")
			}
		} else if err != unix.EXDEV {
			g.Errorf("to another file system: %v", err)
		}
		g.ok("close", other.Close())
		g.close(a, b, rw)
	}},
	{"cp", func(g *ground) {
		data := string(noise(7, 3<<20))
		g.write("a", data)
		fd := g.open("a", unix.O_RDWR)
		g.ok("grow", unix.Ftruncate(fd, 64<<20))
		g.close(fd)
		for _, how := range []string{"--reflink=auto", "--reflink=never", "--sparse=always"} {
			out, err := exec.Command("cp", how, g.p("a"), g.p("b"+how)).CombinedOutput()
			if err != nil {
				g.Errorf("cp %s: %v: %s", how, err, out)
				continue
			}
			g.said(
				"cp "+how, says(g, actor(0, 0, "sum", g.p("b"+how))),
				checksum([]byte(data+strings.Repeat("\x00", 61<<20))),
			)
			if st := g.stat("b" + how); how != "--reflink=never" && st.Blocks*512 > 8<<20 {
				g.Errorf("cp %s: the copy takes %d blocks", how, st.Blocks)
			}
		}
	}},
	{"sendfile", func(g *ground) {
		data := noise(8, 300_000)
		g.write("a", string(data))
		a, b := g.open("a", unix.O_RDONLY), g.create("b")
		for off := int64(0); off < int64(len(data)); {
			n, err := unix.Sendfile(b, a, &off, len(data))
			g.ok("sendfile", err)
			if n == 0 {
				g.Fatalf("it ended at %d", off)
			}
		}
		g.same("sent", g.pread(b, len(data)+1, 0), data)
		g.close(a, b)
	}},
}

func (g *ground) copyRange(a int, from int64, b int, to, n int64) {
	g.Helper()
	for n > 0 {
		m, err := unix.CopyFileRange(a, &from, b, &to, int(n), 0)
		g.ok("copy", err)
		if m == 0 {
			g.Fatalf("it ended %d bytes early", n)
		}
		n -= int64(m)
	}
}

// A clone of a whole file is refused where it would not be one: programs then copy.
func TestMountedCloneRefused(t *testing.T) {
	t.Parallel()
	mounted(t, func(t *testing.T, s *servedMount) {
		if err := s.do("open"); err != nil {
			t.Fatal(err)
		}
		a, b := filepath.Join(s.dir, "a"), filepath.Join(s.dir, "b")
		if err := os.WriteFile(a, []byte("bytes"), 0o644); err != nil {
			t.Fatal(err)
		}
		from, err := os.Open(a)
		if err != nil {
			t.Fatal(err)
		}
		to, err := os.Create(b)
		if err != nil {
			t.Fatal(err)
		}
		if err := unix.IoctlFileClone(int(to.Fd()), int(from.Fd())); err != syscall.EOPNOTSUPP {
			t.Errorf("clone: %v, want %v", err, syscall.EOPNOTSUPP)
		}
		_, _ = from.Close(), to.Close()
		if err := s.do("close"); err != nil {
			t.Error(err)
		}
	})
}
