package view

import (
	"archive/zip"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"mediafs/cache/block"
	"mediafs/cache/catalog"
	"mediafs/fs/fuse"
	"mediafs/fs/vfs"
	"mediafs/fs/vfs/engine"
	"mediafs/remote"
	"mediafs/remote/bucket"
	"mediafs/remote/object/mem"
)

// openReal opens the views of a real library, over object storage in memory.
func openReal(t *testing.T) *Library {
	t.Helper()
	ctx := context.Background()
	store, err := bucket.Create(
		ctx, mem.New(mem.Options{}),
		bucket.Options{FirstPause: time.Millisecond, MaxPause: 5 * time.Millisecond, ChunkSize: 64 << 10},
	)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	fs, err := engine.Open(ctx, engine.Options{
		Store: store,
		Catalog: catalog.Options{
			Dir:           filepath.Join(dir, "catalog"),
			Machine:       []byte(dir),
			PollInterval:  20 * time.Millisecond,
			RetryInterval: 5 * time.Millisecond,
		},
		Cache:         block.Options{Dir: filepath.Join(dir, "cache")},
		SpoolDir:      filepath.Join(dir, "spool"),
		FlushDelay:    10 * time.Millisecond,
		RetryInterval: 5 * time.Millisecond,
		Trash:         time.Hour,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := fs.Close(); err != nil {
			t.Error(err)
		}
		if err := store.Close(); err != nil {
			t.Error(err)
		}
	})
	l, err := New(fs, Options{TrashAge: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// The real library through the kernel: what views show and do follows from it at once.
func TestReal(t *testing.T) {
	mountWhereDesktopsLook(t)
	l := openReal(t)
	dir := t.TempDir()
	s, err := fuse.Mount(fuse.Options{Library: l, Dir: dir, HangTimeout: 30 * time.Second})
	if k := remote.KindOf(err); err != nil && (k == remote.Permission || k == remote.Unsupported) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	l.Announce(s.Announcer())
	defer func() {
		if err := s.Unmount(); err != nil {
			t.Error(err)
			_ = s.Abort()
			_ = s.LazyUnmount()
		}
		s.Wait()
	}()
	home := t.TempDir()
	is := func(script, want string) {
		t.Helper()
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		c := exec.CommandContext(ctx, "sh", "-ec", script)
		c.Dir, c.WaitDelay = "/", time.Second
		c.Env = append(
			os.Environ(), "M="+dir, "V="+dir+"/.media", "HOME="+home, "XDG_DATA_HOME="+home, "LC_ALL=C.UTF-8",
		)
		out, err := c.CombinedOutput()
		if got := strings.Join(strings.Fields(string(out)), " "); err != nil || got != want {
			t.Errorf("%s: %q, %v, want %q", script, got, err, want)
		}
	}
	is(
		`mkdir -p $M/d/sub $M/e; for i in 1 2 3; do echo $i > $M/d/f$i.txt; done; echo e > $M/e/f1.txt; ln -s f1.txt $M/d/link; ls -A $M`,
		"d e",
	)
	is(`ls $V/search/f1 | sed 's/(.*)/(N)/'`, "f1 (N).txt f1.txt")
	is(`test $V/search/f2/f2.txt -ef $M/d/f2.txt && echo same`, "same")
	is(
		`mkdir $V/tags/sun; ln $M/d/f1.txt $M/d/f2.txt $V/tags/sun/; ls $V/tags $V/tags/sun | xargs -n1 basename`,
		"tags: sun sun: f1.txt f2.txt",
	)
	is(
		`mkdir $V/tags/sea; mv $V/tags/sun/f2.txt $V/tags/sea; mv $V/tags/sea $V/tags/ocean; ls $V/tags $V/tags/ocean | xargs -n1 basename`,
		"tags: ocean sun ocean: f2.txt",
	)
	is(`rm $V/tags/ocean/f2.txt; ls $V/tags; cat $M/d/f2.txt`, "sun 2")
	is(
		`ln $M/d/f3.txt $V/hidden/; ls $V/hidden; ls $V/search/f3 | wc -l; rm $V/hidden/f3.txt; ls $V/search/f3`,
		"f3.txt 0 f3.txt",
	)
	is(`ln $M/d/f3.txt $V/favorites/$(id -un)/; ls $V/favorites/$(id -un)`, "f3.txt")
	is(`mv $V/moderation/0/f3.txt $V/moderation/2; ls $V/moderation/2; ls $V/moderation/0 | wc -l`, "f3.txt 3")
	is(
		`ls $V/latest | wc -l; cmp $V/info/d/f1.txt.json $V/info/id/$(sed -n 's/.*"id": "\(.*\)",/\1/p' $V/info/d/f1.txt.json | head -1).json; grep -c '"sun"' $V/info/d/f1.txt.json`,
		"4 1",
	)
	is(`grep -c . $V/status.json | xargs test 3 -lt && echo told; ls $V/uploads`, "told")
	if _, err := exec.LookPath("unzip"); err == nil {
		is(
			`unzip -tqq $V/zip/d.zip; unzip -p $V/zip/d.zip d/f2.txt; unzip -Z1 $V/zip/d.zip | sort`,
			"2 d/ d/f1.txt d/f2.txt d/f3.txt d/link d/sub/",
		)
	}
	is(
		`mv $M/e/f1.txt $V/trash/; mv $M/d/f1.txt $V/trash/; ls $V/trash | sed 's/(.*)/(N)/'; ls $V/tags/ | wc -l; ls $V/search/f1 | wc -l`,
		"f1 (N).txt f1.txt 0 0",
	)
	is(`cat $V/trash/f1.txt; mv $V/trash/f1.txt $M/e/back.txt; cat $M/e/back.txt; ls $V/trash`, "e e f1.txt")
	is(
		`rm $V/trash/f1.txt; ls $V/trash; mv $M/d $V/trash/; ls $V/trash/d; cat $V/trash/d/f2.txt; readlink $V/trash/d/link; ls -A $M`,
		"f2.txt f3.txt link sub 2 f1.txt e",
	)
	if _, err := exec.LookPath("gio"); err == nil {
		is(
			`rm -r $V/trash/d; gio trash $M/e/back.txt; cd $M/.Trash-$(id -u); ls files info; grep Path info/*; mv files/back.txt $M/e/; rm -f info/back.txt.trashinfo; cat $M/e/back.txt`,
			"files: back.txt info: back.txt.trashinfo Path=e/back.txt e",
		)
	}
	is(
		`mkdir $M/g; echo 1 > $M/g/1; echo 2 > $M/g/2; mv $M/g $V/trash/; mv $V/trash/g/1 $M/e/; cat $M/e/1; ls $V/trash/g`,
		"1 2",
	)
	is(
		`echo longer > $M/e/1; echo 2 > $M/e/1; head -qn1 $V/versions/e/1/*; ls $V/versions/e/1 | sed 's/ .*//'; stat -c %h $V/versions/e/1/1*`,
		"1 longer 1 2 1",
	)
	is(`rm -r $V/trash/*; ls $V/trash | wc -l; ls $M/.Trash-$(id -u)/files | wc -l`, "0 0")
}

// Archives of the real library hold what the tree has, with the checksums of the catalog.
func TestRealZip(t *testing.T) {
	l := openReal(t)
	ctx, c := as(0), caller(0)
	d, err := l.Mkdir(ctx, c, vfs.Root, "d", 0o755)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 20 {
		a, f, err := l.Create(ctx, c, d.ID, fmt.Sprint(i), 0o644, 2)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.Write(ctx, []byte(strings.Repeat("x", i*1000)), 0); err != nil {
			t.Fatal(err)
		}
		if err := f.Fsync(ctx); err != nil {
			t.Fatal(err)
		}
		f.Release()
		l.Forget(a.ID, 1)
	}
	view, err := l.Lookup(ctx, vfs.Root, ".media")
	if err != nil {
		t.Fatal(err)
	}
	z, err := l.Lookup(ctx, view.ID, "zip")
	if err != nil {
		t.Fatal(err)
	}
	a, err := l.Lookup(ctx, z.ID, "d.zip")
	if err != nil {
		t.Fatal(err)
	}
	if a, err = l.GetAttr(ctx, a.ID); err != nil {
		t.Fatal(err)
	}
	f, err := l.Open(ctx, c, a.ID, 0)
	if err != nil {
		t.Fatal(err)
	}
	r, err := zip.NewReader(readerAt{f}, a.Size)
	if err != nil || len(r.File) != 21 {
		t.Fatal(r, err)
	}
	for _, m := range r.File {
		rc, err := m.Open()
		if err != nil {
			t.Fatal(err)
		}
		if n, err := io.Copy(io.Discard, rc); err != nil || n != int64(m.UncompressedSize64) {
			t.Errorf("%s: %d, %v", m.Name, n, err)
		}
	}
	f.Release()
	for _, id := range []vfs.ID{a.ID, z.ID, view.ID, d.ID} {
		l.Forget(id, 1)
	}
	if n := l.nodes.size(); n != 0 {
		t.Errorf("%d nodes of views are left", n)
	}
}
