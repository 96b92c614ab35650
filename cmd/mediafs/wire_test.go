package main

import (
	"bytes"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"mediafs/remote/object/s3/s3server"
	"mediafs/remote/storetest/wiretap"
)

// A wire is an S3 server and the tap through which every machine of a test reaches it. What is
// counted is counted there.
type wire struct {
	t      *testing.T
	server *s3server.Server
	tap    *wiretap.Tap
	store  string // URL of a library behind the tap
}

func newWire(t *testing.T) *wire {
	t.Helper()
	w := &wire{t: t, server: s3server.Start(t)}
	const prefix = "family/photos"
	var err error
	if w.tap, err = wiretap.Open(
		wiretap.Options{Target: w.server.Endpoint, Prefix: w.server.Bucket + "/" + prefix},
	); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := w.tap.Close(); err != nil {
			t.Error(err)
		}
	})
	u, err := url.Parse(w.server.URL(prefix))
	if err != nil {
		t.Fatal(err)
	}
	q := u.Query()
	q.Set("endpoint", w.tap.Endpoint())
	u.RawQuery = q.Encode()
	w.store = u.String()
	return w
}

// machine is a new one with nothing of the library on it. It reads no facts: that comes when it
// comes, and would be counted with what is looked at. What they cost has a trace of its own.
func (w *wire) machine() *machine {
	w.t.Helper()
	return newMachine(w.t, append(credentials(w.server), "MEDIAFS_FACTS=off")...)
}

// settle waits until nothing is under way, and gives the number of the next request.
func (w *wire) settle() int {
	w.t.Helper()
	// A read-ahead begins its next request right after the last has ended.
	for quiet := 0; quiet < 10; quiet++ {
		if !eventually(w.tap.Quiet) {
			w.t.Fatal("requests that never end")
		}
		n := w.tap.Count()
		time.Sleep(5 * time.Millisecond)
		if w.tap.Count() != n {
			quiet = 0
		}
	}
	return w.tap.Count()
}

// isPoll tells whether a request only asked for what other machines have done, and there was
// nothing.
func isPoll(r wiretap.Request) bool {
	return r.Method == http.MethodGet && strings.HasPrefix(r.Key, "log/") && r.Status == http.StatusNotFound ||
		r.Kind() == "list" && strings.HasPrefix(r.Query.Get("prefix"), "log/")
}

// bytesSince sums what went to the server and what came from it, in the bodies of all requests but
// polls.
func (w *wire) bytesSince(mark int) (sent, received int64) {
	for _, r := range w.tap.Since(mark) {
		if !isPoll(r) {
			sent += r.Sent
			received += r.Received
		}
	}
	return sent, received
}

// pseudoRandom is a file of n bytes that no compression makes smaller.
func pseudoRandom(t *testing.T, name string, n int64) {
	t.Helper()
	f, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	_, err = io.CopyN(f, rand.NewChaCha8([32]byte{1}), n)
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		t.Fatal(err)
	}
}

// same fails unless two files have equal bytes.
func same(t *testing.T, got, want string) {
	t.Helper()
	a, err := os.Open(got)
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	b, err := os.Open(want)
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	p, q := make([]byte, 1<<20), make([]byte, 1<<20)
	for off := int64(0); ; off += int64(len(p)) {
		n, err := io.ReadFull(a, p)
		m, werr := io.ReadFull(b, q)
		if !bytes.Equal(p[:n], q[:m]) {
			t.Fatalf("%s differs from %s after %d bytes (%v, %v)", got, want, off, err, werr)
		}
		switch err {
		case nil:
		case io.EOF, io.ErrUnexpectedEOF:
			return
		default:
			t.Fatal(err)
		}
	}
}

