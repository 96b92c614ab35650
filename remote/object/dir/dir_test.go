package dir_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"mediafs/remote"
	"mediafs/remote/object"
	"mediafs/remote/object/dir"
	"mediafs/remote/object/objecttest"
)

func open(t *testing.T, path string) *dir.Bucket {
	t.Helper()
	b, err := dir.Open(path, dir.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.Close() })
	return b
}

func put(t *testing.T, b object.Bucket, key, body string) object.Info {
	t.Helper()
	info, err := b.Put(t.Context(), key, strings.NewReader(body), int64(len(body)), object.PutOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return info
}

func read(t *testing.T, b object.Bucket, key string) string {
	t.Helper()
	r, _, err := b.Get(t.Context(), key, object.GetOptions{Length: -1})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	data, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func keys(t *testing.T, b object.Bucket) string {
	t.Helper()
	page, _, err := b.List(t.Context(), "", "", 0)
	if err != nil {
		t.Fatal(err)
	}
	var ks []string
	for _, i := range page {
		ks = append(ks, i.Key)
	}
	return strings.Join(ks, " ")
}

func want(t *testing.T, what string, err error, kind remote.Kind) {
	t.Helper()
	if !errors.Is(err, kind) {
		t.Errorf("%s: got %v, want kind %q", what, err, error(kind))
	}
}

func TestBucket(t *testing.T) {
	objecttest.Run(t, func(t *testing.T) object.Bucket { return open(t, t.TempDir()) })
}

// Two processes on one directory are two buckets with nothing in common but the disk.
func TestTwoOpeners(t *testing.T) {
	path := t.TempDir()
	bs := []*dir.Bucket{open(t, path), open(t, path)}
	for round := range 10 {
		key := fmt.Sprintf("new/%d/folder/x", round)
		won := make([]error, 16)
		var wg sync.WaitGroup
		for i := range won {
			wg.Go(func() {
				body := fmt.Sprint(i)
				_, won[i] = bs[i%2].Put(
					t.Context(), key, strings.NewReader(body), int64(len(body)), object.PutOptions{IfAbsent: true},
				)
			})
		}
		wg.Wait()
		winners := 0
		for i, err := range won {
			if err == nil {
				winners++
				if got := read(t, bs[0], key); got != fmt.Sprint(i) {
					t.Errorf("%d won, the bytes are %q", i, got)
				}
			} else {
				want(t, "loser", err, remote.Exist)
			}
		}
		if winners != 1 {
			t.Fatalf("%d winners", winners)
		}
	}
	entries, err := os.ReadDir(filepath.Join(path, ".mediafs-tmp"))
	if err != nil || len(entries) != 0 {
		t.Errorf("losers left %v, %v", entries, err)
	}
}

func TestOpen(t *testing.T) {
	path := filepath.Join(t.TempDir(), "store")
	_, err := dir.Open(path, dir.Options{})
	want(t, "missing", err, remote.NotExist)
	if err == nil || !strings.Contains(err.Error(), "make the folder") {
		t.Errorf("%v has no hint", err)
	}
	b, err := dir.Open(path, dir.Options{Create: true})
	if err != nil {
		t.Fatal(err)
	}
	put(t, b, "x", "x")
	b.Close()
	if b, err = dir.Open(path, dir.Options{Create: true}); err != nil {
		t.Fatal(err)
	}
	if got := keys(t, b); got != "x" {
		t.Errorf("after opening again: %q", got)
	}
	b.Close()
	_, err = dir.Open(filepath.Join(path, "x"), dir.Options{})
	want(t, "a file", err, remote.NotDir)
	_, err = dir.Open(filepath.Join(path, "no/parent"), dir.Options{Create: true})
	want(t, "no parent", err, remote.NotExist)
}

func TestModes(t *testing.T) {
	path := t.TempDir()
	b := open(t, path)
	put(t, b, "a/b/c", "x")
	file := filepath.Join(t.TempDir(), "spool")
	if err := os.WriteFile(file, []byte("x"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := b.PutFile(t.Context(), "a/b/d", file); err != nil {
		t.Fatal(err)
	}
	for name, mode := range map[string]os.FileMode{"a": 0o700, "a/b": 0o700, "a/b/c": 0o600, "a/b/d": 0o600, ".mediafs-tmp": 0o700} {
		fi, err := os.Stat(filepath.Join(path, name))
		if err != nil {
			t.Fatal(err)
		}
		if fi.Mode().Perm() != mode {
			t.Errorf("%s has mode %v, want %v", name, fi.Mode().Perm(), mode)
		}
	}
}

func TestStaleTemporaries(t *testing.T) {
	path := t.TempDir()
	b := open(t, path)
	id, err := b.CreateMultipart(t.Context(), "kept", "")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := b.PutPart(t.Context(), "kept", id, 1, strings.NewReader("x"), 1); err != nil {
		t.Fatal(err)
	}
	tmp := filepath.Join(path, ".mediafs-tmp")
	old := time.Now().Add(-25 * time.Hour)
	young := time.Now().Add(-23 * time.Hour)
	for name, when := range map[string]time.Time{"put-old": old, "put-young": young, "other": old, "up-empty": old, "up-new": young} {
		p := filepath.Join(tmp, name)
		if strings.HasPrefix(name, "up-") {
			err = os.Mkdir(p, 0o700)
		} else {
			err = os.WriteFile(p, nil, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(p, when, when); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chtimes(filepath.Join(tmp, "up-"+id), old, old); err != nil {
		t.Fatal(err)
	}
	b = open(t, path)
	for name, left := range map[string]bool{"put-old": false, "put-young": true, "other": true, "up-empty": false, "up-new": true, "up-" + id: true} {
		if _, err := os.Stat(filepath.Join(tmp, name)); (err == nil) != left {
			t.Errorf("%s: %v, want left: %v", name, err, left)
		}
	}
	if parts, err := b.ListParts(t.Context(), "kept", id); err != nil || len(parts) != 1 {
		t.Errorf("the old upload has %v, %v", parts, err)
	}
	if got := keys(t, b); got != "" {
		t.Errorf("listed: %q", got)
	}
}

// An upload goes on in another process.
func TestResumeInLaterProcess(t *testing.T) {
	path := t.TempDir()
	b := open(t, path)
	id, err := b.CreateMultipart(t.Context(), "a/x", "")
	if err != nil {
		t.Fatal(err)
	}
	if _, err = b.PutPart(t.Context(), "a/x", id, 1, strings.NewReader("one "), 4); err != nil {
		t.Fatal(err)
	}
	b.Close()

	b = open(t, path)
	ups, err := b.ListMultiparts(t.Context(), "a/")
	if err != nil || len(ups) != 1 || ups[0].ID != id || ups[0].Key != "a/x" {
		t.Fatalf("uploads are %+v, %v", ups, err)
	}
	if _, err := b.PutPart(t.Context(), "a/x", id, 2, strings.NewReader("two"), 3); err != nil {
		t.Fatal(err)
	}
	parts, err := b.ListParts(t.Context(), "a/x", id)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := b.CompleteMultipart(t.Context(), "a/x", id, parts); err != nil {
		t.Fatal(err)
	}
	if got := read(t, b, "a/x"); got != "one two" {
		t.Errorf("got %q", got)
	}
	if entries, _ := os.ReadDir(filepath.Join(path, ".mediafs-tmp")); len(entries) != 0 {
		t.Errorf("left: %v", entries)
	}
}

func TestPrivateFolder(t *testing.T) {
	b := open(t, t.TempDir())
	for _, key := range []string{".mediafs-tmp", ".mediafs-tmp/x"} {
		_, err := b.Put(t.Context(), key, strings.NewReader("x"), 1, object.PutOptions{})
		want(t, key, err, remote.Invalid)
	}
	put(t, b, ".mediafs-tmp2", "an object like any other")
	put(t, b, "a/.mediafs-tmp/x", "and this")
	if got := keys(t, b); got != ".mediafs-tmp2 a/.mediafs-tmp/x" {
		t.Errorf("listed: %q", got)
	}
}

// Links never lead out of the root, neither for reading nor for writing nor for deleting.
func TestLinksStayInside(t *testing.T) {
	outside := t.TempDir()
	secret := filepath.Join(outside, "secret")
	if err := os.WriteFile(secret, []byte("secret"), 0o600); err != nil {
		t.Fatal(err)
	}
	path := t.TempDir()
	b := open(t, path)
	put(t, b, "x", "x")
	for name, target := range map[string]string{"file": secret, "folder": outside, "up": "../" + filepath.Base(outside)} {
		if err := os.Symlink(target, filepath.Join(path, name)); err != nil {
			t.Fatal(err)
		}
	}
	for _, key := range []string{"file", "folder/secret", "up/secret"} {
		if r, _, err := b.Get(t.Context(), key, object.GetOptions{Length: -1}); err == nil {
			r.Close()
			t.Errorf("get %s leads out", key)
		}
		if _, err := b.Head(t.Context(), key); err == nil {
			t.Errorf("head %s leads out", key)
		}
		b.Put(t.Context(), key, strings.NewReader("changed"), 7, object.PutOptions{})
		b.Delete(t.Context(), key)
	}
	if data, err := os.ReadFile(secret); err != nil || string(data) != "secret" {
		t.Errorf("outside is now %q, %v", data, err)
	}
	if entries, _ := os.ReadDir(outside); len(entries) != 1 {
		t.Errorf("outside has %v", entries)
	}
	if got := keys(t, b); got != "x" {
		t.Errorf("listed: %q", got)
	}
}

// What is no file is no object, and nobody waits for a fifo.
func TestOtherFiles(t *testing.T) {
	path := t.TempDir()
	b := open(t, path)
	put(t, b, "folder/x", "x")
	if err := unix.Mkfifo(filepath.Join(path, "fifo"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, key := range []string{"fifo", "folder"} {
		_, err := b.Head(t.Context(), key)
		want(t, "head "+key, err, remote.NotExist)
		_, _, err = b.Get(t.Context(), key, object.GetOptions{Length: -1})
		want(t, "get "+key, err, remote.NotExist)
	}
	if got := keys(t, b); got != "folder/x" {
		t.Errorf("listed: %q", got)
	}
	_, err := b.Put(t.Context(), "folder", strings.NewReader("x"), 1, object.PutOptions{})
	want(t, "put over a folder", err, remote.Invalid)
	_, err = b.Put(t.Context(), "folder/x/y", strings.NewReader("x"), 1, object.PutOptions{})
	want(t, "put below an object", err, remote.Invalid)
	if _, err := b.Head(t.Context(), "fifo/x"); !errors.Is(err, remote.NotExist) {
		t.Errorf("head below a fifo: %v", err)
	}
	if err := b.Delete(t.Context(), "fifo/x"); err != nil {
		t.Errorf("delete below a fifo: %v", err)
	}
}

// A directory that was removed has not said that its objects do not exist.
func TestRootRemoved(t *testing.T) {
	path := filepath.Join(t.TempDir(), "store")
	b, err := dir.Open(path, dir.Options{Create: true})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	put(t, b, "log/1", "x")
	if err := os.RemoveAll(path); err != nil {
		t.Fatal(err)
	}
	_, err = b.Head(t.Context(), "log/1")
	want(t, "head", err, remote.Unavailable)
	_, _, err = b.List(t.Context(), "log/", "", 0)
	want(t, "list", err, remote.Unavailable)
	_, err = b.Put(t.Context(), "log/2", strings.NewReader("x"), 1, object.PutOptions{IfAbsent: true})
	want(t, "put", err, remote.Unavailable)
	want(t, "delete", b.Delete(t.Context(), "log/1"), remote.Unavailable)
}

// A folder that somebody removed is made again.
func TestFolderRemoved(t *testing.T) {
	path := t.TempDir()
	b := open(t, path)
	put(t, b, "a/b/1", "x")
	for _, gone := range []string{"a", ".mediafs-tmp"} {
		if err := os.RemoveAll(filepath.Join(path, gone)); err != nil {
			t.Fatal(err)
		}
		put(t, b, "a/b/2", "y")
		if got := read(t, b, "a/b/2"); got != "y" {
			t.Errorf("got %q", got)
		}
	}
}

// A file that is cut while it is read is an error, not a short object; one that is written into has
// another etag.
func TestChangedInPlace(t *testing.T) {
	path := t.TempDir()
	b := open(t, path)
	before := put(t, b, "x", strings.Repeat("x", 100_000))
	r, _, err := b.Get(t.Context(), "x", object.GetOptions{Length: -1})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if err := os.Truncate(filepath.Join(path, "x"), 10); err != nil {
		t.Fatal(err)
	}
	_, err = io.Copy(io.Discard, r)
	want(t, "read", err, remote.Unavailable)
	put(t, b, "y", "12345")
	f, err := os.OpenFile(filepath.Join(path, "y"), os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	before, err = b.Head(t.Context(), "y")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteString("54321"); err != nil {
		t.Fatal(err)
	}
	_, _, err = b.Get(t.Context(), "y", object.GetOptions{Length: -1, IfMatch: before.ETag})
	want(t, "get of what was written into", err, remote.Stale)
}

func TestPutFile(t *testing.T) {
	path, spool := t.TempDir(), t.TempDir()
	b := open(t, path)
	file := filepath.Join(spool, "file")
	if err := os.WriteFile(file, []byte("spooled"), 0o600); err != nil {
		t.Fatal(err)
	}
	old := time.Now().Add(-72 * time.Hour).Truncate(time.Second)
	if err := os.Chtimes(file, old, old); err != nil {
		t.Fatal(err)
	}
	reader, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()

	put(t, b, "taken", "x")
	_, err = b.PutFile(t.Context(), "taken", file)
	want(t, "taken key", err, remote.Exist)
	if fi, err := os.Stat(file); err != nil || !fi.ModTime().Equal(old) {
		t.Fatalf("a refused file is not as it was: %v, %v", fi, err)
	}
	info, err := b.PutFile(t.Context(), "content/ab/x", file)
	if err != nil {
		t.Fatal(err)
	}
	if head, err := b.Head(t.Context(), "content/ab/x"); err != nil || head.ETag != info.ETag || info.Size != 7 ||
		time.Since(head.Modified) > time.Hour {
		t.Errorf("move says %+v, head %+v, %v", info, head, err)
	}
	if got := read(t, b, "content/ab/x"); got != "spooled" {
		t.Errorf("got %q", got)
	}
	if _, err := os.Stat(file); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the file is still in its old place: %v", err)
	}
	if data, err := io.ReadAll(reader); err != nil || string(data) != "spooled" {
		t.Errorf("who had it open reads %q, %v", data, err)
	}
	_, err = b.PutFile(t.Context(), "content/ab/y", file)
	want(t, "missing file", err, remote.Other) // NotExist is about objects
	_, err = b.PutFile(t.Context(), "content/ab/y", spool)
	want(t, "a folder", err, remote.Invalid)
}

func TestPutFileFromOtherFileSystem(t *testing.T) {
	shm, err := os.MkdirTemp("/dev/shm", "dir-test")
	if err != nil {
		t.Skipf("no second file system: %v", err)
	}
	defer os.RemoveAll(shm)
	path := t.TempDir()
	var one, two unix.Stat_t
	if err := errors.Join(unix.Stat(shm, &one), unix.Stat(path, &two)); err != nil {
		t.Fatal(err)
	}
	if one.Dev == two.Dev {
		t.Skip("no second file system: the temporary folder is on the same one as /dev/shm")
	}
	file := filepath.Join(shm, "file")
	if err := os.WriteFile(file, []byte("x"), 0o640); err != nil {
		t.Fatal(err)
	}
	b := open(t, path)
	_, err = b.PutFile(t.Context(), "x", file)
	want(t, "other file system", err, remote.Unsupported)
	if fi, err := os.Stat(file); err != nil || fi.Mode().Perm() != 0o640 {
		t.Errorf("the file was touched: %v, %v", fi, err)
	}
}

// A full disk is NoSpace, leaves no object, and what was there stays.
func TestFullDisk(t *testing.T) {
	path := t.TempDir()
	if err := unix.Mount("none", path, "tmpfs", 0, "size=1m"); err != nil {
		t.Skipf("mounting a small file system needs root: %v", err)
	}
	defer unix.Unmount(path, unix.MNT_DETACH)
	b := open(t, path)
	put(t, b, "small", "x")
	large := bytes.Repeat([]byte("x"), 2<<20)
	_, err := b.Put(t.Context(), "large", bytes.NewReader(large), int64(len(large)), object.PutOptions{})
	want(t, "put", err, remote.NoSpace)
	id, err := b.CreateMultipart(t.Context(), "up", "")
	if err != nil {
		t.Fatal(err)
	}
	_, err = b.PutPart(t.Context(), "up", id, 1, bytes.NewReader(large), int64(len(large)))
	want(t, "put part", err, remote.NoSpace)
	if got := keys(t, b); got != "small" {
		t.Errorf("listed: %q", got)
	}
	f := b.Facts()
	if f.Capacity != 1<<20 || f.Free <= 0 || f.Free >= f.Capacity {
		t.Errorf("facts: %+v", f)
	}
	put(t, b, "second", strings.Repeat("y", 100_000))
	if g := b.Facts(); g.Free > f.Free-100_000 {
		t.Errorf("free space is not read anew: %d, then %d", f.Free, g.Free)
	}
	b.Close()
}

func TestReadOnlyDisk(t *testing.T) {
	path := t.TempDir()
	if err := unix.Mount("none", path, "tmpfs", 0, ""); err != nil {
		t.Skipf("mounting needs root: %v", err)
	}
	defer unix.Unmount(path, unix.MNT_DETACH)
	b := open(t, path)
	put(t, b, "x", "x")
	b.Close()
	if err := unix.Mount("none", path, "tmpfs", unix.MS_REMOUNT|unix.MS_RDONLY, ""); err != nil {
		t.Fatal(err)
	}
	b = open(t, path)
	if got := read(t, b, "x"); got != "x" {
		t.Errorf("got %q", got)
	}
	_, err := b.Put(t.Context(), "y", strings.NewReader("y"), 1, object.PutOptions{})
	want(t, "put", err, remote.ReadOnly)
	want(t, "delete", b.Delete(t.Context(), "x"), remote.ReadOnly)
	b.Close()
}

// A page opens no folder that cannot have one of its keys.
func TestListReadsFewFolders(t *testing.T) {
	path := t.TempDir()
	b := open(t, path)
	for i := range 20 {
		put(t, b, fmt.Sprintf("content/%02d/x", i), "x")
	}
	put(t, b, "log/0/1", "x")
	watch, err := unix.InotifyInit1(unix.IN_NONBLOCK)
	if err != nil {
		t.Skipf("opens cannot be watched: %v", err)
	}
	defer unix.Close(watch)
	names := map[int32]string{}
	for _, pattern := range []string{"content", "content/*", "log", "log/0"} {
		found, err := filepath.Glob(filepath.Join(path, pattern))
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range found {
			wd, err := unix.InotifyAddWatch(watch, f, unix.IN_OPEN|unix.IN_ONLYDIR)
			if err != nil {
				t.Skipf("opens cannot be watched: %v", err)
			}
			names[int32(wd)], _ = filepath.Rel(path, f)
		}
	}
	opened := func() map[string]bool {
		seen := map[string]bool{}
		buf := make([]byte, 64<<10)
		n, _ := unix.Read(watch, buf)
		for at := 0; at+unix.SizeofInotifyEvent <= n; {
			wd := int32(binary.NativeEndian.Uint32(buf[at:]))
			length := int(binary.NativeEndian.Uint32(buf[at+12:]))
			seen[names[wd]] = true
			at += unix.SizeofInotifyEvent + length
		}
		return seen
	}
	for _, c := range []struct {
		prefix, after, allowed string
		max, keys              int
	}{
		{"content/", "content/06/x", "content content/06 content/07 content/08", 1, 1},
		{"content/06/", "", "content content/06", 0, 1},
		{"", "content/19/x", "content content/19 log log/0", 0, 1},
		{"log/", "", "log log/0", 0, 1},
	} {
		opened()
		page, _, err := b.List(t.Context(), c.prefix, c.after, c.max)
		if err != nil || len(page) != c.keys {
			t.Errorf("list %q after %q: %v, %v", c.prefix, c.after, page, err)
		}
		for name := range opened() {
			if !slices.Contains(strings.Fields(c.allowed), name) {
				t.Errorf("list %q after %q opened %s", c.prefix, c.after, name)
			}
		}
	}
}
