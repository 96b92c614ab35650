package engine_test

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"

	"golang.org/x/sys/unix"

	"mediafs/fs/vfs"
)

// smallDisk mounts an ext4 file system of size bytes, made with further options, which is gone
// after the test.
func smallDisk(t *testing.T, size int64, options ...string) string {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("a small disk is a file system of its own, which only root mounts")
	}
	image := filepath.Join(t.TempDir(), "disk")
	if err := os.WriteFile(image, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(image, size); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for _, args := range [][]string{append(append([]string{"mkfs.ext4", "-q", "-m", "0"}, options...), image), {"mount", "-o", "loop", image, dir}} {
		if out, err := exec.Command(args[0], args[1:]...).CombinedOutput(); err != nil {
			t.Skipf("a small disk is an ext4 on a loop device, and %s was refused: %v: %s", args[0], err, out)
		}
	}
	// The loop device goes with the file system, also when a test that failed left something open.
	t.Cleanup(func() {
		if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	return dir
}

// free is what a program can still write to a disk, in bytes.
func free(t *testing.T, dir string) int64 {
	t.Helper()
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		t.Fatal(err)
	}
	return int64(st.Bavail) * st.Bsize
}

// fillDisk is another program that takes what a disk has left, down to the last block. A file that
// it has filled before grows.
func fillDisk(t *testing.T, name string) {
	t.Helper()
	f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	end, err := f.Seek(0, 2)
	if err != nil {
		t.Fatal(err)
	}
	for range 5 {
		// What was deleted just now is free when the file system has written that down.
		if err := unix.Syncfs(int(f.Fd())); err != nil {
			t.Fatal(err)
		}
		for n := int64(16 << 20); n >= 4096; {
			err := unix.Fallocate(int(f.Fd()), 0, end, n)
			switch {
			case err == nil:
				end += n
			case errors.Is(err, unix.ENOSPC):
				n /= 2
			default:
				t.Fatal(err)
			}
		}
		if free(t, filepath.Dir(name)) < 64<<10 {
			return
		}
	}
}

// takeAllBut is another program that leaves a disk so many bytes.
func takeAllBut(t *testing.T, name string, left int64) {
	t.Helper()
	fillDisk(t, name)
	st, err := os.Stat(name)
	if err == nil {
		err = os.Truncate(name, st.Size()-left)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// filmBlock is what all films have in common, of which each page is told apart by its first bytes.
var filmBlock = sync.OnceValue(func() []byte { return []byte(noise(99, 1<<20)) })

const filmPage = 4096

// film fills p with the bytes that a film with a number has from off on; off and len(p) are whole
// pages.
func film(p []byte, number uint64, off int64) {
	b := filmBlock()
	for n := 0; n < len(p); {
		n += copy(p[n:], b[(off+int64(n))%int64(len(b)):])
	}
	for n := 0; n < len(p); n += filmPage {
		binary.BigEndian.PutUint64(p[n:], number)
		binary.BigEndian.PutUint64(p[n+8:], uint64(off)+uint64(n))
	}
}

// notFilm tells what of p is not as film made it; empty: nothing.
func notFilm(p []byte, number uint64, off int64) string {
	want := make([]byte, len(p))
	film(want, number, off)
	for n := range p {
		if p[n] != want[n] {
			page := n / filmPage * filmPage
			return fmt.Sprintf(
				"byte %d is %#x and not %#x; its page says film %d, offset %d", off+int64(n), p[n], want[n],
				binary.BigEndian.Uint64(p[page:]), binary.BigEndian.Uint64(p[page+8:]),
			)
		}
	}
	return ""
}

// shoot appends to a film until it has size bytes, in writes as the kernel makes them. It returns
// how much of it was accepted.
func (s steps) shoot(f vfs.File, number uint64, from, size int64) (int64, error) {
	p := make([]byte, 128<<10)
	for off := from; off < size; {
		p := p[:min(int64(len(p)), size-off)]
		film(p, number, off)
		n, err := f.Write(bg, p, off)
		if off += int64(n); err != nil {
			return off, err
		}
	}
	return size, nil
}

// shows fails the test unless a media is exactly the first size bytes of a film.
func (s steps) shows(name string, number uint64, size int64) {
	s.t.Helper()
	a := s.stat(name)
	if a.Size != size {
		s.t.Errorf("%s has %d bytes, want %d", name, a.Size, size)
		return
	}
	f, err := s.Open(bg, me, a.ID, uint32(os.O_RDONLY))
	s.ok(err)
	defer f.Release()
	buf := make([]byte, 1<<20)
	for off := int64(0); off < size; {
		n, err := f.Read(bg, buf, off)
		if err != nil || n == 0 {
			s.t.Errorf("%s at %d: %d bytes, %v", name, off, n, err)
			return
		}
		whole := (n + filmPage - 1) / filmPage * filmPage
		want := make([]byte, whole)
		film(want, number, off)
		if string(buf[:n]) != string(want[:n]) {
			s.t.Errorf("%s: %s", name, notFilm(buf[:n/filmPage*filmPage], number, off))
			return
		}
		off += int64(n)
	}
}
