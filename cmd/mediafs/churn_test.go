package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// runAsChurn as the value of runAsProgram makes the test binary a process that works in a mount at
// random and keeps a journal elsewhere.
const runAsChurn = "churn"

func init() {
	if os.Getenv(runAsProgram) != runAsChurn {
		return
	}
	c := &churn{own: newModel()}
	if err := json.Unmarshal([]byte(os.Args[1]), &c.churnOptions); err == nil {
		err = c.run()
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
	os.Exit(0)
}

// churnOptions say what a churning process does.
type churnOptions struct {
	Mount   string
	Folder  string // its own, below Mount
	Journal string
	Seed    uint64
	Ops     int  // ends after so many; 0: when an operation fails as none may
	Large   bool // also a file that is sent in several chunks while it is written
	Shared  bool // also names in the folder that all contend for
	Flush   bool // also mediafs flush
}

// An op is one operation in a journal: once as it begins, once when it has returned.
type op struct {
	N     int    `json:"n"`
	Do    string `json:"do,omitempty"`
	Path  string `json:"path,omitempty"`
	To    string `json:"to,omitempty"`
	FD    int    `json:"fd,omitempty"`
	To2   int    `json:"fd2,omitempty"`
	Off   int64  `json:"off,omitempty"`
	Off2  int64  `json:"off2,omitempty"`
	Len   int64  `json:"len,omitempty"`
	Seed  uint64 `json:"seed,omitempty"`
	Flags int    `json:"flags,omitempty"`
	Mode  uint32 `json:"mode,omitempty"`
	Time  int64  `json:"time,omitempty"`
	Attr  string `json:"attr,omitempty"`
	Value string `json:"value,omitempty"`

	Begun int64  `json:"begun,omitempty"` // CLOCK_MONOTONIC, nanoseconds
	Ended int64  `json:"ended,omitempty"`
	Done  bool   `json:"done,omitempty"`
	Res   int64  `json:"res,omitempty"` // bytes; of what only looks, a sum of what was seen
	Err   string `json:"err,omitempty"`
}

// errnos are the failures that are answers. Any other means that the daemon is in trouble, and what
// was asked is in doubt.
var errnos = map[syscall.Errno]bool{
	syscall.ENOENT:    true,
	syscall.EEXIST:    true,
	syscall.ENOTDIR:   true,
	syscall.EISDIR:    true,
	syscall.ENOTEMPTY: true,
	syscall.EINVAL:    true,
	syscall.ENODATA:   true,
	syscall.EPERM:     true,
	syscall.ELOOP:     true,
	syscall.EXDEV:     true,
}

// inDoubt tells whether an operation may have happened or not.
func (o *op) inDoubt() bool {
	if !o.Done || o.Err == "" {
		return !o.Done
	}
	for e := range errnos {
		if e.Error() == o.Err {
			return false
		}
	}
	return true
}

// readOps reads a journal; a last line that was cut off is an operation that had not begun, or not
// returned.
func readOps(name string) ([]*op, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var ops []*op
	for s := bufio.NewScanner(f); s.Scan(); {
		var o op
		if json.Unmarshal(s.Bytes(), &o) != nil {
			break
		}
		if !o.Done {
			ops = append(ops, &o)
			continue
		}
		last := ops[len(ops)-1]
		last.Done, last.Res, last.Err, last.Ended = true, o.Res, o.Err, o.Ended
	}
	return ops, nil
}

// A churn is such a process. Its model chooses operations of which most work.
type churn struct {
	churnOptions
	r       *rand.Rand
	own     *model
	fds     map[int]int // number in the journal → descriptor
	next    int
	journal *os.File
	n       int
}

func now() int64 {
	var ts unix.Timespec
	unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts)
	return ts.Nano()
}

