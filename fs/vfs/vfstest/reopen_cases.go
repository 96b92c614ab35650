package vfstest

import (
	"fmt"

	"golang.org/x/sys/unix"

	"mediafs/fs/vfs"
)

// Cases of what another machine finds.
var reopenCases = []testCase{
	{"reopen", func(e *env) {
		t := vfs.Time{Sec: -86_400, Nsec: 123_456_789}
		u := vfs.Time{Sec: 4_294_967_296 + 5, Nsec: 1}
		e.mkdir("d")
		e.mkdir("d/empty")
		e.write("d/text", "hello")
		e.write("d/nothing", "")
		e.write("d/large", string(noise(1, 5<<20)))
		f := e.create("d/sparse")
		e.writeAt(f, noise(2, 100_000), 40<<20)
		e.close(f)
		// Edited in place after it was whole: near the start, in the middle, and at the end.
		f = e.open("d/large", unix.O_RDWR)
		for i, off := range []int64{10, 2 << 20, 5<<20 - 5} {
			e.writeAt(f, noise(uint64(i+3), 1000), off)
			e.ok("fsync", f.Sync())
		}
		e.close(f)
		e.ok("truncate", e.sys.Truncate(e.p("d/sparse"), 41<<20))
		e.ok("link", e.sys.Link(e.p("d/text"), e.p("hard")))
		e.ok("symlink", e.sys.Symlink("d/text", e.p("soft")))
		e.ok("mknod", e.sys.Mknod(e.p("fifo"), unix.S_IFIFO|0o600, 0))
		e.ok("mknod", e.sys.Mknod(e.p("null"), unix.S_IFCHR|0o644, uint32(unix.Mkdev(1, 3))))
		e.ok("set", e.sys.SetXattr(e.p("d/text"), "user.a", []byte{0, 1, 2}, 0))
		e.ok("set", e.sys.SetXattr(e.p("d"), "user.large", noise(9, min(e.traits.MaxXattr, 60_000)), 0))
		e.ok("set", e.sys.SetXattr(e.p("soft"), "trusted.s", nil, 0))
		e.ok("chown", e.sys.Chown(e.p("d/nothing"), 77, 88))
		e.ok("chmod", e.sys.Chmod(e.p("d/nothing"), 0o4711))
		e.ok("utimes", e.sys.Utimes(e.p("d/text"), &t, &t))
		e.ok("utimes", e.sys.Utimes(e.p("soft"), &u, &u))
		e.rename("d/empty", "moved")
		e.ok("utimes", e.sys.Utimes(e.p("d"), &u, &t))

		before := e.snapshot("")
		e.ok("reopen", e.sys.Reopen())
		equalTrees(e, "after reopening", e.snapshot(""), before)
		if m := e.stat("d/text").Mtime; m != t {
			e.Errorf("mtime %v, want %v", m, t)
		}

		// It goes on from there.
		e.write("d/text", "edited")
		e.holds("hard", "edited")
		e.write("new", "made by the second machine")
		e.unlink("fifo")
		before = e.snapshot("")
		e.ok("reopen", e.sys.Reopen())
		equalTrees(e, "after reopening again", e.snapshot(""), before)
	}},
	{"reopen-unlinked", func(e *env) {
		f := e.create("a")
		e.writeAt(f, noise(1, 300_000), 0)
		e.unlink("a")
		e.close(f)
		for i := range 30 {
			e.write(fmt.Sprint(i), "x")
			e.unlink(fmt.Sprint(i))
		}
		e.ok("reopen", e.sys.Reopen())
		if n := len(e.list("")); n != 0 {
			e.Errorf("%d names came back", n)
		}
	}},
	{"reopen-unfinished", func(e *env) {
		// A file that was only flushed by the close before, and one that was grown without a write.
		e.write("a", string(noise(1, 700_000)))
		e.ok("truncate", e.sys.Truncate(e.p("a"), 2<<20))
		f := e.open("a", unix.O_WRONLY|unix.O_APPEND)
		e.writeAt(f, []byte("tail"), 0)
		e.close(f)
		want := append(append(noise(1, 700_000), make([]byte, 2<<20-700_000)...), "tail"...)
		e.holds("a", string(want))
		e.ok("reopen", e.sys.Reopen())
		e.holds("a", string(want))
	}},
}
