package main

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"io"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"mediafs/fs/daemon"
	"mediafs/remote/bucket"
	"mediafs/remote/bucket/record"
	"mediafs/remote/object/dir"
)

// A forger writes commits into the log of a library in a directory that no mediafs would write.
// Everything in them is well formed as bytes.
type forger struct {
	t      *testing.T
	store  *bucket.Store
	next   uint64
	before []byte // hash of the newest commit
	writes []*record.Write
}

func forge(t *testing.T, store string) *forger {
	t.Helper()
	b, err := dir.Open(store, dir.Options{})
	if err != nil {
		t.Fatal(err)
	}
	s, err := bucket.Open(t.Context(), b, bucket.Options{})
	if err != nil {
		t.Fatal(err)
	}
	f := &forger{t: t, store: s, next: 1}
	for e, err := range s.Read(t.Context(), 1) {
		if err != nil {
			t.Fatal(err)
		}
		f.next, f.before = e.Seq+1, record.Hash(e.Body)
	}
	return f
}

func (f *forger) put(key []byte, m proto.Message) {
	b, err := proto.Marshal(m)
	if err != nil {
		f.t.Fatal(err)
	}
	f.writes = append(f.writes, &record.Write{Key: key, Value: b})
}

// file makes a node with a name at the root.
func (f *forger) file(id uint64, name string, n *record.Node) {
	if n.Mode == 0 {
		n.Mode = syscall.S_IFREG | 0o644
	}
	if n.Mtime == nil {
		n.Mtime = &record.Time{Seconds: 1e9}
	}
	f.put(record.NodeKey(id), n)
	f.name(record.Root, name, id, n.Mode)
}

func (f *forger) name(folder uint64, name string, id uint64, mode uint32) {
	f.put(record.DentryKey(folder, name), &record.Dentry{Node: id, Kind: mode >> 12})
}

// commit appends what was put.
func (f *forger) commit() {
	f.t.Helper()
	body, err := record.EncodeCommit(
		&record.Commit{Author: 77, Session: make([]byte, 16), FirstOperation: 1, LastOperation: 1,
			Previous: f.before, Time: &record.Time{Seconds: time.Now().Unix()}, Writes: f.writes},
	)
	if err == nil {
		err = f.store.Append(f.t.Context(), f.next, body)
	}
	if err != nil {
		f.t.Fatal(err)
	}
	f.next, f.before, f.writes = f.next+1, record.Hash(body), nil
}

const (
	// rings, clears the screen, colours it, turns the direction of writing
	escapes   = "\x1b]0;owned\x07\x1b[2J\x1b[31mred\u202e\x9b1m\xff"
	outsideIs = "not a byte of the library"
)

// hostileNames are names that no file has.
var hostileNames = []string{
	"..", ".", "a/b", "../escaped", "/etc/passwd", "nul\x00name", "", strings.Repeat("n", 256),
	strings.Repeat("m", 1000), ".media",
}