func (c *churn) run() (err error) {
	unix.Umask(0)
	c.r, c.fds = rand.New(rand.NewPCG(c.Seed, 0)), map[int]int{}
	if c.own, err = readModel(filepath.Join(c.Mount, c.Folder), false); err != nil {
		return err
	}
	if c.journal, err = os.OpenFile(c.Journal, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600); err != nil {
		return err
	}
	large := c.Large
	for c.Ops == 0 || c.n < c.Ops {
		ok := true
		switch {
		case large && c.n > 10:
			large = false
			ok = c.large()
		case c.Shared && c.r.IntN(6) == 0:
			ok = c.shared()
		default:
			ok = c.do(c.choose())
		}
		if !ok {
			return nil
		}
	}
	return nil
}

func (c *churn) note(o *op) {
	b, _ := json.Marshal(o)
	c.journal.Write(append(b, '\n')) //nolint:errcheck // a journal that ends early is read as one
}

// do carries an operation out; false when it failed as none may.
func (c *churn) do(o *op) bool {
	if o == nil {
		return true
	}
	c.n++
	o.N, o.Begun = c.n, now()
	c.note(o)
	res, err := c.carryOut(o)
	end := op{N: o.N, Done: true, Res: res, Ended: now()}
	if err != nil {
		end.Err = err.Error()
		if e, ok := errors.AsType[syscall.Errno](err); ok {
			end.Err = e.Error()
		}
	}
	c.note(&end)
	o.Done, o.Res, o.Err = true, end.Res, end.Err
	if o.inDoubt() {
		return false
	}
	if err == nil && !strings.HasPrefix(o.Do, "shared") {
		c.own.apply(o)
	}
	return true
}

func (c *churn) carryOut(o *op) (int64, error) {
	at := filepath.Join(c.Mount, c.Folder, o.Path)
	to := filepath.Join(c.Mount, c.Folder, o.To)
	fd := c.fds[o.FD]
	switch o.Do {
	case "create", "open":
		fd, err := unix.Open(at, o.Flags|unix.O_CLOEXEC, 0o644)
		if err == nil {
			c.fds[o.FD] = fd
		}
		return 0, err
	case "write":
		p, n := pattern(o.Seed, o.Len), 0
		for n < len(p) { // of a write that ends early the rest may be in doubt
			m, err := unix.Pwrite(fd, p[n:], o.Off+int64(n))
			if err != nil {
				return 0, err
			}
			n += m
		}
		return int64(n), nil
	case "read":
		p, n := make([]byte, o.Len), 0
		for n < len(p) { // a read that ends early may be one whose rest fails
			m, err := unix.Pread(fd, p[n:], o.Off+int64(n))
			if err != nil {
				return 0, err
			}
			if m == 0 {
				break
			}
			n += m
		}
		return int64(crc32.ChecksumIEEE(p[:n]))<<24 | int64(n), nil
	case "ftruncate":
		return 0, unix.Ftruncate(fd, o.Len)
	case "fsync":
		return 0, unix.Fsync(fd)
	case "close":
		delete(c.fds, o.FD)
		return 0, unix.Close(fd)
	case "copy":
		n, err := unix.CopyFileRange(fd, &[]int64{o.Off}[0], c.fds[o.To2], &[]int64{o.Off2}[0], int(o.Len), 0)
		return int64(n), err
	case "flush":
		self, err := os.Executable()
		if err != nil {
			return 0, err
		}
		cmd := exec.Command(self, "flush", c.Mount)
		cmd.Env = append(os.Environ(), runAsProgram+"=mediafs")
		return 0, cmd.Run()
	case "mkdir":
		return 0, unix.Mkdir(at, 0o755)
	case "rmdir":
		return 0, unix.Rmdir(at)
	case "unlink":
		return 0, unix.Unlink(at)
	case "symlink":
		return 0, unix.Symlink(o.Value, at)
	case "link":
		return 0, unix.Link(at, to)
	case "rename":
		return 0, unix.Renameat2(unix.AT_FDCWD, at, unix.AT_FDCWD, to, uint(o.Flags))
	case "truncate":
		return 0, unix.Truncate(at, o.Len)
	case "chmod":
		return 0, unix.Chmod(at, o.Mode)
	case "utimens":
		ts := unix.NsecToTimespec(o.Time)
		return 0, unix.UtimesNanoAt(unix.AT_FDCWD, at, []unix.Timespec{ts, ts}, unix.AT_SYMLINK_NOFOLLOW)
	case "setxattr":
		return 0, unix.Lsetxattr(at, o.Attr, []byte(o.Value), 0)
	case "removexattr":
		return 0, unix.Lremovexattr(at, o.Attr)
	}
	return c.carryOutShared(o)
}

