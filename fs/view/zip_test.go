package view

import (
	"archive/zip"
	"bytes"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"mediafs/fs/vfs"
	"mediafs/remote"
)

// a readerAt reads an open file of a library.
type readerAt struct{ f vfs.File }

func (r readerAt) ReadAt(p []byte, off int64) (int, error) {
	n, err := r.f.Read(as(0), p, off)
	if err == nil && n < len(p) {
		err = io.EOF
	}
	return n, err
}

// archive opens an archive and gives its size.
func (r *rig) archive(uid uint32, p string) (vfs.File, int64) {
	r.t.Helper()
	a := r.must(uid, p)
	f, err := r.l.Open(as(uid), caller(uid), a.ID, unix.O_RDONLY)
	if err != nil {
		r.t.Fatalf("%s: %v", p, err)
	}
	if b := r.must(uid, p); b.Size != a.Size {
		r.t.Errorf("%s: %d bytes before the open, %d after it", p, a.Size, b.Size)
	}
	return f, a.Size
}

// whole reads all of it in order, in pieces of odd size.
func (r *rig) whole(f vfs.File, size int64) []byte {
	r.t.Helper()
	var b []byte
	buf := make([]byte, 4099)
	for {
		n, err := f.Read(as(0), buf, int64(len(b)))
		if err != nil {
			r.t.Fatal(err)
		}
		if n == 0 {
			break
		}
		b = append(b, buf[:n]...)
	}
	if int64(len(b)) != size {
		r.t.Errorf("%d bytes, stat says %d", len(b), size)
	}
	return b
}

// zipTree makes a folder with n media and some of everything.
func zipTree(r *rig, n int) map[string]string {
	want := map[string]string{
		"big/":              "",
		"big/empty/":        "",
		"big/sub/":          "",
		"big/sub/empty.jpg": "",
		"big/link":          "sub/f0.jpg",
	}
	r.f.add("/big", folded, "")
	r.f.add("/big/empty", folded, "")
	r.f.add("/big/sub", folded, "")
	r.f.add("/big/sub/empty.jpg", reg, "")
	r.f.add("/big/link", unix.S_IFLNK|0o777, "sub/f0.jpg")
	r.f.add("/big/pipe", unix.S_IFIFO|0o644, "")
	for i := range n {
		name, data := fmt.Sprintf("sub/f%d.jpg", i), strings.Repeat(fmt.Sprintf("%d,", i), i%700)
		if i%97 == 0 {
			name = fmt.Sprintf("sub/ü %d\xff.jpg", i)
		} else if i%89 == 0 {
			name = fmt.Sprintf("ä %d.jpg", i)
		}
		r.f.add("/big/"+name, reg, data)
		want["big/"+name] = data
	}
	return want
}

func TestZip(t *testing.T) {
	r := newRig(t)
	want := zipTree(r, 1000)
	r.f.set(r.f.walk("/big/sub/f5.jpg").attr.ID, func(n *fakeNode) {
		n.attr.Mtime, n.attr.Mode = vfs.Time{Sec: 5}, unix.S_IFREG|0o751
	})
	f, size := r.archive(0, ".media/zip/big.zip")
	defer f.Release()
	all := r.whole(f, size)
	if r.f.crcs != 0 {
		t.Errorf("read from the start, %d media were read for their checksum alone", r.f.crcs)
	}
	z, err := zip.NewReader(bytes.NewReader(all), size)
	if err != nil {
		t.Fatal(err)
	}
	if len(z.File) != len(want) {
		t.Errorf("%d entries, want %d", len(z.File), len(want))
	}
	for _, m := range z.File {
		data, ok := want[m.Name]
		if !ok {
			t.Errorf("%q is in the archive", m.Name)
			continue
		}
		rc, err := m.Open()
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(rc)
		if err != nil || string(got) != data {
			t.Errorf("%q: %d bytes, want %d, %v", m.Name, len(got), len(data), err)
		}
		node := r.f.walk("/" + m.Name).attr
		if goMode := m.Mode(); uint32(goMode.Perm()) != node.Mode&0o777 ||
			goMode.IsDir() != strings.HasSuffix(m.Name, "/") ||
			goMode&os.ModeSymlink != 0 != (m.Name == "big/link") {
			t.Errorf("%q: mode %v, want %o", m.Name, goMode, node.Mode)
		}
		if m.Modified.Unix() != node.Mtime.Sec {
			t.Errorf("%q: %v, want %v", m.Name, m.Modified, node.Mtime.Std())
		}
	}
	// Any place, in any order, by a file that was just opened.
	g, _ := r.archive(0, ".media/zip/big.zip")
	defer g.Release()
	for range 300 {
		off := rand.Int64N(size)
		p := make([]byte, min(rand.Int64N(9000)+1, size-off))
		n, err := g.Read(as(0), p, off)
		if err != nil || n != len(p) || !bytes.Equal(p, all[off:off+int64(n)]) {
			t.Fatalf("%d bytes from %d of %d: %d, %v", len(p), off, size, n, err)
		}
	}
	if n, err := g.Read(as(0), make([]byte, 10), size); n != 0 || err != nil {
		t.Errorf("past the end: %d, %v", n, err)
	}
	unzip(t, all, nil, 0)
}

