package main

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"mediafs/remote/storetest/wiretap"
)

const (
	// faultsWhole has TestFaults run every operation in every fault, and name the file that gets
	// the table; scripts/test leaves it empty.
	faultsWhole = "MEDIAFS_TEST_FAULTS"

	// faultLimits are those of the daemons in TestFaults, far below what people have: a fault shall
	// outlast them in a test's time.
	faultLimits = "answer=2s,stall=1500ms,read=2s,retry=100ms,hang=60s,close=10s"

	// brief is how long a fault lasts that ends while an operation waits.
	brief = time.Second

	// parallelFaults is how many faults are tried at once: mostly they wait.
	parallelFaults = 4
)

// A fault is a way in which the network or the store fails. begin makes it happen, and returns what
// ends it.
type fault struct {
	name  string
	begin func(*wire) (end func())
	exact bool          // every operation must work in spite of it
	most  time.Duration // it ends after this long at the latest; 0: it may outlast every limit
}

func tapped(f wiretap.Fault) func(*wire) func() {
	return func(w *wire) func() { return w.tap.Fault(f) }
}

var faults = []fault{
	{name: "latency of 200 ms", begin: tapped(wiretap.Fault{Latency: 200 * time.Millisecond}), exact: true},
	{name: "500", begin: tapped(wiretap.Fault{Status: 500, Code: "InternalError"})},
	{name: "503, Retry-After", begin: tapped(wiretap.Fault{Status: 503, Code: "SlowDown", RetryAfter: time.Second})},
	{name: "409", begin: tapped(wiretap.Fault{Status: 409, Code: "OperationAborted"})},
	{name: "reset in a request", begin: tapped(wiretap.Fault{CutRequest: 100})},
	{name: "reset in an answer", begin: tapped(wiretap.Fault{CutAnswer: 100})},
	{name: "4 KiB/s", begin: tapped(wiretap.Fault{Rate: 4 << 10}), most: 8 * time.Second}, // what moves has no limit
	{name: "black hole", begin: tapped(wiretap.Fault{BlackHole: true})},
	{name: "403", begin: tapped(wiretap.Fault{Status: 403, Code: "AccessDenied"})},
	// after the client has given up
	{name: "requests come late", begin: tapped(wiretap.Fault{Late: 2500 * time.Millisecond})},
	{name: "answers get lost", begin: func(w *wire) func() {
		never := make(chan struct{})
		return w.tap.Fault(wiretap.Fault{Hold: never})
	}},
	{name: "server killed", begin: func(w *wire) func() {
		w.server.Kill()
		return func() {
			if err := w.server.Restart(); err != nil {
				w.t.Error(err)
			}
		}
	}},
}

// The operations, in the order in which a row does them.
const (
	copySmall = "copy small"
	copyLarge = "copy large"
	edit      = "edit"
	coldRead  = "cold read"
	rename    = "rename"
	unlink    = "unlink"
	mkdir     = "mkdir"
	list      = "ls -lR"
	remount   = "mount"
)

var operations = []string{copySmall, copyLarge, edit, coldRead, rename, unlink, mkdir, list, remount}

// A row is one fault, for a moment or until the operation has ended, and what is done in it.
type row struct {
	fault      fault
	lasting    bool
	operations []string
}

func (r row) name() string {
	if r.lasting {
		return r.fault.name
	}
	return r.fault.name + ", 1 s"
}

// shortRows has every fault once, and every operation.
func shortRows() []row {
	do := map[string]row{
		"latency of 200 ms":  {lasting: true, operations: []string{copySmall, list}},
		"500":                {operations: []string{rename, remount}},
		"503, Retry-After":   {operations: []string{mkdir, copySmall}},
		"409":                {operations: []string{unlink, edit}},
		"reset in a request": {operations: []string{copyLarge}},
		"reset in an answer": {operations: []string{coldRead}},
		"4 KiB/s":            {lasting: true, operations: []string{edit}},
		"black hole":         {lasting: true, operations: []string{coldRead, copySmall}},
		"403":                {lasting: true, operations: []string{edit}},
		"requests come late": {lasting: true, operations: []string{rename}},
		"answers get lost":   {lasting: true, operations: []string{copySmall}},
		"server killed":      {operations: []string{copyLarge}},
	}
	var rows []row
	for _, f := range faults {
		r := do[f.name]
		r.fault = f
		rows = append(rows, r)
	}
	return rows
}