// choose makes up an operation; nil when what it had in mind is not possible now.
func (c *churn) choose() *op {
	var files, all, dirs []string
	dirs = append(dirs, "")
	c.own.walk(func(name string, n *modelNode) {
		all = append(all, name)
		switch {
		case n.isDir():
			dirs = append(dirs, name)
		case n.isFile():
			files = append(files, name)
		}
	})
	pick := func(list []string) string {
		if len(list) == 0 {
			return "none"
		}
		return list[c.r.IntN(len(list))]
	}
	fresh := func() string { return filepath.Join(pick(dirs), fmt.Sprintf("n%d", c.r.IntN(12))) }
	some := func() string { // mostly one that is there
		if c.r.IntN(8) == 0 {
			return fresh()
		}
		return pick(all)
	}
	x := c.r.IntN(100)
	if len(files) > 40 && x < 30 {
		return &op{Do: "unlink", Path: pick(files)}
	}
	if len(c.fds) > 0 && x < 62 {
		return c.chooseOpen()
	}
	switch {
	case x < 70:
		return c.opening("create", fresh(), os.O_RDWR|os.O_CREATE|os.O_EXCL)
	case x < 76:
		return c.opening("open", pick(files), os.O_RDWR|[]int{0, 0, os.O_APPEND, os.O_TRUNC}[c.r.IntN(4)])
	case x < 80:
		return &op{Do: "rename", Path: some(), To: fresh()}
	case x < 83: // over another one
		return &op{Do: "rename", Path: pick(files), To: pick(files)}
	case x < 85:
		return &op{
			Do:    "rename",
			Path:  some(),
			To:    some(),
			Flags: []int{unix.RENAME_EXCHANGE, unix.RENAME_NOREPLACE}[c.r.IntN(2)],
		}
	case x < 87:
		return &op{Do: "link", Path: pick(files), To: fresh()}
	case x < 89:
		return &op{Do: "unlink", Path: some()}
	case x < 90:
		return &op{Do: "rmdir", Path: some()}
	case x < 92:
		if name := fresh(); strings.Count(name, "/") < 3 {
			return &op{Do: "mkdir", Path: name}
		}
	case x < 93:
		return &op{Do: "symlink", Path: fresh(), Value: fmt.Sprint("to-", c.r.IntN(1000))}
	case x < 95:
		return &op{
			Do:    "setxattr",
			Path:  pick(files),
			Attr:  fmt.Sprint("user.torture.", c.r.IntN(3)),
			Value: strings.Repeat("x", c.r.IntN(40)),
		}
	case x < 96:
		return &op{Do: "removexattr", Path: pick(files), Attr: fmt.Sprint("user.torture.", c.r.IntN(3))}
	case x < 97:
		return &op{Do: "chmod", Path: pick(files), Mode: 0o600 | uint32(c.r.IntN(0o100))}
	case x < 99:
		return c.utimens(pick(files))
	}
	return &op{Do: "truncate", Path: pick(files), Len: c.r.Int64N(60_000)}
}

func (c *churn) utimens(name string) *op {
	return &op{Do: "utimens", Path: name, Time: 1_000_000_000_000_000_000 + c.r.Int64N(1e17)}
}