// unzip lets the usual program test an archive.
func unzip(t *testing.T, all []byte, from io.ReaderAt, size int64) {
	t.Helper()
	if _, err := exec.LookPath("unzip"); err != nil {
		t.Log("no unzip here")
		return
	}
	p := filepath.Join(t.TempDir(), "a.zip")
	if from == nil {
		if err := os.WriteFile(p, all, 0o600); err != nil {
			t.Fatal(err)
		}
	} else {
		w, err := os.Create(p)
		if err != nil {
			t.Fatal(err)
		}
		buf, zeros := make([]byte, 1<<20), make([]byte, 1<<20)
		for off := int64(0); off < size; off += int64(len(buf)) {
			n, err := from.ReadAt(buf[:min(size-off, int64(len(buf)))], off)
			if err != nil && err != io.EOF {
				t.Fatal(err)
			}
			if !bytes.Equal(buf[:n], zeros[:n]) {
				if _, err := w.WriteAt(buf[:n], off); err != nil {
					t.Fatal(err)
				}
			}
		}
		if err := w.Truncate(size); err != nil {
			t.Fatal(err)
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if out, err := exec.Command("unzip", "-tqq", p).CombinedOutput(); err != nil {
		t.Errorf("unzip: %v: %s", err, out[max(0, len(out)-2000):])
	}
}

func TestZipOfOne(t *testing.T) {
	r := newRig(t)
	r.f.add("/one.jpg", reg, strings.Repeat("one", 5000))
	r.f.add("/d", folded, "")
	r.f.add("/d.zip", folded, "")
	d := r.f.walk("/d").attr.ID
	r.lists(0, ".media/zip", "one.jpg.zip", "d", fmt.Sprintf("d (%x).zip", d), "d.zip", "d.zip.zip")
	f, size := r.archive(0, ".media/zip/one.jpg.zip")
	defer f.Release()
	z, err := zip.NewReader(readerAt{f}, size)
	if err != nil || len(z.File) != 1 || z.File[0].Name != "one.jpg" {
		t.Fatal(z, err)
	}
	if r.f.crcs != 1 {
		t.Errorf("the directory alone cost %d checksums", r.f.crcs)
	}
	e, size := r.archive(0, fmt.Sprintf(".media/zip/d (%x).zip", d))
	defer e.Release()
	if z, err := zip.NewReader(readerAt{e}, size); err != nil || len(z.File) != 1 || z.File[0].Name != "d/" {
		t.Error(z, err)
	}
}

func TestZipRights(t *testing.T) {
	r := newRig(t)
	zipTree(r, 5)
	p := ".media/zip/big.zip"
	a := r.must(bob, p)
	if a.Mode != unix.S_IFREG|0o444 {
		t.Errorf("%o", a.Mode)
	}
	id := r.f.walk("/big/sub/f3.jpg").attr.ID
	r.f.set(id, func(n *fakeNode) { n.attr.Mode = unix.S_IFREG | 0o600 })
	_, err := r.l.Open(as(bob), caller(bob), a.ID, unix.O_RDONLY)
	r.kind("open", err, remote.Permission)
	if err == nil || !strings.Contains(err.Error(), "big/sub/f3.jpg") {
		t.Errorf("the error does not name the file: %v", err)
	}
	r.f.set(r.f.walk("/big/sub").attr.ID, func(n *fakeNode) { n.attr.Mode = unix.S_IFDIR | 0o711 })
	_, err = r.l.Open(as(bob), caller(bob), a.ID, unix.O_RDONLY)
	if r.kind("open", err, remote.Permission); err == nil || !strings.Contains(err.Error(), `"big/sub"`) {
		t.Errorf("the error does not name the folder: %v", err)
	}
	f, _ := r.archive(0, p)
	f.Release()
	_, err = r.l.Open(as(0), caller(0), a.ID, unix.O_RDWR)
	r.kind("open for writing", err, remote.Permission)
	r.l.opt.ZipEntries = 5
	_, err = r.l.Open(as(0), caller(0), a.ID, unix.O_RDONLY)
	r.kind("too many entries", err, remote.TooLarge)
}

// A media that changes fails; the rest of the archive can be read on.
func TestZipOfWhatChanges(t *testing.T) {
	for name, change := range map[string]func(n *fakeNode){
		"its bytes":         func(n *fakeNode) { n.data = []byte("other") },
		"its size":          func(n *fakeNode) { n.data = nil; n.attr.Size = 0 },
		"its time":          func(n *fakeNode) { n.attr.Mtime.Sec++ },
		"shorter than told": func(n *fakeNode) { n.data = n.data[:1] },
	} {
		r := newRig(t)
		r.f.add("/d", folded, "")
		id := r.f.add("/d/f", reg, "hello")
		f, size := r.archive(0, ".media/zip/d.zip")
		r.f.set(id, change)
		for _, off := range []int64{size - 200, size - 22 - 60} {
			_, err := f.Read(as(0), make([]byte, 200), max(0, off))
			r.kind(name, err, remote.Stale)
		}
		if n, err := f.Read(as(0), make([]byte, 10), 0); n != 10 || err != nil {
			t.Errorf("%s: the rest: %d, %v", name, n, err)
		}
		f.Release()
		f, size = r.archive(0, ".media/zip/d.zip")
		if name != "shorter than told" {
			r.whole(f, size)
		}
		f.Release()
	}
	r := newRig(t)
	id := r.f.add("/f", reg, "hello")
	f, size := r.archive(0, ".media/zip/f.zip")
	r.f.mu.Lock()
	r.f.unname(r.f.nodes[vfs.Root], "f")
	r.f.drop(id)
	r.f.mu.Unlock()
	_, err := f.Read(as(0), make([]byte, size), 0)
	r.kind("a media that is gone", err, remote.NotExist)
	f.Release()
	_, err = r.at(0, ".media/zip/f.zip")
	r.kind("its archive", err, remote.NotExist)
}

// A member beyond what 32 bits can say, one behind it, and one that ends exactly at the limit.
func TestZip64(t *testing.T) {
	r := newRig(t)
	r.f.add("/d", folded, "")
	for name, size := range map[string]int64{"a huge": 5 << 30, "b limit": 1<<32 - 1, "c below": 1<<32 - 2} {
		id := r.f.add("/d/"+name, reg, "")
		r.f.set(id, func(n *fakeNode) { n.sparse, n.attr.Size = true, size })
	}
	r.f.add("/d/small", reg, "small")
	f, size := r.archive(0, ".media/zip/d.zip")
	defer f.Release()
	if size < 13<<30 {
		t.Errorf("%d bytes", size)
	}
	z, err := zip.NewReader(readerAt{f}, size)
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range z.File {
		node := r.f.walk("/" + m.Name).attr
		if int64(m.UncompressedSize64) != node.Size || m.Method != zip.Store {
			t.Errorf("%q: %d bytes, want %d", m.Name, m.UncompressedSize64, node.Size)
		}
		off, err := m.DataOffset()
		if err != nil {
			t.Fatal(err)
		}
		for g := int64(0); g < node.Size && node.Mode&unix.S_IFMT == unix.S_IFREG && m.Name != "d/small"; g += 1 << 30 {
			p := make([]byte, 2)
			if n, err := f.Read(as(0), p, off+g); n != 2 || err != nil || p[0] != mark || p[1] != 0 {
				t.Errorf("%q at %d: %x, %v", m.Name, g, p, err)
			}
		}
	}
}

// The end records count beyond 16 bits.
func TestZipOfMany(t *testing.T) {
	z := &zipLayout{}
	for i := range 70_000 {
		z.members = append(z.members, member{name: fmt.Sprintf("%d/", i), mode: unix.S_IFDIR | 0o755})
	}
	z.finish()
	f := &zipFile{zip: z}
	r, err := zip.NewReader(readerAt{f}, z.size)
	if err != nil || len(r.File) != 70_000 || r.File[69_999].Name != "69999/" {
		t.Errorf("%v", err)
	}
}

func TestZipTimes(t *testing.T) {
	for _, c := range []struct {
		t          time.Time
		date, time uint16
		extra      int32
	}{
		{time.Date(2024, 5, 1, 10, 11, 13, 0, time.UTC), 44<<9 | 5<<5 | 1, 10<<11 | 11<<5 | 6, 1714558273},
		{time.Date(1970, 1, 1, 0, 0, 0, 0, time.UTC), 1<<5 | 1, 0, 0},
		{time.Date(1890, 1, 1, 0, 0, 0, 0, time.UTC), 1<<5 | 1, 0, -1 << 31},
		{time.Date(2300, 1, 1, 0, 0, 0, 0, time.UTC), 127<<9 | 12<<5 | 31, 23<<11 | 59<<5 | 29, 1<<31 - 1},
	} {
		m := member{mtime: vfs.TimeOf(c.t)}
		d, s := m.dos()
		b := m.modified(nil)
		got := int32(uint32(b[5]) | uint32(b[6])<<8 | uint32(b[7])<<16 | uint32(b[8])<<24)
		if d != c.date || s != c.time || got != c.extra || len(b) != timeLength {
			t.Errorf("%v: %x %x %d", c.t, d, s, got)
		}
	}
}

// The checksum of what is read in order is that of the bytes, and a jump does not spoil it.
func TestZipSum(t *testing.T) {
	z := &zipLayout{members: []member{{mode: reg, size: 10}, {mode: reg, size: 10}}}
	f := &zipFile{zip: z}
	data := []byte("0123456789")
	f.add(0, data[:4], 0)
	f.add(0, data[6:], 6)
	f.add(0, data[4:], 4)
	f.add(1, data[5:], 5)
	if m := z.members[0]; !m.summed || m.crc != crc32.ChecksumIEEE(data) || z.members[1].summed {
		t.Errorf("%+v", z.members)
	}
}

// While an archive is open it stays what it was, for all; then it is made anew.
func TestZipShared(t *testing.T) {
	r := newRig(t)
	r.f.add("/d", folded, "")
	id := r.f.add("/d/f", reg, "hello")
	f, size := r.archive(0, ".media/zip/d.zip")
	if f.KeepCache() {
		t.Error("the kernel would keep pages of an older archive")
	}
	r.f.add("/d/g", reg, "more")
	g, again := r.archive(bob, ".media/zip/d.zip")
	if again != size || !g.KeepCache() {
		t.Errorf("%d bytes, then %d, keep %v", size, again, g.KeepCache())
	}
	if a, err := r.l.Lookup(as(bob), r.must(bob, ".media/zip").ID, "d.zip"); err != nil || r.hold(a).Size != size {
		t.Errorf("looked up again: %d, %v", a.Size, err)
	}
	r.whole(g, size)
	g.Release()
	f.Release()
	f, again = r.archive(0, ".media/zip/d.zip")
	if again <= size {
		t.Errorf("%d bytes after the last was closed", again)
	}
	f.Release()
	r.f.set(id, func(n *fakeNode) { n.attr.Mode = unix.S_IFREG | 0o600 })
	f, _ = r.archive(0, ".media/zip/d.zip")
	_, err := r.l.Open(as(bob), caller(bob), r.must(0, ".media/zip/d.zip").ID, unix.O_RDONLY)
	r.kind("open of what another has open", err, remote.Permission)
	f.Release()
	for _, s := range []string{".media/zip/d.zip"} {
		if a := r.l.nodes.get(r.must(0, s).ID).(*archive); a.opened != 0 || a.layout != nil {
			t.Errorf("%s is open: %+v", s, a.opened)
		}
	}
}

// Offsets that no reader asks for are answered, not trusted.
func TestZipOddReads(t *testing.T) {
	r := newRig(t)
	r.f.add("/f", reg, "hello")
	f, size := r.archive(0, ".media/zip/f.zip")
	defer f.Release()
	for _, off := range []int64{size, size + 1, 1<<63 - 1} {
		if n, err := f.Read(as(0), make([]byte, 5), off); n != 0 || err != nil {
			t.Errorf("at %d: %d, %v", off, n, err)
		}
	}
	if off, err := f.Seek(as(0), 3, unix.SEEK_HOLE); off != size || err != nil {
		t.Error(off, err)
	}
	if off, err := f.Seek(as(0), 3, unix.SEEK_DATA); off != 3 || err != nil {
		t.Error(off, err)
	}
	if _, err := f.Seek(as(0), size, unix.SEEK_DATA); !errors.Is(err, vfs.ErrNoData) {
		t.Error(err)
	}
	if _, err := f.Write(as(0), nil, 0); remote.KindOf(err) != remote.Permission {
		t.Error(err)
	}
}
