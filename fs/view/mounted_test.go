package view

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"mediafs/fs/acl"
	"mediafs/fs/fuse"
	"mediafs/fs/vfs"
	"mediafs/remote"
)

// What a kernel asks of the tree besides.

func (f *fake) StatFS(context.Context) (vfs.StatFS, error) {
	return vfs.StatFS{Bytes: 1 << 40, FreeBytes: 1 << 39, MaxName: 255}, nil
}

func (f *fake) GetXattr(_ context.Context, id vfs.ID, name string) ([]byte, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if n := f.nodes[id]; n != nil && n.list != nil && name == acl.Access {
		return n.list, nil
	}
	return nil, remote.E("get attribute", name, remote.NoAttribute, nil)
}

func (f *fake) ListXattr(context.Context, vfs.ID) ([]string, error) { return nil, nil }

func (f *fakeFile) KeepCache() bool                         { return false }
func (f *fakeFile) Flush(context.Context, vfs.Caller) error { return nil }

// mountRig mounts a rig. Only other processes touch the mount: a thread of this one that waits
// there would stop those that serve.
func mountRig(t *testing.T, r *rig) func(script string) string {
	t.Helper()
	dir := t.TempDir()
	s, err := fuse.Mount(fuse.Options{Library: r.l, Dir: dir, HangTimeout: 30 * time.Second})
	if k := remote.KindOf(err); err != nil && (k == remote.Permission || k == remote.Unsupported) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	r.l.Announce(s.Announcer())
	t.Cleanup(func() {
		if err := s.Unmount(); err != nil {
			t.Error(err)
			_ = s.Abort()
			_ = s.LazyUnmount()
		}
		s.Wait()
		clear(r.f.refs) // the kernel forgets without a word at the end of a mount
		r.l.nodes.init([16]byte{})
	})
	return func(script string) string {
		t.Helper()
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		c := exec.CommandContext(ctx, "sh", "-ec", script)
		c.Dir, c.WaitDelay = "/", time.Second
		home := filepath.Join(filepath.Dir(dir), "home")
		_ = os.MkdirAll(home, 0o700)
		c.Env = append(
			os.Environ(), "M="+dir, "V="+dir+"/.media", "HOME="+home, "XDG_DATA_HOME="+home, "LC_ALL=C.UTF-8",
		)
		out, err := c.CombinedOutput()
		if err != nil {
			t.Errorf("%s: %v", script, err)
		}
		return string(out)
	}
}

func needs(t *testing.T, program string) {
	t.Helper()
	if _, err := exec.LookPath(program); err != nil {
		t.Skip(err)
	}
}

