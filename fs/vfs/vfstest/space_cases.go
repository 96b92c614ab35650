package vfstest

import (
	"bytes"
	"errors"
	"fmt"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"

	"mediafs/fs/vfs"
)

// Cases of holes, allocation and the size of the file system.
var spaceCases = []testCase{
	{"holes", func(e *env) {
		const mib = 1 << 20
		f := e.create("a")
		defer e.close(f)
		model := make([]byte, 13*mib)
		for _, at := range []int{2 * mib, 9 * mib} {
			data := noise(uint64(at), mib)
			e.writeAt(f, data, int64(at))
			copy(model[at:], data)
		}
		e.ok("truncate", f.Truncate(13*mib))
		holes := checkHoles(e, f, model)
		if e.traits.Sparse && holes < 8*mib {
			e.Errorf("%d bytes of holes are found", holes)
		}
		for _, whence := range []int{unix.SEEK_DATA, unix.SEEK_HOLE} {
			_, err := f.Seek(13*mib, whence)
			e.want("seek at the end", err, syscall.ENXIO)
			_, err = f.Seek(14*mib, whence)
			e.want("seek behind the end", err, syscall.ENXIO)
		}
		_, err := f.Seek(0, unix.SEEK_DATA)
		e.ok("seek data", err)
	}},
	{"no-holes", func(e *env) {
		f := e.create("a")
		defer e.close(f)
		e.writeAt(f, noise(1, 100_000), 0)
		if off, err := f.Seek(0, unix.SEEK_DATA); off != 0 || err != nil {
			e.Errorf("data from %d, %v", off, err)
		}
		// There is a hole at the end of every file.
		if off, err := f.Seek(50_000, unix.SEEK_HOLE); off != 100_000 || err != nil {
			e.Errorf("hole from %d, %v", off, err)
		}
		if off, err := f.Seek(70_000, unix.SEEK_DATA); off != 70_000 || err != nil {
			e.Errorf("data from %d, %v", off, err)
		}
	}},
	{"allocate", func(e *env) {
		f := e.create("a")
		defer e.close(f)
		e.writeAt(f, []byte("0123456789"), 0)
		e.ok("beyond the end", f.Allocate(0, 5, 100_000))
		e.fileHolds(f, append([]byte("0123456789"), make([]byte, 99_995)...))
		e.ok("within", f.Allocate(0, 0, 10))
		e.ok("keeping the size", f.Allocate(vfs.AllocateKeepSize, 0, 1<<20))
		if a, err := f.Stat(); err != nil || a.Size != 100_005 {
			e.Errorf("%d bytes, %v", a.Size, err)
		}
		e.want("nothing", f.Allocate(0, 0, 0), syscall.EINVAL)
	}},
	{"punch-hole", func(e *env) {
		f := e.create("a")
		data := noise(1, 2<<20)
		e.writeAt(f, data, 0)
		punch := func(off, n int) {
			e.Helper()
			e.ok("punch", f.Allocate(vfs.AllocatePunchHole|vfs.AllocateKeepSize, int64(off), int64(n)))
			for i := off; i < min(off+n, len(data)); i++ {
				data[i] = 0
			}
		}
		punch(4096, 8192)
		punch(100_001, 333_333)
		punch(2<<20-10, 1<<20) // over the end: the size stays
		e.fileHolds(f, data)
		e.want("without keeping the size", f.Allocate(vfs.AllocatePunchHole, 0, 4096), syscall.EOPNOTSUPP)
		e.close(f)
		e.holds("a", string(data))
	}},
	{"zero-range", func(e *env) {
		if !e.traits.ZeroRange {
			e.Skip("not known here")
		}
		f := e.create("a")
		defer e.close(f)
		data := noise(1, 100_000)
		e.writeAt(f, data, 0)
		e.ok("zero", f.Allocate(vfs.AllocateZeroRange, 50_001, 20_000))
		clear(data[50_001:70_001])
		e.fileHolds(f, data)
		e.ok(
			"zero over the end, keeping the size",
			f.Allocate(vfs.AllocateZeroRange|vfs.AllocateKeepSize, 90_000, 20_000),
		)
		clear(data[90_000:])
		e.fileHolds(f, data)
		e.ok("zero over the end", f.Allocate(vfs.AllocateZeroRange, 90_000, 20_000))
		e.fileHolds(f, append(data, make([]byte, 10_000)...))
	}},
	{"statfs", func(e *env) {
		st, err := e.sys.StatFS()
		e.ok("statfs", err)
		if st.Bytes == 0 || st.FreeBytes > st.Bytes || st.MaxName != 255 || st.Nodes == 0 {
			e.Errorf("%+v", st)
		}
	}},
}

// checkHoles walks a file by its data and holes and checks that it is covered without gaps and that
// holes read as zeroes. It returns how many bytes are in holes.
func checkHoles(e *env, f File, content []byte) int {
	e.Helper()
	total, size := 0, int64(len(content))
	for off := int64(0); off < size; {
		data, err := f.Seek(off, unix.SEEK_DATA)
		if errors.Is(err, syscall.ENXIO) {
			data = size
		} else if err != nil {
			e.Fatalf("seek data from %d: %v", off, err)
		}
		if data < off || data > size {
			e.Fatalf("seek data from %d: %d", off, data)
		}
		if bytes.ContainsFunc(content[off:data], func(r rune) bool { return r != 0 }) {
			e.Errorf("%d to %d is said to be a hole", off, data)
		}
		total += int(data - off)
		if data == size {
			break
		}
		hole, err := f.Seek(data, unix.SEEK_HOLE)
		e.ok("seek hole", err)
		if hole <= data || hole > size {
			e.Fatalf("seek hole from %d: %d", data, hole)
		}
		off = hole
	}
	return total
}