// forgeEverything fills a library with what a hostile store might say. outside is a file that is
// not in it.
func forgeEverything(f *forger, outside string) {
	const first = 77 << record.ClientShift
	id := func() func() uint64 {
		n := uint64(first)
		return func() uint64 { n++; return n }
	}()
	for _, name := range hostileNames {
		f.file(id(), name, &record.Node{})
		folder := id()
		f.file(folder, "in-"+strings.Map(func(r rune) rune {
			if r < 'a' {
				return '_'
			}
			return r
		}, name[:min(len(name), 100)]), &record.Node{Mode: syscall.S_IFDIR | 0o755})
		f.name(folder, name, id(), syscall.S_IFREG)
	}
	f.file(id(), escapes, &record.Node{})
	f.commit()

	// Numbers of nodes.
	for i, n := range []uint64{0, record.Root, record.ViewBit, record.ViewBit | 5, 1 << 63, 1<<63 | 1<<62 | 1, math.MaxUint64, 2, 3} {
		f.name(record.Root, "node-"+string(rune('a'+i)), n, syscall.S_IFREG)
		if n > record.Root {
			f.put(record.NodeKey(n), &record.Node{Mode: syscall.S_IFREG | 0o644, Head: &record.Head{Size: 10}})
		}
	}
	f.name(record.Root, "nowhere", 99<<record.ClientShift|1, syscall.S_IFREG)
	f.name(record.Root, "nowhere-folder", 99<<record.ClientShift|2, syscall.S_IFDIR)
	f.name(99<<record.ClientShift|2, "child-of-nowhere", id(), syscall.S_IFREG)
	// The name says a folder, the node a file, and the other way round.
	n := id()
	f.put(record.NodeKey(n), &record.Node{Mode: syscall.S_IFREG | 0o644})
	f.name(record.Root, "says-folder", n, syscall.S_IFDIR)
	n = id()
	f.put(record.NodeKey(n), &record.Node{Mode: syscall.S_IFDIR | 0o755})
	f.name(record.Root, "says-file", n, syscall.S_IFREG)
	f.commit()

	// Folders in each other, in themselves, with two parents, and the root in one of them.
	a, b, c := id(), id(), id()
	for _, n := range []uint64{a, b, c} {
		f.put(record.NodeKey(n), &record.Node{Mode: syscall.S_IFDIR | 0o777})
	}
	f.name(record.Root, "cycle", a, syscall.S_IFDIR)
	f.name(a, "b", b, syscall.S_IFDIR)
	f.name(b, "a", a, syscall.S_IFDIR)
	f.name(b, "root", record.Root, syscall.S_IFDIR)
	f.name(record.Root, "self", c, syscall.S_IFDIR)
	f.name(c, "self", c, syscall.S_IFDIR)
	// A ring that no way leads to from the root, and one name in it that does.
	d, e := id(), id()
	for _, n := range []uint64{d, e} {
		f.put(record.NodeKey(n), &record.Node{Mode: syscall.S_IFDIR | 0o777})
	}
	f.name(d, "e", e, syscall.S_IFDIR)
	f.name(e, "d", d, syscall.S_IFDIR)
	f.name(record.Root, "ring", d, syscall.S_IFDIR)
	f.commit()

	// Sizes and extents.
	content := func(tag byte, c *record.Content) []byte {
		key := append(make([]byte, 15), tag)
		f.put(record.ContentKey(key), c)
		return key
	}
	inline := content(1, &record.Content{Size: 8, Inline: []byte("inlined.")})
	short := content(2, &record.Content{Size: math.MaxUint64, Inline: []byte("x")})
	huge := content(3, &record.Content{Size: 1 << 50})
	negative := content(4, &record.Content{Size: 1 << 63})
	wrongSums := content(5, &record.Content{Size: 1 << 20, BlockSums: []byte{1, 2, 3}})
	stolen := content(
		6,
		&record.Content{Size: uint64(len(outsideIs)), External: &record.External{Key: "../" + filepath.Base(outside)}},
	)
	absolute := content(7, &record.Content{Size: uint64(len(outsideIs)), External: &record.External{Key: outside}})
	elsewhere := content(8, &record.Content{Size: 10, Location: "file:///etc"})
	sideless := content(9, &record.Content{Size: 100 << 20, SideSum: make([]byte, 32)})
	terabytes := content(10, &record.Content{Size: 5 << 40})
	many := make([]*record.Extent, 0, 1800) // as many as a record has room for
	for i := range uint64(1800) {
		many = append(many, &record.Extent{Offset: i * 8, Length: 8, Content: inline})
	}
	for name, h := range map[string]*record.Head{
		"size-2^63":      {Size: 1 << 63},
		"size-most":      {Size: math.MaxUint64},
		"size-2^62":      {Size: 1 << 62},
		"overlapping":    {Size: 16, Extents: []*record.Extent{{Offset: 0, Length: 8, Content: inline}, {Offset: 4, Length: 8, Content: inline}, {Offset: 2, Length: 4, Content: inline}}},
		"descending":     {Size: 16, Extents: []*record.Extent{{Offset: 8, Length: 8, Content: inline}, {Offset: 0, Length: 8, Content: inline}}},
		"outside-media":  {Size: 4, Extents: []*record.Extent{{Offset: 0, Length: 8, Content: inline}}},
		"outside-offset": {Size: 4, Extents: []*record.Extent{{Offset: 1 << 40, Length: 8, Content: inline}}},
		"overflowing":    {Size: math.MaxInt64, Extents: []*record.Extent{{Offset: 1, Length: math.MaxInt64, Content: inline}}},
		"wrapping":       {Size: 16, Extents: []*record.Extent{{Offset: math.MaxUint64 - 3, Length: 8, Content: inline}}},
		"in-content":     {Size: 8, Extents: []*record.Extent{{Offset: 0, Length: 8, Content: inline, ContentOffset: math.MaxInt64 - 2}}},
		"in-content-max": {Size: 8, Extents: []*record.Extent{{Offset: 0, Length: 8, Content: inline, ContentOffset: math.MaxUint64}}},
		"short":          {Size: 100, Extents: []*record.Extent{{Offset: 0, Length: 100, Content: short}}},
		"no-content":     {Size: 8, Extents: []*record.Extent{{Offset: 0, Length: 8, Content: make([]byte, 16)}}},
		"empty-id":       {Size: 8, Extents: []*record.Extent{{Offset: 0, Length: 8}}},
		"long-id":        {Size: 8, Extents: []*record.Extent{{Offset: 0, Length: 8, Content: make([]byte, 3000)}}},
		"huge":           {Size: 1 << 50, Extents: []*record.Extent{{Offset: 0, Length: 1 << 50, Content: huge}}},
		"negative":       {Size: 100, Extents: []*record.Extent{{Offset: 0, Length: 100, Content: negative}}},
		"wrong-sums":     {Size: 1 << 20, Extents: []*record.Extent{{Offset: 0, Length: 1 << 20, Content: wrongSums}}},
		"stolen":         {Size: uint64(len(outsideIs)), Extents: []*record.Extent{{Offset: 0, Length: uint64(len(outsideIs)), Content: stolen}}},
		"absolute":       {Size: uint64(len(outsideIs)), Extents: []*record.Extent{{Offset: 0, Length: uint64(len(outsideIs)), Content: absolute}}},
		"elsewhere":      {Size: 10, Extents: []*record.Extent{{Offset: 0, Length: 10, Content: elsewhere}}},
		"sideless":       {Size: 100 << 20, Extents: []*record.Extent{{Offset: 0, Length: 100 << 20, Content: sideless}}},
		"terabytes":      {Size: 5 << 40, Extents: []*record.Extent{{Offset: 0, Length: 5 << 40, Content: terabytes}}},
		"many-extents":   {Size: 8 * 1800, Extents: many},
	} {
		f.file(id(), name, &record.Node{Head: h, MediaId: binary.BigEndian.AppendUint64(make([]byte, 8), id())})
	}
	f.commit()

	// Modes, times, owners, attributes, links, devices, versions.
	for name, mode := range map[string]uint32{"mode-0": 1, "mode-whiteout": 0o160000, "mode-all": math.MaxUint32, "mode-3": 0o030644, "mode-high": 0o700100644, "fifo": syscall.S_IFIFO | 0o644} {
		f.file(id(), name, &record.Node{Mode: mode})
	}
	for name, at := range map[string]*record.Time{"time-max": {Seconds: math.MaxInt64, Nanos: math.MaxUint32}, "time-min": {Seconds: math.MinInt64, Nanos: 2e9}, "time-nanos": {Seconds: 1, Nanos: 1e9}} {
		f.file(id(), name, &record.Node{Atime: at, Mtime: at, Ctime: at, Btime: at})
	}
	f.file(id(), "owners", &record.Node{Uid: math.MaxUint32, Gid: math.MaxUint32})
	f.file(id(), "device", &record.Node{Mode: syscall.S_IFBLK | 0o666, Rdev: math.MaxUint64})
	f.file(id(), "link-empty", &record.Node{Mode: syscall.S_IFLNK | 0o777})
	f.file(id(), "link-nul", &record.Node{Mode: syscall.S_IFLNK | 0o777, Target: []byte("a\x00b")})
	f.file(id(), "link-long", &record.Node{Mode: syscall.S_IFLNK | 0o777, Target: []byte(strings.Repeat("l", 60<<10))})
	n = id()
	f.file(n, "attributes", &record.Node{MediaId: []byte("short")})
	for _, name := range []string{"", "nonamespace", "user.", "user.ok", "user.nul\x00x", "system.posix_acl_access", "security.capability", "trusted.x", "user." + escapes, strings.Repeat("x", 900)} {
		f.put(record.XattrKey(n, name), &record.Xattr{Value: []byte(escapes)})
	}
	f.put(record.XattrKey(n, "user.large"), &record.Xattr{Value: make([]byte, 60<<10)})
	f.put(
		record.VersionKey([]byte("short"), math.MaxUint64),
		&record.Version{Node: 1 << 63, Time: &record.Time{Seconds: math.MaxInt64}},
	)
	f.put(
		record.TrashKey(id()),
		&record.TrashEntry{
			Node:    record.Root,
			Parent:  1 << 63,
			Name:    []byte("../" + escapes),
			Deleted: &record.Time{Seconds: 1},
		},
	)
	f.put(
		record.TrashKey(id()),
		&record.TrashEntry{Node: 99, Name: []byte("/"), Deleted: &record.Time{Seconds: math.MinInt64}},
	)
	f.put(record.SettingKey(escapes), &record.Setting{Value: []byte(escapes)})
	f.put(record.FeatureKey(record.FeatureCompatible, escapes), &record.Feature{Note: strings.ToValidUTF8(escapes, "")})
	f.put([]byte("n"), &record.Node{}) // keys that are too short, and of a letter that nobody knows
	f.put([]byte("e\x00\x00"), &record.Dentry{})
	f.put([]byte("~unknown"), &record.Node{})
	f.commit()
}