func TestMounted(t *testing.T) {
	r := newRig(t)
	zipTree(r, 60)
	x := r.f.add("/x.jpg", reg, "the picture")
	r.f.set(x, func(n *fakeNode) { n.media.Tags = []string{"sun"} })
	r.f.add("/y.jpg", reg, "another")
	sh := mountRig(t, r)
	is := func(script, want string) {
		t.Helper()
		if got := strings.TrimSpace(sh(script)); got != want {
			t.Errorf("%s: %q, want %q", script, got, want)
		}
	}
	is(`ls -A $M`, "big\nx.jpg\ny.jpg")
	is(
		`ls $V | tr '\n' ' '`,
		"by-date by-type favorites hidden info latest moderation search status.json tags trash uploads versions zip",
	)
	is(`ls $V/tags/sun; cat $V/tags/sun/x.jpg`, "x.jpg\nthe picture")
	is(`test $M/x.jpg -ef $V/tags/sun/x.jpg && echo same`, "same")
	is(
		`ls -i $V/tags | cut -d' ' -f1 > $HOME/a; stat -c %i $V/tags/* > $HOME/b; cmp $HOME/a $HOME/b && echo same`,
		"same",
	)
	// Tagging: a new tag, a link, a move, a removal, and what the kernel thinks of the file then.
	sh(`mkdir $V/tags/new; ln $M/y.jpg $V/tags/new/`)
	is(
		`ls $V/tags $V/tags/new | xargs`,
		strings.Join(strings.Fields(sh(`echo $V/tags: new sun $V/tags/new: y.jpg`)), " "),
	)
	sh(`mv $V/tags/new/y.jpg $V/tags/sun/; mv $V/tags/sun $V/tags/light`)
	is(`ls $V/tags/light | xargs`, "x.jpg y.jpg")
	sh(`rm $V/tags/light/y.jpg`)
	is(`ls $V/tags/light; cat $M/y.jpg`, "x.jpg\nanother")
	is(`sleep 0.1; stat -c %h $M/y.jpg`, "1")
	is(`mv $M/y.jpg $V/tags/light/ 2>&1 | grep -c 'not permitted'; ls $M/y.jpg | wc -l`, "1\n1")
	is(`rmdir $V/tags/light 2>&1 | grep -c 'not empty'`, "1")
	// What was said of a file shows at once in a text that is read whole by cat, cp and Python.
	is(`mkdir $V/tags/q; ln $M/y.jpg $V/tags/q/; cat $V/info/y.jpg.json > $HOME/a; cp $V/info/y.jpg.json $HOME/b
		cmp $HOME/a $HOME/b; wc -c < $HOME/a > $HOME/n; stat -c %s $V/info/y.jpg.json | cmp - $HOME/n; grep -c '"q"' $HOME/a`, "1")
	if _, err := exec.LookPath("python3"); err == nil {
		is(`python3 -c 'import sys,json; print(json.load(open(sys.argv[1]))["tags"])' $V/info/y.jpg.json`, "['q']")
		is(
			`python3 -c 'import sys,zipfile; z=zipfile.ZipFile(sys.argv[1]); print(z.testzip(), len(z.namelist()))' $V/zip/big.zip`,
			"None 65",
		)
	}
	if _, err := exec.LookPath("unzip"); err == nil {
		is(`unzip -tqq $V/zip/big.zip && echo good`, "good")
		is(`cp $V/zip/big.zip $HOME/c.zip; unzip -tqq $HOME/c.zip && echo good`, "good")
	}
	is(`dd if=$V/zip/big.zip bs=100000 2>/dev/null | cmp - $V/zip/big.zip && echo same`, "same")
	// The trash.
	is(`mv $M/x.jpg $V/trash/; ls $V/trash; cat $V/trash/x.jpg; ls $M | xargs`, "x.jpg\nthe picturebig y.jpg")
	is(`mv $V/trash/x.jpg $M/back.jpg; cat $M/back.jpg; ls $V/trash | wc -l`, "the picture0")
	is(`mv $M/big $V/trash/; ls $V/trash/big/sub | wc -l; test ! -e $M/big && echo gone`, "61\ngone")
	is(
		`mv $V/trash/big $M/big2; ls $M/big2/sub | wc -l; mv $M/big2 $V/trash/; rm -r $V/trash/big2; ls $V/trash | wc -l`,
		"61\n0",
	)
	is(`find $V/search $V/tags $V/info $V/latest | wc -l | xargs test 5 -lt && echo walked`, "walked")
}