// TestBytesOnTheWire holds what work on a large media costs the network. The numbers are bytes of
// the bodies of every request between open and close and what follows from it (contents, their side
// objects, the log), except polls of the log, as the tap has counted them.
func TestBytesOnTheWire(t *testing.T) {
	if testing.Short() {
		t.Skip("copies hundreds of megabytes")
	}
	const (
		size  = 300 << 20
		lines = 1000
	)
	w := newWire(t)
	truth := t.TempDir() // what the library's files must be
	for _, name := range []string{"film", "journal"} {
		pseudoRandom(t, filepath.Join(truth, name), map[string]int64{"film": size}[name])
	}
	first := w.machine()
	first.mount(w.store)
	first.sh(`cp "$1/film" film`, truth)
	first.umount()

	second := w.machine()
	second.mount(w.store)
	film := filepath.Join(second.mnt, "film")
	// change opens a file of the mount and of the truth alike, and has the same done to both.
	change := func(t *testing.T, name string, flags int, do func(f *os.File) error) {
		t.Helper()
		for _, dir := range []string{truth, second.mnt} {
			f, err := os.OpenFile(filepath.Join(dir, name), flags, 0o644)
			if err != nil {
				t.Fatal(err)
			}
			if err := do(f); err != nil {
				t.Fatal(err)
			}
			if err := f.Close(); err != nil {
				t.Fatal(err)
			}
		}
	}
	check := func(t *testing.T, mark int, maxSent, maxReceived int64) {
		t.Helper()
		w.settle()
		sent, received := w.bytesSince(mark)
		t.Logf("%d requests, %d bytes sent, %d received", w.tap.Count()-mark, sent, received)
		if sent >= maxSent {
			t.Errorf("%d bytes were sent, want less than %d", sent, maxSent)
		}
		if received >= maxReceived {
			t.Errorf("%d bytes were fetched, want less than %d", received, maxReceived)
		}
	}
	// A third machine has the same bytes as the truth.
	compare := func(t *testing.T, names ...string) {
		t.Helper()
		second.do("flush", second.mnt)
		third := w.machine()
		third.mount(w.store, "--read-only")
		for _, name := range names {
			same(t, filepath.Join(third.mnt, name), filepath.Join(truth, name))
		}
		third.umount()
	}

	t.Run("read 4 KiB", func(t *testing.T) {
		mark := w.settle()
		f, err := os.Open(film)
		if err != nil {
			t.Fatal(err)
		}
		got, want := make([]byte, 4<<10), make([]byte, 4<<10)
		if _, err := f.ReadAt(got, size/2+12345); err != nil {
			t.Error(err)
		}
		if err := f.Close(); err != nil {
			t.Error(err)
		}
		check(t, mark, 1<<10, 1<<20)
		local, err := os.Open(filepath.Join(truth, "film"))
		if err != nil {
			t.Fatal(err)
		}
		defer local.Close()
		if _, err := local.ReadAt(want, size/2+12345); err != nil || !bytes.Equal(got, want) {
			t.Errorf("other bytes were read (%v)", err)
		}
	})

	// The cache of this machine has the block that was read above and no other.
	t.Run("edit 1 MiB", func(t *testing.T) {
		mark := w.settle()
		edit := bytes.Repeat([]byte("edited.\n"), 1<<20/8)
		change(t, "film", os.O_RDWR, func(f *os.File) error { _, err := f.WriteAt(edit, size/3+777); return err })
		check(t, mark, 4<<20, 1<<20)
		if t.Failed() {
			return
		}
		compare(t, "film")
	})

	appendLines := func(t *testing.T, name string) {
		const most = 20 << 20
		mark := w.settle()
		for i := range lines {
			change(t, name, os.O_APPEND|os.O_WRONLY|os.O_CREATE, func(f *os.File) error {
				_, err := f.WriteString("2026-02-03 04:05:06 line of the journal\n")
				return err
			})
			if i%100 == 0 {
				if sent, _ := w.bytesSince(mark); sent >= most {
					t.Fatalf("%d lines sent %d bytes", i+1, sent)
				}
			}
		}
		check(t, mark, most, most)
		compare(t, name)
	}
	t.Run("append to a large file", func(t *testing.T) { appendLines(t, "film") })
	t.Run("append to a new file", func(t *testing.T) { appendLines(t, "journal") })
	second.umount()
}
