package engine_test

import (
	"bytes"
	"context"
	"crypto/md5"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"mediafs/cache/block"
	"mediafs/cache/catalog"
	"mediafs/fs/check"
	"mediafs/fs/vfs"
	"mediafs/fs/vfs/engine"
	"mediafs/remote"
	"mediafs/remote/bucket"
	"mediafs/remote/bucket/record"
	"mediafs/remote/object"
	"mediafs/remote/object/dir"
)

// goldenDir has the golden trees: for each a library as it lies in a directory, and tree.txt, which
// says what is in it.
const goldenDir = "../../../testdata/format0"

// makeGolden is the variable that has the golden trees made anew when it is "format0".
const makeGolden = "MEDIAFS_MAKE_GOLDEN"

var goldenTrees = []struct {
	name    string
	furnish func(m *maker)
	found   map[check.Class]int // by the checker
}{
	{"whole", furnishWhole, map[check.Class]int{}},
	// The checker misses the 10,000 commits that trimming leaves: a tree of that many files would
	// be no use.
	{
		"trimmed",
		furnishTrimmed,
		map[check.Class]int{
			check.UnknownRecord: len(unknownKeys),
			check.UnknownCoding: 3,
			check.ForeignObject: 1,
			check.LogGap:        1,
		},
	},
}

