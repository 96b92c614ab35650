package main

import (
	"archive/zip"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// largeZipWhole in the environment has TestLargeZipView read every byte of its archive, which takes
// a minute; scripts/test leaves it empty.
const largeZipWhole = "MEDIAFS_TEST_LARGE_ZIP"

// zippedFiles is how many files the archive has that people's programs read.
const zippedFiles = 1000

// zipReader is a program that reads an archive as programs do that look into one: its end, its
// list, then single members, last ones first.
const zipReader = `
import sys, zipfile
z = zipfile.ZipFile(sys.argv[1])
names = z.namelist()
print(len(names))
for name in reversed([n for n in names if not n.endswith("/")][::97]):
    with z.open(name) as f, open(sys.argv[2] + "/" + name, "rb") as g:
        f.seek(z.getinfo(name).file_size // 2)
        g.seek(z.getinfo(name).file_size // 2)
        assert f.read() == g.read(), name
`

// A folder of a thousand files is an archive that unzip finds whole, that cp copies, and in which
// Python finds its way, on a machine that has the bytes and on one that has none.
func TestZipView(t *testing.T) {
	needs(t, "unzip", "python3")
	m := newMachine(t)
	_, store := m.localStore()
	m.mount(store)
	dir := filepath.Join(m.mnt, "album")
	for i := range zippedFiles {
		sub := filepath.Join(dir, fmt.Sprintf("roll %02d", i/100))
		if i%100 == 0 {
			if err := os.MkdirAll(sub, 0o755); err != nil {
				t.Fatal(err)
			}
		}
		write(t, filepath.Join(sub, fmt.Sprintf("ö %03d.txt", i)), strings.Repeat(strconv.Itoa(i)+"\n", i))
	}
	check := func(where string) {
		t.Helper()
		size := m.sh(`stat -c %s .media/zip/album.zip`)
		out := m.sh(
			`unzip -tq .media/zip/album.zip; cp .media/zip/album.zip "$1/"; stat -c %s "$1/album.zip"; cd "$1" && rm -rf out && LC_ALL=C.UTF-8 unzip -qq album.zip -d out && diff -r out/album "$2" && rm album.zip`,
			m.home, dir,
		)
		if want := "No errors detected in compressed data of .media/zip/album.zip.\n" + size; out != want {
			t.Errorf("%s: %q, want %q", where, out, want)
		}
		if got := m.sh(`python3 -c "$1" .media/zip/album.zip .`, zipReader); got != "1011\n" { // with eleven folders
			t.Errorf("%s: python found %q entries", where, got)
		}
	}
	check("here")
	m.umountAfter()
	m.again(store)
	check("on another machine")
	m.umountAfter()
}

// An archive over 4 GiB: a media of that size, sparse, with a word at its end, and one after it,
// which programs find without reading the first.
func TestLargeZipView(t *testing.T) {
	needs(t, "unzip", "python3")
	const large = 4<<30 + 12345
	m := newMachine(t)
	_, store := m.localStore()
	m.mount(store)
	m.sh(
		`mkdir films && cd films && truncate -s "$1" a.raw && printf 'the end' | dd of=a.raw bs=1 seek=$(($1-7)) conv=notrunc status=none && echo small >b.txt`,
		strconv.Itoa(large),
	)
	f, err := os.Open(filepath.Join(m.mnt, ".media/zip/films.zip"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	z, err := zip.NewReader(f, info.Size())
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{"films/a.raw": "the end", "films/b.txt": "small\n"} {
		member, err := z.Open(name)
		if err != nil {
			t.Fatal(err)
		}
		s, err := member.Stat()
		if err != nil {
			t.Fatal(err)
		}
		// A stored member can be read from anywhere: here only its end.
		var at int64
		for _, h := range z.File {
			if h.Name == name {
				if at, err = h.DataOffset(); err != nil {
					t.Fatal(err)
				}
			}
		}
		b := make([]byte, len(want))
		if _, err := f.ReadAt(b, at+s.Size()-int64(len(want))); err != nil || string(b) != want {
			t.Errorf("the end of %s: %q, %v, want %q", name, b, err, want)
		}
		if name == "films/a.raw" && s.Size() != large {
			t.Errorf("%s has %d bytes, want %d", name, s.Size(), int64(large))
		}
		if name == "films/b.txt" {
			if all, err := io.ReadAll(member); err != nil || string(all) != want {
				t.Errorf("%s: %q, %v", name, all, err)
			}
		}
		member.Close()
	}
	f.Close()
	members := "films/b.txt"
	if os.Getenv(largeZipWhole) != "" {
		members = "films/*"
	}
	if out := m.sh(
		`unzip -t .media/zip/films.zip "$1"`, members,
	); !strings.Contains(out, "testing: films/b.txt              OK\n") ||
		!strings.Contains(out, "No errors detected") {
		t.Errorf("unzip: %s", out)
	}
	const ends = `import sys, zipfile
z = zipfile.ZipFile(sys.argv[1])
print(z.getinfo("films/a.raw").file_size, z.read("films/b.txt").decode().strip())`
	if out := m.sh(`python3 -c "$1" .media/zip/films.zip`, ends); out != fmt.Sprintf("%d small\n", int64(large)) {
		t.Errorf("python: %s", out)
	}
	m.umountAfter()
}