// useEverything is what people and programs do with a folder; nothing of it may hang.
const useEverything = `
cd "$1" || exit 9
ls -la . >/dev/null 2>&1
ls -U >/dev/null 2>&1
stat -- * >/dev/null 2>&1
find . -maxdepth 6 >/dev/null 2>&1
for f in *; do
	[ -p "$f" ] && continue
	timeout 20 head -c 100 -- "$f" >/dev/null 2>&1
	timeout 20 tail -c 100 -- "$f" >/dev/null 2>&1
	timeout 20 dd if="$f" bs=4k skip=3 count=1 >/dev/null 2>&1
	readlink -- "$f" >/dev/null 2>&1
	getfattr -d -m - -- "$f" >/dev/null 2>&1
	ls -la -- "$f" >/dev/null 2>&1
done
for name in .. . a/b ../escaped; do cat -- "$name" >/dev/null 2>&1; done
# Changes.
for f in *; do
	[ -f "$f" ] || continue
	timeout 20 bash -c 'printf x | dd of="$1" bs=1 seek=3 conv=notrunc' bash "$f" >/dev/null 2>&1
	timeout 20 truncate -s 5 -- "$f" >/dev/null 2>&1
	timeout 20 chmod 600 -- "$f" >/dev/null 2>&1
	timeout 20 setfattr -n user.mine -v x -- "$f" >/dev/null 2>&1
	timeout 20 mv -- "$f" "$f.moved" >/dev/null 2>&1
done
for d in cycle self ring; do
	timeout 20 touch $d/new $d/*/new >/dev/null 2>&1
	timeout 20 mv $d/* . >/dev/null 2>&1
	timeout 20 mv $d in-a_b >/dev/null 2>&1
	timeout 20 mkdir $d/b/x $d/self/x >/dev/null 2>&1
	timeout 20 rmdir $d >/dev/null 2>&1
done
timeout 60 rm -rf -- * >/dev/null 2>&1
exit 0
`