// Three users look at one folder, one after the other: nobody is shown what the kernel kept for
// another.
func TestMountedUsers(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root, to be other users")
	}
	needs(t, "setpriv")
	r := newRig(t)
	r.f.add("/closed", folded, "")
	r.f.set(r.f.walk("/closed").attr.ID, func(n *fakeNode) { n.attr.Mode, n.attr.GID = unix.S_IFDIR|0o750, friends })
	r.f.add("/closed/c.jpg", reg, "")
	r.f.add("/o.jpg", reg, "")
	r.l.opt.Groups = groupsOf
	// The folders above must let others in.
	mount, err := os.MkdirTemp("", "views")
	if err != nil {
		t.Fatal(err)
	}
	defer os.Remove(mount)
	if err := os.Chmod(mount, 0o755); err != nil {
		t.Fatal(err)
	}
	s, err := fuse.Mount(fuse.Options{Library: r.l, Dir: mount, AllowOther: true})
	if k := remote.KindOf(err); err != nil && (k == remote.Permission || k == remote.Unsupported) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := s.Unmount(); err != nil {
			t.Error(err)
			_ = s.Abort()
			_ = s.LazyUnmount()
		}
		s.Wait()
		clear(r.f.refs)
		r.l.nodes.init([16]byte{})
	}()
	run := func(who, script string) string {
		t.Helper()
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		args := append(strings.Fields(who), "sh", "-c", script)
		c := exec.CommandContext(ctx, "setpriv", args...)
		c.Dir, c.Env = "/", append(os.Environ(), "V="+mount+"/.media", "M="+mount)
		out, err := c.CombinedOutput()
		if err != nil {
			t.Errorf("%s: %s: %v: %s", who, script, err, out)
		}
		return strings.Join(strings.Fields(string(out)), " ")
	}
	root, withGroup, without := "--reuid=0 --regid=0 --clear-groups", "--reuid=1001 --regid=1001 --groups=7,500", "--reuid=1002 --regid=1002 --clear-groups"
	for range 3 {
		for who, want := range map[string]string{root: "c.jpg o.jpg", withGroup: "c.jpg o.jpg", without: "o.jpg"} {
			if got := run(who, `ls $V/search/jpg`); got != want {
				t.Errorf("%s: %q, want %q", who, got, want)
			}
			want := "no"
			if who != without {
				want = "yes"
			}
			if got := run(who, `test -e $V/search/jpg/c.jpg && echo yes || echo no`); got != want {
				t.Errorf("%s: %q, want %q", who, got, want)
			}
		}
		if got := run(
			without,
			`stat -c '%u %a' $M/.Trash-1002; ls $M/.Trash-1002; ls -d $M/.Trash-1001 2>&1 | grep -c 'No such'; cat $V/info/closed/c.jpg.json 2>&1 | grep -c denied`,
		); got != "1002 700 expunged files info 1 1" {
			t.Errorf("%q", got)
		}
		if got := run(withGroup, `stat -c '%u %a' $M/.Trash-1001`); got != "1001 700" {
			t.Errorf("%q", got)
		}
	}
}

// mountWhereDesktopsLook has the test mount elsewhere than below /dev: GLib takes such a mount for
// one of the system's own, which has no trash.
func mountWhereDesktopsLook(t *testing.T) {
	if strings.HasPrefix(os.TempDir()+"/", "/dev/") {
		t.Setenv("TMPDIR", "/var/tmp")
	}
}

// GLib's own program deletes into the trash, and finds there what it needs to restore.
func TestMountedGio(t *testing.T) {
	needs(t, "gio")
	mountWhereDesktopsLook(t)
	r := newRig(t)
	r.f.add("/d", folded, "")
	r.f.add("/d/f 100%.jpg", reg, "one")
	r.f.add("/f 100%.jpg", reg, "two")
	r.f.add("/folder", folded, "")
	r.f.add("/folder/in", reg, "three")
	sh := mountRig(t, r)
	out := sh(
		`gio trash "$M/d/f 100%.jpg" "$M/f 100%.jpg" "$M/folder"; cd $M/.Trash-$(id -u); ls files info; cat "info/f 100%.jpg.trashinfo"; cat files/folder/in`,
	)
	for _, want := range []string{"f 100%.jpg\n", "f 100%.2.jpg\n", "folder\n", "f 100%.2.jpg.trashinfo\n", "Path=d/f%20100%25.jpg\n", "DeletionDate=2023-", "three"} {
		if !strings.Contains(out, want) {
			t.Errorf("%q is not in %q", want, out)
		}
	}
	if n := len(r.f.numbers()); n != 3 {
		t.Errorf("%d entries", n)
	}
	// As gvfs restores, and deletes for good.
	out = sh(
		`cd $M/.Trash-$(id -u); mv "files/f 100%.jpg" "$M/d/f 100%.jpg"; rm -f "info/f 100%.jpg.trashinfo"; cat "$M/d/f 100%.jpg"
		chmod 0700 expunged; mv files/folder expunged/99; ls expunged; rm "files/f 100%.2.jpg"; rm -f "info/f 100%.2.jpg.trashinfo"; ls files info`,
	)
	if out != "onefiles:\n\ninfo:\n" {
		t.Errorf("%q", out)
	}
	if n := len(r.f.numbers()); n != 0 {
		t.Errorf("%d entries", n)
	}
}