func allRows() []row {
	var rows []row
	for _, f := range faults {
		for _, lasting := range []bool{false, true} {
			rows = append(rows, row{f, lasting, operations})
		}
	}
	return rows
}

// TestFaults has the network and the store fail under a copy, an edit, a read, changes of names, a
// listing and a mount. Each ends exact, or with an error within the limits that were set; what was
// accepted is in the store when the fault is over; the daemon lives, and nobody reads a byte that
// was not written.
func TestFaults(t *testing.T) {
	if testing.Short() {
		t.Skip("mounts two dozen times")
	}
	rows, file := shortRows(), os.Getenv(faultsWhole)
	if file != "" {
		rows = allRows()
	}
	source := faultSource(t)
	results := make([]map[string]string, len(rows))
	var wg sync.WaitGroup
	slots := make(chan struct{}, parallelFaults)
	for i, r := range rows {
		results[i] = map[string]string{}
		wg.Go(func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			t.Run(r.name(), func(t *testing.T) { (&trial{t: t, row: r, source: source, results: results[i]}).run() })
		})
	}
	wg.Wait()
	table := faultTable(rows, results)
	t.Log("\n" + table)
	if file != "" {
		if err := os.WriteFile(file, []byte(table), 0o644); err != nil {
			t.Error(err)
		}
	}
}