// TestHostileStore mounts a library whose log says what it likes. Nothing crashes or hangs, nothing
// leads out of the mount, names that cannot be are not shown, and what is told to a person does
// nothing to the terminal.
func TestHostileStore(t *testing.T) {
	needs(t, "setfattr", "getfattr", "find")
	m := newMachine(t)
	store, url := m.localStore()
	m.mount(url)
	write(t, filepath.Join(m.mnt, "good"), "good bytes")
	m.umount()
	outside := filepath.Join(m.home, "outside")
	write(t, outside, outsideIs)
	f := forge(t, store)
	forgeEverything(f, outside)
	if err := f.store.Close(); err != nil {
		t.Fatal(err)
	}

	for _, second := range []bool{false, true} { // who knew the library before, and who did not
		if second {
			m.again(url)
		} else {
			m.mount(url)
		}
		pid := m.status().PID
		mustRead(t, filepath.Join(m.mnt, "good"), "good bytes")
		names, err := os.ReadDir(m.mnt)
		for _, e := range names {
			for _, bad := range append(hostileNames, "b", "escaped", "nul") {
				if e.Name() == bad || strings.ContainsAny(e.Name(), "/\x00") || len(e.Name()) > 255 {
					t.Errorf("a name %q is shown", e.Name())
				}
			}
		}
		if err != nil && !errors.Is(err, syscall.EIO) || err == nil && len(names) < 40 {
			t.Errorf("a listing of %d names, %v", len(names), err)
		}
		for _, name := range []string{"stolen", "absolute", "elsewhere"} {
			if b, err := beginning(filepath.Join(m.mnt, name)); err == nil || strings.Contains(string(b), outsideIs) {
				t.Errorf("%s: %q, %v", name, b, err)
			}
		}
		for _, name := range []string{"overlapping", "outside-media", "overflowing", "wrapping", "in-content", "in-content-max", "short", "no-content", "negative", "wrong-sums", "sideless"} {
			if b, err := beginning(filepath.Join(m.mnt, name)); err == nil && strings.Trim(string(b), "\x00") != "" {
				t.Errorf("%s: %q", name, b)
			}
		}
		if b, err := beginning(
			filepath.Join(m.mnt, "many-extents"),
		); err == nil &&
			string(b) != strings.Repeat("inlined.", 1800) {
			t.Errorf("many extents: %d bytes", len(b))
		}
		harmless(t, m, "status", m.mnt)
		harmless(t, m, "check", url)
		if s := m.status(); s.PID != pid || !s.Running {
			t.Fatalf("the daemon is not what it was: %+v", s)
		}
		m.umount()
	}
	m.again(url)
	pid := m.status().PID
	ctx, cancel := context.WithTimeout(context.Background(), commandDeadline)
	defer cancel()
	use := exec.CommandContext(ctx, "bash", "-c", useEverything, "bash", m.mnt)
	use.WaitDelay = time.Second
	if out, err := use.CombinedOutput(); err != nil {
		t.Errorf("use: %v\n%s", err, out)
	}
	if s := m.status(); s.PID != pid || !s.Running {
		t.Fatalf("the daemon is not what it was: %+v", s)
	}
	if anon := field(pid, "RssAnon:") << 10; anon > maxAnon {
		t.Errorf("%d MiB of memory", anon>>20)
	}
	mustRead(t, outside, outsideIs)
	write(t, filepath.Join(m.mnt, "after"), "works")
	mustRead(t, filepath.Join(m.mnt, "after"), "works")
	harmless(t, m, "status", m.mnt)
	if code, _, stderr := m.mediafs("umount", "--force", m.mnt); code != exitOK && code != exitPending {
		t.Errorf("umount: exit code %d, %s", code, stderr)
	}
	if !eventually(
		func() bool { return !(daemon.Mount{CatalogDir: filepath.Join(m.home, "second/catalog")}).Alive() },
	) {
		t.Error("the daemon does not end")
	}
	logs, _ := filepath.Glob(filepath.Join(m.home, ".local/state/mediafs/*.log"))
	for _, name := range logs {
		b, err := os.ReadFile(name)
		if err != nil || strings.Contains(string(b), "panic") || strings.ContainsAny(string(b), "\x1b\x07\u202e") {
			t.Errorf("%s: %v\n%s", name, err, b[max(0, len(b)-4000):])
		}
	}
}

// beginning reads some of a file, however long it claims to be.
func beginning(name string) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b := make([]byte, 64<<10)
	n, err := io.ReadFull(f, b)
	if err == io.EOF || err == io.ErrUnexpectedEOF {
		err = nil
	}
	return b[:n], err
}

// harmless fails when a command that prints something of the library prints what a terminal obeys.
func harmless(t *testing.T, m *machine, args ...string) {
	t.Helper()
	_, stdout, stderr := m.mediafs(args...)
	if text := stdout + stderr; strings.ContainsAny(text, "\x1b\x07\u202e") || strings.Contains(text, "\x9b1m") ||
		text == "" {
		t.Errorf("mediafs %v printed %q", args, text)
	}
	_, stdout, stderr = m.mediafs(append(args, "--json")...)
	if !json.Valid([]byte(stdout)) || strings.ContainsAny(stdout, "\x1b\x07") {
		t.Errorf("mediafs %v --json printed %q, %q", args, stdout, stderr)
	}
}
