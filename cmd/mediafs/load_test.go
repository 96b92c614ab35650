package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

const (
	// loadReaders says how many read at once in TestManyReaders; scripts/test leaves it at
	// defaultReaders, scripts/load asks for more and for larger files.
	loadReaders    = "MEDIAFS_TEST_READERS"
	defaultReaders = 100

	// loadWatch has a daemon note in a file how many goroutines it had at most.
	loadWatch = "MEDIAFS_TEST_WATCH"
)

// What a daemon may take, however many read and write.
const (
	maxAnon       = 250 << 20 // bytes of memory that no file backs
	maxOpenFiles  = 400       // besides one for each file being written
	perProcess    = 3         // goroutines for each process that waits, besides baseRoutines
	baseRoutines  = 400
	firstByteRule = 64 << 20 // bytes that nobody gets before everybody has the first
)

func init() {
	if file := os.Getenv(loadWatch); file != "" && slices.Contains(os.Args, "--ready-fd=3") {
		go watchGoroutines(file)
	}
}

// watchGoroutines runs in the daemon until its end.
func watchGoroutines(file string) {
	for most := 0; ; time.Sleep(20 * time.Millisecond) {
		if n := runtime.NumGoroutine(); n > most {
			most = n
			os.WriteFile(file+".new", []byte(strconv.Itoa(n)), 0o600)
			os.Rename(file+".new", file)
		}
	}
}

// A line is a network connection of limited speed: what comes in at its address goes on to a
// server, and so much a second comes back.
type line struct {
	listener net.Listener
	to       string
	rate     int64 // bytes a second, in each direction
	wg       sync.WaitGroup

	mu    sync.Mutex
	conns []net.Conn
	free  [2]time.Time // when each direction has carried what it was given
}

func newLine(t *testing.T, to string, rate int64) *line {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	n := &line{listener: l, to: to, rate: rate}
	n.wg.Go(func() {
		for {
			near, err := l.Accept()
			if err != nil {
				return
			}
			n.wg.Go(func() { n.carry(near) })
		}
	})
	t.Cleanup(func() {
		l.Close()
		n.mu.Lock()
		for _, c := range n.conns {
			c.Close()
		}
		n.mu.Unlock()
		n.wg.Wait()
	})
	return n
}

func (n *line) carry(near net.Conn) {
	defer near.Close()
	far, err := net.Dial("tcp", n.to)
	if err != nil {
		return
	}
	n.mu.Lock()
	n.conns = append(n.conns, near, far)
	n.mu.Unlock()
	n.wg.Go(func() {
		n.pass(far, near, 0)
		far.Close()
	})
	n.pass(near, far, 1)
	far.Close()
}