// faultSource makes what is copied: small files, and one of three chunks.
func faultSource(t *testing.T) string {
	t.Helper()
	source := t.TempDir()
	for _, dir := range []string{"small", "large", "other"} {
		if err := os.Mkdir(filepath.Join(source, dir), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	for name, size := range map[string]int64{
		"small/a": 4 << 10, "small/b": 100 << 10, "small/c": 700 << 10, "large/film": 2*testChunk + 1<<20, "other/edit": 3 << 20, "other/cold": 2 << 20,
	} {
		pseudoRandom(t, filepath.Join(source, name), size)
	}
	return source
}

func faultTable(rows []row, results []map[string]string) string {
	lines := [][]string{append([]string{"fault"}, operations...)}
	for i, r := range rows {
		line := []string{r.name()}
		for _, op := range operations {
			line = append(line, results[i][op])
		}
		lines = append(lines, line)
	}
	width := make([]int, len(lines[0]))
	for _, l := range lines {
		for i, cell := range l {
			width[i] = max(width[i], len(cell))
		}
	}
	var b strings.Builder
	for _, l := range lines {
		for i, cell := range l {
			fmt.Fprintf(&b, "%-*s  ", width[i], cell)
		}
		b.WriteByte('\n')
	}
	return b.String()
}

// A trial is one row at work: a machine that writes, and a second one that reads.
type trial struct {
	*wire
	t       *testing.T
	row     row
	source  string
	results map[string]string

	writer, reader *machine
	pid            int

	// expected says of each path below the mount which contents it may have in the end; a folder
	// has none.
	expected map[string]func(got []byte) error
	maybe    map[string]bool // paths that need not be there
}

const faultEdit = 1<<20 + 12345 // where edits are made

func (c *trial) run() {
	t := c.t
	c.wire = newWire(t)
	c.expected, c.maybe = map[string]func([]byte) error{"": nil, "from": nil}, map[string]bool{}
	c.writer = c.faultMachine()
	c.writer.mount(c.store, "--append-timeout=3s", "--stop-timeout=5s", "--cache-size=64MiB")
	c.pid = c.writer.status().PID
	c.writer.sh(`mkdir from; cp "$1"/other/* from; for f in rename unlink; do echo $f > from/$f; done`, c.source)
	c.expect("from/edit", c.sourceFile("other/edit"))
	c.expect("from/cold", c.sourceFile("other/cold"))
	c.expect("from/rename", []byte("rename\n"))
	c.expect("from/unlink", []byte("unlink\n"))
	if slices.Contains(c.row.operations, coldRead) || slices.Contains(c.row.operations, list) {
		c.reader = c.faultMachine()
		c.reader.mount(c.store, "--append-timeout=3s", "--stop-timeout=5s", "--cache-size=64MiB")
	}
	for _, op := range c.row.operations {
		c.try(op)
		if t.Failed() {
			return
		}
	}
	c.writer.umount()
	if c.reader != nil {
		c.reader.umount()
	}
	c.verify()
}

func (c *trial) faultMachine() *machine {
	m := c.machine()
	m.t = c.t
	m.env = append(m.env, testLimits+"="+faultLimits)
	return m
}

func (c *trial) sourceFile(name string) []byte {
	c.t.Helper()
	b, err := os.ReadFile(filepath.Join(c.source, name))
	if err != nil {
		c.t.Fatal(err)
	}
	return b
}

func (c *trial) expect(name string, want []byte) {
	c.expected[name] = func(got []byte) error {
		if !bytes.Equal(got, want) {
			return fmt.Errorf("%d bytes that are not the %d that were written", len(got), len(want))
		}
		return nil
	}
}

// try does one operation in the fault, ends the fault, and looks whether the writer recovers.
func (c *trial) try(op string) {
	t, r := c.t, c.row
	c.settle()
	end := c.begin(op == copySmall || op == copyLarge)
	defer end()
	o := c.do(op)
	end()
	switch {
	case o.failed == "":
		c.results[op] = fmt.Sprintf("exact %.1f s", o.took.Seconds())
	default:
		c.results[op] = fmt.Sprintf("%s %.1f s", o.errno(), o.took.Seconds())
		t.Logf("%s: %s", op, o.failed)
	}
	switch errno := o.errno(); {
	case o.failed == "", op == remount, errno == "EIO", errno == "EPERM" && r.fault.name == "403":
	default:
		t.Errorf("%s: %s says nothing of a store that fails", op, errno)
	}
	if r.fault.exact && o.failed != "" {
		t.Errorf("%s fails: %s", op, o.failed)
	}
	if limit := 30 * time.Second; o.took > limit {
		t.Errorf("%s took %s, although everything that it waits for ends within seconds", op, o.took)
	}
	if code, stdout, stderr := c.writer.mediafs("flush", "--timeout=60s", c.writer.mnt); code != exitOK {
		t.Fatalf("flush after %s: exit code %d\n%s%s", op, code, stdout, stderr)
	}
	if s := c.writer.status(); s.PID != c.pid || !s.Running || !s.Pending.None() || s.Dropped != 0 {
		t.Errorf("after %s: %+v", op, s)
	}
}

// begin makes the fault happen: at once, or in the middle of a copy, when the first bytes of a file
// are on their way. end may be called more than once.
func (c *trial) begin(inCopy bool) (end func()) {
	var (
		mu   sync.Mutex
		stop func() // nil before the fault
		over bool
	)
	heal := func() {
		mu.Lock()
		defer mu.Unlock()
		if !over && stop != nil {
			stop()
		}
		over = true
	}
	start := sync.OnceFunc(func() {
		mu.Lock()
		defer mu.Unlock()
		if over {
			return
		}
		stop = c.row.fault.begin(c.wire)
		switch {
		case !c.row.lasting:
			time.AfterFunc(brief, heal)
		case c.row.fault.most > 0:
			time.AfterFunc(c.row.fault.most, heal)
		}
	})
	if !inCopy {
		start()
		return heal
	}
	c.tap.Before(func(r *wiretap.Request) {
		if strings.HasPrefix(r.Key, "content/") && r.Method != "GET" {
			start()
		}
	})
	return func() {
		c.tap.Before(nil)
		heal()
	}
}

// do runs an operation and notes what must come of it.
func (c *trial) do(op string) outcome {
	t, mnt := c.t, c.writer.mnt
	from := filepath.Join(mnt, "from")
	switch op {
	case copySmall, copyLarge:
		return c.doCopy(op)
	case edit:
		const words, times = "edited in the middle\n", 3000
		o := c.writer.operate(
			runAsOperator, "edit", filepath.Join(from, "edit"), fmt.Sprint(faultEdit), words, fmt.Sprint(times),
		)
		old, text := c.sourceFile("other/edit"), strings.Repeat(words, times)
		edited := slices.Concat(old[:faultEdit], []byte(text), old[faultEdit+len(text):])
		if strings.Contains(o.output, "written") {
			c.expect("from/edit", edited)
			return o
		}
		if o.failed == "" {
			t.Error("an edit that worked did not write")
		}
		c.expected["from/edit"] = func(got []byte) error {
			if !bytes.Equal(got, old) && !bytes.Equal(got, edited) {
				return fmt.Errorf("neither the old nor the new bytes")
			}
			return nil
		}
		return o
	case coldRead:
		o := c.reader.operate(runAsOperator, "read", filepath.Join(c.reader.mnt, "from/cold"))
		want := fmt.Sprintf("%x\n", sha256.Sum256(c.sourceFile("other/cold")))
		if o.failed == "" && o.output != want {
			t.Errorf("read other bytes than were written")
		}
		return o
	case rename:
		o := c.writer.operate(runAsOperator, "rename", filepath.Join(from, "rename"), filepath.Join(from, "renamed"))
		delete(c.expected, "from/rename") // an error only says that it has not happened yet
		c.expect("from/renamed", []byte("rename\n"))
		return o
	case unlink:
		o := c.writer.operate(runAsOperator, "unlink", filepath.Join(from, "unlink"))
		delete(c.expected, "from/unlink")
		return o
	case mkdir:
		o := c.writer.operate(runAsOperator, "mkdir", filepath.Join(from, "folder"))
		c.expected["from/folder"] = nil
		return o
	case list:
		o := c.reader.operate(runAsOperator, "list", c.reader.mnt)
		for _, name := range []string{"from/edit", "from/cold"} {
			if o.failed == "" && !strings.Contains(o.output, filepath.Join(c.reader.mnt, name)+"\n") {
				t.Errorf("%s is not listed:\n%s", name, o.output)
			}
		}
		return o
	case remount:
		return c.doMount()
	}
	t.Fatalf("no such operation: %s", op)
	return outcome{}
}

func (c *trial) doCopy(op string) outcome {
	t := c.t
	_, kind, _ := strings.Cut(op, " ")
	journal := filepath.Join(c.writer.home, kind+".journal")
	o := c.writer.operate(runAsCopier, filepath.Join(c.source, kind), filepath.Join(c.writer.mnt, kind), journal)
	k := &killed{t: t, closed: map[string]bool{}, written: map[string]int{}}
	if _, err := os.Stat(journal); err == nil {
		k.readJournal(kind, journal)
	}
	c.expected[kind], c.maybe[kind] = nil, o.failed != ""
	entries, err := os.ReadDir(filepath.Join(c.source, kind))
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		name := kind + "/" + e.Name()
		want := c.sourceFile(name)
		if k.closed[name] {
			c.expect(name, want)
			continue
		}
		if o.failed == "" {
			t.Errorf("%s was not closed, and the copy ended well", name)
		}
		written := k.written[name]
		c.maybe[name] = written == 0
		c.expected[name] = func(got []byte) error {
			if len(got) < written || !bytes.HasPrefix(want, got) {
				return fmt.Errorf("%d bytes, of which %d were written, or others than those", len(got), written)
			}
			return nil
		}
	}
	return o
}

// doMount mounts on a machine that knows nothing of the library yet.
func (c *trial) doMount() outcome {
	m := c.faultMachine()
	begin := time.Now()
	args := []string{"mount", c.store, m.mnt, "--append-timeout=3s", "--connect-timeout=3s", "--stop-timeout=1s"}
	code, _, stderr := m.mediafs(args...)
	o := outcome{took: time.Since(begin)}
	if code == exitOK {
		m.do("umount", "--force", m.mnt)
		return o
	}
	o.failed = fmt.Sprintf("exit %d", code)
	if m.mounted() || strings.Count(stderr, "\n") != 1 {
		c.t.Errorf("a mount that fails with %q; mounted %v", stderr, m.mounted())
	}
	return o
}

// verify compares the library, as a machine finds it that knows nothing but the store, with what
// must be there.
func (c *trial) verify() {
	t := c.t
	m := newMachine(t, credentials(c.server)...)
	m.mount(c.store, "--read-only")
	defer m.umount()
	seen := map[string]bool{}
	err := filepath.WalkDir(m.mnt, func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		path := strings.TrimPrefix(strings.TrimPrefix(name, m.mnt), "/")
		right, known := c.expected[path]
		seen[path] = true
		switch {
		case !known:
			t.Errorf("%s should not be there", path)
		case d.IsDir() != (right == nil):
			t.Errorf("%s is a folder: %v", path, d.IsDir())
		case right != nil:
			got, err := os.ReadFile(name)
			if err == nil {
				err = right(got)
			}
			if err != nil {
				t.Errorf("%s: %v", path, err)
			}
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
	for path := range c.expected {
		if !seen[path] && !c.maybe[path] {
			t.Errorf("%s is lost", path)
		}
	}
}
