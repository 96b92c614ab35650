package vfstest

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"mediafs/fs/vfs"
)

// Random operations on a small tree, so that they meet. The seeds are fixed: a failure can be
// repeated. More seeds find more: change them by hand.
var randomCases = []testCase{
	{"random-1", func(e *env) { random(e, 1, 2000) }},
	{"random-2", func(e *env) { random(e, 2, 500) }},
	{"random-3", func(e *env) { random(e, 3, 500) }},
}

// A player does the same to a system and to the model.
type player struct {
	*env
	rng   *rand.Rand
	m     *model
	open  []openPair
	step  int
	trace []string // the last operations, for the report
}

type openPair struct {
	f File
	n *inode
}

func random(e *env, seed uint64, steps int) {
	e.Logf("seed %d", seed)
	p := &player{env: e, rng: rand.New(rand.NewPCG(seed, 0)), m: newModel()}
	defer func() {
		for _, o := range p.open {
			_ = o.f.Close() // after a failure: later cases want to unmount
		}
	}()
	for p.step = range steps {
		p.play()
		if e.Failed() {
			e.Fatalf("at step %d of seed %d, after\n%s", p.step, seed, strings.Join(p.trace, "\n"))
		}
	}
	for len(p.open) > 0 {
		p.closeOne()
	}
	before := e.snapshot("")
	p.m.check(e, "at the end", before)
	e.ok("reopen", e.sys.Reopen())
	after := e.snapshot("")
	p.m.check(e, "after reopening", after)
	equalTrees(e, "after reopening", after, before)
}

// path is a random path, at most three deep, of few names.
func (p *player) path() string {
	parts := make([]string, 1+p.rng.IntN(3))
	for i := range parts {
		parts[i] = string(rune('a' + p.rng.IntN(5)))
	}
	return strings.Join(parts, "/")
}

// did compares what the system said with what the model said. Where several errors apply, which one
// is told depends on who looks first, so they are compared by class; the cases of the suite pin the
// single ones.
func (p *player) did(what string, got, want error) bool {
	p.trace = append(p.trace, fmt.Sprintf("%d: %s: %v", p.step, what, got))
	p.trace = p.trace[max(0, len(p.trace)-30):]
	if class(got) != class(want) {
		p.Errorf("%s: %v, want %v", what, got, want)
	}
	return got == nil && want == nil
}

func class(err error) string {
	var n syscall.Errno
	switch {
	case err == nil:
		return ""
	case !errors.As(err, &n):
		return err.Error()
	}
	switch n {
	case syscall.ENOENT, syscall.ENOTDIR:
		return "not there"
	case syscall.EEXIST, syscall.EISDIR, syscall.ENOTEMPTY, syscall.EINVAL, syscall.EPERM, syscall.ELOOP:
		return "refused"
	}
	return n.Error()
}

func (p *player) play() {
	path := p.path()
	switch p.rng.IntN(20) {
	case 0, 1, 2:
		p.make(path)
	case 3, 4:
		p.did("mkdir "+path, p.sys.Mkdir(p.p(path), 0o755), p.m.add(path, newFolder()))
	case 5:
		p.did("unlink "+path, p.sys.Unlink(p.p(path)), p.m.remove(path, false))
	case 6:
		p.did("rmdir "+path, p.sys.Rmdir(p.p(path)), p.m.remove(path, true))
	case 7, 8, 9:
		to, flags := p.path(), []uint32{0, 0, 0, vfs.RenameNoReplace, vfs.RenameExchange}[p.rng.IntN(5)]
		p.did(
			fmt.Sprintf("rename %s %s %d", path, to, flags), p.sys.Rename(p.p(path), p.p(to), flags),
			p.m.rename(path, to, flags),
		)
	case 10:
		to := p.path()
		p.did("link "+path+" "+to, p.sys.Link(p.p(path), p.p(to)), p.m.link(path, to))
	case 11:
		n := newInode(unix.S_IFLNK | 0o777)
		n.target = "no/such/" + p.path() // a path that leads through it ends there
		p.did("symlink "+path, p.sys.Symlink(n.target, p.p(path)), p.m.add(path, n))
	case 12:
		p.attributes(path)
	case 13:
		p.xattr(path)
	case 14:
		p.truncate(path)
	case 15, 16:
		p.writePath(path)
	case 17:
		p.list(path)
	default:
		p.handle(path)
	}
}

// make creates a media with content, or a fifo.
func (p *player) make(path string) {
	if p.rng.IntN(10) == 0 {
		p.did("mknod "+path, p.sys.Mknod(p.p(path), unix.S_IFIFO|0o644, 0), p.m.add(path, newInode(unix.S_IFIFO|0o644)))
		return
	}
	f, err := p.sys.Open(p.p(path), unix.O_RDWR|unix.O_CREAT|unix.O_EXCL, 0o644)
	n := newInode(unix.S_IFREG | 0o644)
	if !p.did("create "+path, err, p.m.add(path, n)) {
		return
	}
	n.data = noise(uint64(p.step), p.rng.IntN(50_000))
	p.writeAt(f, n.data, 0)
	p.open = append(p.open, openPair{f, n})
	if len(p.open) > 4 || p.rng.IntN(3) > 0 {
		p.closeOne()
	}
}

