package fuse

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// Cases of what Linux programs expect of a file system, by system calls and with several processes
// and users: beyond what fs/vfs/vfstest asks of a library alone. Each has a folder of its own.
var conformance = slices.Concat(mappedCases, sparseCases, copyCases, nameCases, openCases, timeCases, ownerCases,
	attributeCases, listCases, lockCases)

type conformanceCase struct {
	name string
	run  func(g *ground)
}

// ground is where a case works.
type ground struct {
	*testing.T
	dir     string
	remount func() error // on another machine, with empty caches; nil where there is only one
}

func TestMountedConformance(t *testing.T) {
	t.Parallel()
	mounted(t, func(t *testing.T, s *servedMount) {
		if err := s.do("open"); err != nil {
			t.Fatal(err)
		}
		letOthersIn(t, s.dir)
		runConformance(t, s.dir, func() error { return s.do("reopen") })
		if err := s.do("close"); err != nil {
			t.Error(err)
		}
	})
}

// The cases ask for no more than a file system of the kernel's own gives.
func TestConformanceCases(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root: the cases change owners")
	}
	if raceEnabled {
		t.Skip("nothing of ours runs")
	}
	dir := t.TempDir()
	letOthersIn(t, dir)
	runConformance(t, dir, nil)
}

func runConformance(t *testing.T, dir string, remount func() error) {
	unix.Umask(0o022)
	for _, c := range conformance {
		t.Run(c.name, func(t *testing.T) {
			g := &ground{T: t, dir: filepath.Join(dir, c.name), remount: remount}
			g.ok("mkdir", unix.Mkdir(g.dir, 0o755))
			c.run(g)
		})
	}
}

// letOthersIn opens the way to a folder below the temporary one.
func letOthersIn(t *testing.T, dir string) {
	t.Helper()
	for d := dir; d != os.TempDir() && d != "/"; d = filepath.Dir(d) {
		if err := os.Chmod(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
}

// again is where what follows runs on another machine. Nothing may be open. Elsewhere it does
// nothing.
func (g *ground) again() {
	g.Helper()
	if g.remount != nil {
		g.ok("remount", g.remount())
	}
}

func (g *ground) p(name string) string { return filepath.Join(g.dir, name) }

func (g *ground) ok(what string, err error) {
	g.Helper()
	if err != nil {
		g.Fatalf("%s: %v", what, err)
	}
}

// want checks for one errno; 0 is success.
func (g *ground) want(what string, err error, errno syscall.Errno) {
	g.Helper()
	var got syscall.Errno
	if err != nil && !errors.As(err, &got) {
		g.Fatalf("%s: %v", what, err)
	}
	if got != errno {
		g.Errorf("%s: %v, want %v", what, got, errno)
	}
}

// said checks an answer in words, as an actor gives it.
func (g *ground) said(what, got, want string) {
	g.Helper()
	if got != want {
		g.Errorf("%s: %s, want %s", what, got, want)
	}
}

func (g *ground) open(name string, flags int) int {
	g.Helper()
	fd, err := unix.Open(g.p(name), flags|unix.O_CLOEXEC, 0o644)
	g.ok("open "+name, err)
	return fd
}

func (g *ground) create(name string) int {
	g.Helper()
	return g.open(name, unix.O_RDWR|unix.O_CREAT|unix.O_EXCL)
}

func (g *ground) close(fds ...int) {
	g.Helper()
	for _, fd := range fds {
		g.ok("close", unix.Close(fd))
	}
}

func (g *ground) pwrite(fd int, data []byte, off int64) {
	g.Helper()
	if n, err := unix.Pwrite(fd, data, off); err != nil || n != len(data) {
		g.Fatalf("write at %d: %d of %d bytes, %v", off, n, len(data), err)
	}
}

func (g *ground) pread(fd int, n int, off int64) []byte {
	g.Helper()
	b := make([]byte, n)
	for done := 0; done < n; {
		m, err := unix.Pread(fd, b[done:], off+int64(done))
		g.ok("read", err)
		if m == 0 {
			return b[:done]
		}
		done += m
	}
	return b
}

func (g *ground) write(name, data string) {
	g.Helper()
	g.ok("write "+name, os.WriteFile(g.p(name), []byte(data), 0o644))
}

func (g *ground) read(name string) string {
	g.Helper()
	b, err := os.ReadFile(g.p(name))
	g.ok("read "+name, err)
	return string(b)
}

func (g *ground) same(what string, got, want []byte) {
	g.Helper()
	if bytes.Equal(got, want) {
		return
	}
	at := 0
	for at < len(got) && at < len(want) && got[at] == want[at] {
		at++
	}
	g.Errorf("%s: %d bytes, want %d; they differ from byte %d on", what, len(got), len(want), at)
}

func (g *ground) stat(name string) (st unix.Stat_t) {
	g.Helper()
	g.ok("lstat "+name, unix.Lstat(g.p(name), &st))
	return st
}

func (g *ground) fstat(fd int) (st unix.Stat_t) {
	g.Helper()
	g.ok("fstat", unix.Fstat(fd, &st))
	return st
}

// pause lets the clock of file times move on: a kernel's may stand still for 10 ms.
func pause() { time.Sleep(12 * time.Millisecond) }

// noise gives n bytes that do not compress; the same for the same seed.
func noise(seed byte, n int) []byte {
	b := make([]byte, n)
	_, _ = rand.NewChaCha8([32]byte{seed}).Read(b)
	return b
}
