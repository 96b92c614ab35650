package engine_test

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"testing"
	"time"

	"mediafs/fs/vfs"
	"mediafs/fs/vfs/engine"
	"mediafs/remote/object/dir"
	"mediafs/remote/object/mem"
	"mediafs/remote/storetest"
)

// Bytes of an earlier mount that are to become a version, and a new edit of the same media: the
// next mount finds two spool files of one node and drops none.
func TestTwoSpoolFilesOfOneNode(t *testing.T) {
	b, d := mem.New(mem.Options{}), t.TempDir()
	machine := func(o *engine.Options) { o.Background, o.Catalog.Machine = true, []byte(d) }
	made(t, b, "f", "first")
	bad := storetest.New(b)
	noContent := storetest.Fault{Op: storetest.Put, Prefix: "content/", Times: -1}
	bad.Fail(noContent)
	s := openMachine(t, bad, d, machine).with(t)
	s.write("f", "edited on the train") // confirmed
	s.ok(s.Close())
	o := openMachine(t, b, t.TempDir()).with(t)
	o.write("f", "edited at home")
	o.ok(o.Close())
	bad = storetest.New(b)
	bad.Fail(noContent)
	s = openMachine(t, bad, d, machine).with(t)
	s.write("f", "edited once more") // confirmed as well
	s.ok(s.Close())
	s = openMachine(t, b, d, machine).with(t)
	defer s.Close()
	s.ok(s.Flush(bg))
	_, n := s.node("f")
	all := append(s.kept(b, n.MediaId), s.read("f"))
	if !slices.Contains(all, "edited on the train") {
		t.Errorf("bytes that a close confirmed are nowhere: head and versions are %q", all)
	}
}

// A truncation that fails leaves the bytes that no head has.
func TestFailedTruncationOfUnsentBytes(t *testing.T) {
	b, err := dir.Open(t.TempDir(), dir.Options{Create: true})
	if err != nil {
		t.Fatal(err)
	}
	bad := storetest.New(b)
	s := openMachine(t, bad, t.TempDir(), func(o *engine.Options) { o.UploadTimeout = 300 * time.Millisecond }).with(t)
	defer s.Close()
	want := noise(1, 17<<20)
	f := s.create("f", want)
	// The content is taken; its checksums are not, so that no operation is in the outbox.
	bad.Fail(storetest.Fault{Op: storetest.Put, Prefix: "content/", Times: -1})
	if err := f.Flush(bg, me); err == nil {
		t.Fatal("close succeeded")
	}
	size := int64(1) << 62
	_, err = s.SetAttr(bg, me, s.stat("f").ID, f, vfs.AttrChange{Size: &size})
	if err == nil {
		t.Skip("this disk takes any size")
	}
	if got := s.readFile(f); got != want {
		t.Errorf("after %v it holds %d bytes; spool has %d bytes", err, len(got), s.SpoolBytes())
	}
	f.Release()
}

// Bytes written to a file that has no name any more are gone after the death of the process, or an
// ordinary end of the mount.
func TestUnlinkedFileComesBack(t *testing.T) {
	for _, killed := range []bool{true, false} {
		t.Run(fmt.Sprint("killed ", killed), func(t *testing.T) {
			b, d := mem.New(mem.Options{}), t.TempDir()
			machine := func(o *engine.Options) { o.Catalog.Machine = []byte(d) }
			line := storetest.New(b)
			s := openMachine(t, line, d, machine).with(t)
			_, f, err := s.Create(bg, me, vfs.Root, "tmp", 0o600, uint32(os.O_RDWR))
			s.ok(err)
			s.unlink("tmp")
			s.put(f, "secret scratch", 0)
			at := d
			if killed {
				at = copyDir(t, d)
				line.SetDown(true)
				f.Release()
			}
			s.ok(s.Close())
			s = openMachine(t, b, at, machine).with(t)
			defer s.Close()
			s.ok(s.Flush(bg))
			if n := s.names(); len(n) > 0 {
				t.Errorf("the library has %q", n)
			}
		})
	}
}

// An edit that a close confirmed stays the head also when the media was made whole before the edit
// was uploaded, and the process died then.
func TestRewriteThenCrash(t *testing.T) {
	b, d := mem.New(mem.Options{}), t.TempDir()
	line := storetest.New(b)
	machine := func(o *engine.Options) {
		o.Background, o.WholeBelow, o.RewriteFrom, o.RewriteAfter = true, 1000, 3, 10*time.Millisecond
		o.Catalog.Machine = []byte(d)
	}
	s := openMachine(t, line, d, machine).with(t)
	old := noise(1, 200_000)
	s.write("f", old)
	s.ok(s.Flush(bg))
	release := make(chan struct{})
	line.Fail(storetest.Fault{Op: storetest.Complete, Action: storetest.Hold, Release: release})
	f := s.open("f", os.O_RDWR)
	s.put(f, noise(9, 60_000), 65_536)
	s.close(f)
	s.ok(s.Flush(bg))
	waitFor(t, func() bool {
		return line.Count(storetest.Complete, "content") > 1 || line.Count(storetest.Complete, "") > 1
	})
	line.Fail(storetest.Fault{Op: storetest.Put, Prefix: "content/", Times: -1})
	f = s.open("f", os.O_RDWR)
	s.put(f, "LAST", 50_000)
	s.close(f) // confirmed
	close(release)
	for i := 0; i < 500; i++ { // the rewriting, which may also leave it alone
		if _, n := s.node("f"); len(n.Head.Extents) == 1 {
			break
		}
		time.Sleep(time.Millisecond)
	}
	dead := copyDir(t, d)
	line.SetDown(true)
	s.ok(s.Close())
	s = openMachine(t, b, dead, machine).with(t)
	defer s.Close()
	s.ok(s.Flush(bg))
	if got := s.read("f"); got[50_000:50_004] != "LAST" {
		_, n := s.node("f")
		t.Errorf("the confirmed edit is not the head; there are %d versions", len(s.versions(n.MediaId)))
	}
}