func (c *churn) opening(do, name string, flags int) *op {
	if len(c.fds) > 6 {
		return nil
	}
	c.next++
	return &op{Do: do, Path: name, Flags: flags, FD: c.next}
}

// chooseOpen makes up an operation on an open file.
func (c *churn) chooseOpen() *op {
	list := make([]int, 0, len(c.fds))
	for n := range c.next + 1 {
		if _, ok := c.fds[n]; ok {
			list = append(list, n)
		}
	}
	fd := list[c.r.IntN(len(list))]
	n := c.own.files[fd].node
	size := int64(len(n.data))
	length := 1 + c.r.Int64N(6000)
	if c.r.IntN(8) == 0 {
		length = 1 + c.r.Int64N(100_000)
	}
	off := c.r.Int64N(size + 1)
	switch c.r.IntN(4) {
	case 0:
		off = size // append
	case 1:
		off = min(off, 200_000) + c.r.Int64N(9000)
	}
	switch x := c.r.IntN(100); {
	case x < 45:
		return &op{Do: "write", FD: fd, Off: min(off, 400_000), Len: length, Seed: c.r.Uint64()}
	case x < 58:
		return &op{Do: "read", FD: fd, Off: c.r.Int64N(size + 1), Len: 1 + c.r.Int64N(70_000)}
	case x < 64:
		return &op{Do: "ftruncate", FD: fd, Len: c.r.Int64N(min(size, 300_000) + 5000)}
	case x < 72:
		return &op{Do: "fsync", FD: fd}
	case x < 78:
		to := list[c.r.IntN(len(list))]
		if f := c.own.files[to]; f.node == n || f.append {
			return nil
		}
		return &op{Do: "copy", FD: fd, To2: to, Off: c.r.Int64N(size + 1), Off2: min(off, 300_000), Len: length}
	case x < 81 && c.Flush:
		return &op{Do: "flush"}
	}
	return &op{Do: "close", FD: fd}
}

// large writes a file of some chunks from its beginning on, goes back in between, and copies a part
// of it.
func (c *churn) large() bool {
	if !c.do(&op{Do: "unlink", Path: "large"}) {
		return false
	}
	create := c.opening("create", "large", os.O_RDWR|os.O_CREATE|os.O_EXCL)
	if create == nil {
		return true
	}
	if !c.do(create) || create.Err != "" {
		return create.Err == ""
	}
	fd, size := create.FD, int64(0)
	end := 10<<20 + c.r.Int64N(3<<20)
	for size < end {
		n := 200_000 + c.r.Int64N(200_000)
		if !c.do(&op{Do: "write", FD: fd, Off: size, Len: n, Seed: c.r.Uint64()}) {
			return false
		}
		size += n
		if c.r.IntN(8) == 0 && !c.do(&op{Do: "write", FD: fd, Off: c.r.Int64N(size), Len: 3000, Seed: c.r.Uint64()}) {
			return false
		}
	}
	if !c.do(&op{Do: "close", FD: fd}) || !c.do(c.utimens("large")) {
		return false
	}
	from, to := c.opening("open", "large", os.O_RDWR), c.opening(
		"create", fmt.Sprint("copy", c.r.IntN(3)), os.O_RDWR|os.O_CREATE|os.O_EXCL,
	)
	if from == nil || to == nil {
		return true
	}
	if !c.do(from) || !c.do(to) {
		return false
	}
	if from.Err != "" || to.Err != "" {
		return true
	}
	return c.do(
		&op{
			Do:   "copy",
			FD:   from.FD,
			To2:  to.FD,
			Off:  c.r.Int64N(8 << 20),
			Off2: c.r.Int64N(100_000),
			Len:  1<<20 + c.r.Int64N(1<<20),
		},
	) &&
		c.do(&op{Do: "write", FD: from.FD, Off: c.r.Int64N(9 << 20), Len: 40_000, Seed: c.r.Uint64()})
}