// Libraries that earlier versions wrote read as they did, and what is not known in them is passed
// on.
func TestGoldenTrees(t *testing.T) {
	for _, tree := range goldenTrees {
		t.Run(tree.name, func(t *testing.T) {
			if os.Getenv(makeGolden) == "format0" {
				makeTree(t, tree.name, tree.furnish)
				m, err := mountTree(t, copyTree(t, tree.name), nil, readOnly)
				if err != nil {
					t.Fatal(err)
				}
				defer m.shut()
				if err := os.WriteFile(textOf(tree.name), []byte(treePage(t, m)+logPage(t, m)), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(textOf(tree.name))
			if err != nil {
				t.Fatal(err)
			}
			t.Run("read-only", func(t *testing.T) { readGolden(t, tree.name, string(want)) })
			t.Run("read-write", func(t *testing.T) { changeGolden(t, tree.name, string(want)) })
			t.Run("check", func(t *testing.T) { checkGolden(t, tree.name, tree.found) })
		})
	}
}

func textOf(name string) string { return filepath.Join(goldenDir, name, "tree.txt") }

// readGolden mounts a tree without the right to write and finds what its text says. Nothing is
// written.
func readGolden(t *testing.T, name, want string) {
	lib := copyTree(t, name)
	before := everyFile(t, lib)
	m, err := mountTree(t, lib, nil, readOnly)
	if err != nil {
		t.Fatal(err)
	}
	if got := treePage(t, m) + logPage(t, m); got != want {
		t.Errorf("the library does not hold what tree.txt says: %s", firstDifference(got, want))
	}
	if err := m.shut(); err != nil {
		t.Fatal(err)
	}
	if diff := compareFiles(before, everyFile(t, lib)); diff != "" {
		t.Errorf("a read-only mount changed the store: %s", diff)
	}
}

// changeGolden mounts a tree, finds the same, changes every node that has a name and writes a
// checkpoint. A machine that begins with that has all records, byte for byte, also those that no
// program of today knows.
func changeGolden(t *testing.T, name, want string) {
	lib := copyTree(t, name)
	now := time.Date(2024, 3, 2, 9, 0, 0, 0, time.UTC) // the time of versions is not over yet
	a, err := mountTree(t, lib, nil, func(o *engine.Options) { o.Now = func() time.Time { return now } })
	if err != nil {
		t.Fatal(err)
	}
	if got := treePage(t, a); !strings.HasPrefix(want, got) {
		t.Errorf("the library does not hold what tree.txt says: %s", firstDifference(got, want))
	}
	log := logPage(t, a)
	for line := range strings.Lines(want[strings.Index(want, "\nclient 1:"):]) {
		if !strings.Contains(log, line) {
			t.Errorf("joining the library has changed its log: there is no more %s", line)
		}
	}
	before, foreign := unknownOf(t, a)
	if has := name == "trimmed"; has != (len(before) > 0) || has != (len(foreign) > 0) {
		t.Fatalf("%d records with unknown fields and %d unknown records", len(before), len(foreign))
	}
	s := a.with(t)
	s.touchAll(vfs.Root)
	if name == "trimmed" {
		s.rename(laterName, "moved")
		s.attribute(s.stat("moved").ID, "user.another", "x")
		s.edit(s.stat("moved").ID, 0, func(f vfs.File) { s.put(f, "edited", 0) })
	}
	s.ok(a.Checkpoint(bg))
	seq := a.Status().Catalog.Applied
	page, all := treePage(t, a), recordsOf(t, a)
	s.ok(a.shut())

	b, err := mountTree(t, lib, nil, readOnly)
	if err != nil {
		t.Fatal(err)
	}
	defer b.shut()
	if c, err := b.store.OpenCheckpoint(bg); err != nil || c.Seq() != seq {
		t.Fatalf("the newest checkpoint is %v, %v; want that after commit %d", c, err, seq)
	}
	if got := treePage(t, b); got != page {
		t.Errorf("another machine finds another library: %s", firstDifference(got, page))
	}
	got := recordsOf(t, b)
	for _, k := range sortedKeys(all) {
		if v, ok := got[k]; !ok || !bytes.Equal(v, all[k]) {
			t.Errorf("record %q has come through the checkpoint as %q, was %q", k, v, all[k])
		}
	}
	if len(got) != len(all) {
		t.Errorf("%d records have come through the checkpoint, there were %d", len(got), len(all))
	}
	after, foreignAfter := unknownOf(t, b)
	if !maps.Equal(foreign, foreignAfter) {
		t.Errorf("unknown records were %q and are %q", foreign, foreignAfter)
	}
	for at, fields := range before {
		if now := moved(at); after[now] != fields {
			t.Errorf("unknown fields in %s were %s; %s has %q", at, fields, now, after[now])
		}
	}
}

// moved tells where changeGolden puts what is in a record: the name changes, and the head becomes a
// version.
func moved(at string) string {
	name := fmt.Sprintf("%c %+q", record.KeyDentry, record.DentryKey(record.Root, laterName)[1:])
	node := fmt.Sprintf("%c %+q", record.KeyNode, record.NodeKey(2<<record.ClientShift + 10)[1:])
	media := md5.Sum([]byte("media " + laterName))
	version := fmt.Sprintf("%c %+q", record.KeyVersion, record.VersionKey(media[:], 2)[1:])
	at = strings.Replace(
		at, name, fmt.Sprintf("%c %+q", record.KeyDentry, record.DentryKey(record.Root, "moved")[1:]), 1,
	)
	return strings.Replace(at, node+" head", version+" head", 1)
}

// unknownOf gives the fields and records of a library that no program of today knows.
func unknownOf(t *testing.T, m *machine) (fields, records map[string]string) {
	t.Helper()
	records = map[string]string{}
	m.with(t).ok(m.View(func(tx *catalog.Tx) error {
		fields = unknownFields(tx)
		for k, v := range tx.Records(nil) {
			if isUnknown(k) {
				records[string(k)] = string(v)
			}
		}
		return tx.Err()
	}))
	return fields, records
}

// touchAll changes the mode of everything below a folder, and of itself.
func (s steps) touchAll(folder vfs.ID) {
	s.t.Helper()
	p := &page{t: s.t, m: s.machine}
	for _, n := range p.names(folder) {
		a, err := s.Lookup(bg, folder, n)
		s.ok(err)
		if a.Mode&0o170000 == 0o040000 {
			s.touchAll(a.ID)
		} else {
			mode := a.Mode ^ 0o001
			s.set(a.ID, vfs.AttrChange{Mode: &mode})
		}
		s.let(a)
	}
	mode := uint32(0o711)
	s.set(folder, vfs.AttrChange{Mode: &mode})
}

// checkGolden asks the checker, which reads every byte, whether a tree is whole.
func checkGolden(t *testing.T, name string, want map[check.Class]int) {
	store, err := bucket.Open(bg, openTree(t, copyTree(t, name), nil), bucket.Options{ReadOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	r, err := check.Check(bg, check.Options{Store: store, Data: true, TempDir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	found := map[check.Class]int{}
	for _, f := range r.Findings {
		found[f.Class]++
		if f.Class.Damage() && f.Class != check.LogGap {
			t.Errorf("%+v", f)
		}
	}
	if !maps.Equal(found, want) {
		t.Errorf("found %v, want %v", found, want)
	}
}

// A golden tree in which something is broken says what, and takes no writes.
func TestDamagedGoldenTrees(t *testing.T) {
	for _, c := range []struct {
		what   string
		tree   string
		damage func(c copied) (key string)
		kind   remote.Kind // Other: any
		// the media in the root that cannot be read, by a mount that can; empty: the library cannot
		// be opened
		read  string
		opens bool // it can all the same, as it was before
	}{
		{what: "commit altered", tree: "whole", kind: remote.Corrupt, opens: true,
			damage: func(c copied) string { return c.flip("log/0/00000000000000000005", 80) }},
		{what: "newest commit altered", tree: "trimmed", kind: remote.Corrupt, opens: true,
			damage: func(c copied) string { return c.flip(c.last("log/0/????????????????????"), -1) }},
		{what: "commit missing", tree: "whole", kind: remote.Corrupt, opens: true,
			damage: func(c copied) string { return c.remove("log/0/00000000000000000007") }},
		{what: "first commit missing", tree: "whole", kind: remote.Corrupt,
			damage: func(c copied) string { return c.remove("log/0/00000000000000000001") }},
		{what: "commit of the checkpoint missing", tree: "trimmed", kind: remote.Corrupt, opens: true,
			damage: func(c copied) string {
				return c.remove("log/0/" + filepath.Base(c.last("checkpoint/manifest/*")))
			}},
		{what: "commit of another number", tree: "whole", kind: remote.Corrupt, opens: true,
			damage: func(c copied) string {
				c.write("log/0/00000000000000000005", c.load("log/0/00000000000000000006"))
				return "log/0/00000000000000000005"
			}},
		// the log after the one before it is trimmed
		{what: "manifest altered", tree: "trimmed", kind: remote.Corrupt, opens: true,
			damage: func(c copied) string { return c.flip(c.last("checkpoint/manifest/*"), 100) }},
		{what: "part altered", tree: "trimmed", kind: remote.Corrupt,
			damage: func(c copied) string { return c.flip(c.part(), 100) }},
		{what: "part cut", tree: "trimmed", kind: remote.Corrupt,
			damage: func(c copied) string {
				k := c.part()
				c.write(k, c.load(k)[:70])
				return k
			}},
		{what: "part missing", tree: "trimmed", kind: remote.Corrupt,
			damage: func(c copied) string { return c.remove(c.part()) }},
		{what: "format.json altered", tree: "whole", kind: remote.Corrupt,
			damage: func(c copied) string { return c.flip("format.json", 60) }},
		{what: "format.json missing", tree: "trimmed", kind: remote.Corrupt,
			damage: func(c copied) string { return c.remove("format.json") }},
		{what: "checksums altered", tree: "trimmed", kind: remote.Corrupt, read: "summed.txt",
			damage: func(c copied) string { return c.flip(c.last("content/*/*.sum"), -1) }},
		{what: "checksums missing", tree: "trimmed", kind: remote.Corrupt, read: "summed.txt",
			damage: func(c copied) string { return c.remove(c.last("content/*/*.sum")) }},
		{what: "content altered", tree: "trimmed", kind: remote.Corrupt, read: "summed.txt",
			damage: func(c copied) string {
				return filepath.Base(c.flip(strings.TrimSuffix(c.last("content/*/*.sum"), ".sum"), 3))
			}},
		{what: "content missing", tree: "trimmed", kind: remote.Corrupt, read: "summed.txt",
			damage: func(c copied) string {
				return filepath.Base(c.remove(strings.TrimSuffix(c.last("content/*/*.sum"), ".sum")))
			}},
		{what: "imported object edited", tree: "trimmed", kind: remote.Stale, read: "imported.txt",
			damage: func(c copied) string { return c.flip(scanKey, 0) }},
	} {
		t.Run(c.what, func(t *testing.T) {
			lib := copyTree(t, c.tree)
			key := c.damage(copied{t, lib})
			before := everyFile(t, lib)
			if c.read == "" {
				m, err := mountTree(t, lib, nil)
				switch {
				case err == nil && !c.opens:
					m.shut()
					t.Fatal("it was opened")
				case c.opens && err != nil:
					t.Fatal(err)
				case c.opens:
					b := m.Status().Catalog.Blocked
					_, err = m.Mkdir(bg, me, vfs.Root, "new", 0o755)
					m.shut()
					if b == nil || !strings.Contains(b.Why, key) {
						t.Fatalf("blocked by %+v", b)
					}
					c.kind = remote.ReadOnly
				}
				expect(t, err, c.kind, key)
				if diff := compareFiles(before, everyFile(t, lib)); diff != "" {
					t.Errorf("what cannot be opened was written to: %s", diff)
				}
				return
			}
			m, err := mountTree(t, lib, nil, readOnly)
			if err != nil {
				t.Fatal(err)
			}
			defer m.shut()
			s := m.with(t)
			f, err := s.Open(bg, me, s.stat(c.read).ID, uint32(os.O_RDONLY))
			s.ok(err)
			defer f.Release()
			_, _, err = digest(f)
			expect(t, err, c.kind, key)
			if got := s.read("after the checkpoint"); got != "in the log alone\n" {
				t.Errorf("another media reads %q", got)
			}
		})
	}
}

// expect fails unless err is of that kind (Other: of any) and names what is broken.
func expect(t *testing.T, err error, kind remote.Kind, key string) {
	t.Helper()
	if kind != remote.Other && remote.KindOf(err) != kind || !strings.Contains(err.Error(), key) {
		t.Errorf("the error is %v (%v); want %v that names %s", err, remote.KindOf(err), kind, key)
	}
}

// copied is the copy of a golden tree that is broken on purpose.
type copied struct {
	t   *testing.T
	dir string
}

func (c copied) load(key string) []byte {
	c.t.Helper()
	b, err := os.ReadFile(filepath.Join(c.dir, key))
	if err != nil {
		c.t.Fatal(err)
	}
	return b
}

func (c copied) write(key string, b []byte) {
	c.t.Helper()
	if err := os.WriteFile(filepath.Join(c.dir, key), b, 0o600); err != nil {
		c.t.Fatal(err)
	}
}

// flip changes one bit of an object; -1 is its last byte.
func (c copied) flip(key string, at int) string {
	c.t.Helper()
	b := c.load(key)
	b[(at+len(b))%len(b)] ^= 1
	c.write(key, b)
	return key
}

func (c copied) remove(key string) string {
	c.t.Helper()
	if err := os.Remove(filepath.Join(c.dir, key)); err != nil {
		c.t.Fatal(err)
	}
	return key
}

// last is the greatest key that a pattern matches.
func (c copied) last(pattern string) string {
	c.t.Helper()
	names, err := filepath.Glob(filepath.Join(c.dir, pattern))
	if err != nil || len(names) == 0 {
		c.t.Fatalf("no object %s: %v", pattern, err)
	}
	key, err := filepath.Rel(c.dir, slices.Max(names))
	if err != nil {
		c.t.Fatal(err)
	}
	return key
}

// part is the second part of the newest checkpoint.
func (c copied) part() string {
	c.t.Helper()
	var m struct {
		Parts []struct {
			Key string `json:"key"`
		} `json:"parts"`
	}
	if err := json.Unmarshal(c.load(c.last("checkpoint/manifest/*"))[64:], &m); err != nil || len(m.Parts) < 2 {
		c.t.Fatalf("a manifest of %d parts: %v", len(m.Parts), err)
	}
	return m.Parts[1].Key
}

// copyTree copies a golden tree, and makes all of its objects old: nobody reads such a tree in the
// week that it was made.
func copyTree(t *testing.T, name string) string {
	t.Helper()
	lib := filepath.Join(t.TempDir(), "library")
	if err := os.CopyFS(lib, os.DirFS(filepath.Join(goldenDir, name, "library"))); err != nil {
		t.Fatal(err)
	}
	old := time.Date(2024, 5, 1, 0, 0, 0, 0, time.UTC)
	for key := range everyFile(t, lib) {
		if err := os.Chtimes(filepath.Join(lib, key), old, old); err != nil {
			t.Fatal(err)
		}
	}
	return lib
}

// everyFile is all that lies in a directory: mode and time, and of files the bytes.
func everyFile(t *testing.T, lib string) map[string]string {
	t.Helper()
	all := map[string]string{}
	err := filepath.WalkDir(lib, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		st, err := d.Info()
		if err != nil {
			return err
		}
		about := fmt.Sprint(st.Mode(), st.ModTime().UTC())
		if !d.IsDir() {
			b, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			about += fmt.Sprintf(" %x", md5.Sum(b))
		}
		key, err := filepath.Rel(lib, path)
		all[key] = about
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// compareFiles tells of one difference.
func compareFiles(before, after map[string]string) string {
	for _, k := range sortedKeys(after) {
		if before[k] != after[k] {
			return fmt.Sprintf("%s was %q and is %q", k, before[k], after[k])
		}
	}
	for _, k := range sortedKeys(before) {
		if _, ok := after[k]; !ok {
			return k + " is gone"
		}
	}
	return ""
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

func readOnly(o *engine.Options) { o.ReadOnly = true }

// openTree opens the directory that a library is in, which it makes when it is missing; now is the
// store's clock, nil the true one.
func openTree(t testing.TB, lib string, now func() time.Time) object.Bucket {
	t.Helper()
	b, err := dir.Open(lib, dir.Options{Create: true, Now: now})
	if err != nil {
		t.Fatal(err)
	}
	return imported{b}
}

// mountTree mounts the library in a directory as a new machine.
func mountTree(t testing.TB, lib string, now func() time.Time, change ...func(*engine.Options)) (*machine, error) {
	t.Helper()
	b, own := openTree(t, lib, now), t.TempDir()
	opt := engine.Options{
		Catalog: catalog.Options{
			Dir:           filepath.Join(own, "catalog"),
			Machine:       []byte(own),
			PollInterval:  time.Hour,
			RetryInterval: time.Millisecond,
		},
		Cache:    block.Options{Dir: filepath.Join(own, "cache")},
		SpoolDir: filepath.Join(own, "spool"),
		Host:     "testhost",
		Now:      now,
	}
	for _, c := range change {
		c(&opt)
	}
	store, err := bucket.Open(
		bg,
		b,
		bucket.Options{
			ReadOnly:   opt.ReadOnly,
			PartSize:   1 << 10,
			FirstPause: time.Millisecond,
			MaxPause:   2 * time.Millisecond,
		},
	)
	if err != nil {
		return nil, errors.Join(err, b.Close())
	}
	opt.Store = store
	f, err := engine.Open(bg, opt)
	if err != nil {
		return nil, errors.Join(err, store.Close())
	}
	return &machine{f, store}, nil
}

// shut unmounts it and closes its store.
func (m *machine) shut() error { return errors.Join(m.Close(), m.store.Close()) }

// imported is a directory whose imported objects have etags as S3 makes them, of their bytes. A
// directory's own are made of inode and time, which no copy of it keeps.
type imported struct{ object.Bucket }

func (b imported) Put(
	ctx context.Context, key string, body io.ReadSeeker, size int64, opt object.PutOptions,
) (object.Info, error) {
	i, err := b.Bucket.Put(ctx, key, body, size, opt)
	return b.named(ctx, i, err)
}

func (b imported) Head(ctx context.Context, key string) (object.Info, error) {
	i, err := b.Bucket.Head(ctx, key)
	return b.named(ctx, i, err)
}

func (b imported) Get(ctx context.Context, key string, opt object.GetOptions) (io.ReadCloser, object.Info, error) {
	if key == scanKey && opt.IfMatch != "" {
		switch i, err := b.Head(ctx, key); {
		case err != nil:
			return nil, i, err
		case i.ETag != opt.IfMatch:
			return nil, i, remote.E(
				"get object", key, remote.Stale, fmt.Errorf("its etag is %s, not %s", i.ETag, opt.IfMatch),
			)
		}
		opt.IfMatch = ""
	}
	return b.Bucket.Get(ctx, key, opt)
}

func (b imported) named(ctx context.Context, i object.Info, err error) (object.Info, error) {
	if err != nil || i.Key != scanKey {
		return i, err
	}
	r, _, err := b.Bucket.Get(ctx, i.Key, object.GetOptions{Length: -1})
	if err != nil {
		return i, err
	}
	defer r.Close()
	h := md5.New()
	_, err = io.Copy(h, r)
	i.ETag = hex.EncodeToString(h.Sum(nil))
	return i, err
}