// The same when it is another machine that makes the media whole meanwhile.
func TestRewriteElsewhereThenCrash(t *testing.T) {
	b, d := mem.New(mem.Options{}), t.TempDir()
	line := storetest.New(b)
	here := func(o *engine.Options) {
		o.Background, o.WholeBelow, o.RewriteAfter = true, 1000, time.Hour
		o.Catalog.Machine = []byte(d)
	}
	there := openMachine(
		t, b, t.TempDir(),
		func(o *engine.Options) { o.WholeBelow, o.RewriteFrom, o.RewriteAfter = 1000, 3, time.Second },
	).with(t)
	defer there.Close()
	there.write("f", noise(1, 200_000))
	f := there.open("f", os.O_RDWR)
	there.put(f, noise(9, 60_000), 65_536)
	there.close(f)
	s := openMachine(t, line, d, here).with(t)
	_, n := s.node("f")
	if len(n.Head.Extents) < 3 {
		t.Fatalf("it is whole already: %v", n.Head)
	}
	line.Fail(storetest.Fault{Op: storetest.Put, Prefix: "content/", Times: -1})
	f = s.open("f", os.O_RDWR)
	s.put(f, "LAST", 50_000)
	s.close(f) // confirmed
	waitFor(t, func() bool { _, n := s.node("f"); return len(n.Head.Extents) == 1 })
	dead := copyDir(t, d)
	line.SetDown(true)
	s.ok(s.Close())
	s = openMachine(t, b, dead, here).with(t)
	defer s.Close()
	s.ok(s.Flush(bg))
	if got := s.read("f"); got[50_000:50_004] != "LAST" || got[65_536:65_540] != noise(9, 4) {
		t.Errorf("it holds %q and %q", got[50_000:50_004], got[65_536:65_540])
	}
}

// What a close confirmed is the head after a loss of power, also when somebody had begun to write
// on.
func TestConfirmedThenWrittenThenPowerLoss(t *testing.T) {
	b, d := mem.New(mem.Options{}), t.TempDir()
	line := storetest.New(b)
	machine := func(o *engine.Options) { o.Background, o.Catalog.Machine = true, []byte(d) }
	made(t, b, "f", "old bytes")
	line.Fail(storetest.Fault{Op: storetest.Put, Prefix: "content/", Times: -1})
	s := openMachine(t, line, d, machine).with(t)
	s.write("f", "confirmed")
	f := s.open("f", os.O_RDWR)
	s.put(f, "!", 9)
	dead := copyDir(t, d)
	line.SetDown(true)
	f.Release()
	s.ok(s.Close())
	metas, _ := filepath.Glob(filepath.Join(dead, "spool", "*.json"))
	for _, m := range metas {
		j, err := os.ReadFile(m)
		s.ok(err)
		s.ok(os.WriteFile(m, regexp.MustCompile(`"boot":"[^"]*"`).ReplaceAll(j, []byte(`"boot":"another"`)), 0o600))
	}
	s = openMachine(t, b, dead, machine, func(o *engine.Options) { o.Catalog.BootID = "another" }).with(t)
	defer s.Close()
	s.ok(s.Flush(bg))
	if got := s.read("f"); got == "old bytes" {
		t.Errorf("the head is %q again", got)
	}
}

// After a loss of power nobody knows whether the chunks in the store are of the bytes that the disk
// has kept: an upload that was interrupted is not resumed.
func TestUploadIsNotResumedAfterALossOfPower(t *testing.T) {
	const chunk = 128 << 10
	b, d := mem.New(mem.Options{}), t.TempDir()
	line := storetest.New(b)
	s := openMachine(t, line, d, func(o *engine.Options) { o.StreamFrom = chunk }).with(t)
	want := []byte(noise(1, 4*chunk+1000))
	f := s.create("film", "")
	for off := 0; off < len(want); off += 50_000 {
		s.put(f, string(want[off:min(off+50_000, len(want))]), int64(off))
	}
	waitFor(t, func() bool { return line.Count(storetest.PutPart, "content") == 4 })
	s.put(f, string(want[len(want)-1:]), int64(len(want)-1)) // the upload is described with the next write
	dead := copyDir(t, d)
	line.SetDown(true)
	f.Release()
	s.ok(s.Close())
	clear(want[:5000])
	for _, name := range []string{"*.json", "*.data"} {
		found, _ := filepath.Glob(filepath.Join(dead, "spool", name))
		if len(found) != 1 {
			t.Fatalf("%s: %q", name, found)
		}
		c, err := os.ReadFile(found[0])
		s.ok(err)
		if name == "*.data" {
			c = want
		} else if !regexp.MustCompile(`"upload":"`).Match(c) {
			t.Fatalf("no upload in %s", c)
		}
		s.ok(
			os.WriteFile(
				found[0], regexp.MustCompile(`"boot":"[^"]*"`).ReplaceAll(c, []byte(`"boot":"another"`)), 0o600,
			),
		)
	}
	s = openMachine(t, b, dead, func(o *engine.Options) { o.Catalog.Machine = []byte(d) }).with(t)
	defer s.Close()
	s.ok(s.Flush(bg))
	_, n := s.node("film")
	vs := s.versions(n.MediaId)
	if len(vs) != 1 || s.bytesOf(b, vs[0].Head) != string(want) {
		t.Errorf("%d versions, or one that is not what the disk has kept", len(vs))
	}
}