// pass copies in pieces, each when the line has room for it.
func (n *line) pass(to io.Writer, from io.Reader, direction int) {
	buf := make([]byte, 32<<10)
	for {
		m, err := from.Read(buf)
		if m > 0 {
			n.mu.Lock()
			now := time.Now()
			free := n.free[direction]
			if free.Before(now) {
				free = now
			}
			free = free.Add(time.Duration(int64(m) * int64(time.Second) / n.rate))
			n.free[direction] = free
			n.mu.Unlock()
			time.Sleep(free.Sub(now))
			if _, err := to.Write(buf[:m]); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}

// through is the URL of a store as it is reached over the line.
func (n *line) through(t *testing.T, store string) string {
	t.Helper()
	u, err := url.Parse(store)
	if err != nil {
		t.Fatal(err)
	}
	q := u.Query()
	q.Set("endpoint", "http://"+n.listener.Addr().String())
	u.RawQuery = q.Encode()
	return u.String()
}

// A loadFile is a file whose bytes follow from its number.
type loadFile struct {
	name   string
	number int
	size   int64
	direct bool // is read past the page cache, in large pieces
}

func (f loadFile) bytes() io.Reader {
	return io.LimitReader(rand.NewChaCha8([32]byte{byte(f.number), byte(f.number >> 8), 7}), f.size)
}

// store writes the file into dir.
func (f loadFile) store(dir string) error {
	out, err := os.OpenFile(filepath.Join(dir, f.name), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, f.bytes())
	return errors.Join(err, out.Close())
}

// read reads it with read(2) and compares every byte; got is told of each piece.
func (f loadFile) read(dir string, got func(n int)) error {
	flags, piece := os.O_RDONLY, 64<<10
	if f.direct {
		flags, piece = flags|syscall.O_DIRECT, 1<<20
	}
	in, err := os.OpenFile(filepath.Join(dir, f.name), flags, 0)
	if err != nil {
		return err
	}
	defer in.Close()
	p, want, from, done := make([]byte, piece), make([]byte, piece), f.bytes(), int64(0)
	for {
		n, err := in.Read(p)
		if n > 0 {
			got(n)
			if _, err := io.ReadFull(from, want[:n]); err != nil || !bytes.Equal(p[:n], want[:n]) {
				return fmt.Errorf("%s: wrong bytes after %d (%v)", f.name, done, err)
			}
			done += int64(n)
		}
		switch {
		case err == io.EOF && done == f.size:
			return nil
		case err != nil:
			return fmt.Errorf("%s: after %d of %d bytes: %w", f.name, done, f.size, err)
		}
	}
}

// each does something with every file, at most limit at a time.
func each(t *testing.T, files []loadFile, limit int, do func(loadFile) error) {
	t.Helper()
	slots := make(chan struct{}, limit)
	var wg sync.WaitGroup
	for _, f := range files {
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			if err := do(f); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if t.Failed() {
		t.FailNow()
	}
}

// peak is the most that was seen of a process.
type peak struct{ anon, threads, files, routines int64 }

// watch looks at a process many times a second until stop is called, which gives the most that was
// seen.
func watch(t *testing.T, pid int, routines string) (stop func() peak) {
	end, result := make(chan struct{}), make(chan peak, 1)
	go func() {
		var u peak
		defer func() { result <- u }()
		for {
			u.anon = max(u.anon, field(pid, "RssAnon:")<<10)
			u.threads = max(u.threads, field(pid, "Threads:"))
			if fds, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", pid)); err == nil {
				u.files = max(u.files, int64(len(fds)))
			}
			select {
			case <-end:
				return
			case <-time.After(20 * time.Millisecond):
			}
		}
	}()
	return func() peak {
		close(end)
		u := <-result
		b, err := os.ReadFile(routines)
		if err == nil {
			u.routines, err = strconv.ParseInt(string(b), 10, 64)
		}
		if err != nil || u.anon == 0 || u.files == 0 {
			t.Errorf("the daemon was not seen: %+v, %v", u, err)
		}
		return u
	}
}

// field is a number in a process's status.
func field(pid int, name string) int64 {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0
	}
	_, rest, _ := strings.Cut(string(b), "\n"+name)
	words := strings.Fields(rest)
	if len(words) == 0 {
		return 0
	}
	n, _ := strconv.ParseInt(words[0], 10, 64)
	return n
}

// A crowd is what reads at the same time, and how far everybody has got since it began.
type crowd struct {
	begun   atomic.Int64 // who has a byte
	members int64
	got     []atomic.Int64 // by who reads, since the crowd began; the first are those who read long before
	most    atomic.Int64   // that anybody had when the last got the first byte
}

func (c *crowd) note(i, n int) {
	if c.got[i].Add(int64(n)) != int64(n) || c.begun.Add(1) != c.members {
		return
	}
	for j := range c.got {
		c.most.Store(max(c.most.Load(), c.got[j].Load()))
	}
}

// TestManyReaders has a crowd read at once, each a file of its own that is not on this machine,
// beside a few who read large files and have large windows by then, and others who write. Nobody
// starves, nothing is wrong, and the daemon stays within its bounds, which do not depend on how
// many there are.
func TestManyReaders(t *testing.T) {
	if testing.Short() {
		t.Skip("moves hundreds of megabytes")
	}
	readers, size := defaultReaders, int64(2<<20)
	if text := os.Getenv(loadReaders); text != "" {
		var err error
		if readers, err = strconv.Atoi(text); err != nil || readers < defaultReaders {
			t.Fatalf("%s=%s: a number from %d on is needed", loadReaders, text, defaultReaders)
		}
		size = 5 << 20
	}
	const rate = 48 << 20 // bytes a second: less than the machine manages, so that everybody waits for the store
	var hogs, few, written []loadFile
	for i := range 2 {
		hogs = append(hogs, loadFile{name: fmt.Sprint("large-", i), number: i, size: 96 << 20})
	}
	for i := range readers {
		few = append(
			few, loadFile{name: fmt.Sprint("small-", i), number: 100 + i, size: size + int64(i)*4099, direct: i%2 == 1},
		)
	}
	for i := range readers / 5 {
		written = append(written, loadFile{name: fmt.Sprint("new-", i), number: 10_000 + i, size: 1<<20 + int64(i)*777})
	}
	written = append(written, loadFile{name: "new-large", number: 9_999, size: 40 << 20})

	w := newWire(t)
	first := w.machine()
	first.mount(w.store)
	each(t, append(hogs[:len(hogs):len(hogs)], few...), 8, func(f loadFile) error { return f.store(first.mnt) })
	first.umount()

	m := w.machine()
	routines := filepath.Join(m.home, "routines")
	m.env = append(m.env, loadWatch+"="+routines)
	m.mount(newLine(t, strings.TrimPrefix(w.tap.Endpoint(), "http://"), rate).through(t, w.store))
	pid := m.status().PID
	stop := watch(t, pid, routines)

	c := &crowd{members: int64(len(hogs) + len(few)), got: make([]atomic.Int64, len(hogs)+len(few))}
	var begins sync.WaitGroup // the hogs' head start
	begin := make(chan struct{})
	var wg sync.WaitGroup
	failures := make(chan error, len(hogs)+len(few)+len(written))
	for i, f := range hogs {
		begins.Add(1)
		wg.Go(func() {
			early := int64(0)
			failures <- f.read(m.mnt, func(n int) {
				if early >= 12<<20 {
					c.note(i, n)
					return
				}
				if early += int64(n); early >= 12<<20 {
					begins.Done()
				}
			})
		})
	}
	for i, f := range few {
		wg.Go(func() {
			<-begin
			failures <- f.read(m.mnt, func(n int) { c.note(len(hogs)+i, n) })
		})
	}
	for _, f := range written {
		wg.Go(func() {
			<-begin
			failures <- f.store(m.mnt)
		})
	}
	begins.Wait()
	started := time.Now()
	close(begin)
	wg.Wait()
	took := time.Since(started)
	close(failures)
	for err := range failures {
		if err != nil {
			t.Error(err)
		}
	}
	u := stop()
	const table = `
| readers | writers | seconds | RssAnon, MiB | threads | open files | goroutines | most that anybody had when the last got a byte, MiB |
|--:|--:|--:|--:|--:|--:|--:|--:|
| %d | %d | %.1f | %d | %d | %d | %d | %.1f |`
	t.Logf(
		table, readers+len(hogs), len(written), took.Seconds(), u.anon>>20, u.threads, u.files, u.routines,
		float64(c.most.Load())/(1<<20),
	)
	if n := c.begun.Load(); n != c.members {
		t.Errorf("%d of %d got a byte", n, c.members)
	}
	if most := c.most.Load(); most >= firstByteRule {
		t.Errorf("somebody had %d bytes before everybody had one", most)
	}
	if u.anon >= maxAnon {
		t.Errorf("the daemon had %d MiB of memory, want less than %d", u.anon>>20, maxAnon>>20)
	}
	if u.files >= maxOpenFiles+int64(len(written)) {
		t.Errorf("the daemon had %d files open", u.files)
	}
	if most := int64(baseRoutines + perProcess*(readers+len(hogs)+len(written))); u.routines >= most {
		t.Errorf("the daemon had %d goroutines, want less than %d", u.routines, most)
	}
	m.umount()

	second := w.machine()
	second.mount(w.store, "--read-only")
	each(t, written, 4, func(f loadFile) error { return f.read(second.mnt, func(int) {}) })
	second.umount()
}

// openFiles counts what a process has open.
func openFiles(t *testing.T, pid int) int {
	t.Helper()
	fds, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", pid))
	if err != nil {
		t.Fatal(err)
	}
	return len(fds)
}

// TestFewDescriptors: what costs a descriptor is a media that is written, and a content that is
// read, for as long as that lasts. A daemon that may have few serves any number of files one after
// the other; where too many are written at once it refuses the one too many, and goes on.
func TestFewDescriptors(t *testing.T) {
	const (
		limit = 300
		many  = 600
		open  = 400 // at once
	)
	w := newWire(t)
	m := w.machine()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	// The soft limit is half of that: the daemon raises it.
	mount := exec.Command(
		"bash", "-c", fmt.Sprintf(`ulimit -Sn %d; ulimit -Hn %d; exec "$0" "$@"`, limit/2, limit), self, "mount",
		w.store, m.mnt, "--upload=background",
	)
	mount.Env, mount.Dir = m.env, m.home
	if out, err := mount.CombinedOutput(); err != nil {
		t.Fatalf("mount: %v\n%s", err, out)
	}
	pid := m.status().PID
	name := func(i int) string { return filepath.Join(m.mnt, fmt.Sprint("f-", i)) }
	for i := range many {
		write(t, name(i), fmt.Sprint("content ", i))
	}
	m.do("flush", m.mnt)
	m.sh("ls -l >/dev/null") // the kernel knows all of them
	if n := openFiles(t, pid); n > limit/2 {
		t.Errorf("%d files open after %d were written and closed", n, many)
	}
	for i := range many {
		mustRead(t, name(i), fmt.Sprint("content ", i))
	}

	var held []*os.File
	refused := 0
	for i := range open {
		f, err := os.OpenFile(name(i), os.O_WRONLY|os.O_APPEND, 0)
		if err == nil {
			held = append(held, f)
			_, err = fmt.Fprint(f, ", more")
		}
		if err != nil {
			refused++
		}
	}
	if refused == 0 {
		t.Errorf("%d files written at once, with %d descriptors", open, limit)
	}
	if got, err := os.ReadFile(
		name(many - 1),
	); err != nil && !errors.Is(err, syscall.EIO) ||
		err == nil && string(got) != fmt.Sprint("content ", many-1) {
		t.Errorf("a read meanwhile: %q, %v", got, err)
	}
	for _, f := range held {
		f.Close() // what was refused may be told once more
	}
	m.do("flush", m.mnt)
	more := 0
	for i := range many {
		b, err := os.ReadFile(name(i))
		text := fmt.Sprint("content ", i)
		switch {
		case err != nil || string(b) != text && string(b) != text+", more":
			t.Fatalf("%s: %q, %v", name(i), b, err)
		case string(b) != text:
			more++
		}
	}
	if more != open-refused {
		t.Errorf("%d writes were taken, %d files have them", open-refused, more)
	}
	if s := m.status(); !s.Pending.None() {
		t.Errorf("pending: %+v", s.Pending)
	}
	m.umount()
}