// Cases of many at once.
var busyCases = []testCase{
	{"concurrent-ranges", func(e *env) {
		// Eight writers, each with its own handle and its own ranges of one file.
		const writers, rounds, n = 8, 10, 40_000
		model := noise(1, writers*rounds*n)
		e.close(e.create("a"))
		e.all(writers, func(w int) error {
			f, err := e.sys.Open(e.p("a"), unix.O_RDWR, 0)
			if err != nil {
				return err
			}
			for r := range rounds {
				off := (r*writers + w) * n
				if _, err := f.WriteAt(model[off:off+n], int64(off)); err != nil {
					return err
				}
				p := make([]byte, n)
				if _, err := f.ReadAt(p, int64(off)); err != nil || !bytes.Equal(p, model[off:off+n]) {
					return fmt.Errorf("writer %d does not read what it wrote at %d: %v", w, off, err)
				}
			}
			return f.Close()
		})
		e.holds("a", string(model))
	}},
	{"concurrent-append", func(e *env) {
		const writers, rounds = 4, 50
		e.close(e.create("a"))
		e.all(writers, func(w int) error {
			f, err := e.sys.Open(e.p("a"), unix.O_WRONLY|unix.O_APPEND, 0)
			if err != nil {
				return err
			}
			for range rounds {
				if _, err := f.WriteAt(bytes.Repeat([]byte{'a' + byte(w)}, 10), 0); err != nil {
					return err
				}
			}
			return f.Close()
		})
		got := e.read("a")
		if len(got) != writers*rounds*10 {
			e.Fatalf("%d bytes, want %d", len(got), writers*rounds*10)
		}
		counts := make(map[string]int)
		for i := 0; i < len(got); i += 10 {
			counts[got[i:i+10]]++
		}
		if len(counts) != writers {
			e.Errorf("writes were mixed: %v", counts)
		}
	}},
	{"concurrent-names", func(e *env) {
		// One name, many who want it: exactly one gets it.
		const n = 8
		var mu sync.Mutex
		won := 0
		for round := range 10 {
			e.all(n, func(int) error {
				f, err := e.sys.Open(e.p(fmt.Sprint(round)), unix.O_RDWR|unix.O_CREAT|unix.O_EXCL, 0o644)
				if errors.Is(err, syscall.EEXIST) {
					return nil
				}
				if err != nil {
					return err
				}
				mu.Lock()
				won++
				mu.Unlock()
				return f.Close()
			})
		}
		if won != 10 {
			e.Errorf("%d times somebody made a name, want 10", won)
		}
	}},
	{"concurrent-tree", func(e *env) {
		// Each works in a folder of its own and moves its files through one that all share.
		const workers, rounds = 6, 20
		e.mkdir("shared")
		e.all(workers, func(w int) error {
			dir := e.p(fmt.Sprintf("w%d", w))
			if err := e.sys.Mkdir(dir, 0o755); err != nil {
				return err
			}
			for r := range rounds {
				name := fmt.Sprintf("%d-%d", w, r)
				f, err := e.sys.Open(dir+"/"+name, unix.O_RDWR|unix.O_CREAT|unix.O_EXCL, 0o644)
				if err != nil {
					return err
				}
				if _, err = f.WriteAt([]byte(name), 0); err != nil {
					return err
				}
				if err := errors.Join(f.Close(), e.sys.Rename(dir+"/"+name, e.p("shared/"+name), 0)); err != nil {
					return err
				}
				if r%2 == 0 {
					err = e.sys.Rename(e.p("shared/"+name), dir+"/back-"+name, 0)
				} else {
					err = e.sys.Unlink(e.p("shared/" + name))
				}
				if err != nil {
					return err
				}
			}
			return nil
		})
		if n := len(e.list("shared")); n != 0 {
			e.Errorf("%d names are left in the shared folder", n)
		}
		for w := range workers {
			dir := fmt.Sprintf("w%d", w)
			if n := len(e.list(dir)); n != rounds/2 {
				e.Errorf("%s has %d files", dir, n)
			}
			e.holds(fmt.Sprintf("%s/back-%d-4", dir, w), fmt.Sprintf("%d-4", w))
		}
	}},
	{"opposite-renames", func(e *env) {
		// Folders that move into each other at once: never a cycle, never a deadlock.
		e.mkdir("a")
		e.mkdir("b")
		for range 20 {
			e.all(2, func(i int) error {
				from, to := e.p("a"), e.p("b/a")
				if i == 1 {
					from, to = e.p("b"), e.p("a/b")
				}
				if err := e.sys.Rename(from, to, 0); err != nil {
					return nil // the other one was first
				}
				return e.sys.Rename(to, from, 0)
			})
			if n := len(e.list("")); n != 2 {
				e.Fatalf("%d folders are left", n)
			}
		}
	}},
}

// all runs f(0) to f(n-1) at once and fails the case on any error.
func (e *env) all(n int, f func(i int) error) {
	e.Helper()
	errs := make([]error, n)
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() { errs[i] = f(i) })
	}
	wg.Wait()
	if err := errors.Join(errs...); err != nil {
		e.Fatal(err)
	}
}