func (p *player) closeOne() {
	i := p.rng.IntN(len(p.open))
	p.close(p.open[i].f)
	p.open = append(p.open[:i], p.open[i+1:]...)
}

// media finds a path in the model and says whether it is a media; only those are opened here.
func (p *player) media(path string) *inode {
	if n, err := p.m.find(path); err == nil && n.isFile() {
		return n
	}
	return nil
}

func (p *player) writePath(path string) {
	n := p.media(path)
	if n == nil {
		return
	}
	flags, off := unix.O_WRONLY, p.rng.IntN(100_000)
	switch p.rng.IntN(4) {
	case 0:
		flags |= unix.O_TRUNC
		n.data = nil
	case 1:
		flags |= unix.O_APPEND
		off = len(n.data)
	}
	f, err := p.sys.Open(p.p(path), flags, 0)
	if !p.did(fmt.Sprintf("open %s for writing, %#x", path, flags), err, nil) {
		return
	}
	data := noise(uint64(p.step), p.rng.IntN(30_000))
	if len(data) > 0 {
		p.writeAt(f, data, int64(off))
		n.data = put(n.data, data, off)
	}
	p.close(f)
}

// handle reads, writes, cuts or closes a file that is open, whatever became of its name; or opens
// one more.
func (p *player) handle(path string) {
	if n := p.media(path); n != nil && len(p.open) < 5 {
		f, err := p.sys.Open(p.p(path), unix.O_RDWR, 0)
		if p.did("open "+path, err, nil) {
			p.open = append(p.open, openPair{f, n})
		}
		return
	}
	if len(p.open) == 0 {
		return
	}
	o := p.open[p.rng.IntN(len(p.open))]
	switch p.rng.IntN(5) {
	case 0, 1:
		off, data := p.rng.IntN(100_000), noise(uint64(p.step), 1+p.rng.IntN(20_000))
		p.writeAt(o.f, data, int64(off))
		o.n.data = put(o.n.data, data, off)
	case 2:
		size := p.rng.IntN(120_000)
		if p.did(fmt.Sprintf("truncate to %d by handle", size), o.f.Truncate(int64(size)), nil) {
			o.n.data = resize(o.n.data, size)
		}
	case 3:
		p.did("fsync", o.f.Sync(), nil)
	case 4:
		p.closeOne()
		return
	}
	if got := p.readAll(o.f); !bytes.Equal(got, o.n.data) {
		same(p.env, "an open file", got, o.n.data)
	}
	if a, err := o.f.Stat(); err != nil || a.Nlink != o.n.nlink || a.Size != int64(len(o.n.data)) {
		p.Errorf("fstat: %d links, want %d; %d bytes, want %d; %v", a.Nlink, o.n.nlink, a.Size, len(o.n.data), err)
	}
}

func (p *player) attributes(path string) {
	n, want := p.m.find(path)
	if n != nil && n.mode&unix.S_IFMT == unix.S_IFLNK {
		return
	}
	if p.rng.IntN(2) == 0 {
		mode := p.rng.Uint32N(0o1000) | 0o400
		if p.did("chmod "+path, p.sys.Chmod(p.p(path), mode), want) {
			n.mode = n.mode&unix.S_IFMT | mode
		}
		return
	}
	uid := p.rng.Uint32N(1000)
	if p.did("chown "+path, p.sys.Chown(p.p(path), int(uid), -1), want) {
		n.uid = uid
	}
}

func (p *player) xattr(path string) {
	n, want := p.m.find(path)
	name, value := "trusted."+string(rune('a'+p.rng.IntN(3))), noise(uint64(p.step), p.rng.IntN(500))
	if n != nil && p.rng.IntN(3) == 0 {
		if _, ok := n.xattrs[name]; !ok {
			want = syscall.ENODATA
		}
		if p.did("remove attribute of "+path, p.sys.RemoveXattr(p.p(path), name), want) {
			delete(n.xattrs, name)
		}
		return
	}
	if p.did("set attribute of "+path, p.sys.SetXattr(p.p(path), name, value, 0), want) {
		n.xattrs[name] = string(value)
	}
}

func (p *player) truncate(path string) {
	n := p.media(path)
	if n == nil {
		return
	}
	size := p.rng.IntN(150_000)
	if p.did(fmt.Sprintf("truncate %s to %d", path, size), p.sys.Truncate(p.p(path), int64(size)), nil) {
		n.data = resize(n.data, size)
	}
}

// list compares a folder's names, or a media's content.
func (p *player) list(path string) {
	n, err := p.m.find(path)
	switch {
	case err != nil:
		_, got := p.sys.Lstat(p.p(path))
		p.did("lstat "+path, got, err)
	case n.isFile():
		same(p.env, path, []byte(p.read(path)), n.data)
	case n.isDir():
		got := p.env.list(path)
		if len(got) != len(n.entries) {
			p.Errorf("list %s: %d names, want %d", path, len(got), len(n.entries))
		}
		for name := range n.entries {
			if _, ok := got[name]; !ok {
				p.Errorf("list %s: no %q", path, name)
			}
		}
	}
}
