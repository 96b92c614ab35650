package vfstest

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"mediafs/fs/vfs"
)

// cases is the whole suite. Each case has a folder of its own in one system.
var cases = slices.Concat(
	fileCases, writeCases, openedCases, renameCases, folderCases, linkCases, attributeCases, xattrCases, spaceCases,
	busyCases, reopenCases, randomCases,
)

type testCase struct {
	name string
	run  func(*env)
}

// Run runs the suite. The system is made once and closed at the end; a case can be chosen with -run
// as any subtest.
func Run(t *testing.T, newSystem func(t *testing.T) System) {
	sys := newSystem(t)
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			if err := sys.Mkdir(c.name, 0o755); err != nil {
				t.Fatalf("mkdir %s: %v", c.name, err)
			}
			c.run(&env{T: t, sys: sys, dir: c.name, traits: sys.Traits()})
		})
	}
	if err := sys.Close(); err != nil {
		t.Errorf("close: %v", err)
	}
}

// env is what a case works with: the system seen from the case's own folder. Its short methods fail
// the test on any error; the case calls sys itself where an error is what it wants.
type env struct {
	*testing.T
	sys    System
	dir    string
	traits Traits
}

func (e *env) p(path string) string { return strings.TrimSuffix(e.dir+"/"+path, "/") }

func (e *env) ok(what string, err error) {
	e.Helper()
	if err != nil {
		e.Fatalf("%s: %v", what, err)
	}
}

// want checks for one errno; 0 is success.
func (e *env) want(what string, err error, errno syscall.Errno) {
	e.Helper()
	var got syscall.Errno
	switch {
	case err == nil && errno == 0:
	case err == nil:
		e.Errorf("%s: no error, want %v", what, errno)
	case !errors.As(err, &got):
		e.Errorf("%s: %v is no errno", what, err)
	case got != errno:
		e.Errorf("%s: %v, want %v", what, got, errno)
	}
}

func (e *env) open(path string, flags int) File {
	e.Helper()
	f, err := e.sys.Open(e.p(path), flags, 0o644)
	e.ok("open "+path, err)
	return f
}

func (e *env) create(path string) File {
	e.Helper()
	return e.open(path, unix.O_RDWR|unix.O_CREAT|unix.O_EXCL)
}

func (e *env) close(f File) {
	e.Helper()
	e.ok("close", f.Close())
}

func (e *env) writeAt(f File, data []byte, off int64) {
	e.Helper()
	n, err := f.WriteAt(data, off)
	e.ok("write", err)
	if n != len(data) {
		e.Fatalf("write at %d: %d of %d bytes", off, n, len(data))
	}
}

// readAll reads an open file to its end.
func (e *env) readAll(f File) []byte {
	e.Helper()
	var all []byte
	buf := make([]byte, 1<<20)
	for {
		n, err := f.ReadAt(buf, int64(len(all)))
		e.ok("read", err)
		all = append(all, buf[:n]...)
		if n < len(buf) {
			return all
		}
	}
}

func (e *env) write(path, data string) {
	e.Helper()
	f := e.open(path, unix.O_WRONLY|unix.O_CREAT|unix.O_TRUNC)
	e.writeAt(f, []byte(data), 0)
	e.close(f)
}

func (e *env) read(path string) string {
	e.Helper()
	f := e.open(path, unix.O_RDONLY)
	defer e.close(f)
	return string(e.readAll(f))
}

// holds checks the content of a file.
func (e *env) holds(path, want string) {
	e.Helper()
	same(e, path, []byte(e.read(path)), []byte(want))
}

func (e *env) fileHolds(f File, want []byte) {
	e.Helper()
	same(e, "open file", e.readAll(f), want)
}

func same(e *env, what string, got, want []byte) {
	e.Helper()
	if bytes.Equal(got, want) {
		return
	}
	at := 0
	for at < len(got) && at < len(want) && got[at] == want[at] {
		at++
	}
	e.Errorf(
		"%s: %d bytes, want %d; they differ from byte %d on: %q, want %q", what, len(got), len(want), at, cut(got, at),
		cut(want, at),
	)
}

func cut(b []byte, from int) []byte { return b[min(from, len(b)):min(from+16, len(b))] }

func (e *env) mkdir(path string) {
	e.Helper()
	e.ok("mkdir "+path, e.sys.Mkdir(e.p(path), 0o755))
}

func (e *env) stat(path string) vfs.Attr {
	e.Helper()
	a, err := e.sys.Lstat(e.p(path))
	e.ok("lstat "+path, err)
	return a
}

func (e *env) gone(path string) {
	e.Helper()
	_, err := e.sys.Lstat(e.p(path))
	e.want("lstat "+path, err, syscall.ENOENT)
}

func (e *env) rename(path, newPath string) {
	e.Helper()
	e.ok("rename "+path, e.sys.Rename(e.p(path), e.p(newPath), 0))
}

func (e *env) unlink(path string) {
	e.Helper()
	e.ok("unlink "+path, e.sys.Unlink(e.p(path)))
}

// list gives the entries of a folder by name, without "." and "..".
func (e *env) list(path string) map[string]vfs.DirEntry {
	e.Helper()
	d, err := e.sys.OpenDir(e.p(path))
	e.ok("open folder "+path, err)
	all := make(map[string]vfs.DirEntry)
	for {
		es, err := d.Next()
		e.ok("list "+path, err)
		if len(es) == 0 {
			break
		}
		for _, x := range es {
			if _, twice := all[x.Name]; twice {
				e.Errorf("list %s: %q is there twice", path, x.Name)
			}
			all[x.Name] = x
		}
	}
	e.ok("close folder", d.Close())
	if all["."].Name == "" || all[".."].Name == "" {
		e.Errorf("list %s: no . or ..", path)
	}
	delete(all, ".")
	delete(all, "..")
	return all
}

// tick lets the clock of file times move on: a kernel's may stand still for 10 ms.
func tick() { time.Sleep(12 * time.Millisecond) }

func after(a, b vfs.Time) bool { return a.Sec > b.Sec || a.Sec == b.Sec && a.Nsec > b.Nsec }

// noise gives n bytes that do not compress; the same for the same seed.
func noise(seed uint64, n int) []byte {
	var key [32]byte
	for i := range 8 {
		key[i] = byte(seed >> (8 * i))
	}
	b := make([]byte, n)
	_, _ = rand.NewChaCha8(key).Read(b)
	return b
}
