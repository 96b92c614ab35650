package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"mediafs/fs/daemon"
	"mediafs/fs/vfs/engine"
)

const (
	// killWhenArmed has a daemon kill itself at a named point: point, how often it is passed, file
	// to leave as a sign, with | between. It counts from when the file "armed" is beside the sign.
	killWhenArmed = "MEDIAFS_TEST_KILL_WHEN_ARMED"
	// smallSizes has a daemon treat small files as it treats large ones otherwise.
	smallSizes = "MEDIAFS_TEST_SMALL_SIZES"

	// How TestTorture is run by scripts/torture; scripts/test sets none of them.
	tortureRounds = "MEDIAFS_TORTURE_ROUNDS" // of each store
	tortureSeed   = "MEDIAFS_TORTURE_SEED"   // decimal
	tortureStore  = "MEDIAFS_TORTURE_STORE"  // dir or s3: only that one
	tortureUpload = "MEDIAFS_TORTURE_UPLOAD" // close or background: only that one
)

func init() {
	if os.Getenv(smallSizes) != "" {
		tune = func(o *daemon.Options) {
			o.ChunkSize = 64 << 10 // on S3 it is 5 MiB all the same, twice that for what is sent while it is written
			o.Tune = func(v *engine.Options) {
				v.WholeBelow, v.StreamFrom = 16<<10, 1<<20
				v.RewriteFrom, v.RewriteAfter = 6, 200*time.Millisecond
				v.RetryInterval, v.FlushDelay = 50*time.Millisecond, 100*time.Millisecond
				v.Catalog.CheckpointBytes, v.Catalog.CommitCost, v.Cache.Flush = 4<<10, 1, 50*time.Millisecond
			}
		}
	}
	if f := strings.Split(os.Getenv(killWhenArmed), "|"); len(f) == 3 {
		nth, _ := strconv.ParseInt(f[1], 10, 64)
		armed := filepath.Join(filepath.Dir(f[2]), "armed")
		var passed atomic.Int64
		step = func(point string) {
			if point != f[0] {
				return
			}
			if _, err := os.Stat(armed); err != nil || passed.Add(1) != nth {
				return
			}
			os.WriteFile(f[2], nil, 0o600)
			syscall.Kill(os.Getpid(), syscall.SIGKILL)
			select {}
		}
	}
}

// A killPoint is a named point of the daemon, and how often a second of churning passes it at
// least, about.
type killPoint struct {
	name  string
	most  int
	local bool // also with a store in a local folder
}

// killPoints are all at which TestTorture kills, each at least once.
var killPoints = []killPoint{
	{"create", 5, true}, {"created", 5, true},
	{"spool write", 30, true}, {"spool written", 30, true},
	{"flush", 6, true}, {"flushed", 6, true},
	{"chunk", 6, true}, {"chunk sent", 6, true},
	{"complete", 4, true}, {"completed", 4, true},
	{"pinned", 30, true}, {"appended", 30, true}, // before and after an append
	{"confirm", 30, true}, {"confirmed", 30, true}, // before and after applying it
	{"rename", 3, true}, {"renamed", 3, true},
	{"unlink", 3, true}, {"unlinked", 3, true},
	{"set head", 8, true}, {"head set", 8, true},
	{"checkpoint", 1, true}, {"checkpoint written", 1, true},
	{"evict", 1, false}, {"evicted", 1, false},
	{"adopt", 3, false}, {"adopted", 3, false},
}

// recoveryPoints are passed while a mount takes up what an earlier daemon left.
var recoveryPoints = []string{
	"pinned", "appended", "confirm", "set head", "head set", "complete", "completed", "rerun", "undo", "applied",
}

// A torture is a library on one machine whose daemon is killed again and again while several
// processes work in it.
type torture struct {
	t       *testing.T
	m       *machine
	store   string
	local   bool
	wire    *wire    // to an S3 store
	uploads []string // one of these flags at each mount
	behind  bool     // one of the daemons of this round had uploads behind
	r       *rand.Rand
	dir     string // signs and journals
	round   int
	own     []*model // by process
	shared  names
	hits    map[string]int
	ops     int
	flags   []string                                        // more, for each mount
	large   bool                                            // a file of several chunks now and then
	settle  func(m *model, journal []*op, is *model) string // what is wrong; empty: nothing
}

const churners = 3

// tortureLibrary is after how many rounds another library is begun: a log that is too long makes
// each mount slow.
const tortureLibrary = 40

// TestTorture kills the daemon at named points and at random moments while processes work in the
// mount, mounts again, flushes and compares: what returned is there exactly, what was under way is
// there or not, nothing else is there, and check finds nothing. scripts/torture does it hundreds of
// times.
func TestTorture(t *testing.T) {
	if testing.Short() {
		t.Skip("kills for a minute")
	}
	seed, n := churnSetup(t, 0)
	// As many libraries side by side as keep two cores busy: a round waits for processes more than
	// it computes. scripts/torture has hundreds.
	libraries := []struct {
		kind   string
		rounds int
	}{{"dir", 8}, {"s3", 8}, {"s3", 8}}
	if n > 0 {
		libraries = libraries[:2]
		libraries[0].rounds, libraries[1].rounds = n, n
	}
	for i, l := range libraries {
		if only := os.Getenv(tortureStore); only != "" && only != l.kind {
			continue
		}
		t.Run(l.kind, func(t *testing.T) {
			t.Parallel()
			t.Logf("%s=%d", tortureSeed, seed)
			r := rand.New(rand.NewPCG(seed, uint64(i)))
			for left := l.rounds; left > 0 && !t.Failed(); left -= tortureLibrary {
				t.Run(fmt.Sprint(left), func(t *testing.T) { newTorture(t, l.kind, r).run(min(left, tortureLibrary)) })
			}
		})
	}
}

func newTorture(t *testing.T, kind string, r *rand.Rand) *torture {
	k := &torture{
		t:       t,
		r:       r,
		local:   kind == "dir",
		hits:    map[string]int{},
		uploads: []string{"close", "background"},
		large:   true,
		settle:  settleKill,
	}
	if only := os.Getenv(tortureUpload); only != "" {
		k.uploads = []string{only}
	}
	if k.local {
		k.m = newMachine(t)
		_, k.store = k.m.localStore()
	} else {
		k.wire = newWire(t)
		k.m, k.store = k.wire.machine(), k.wire.store
	}
	k.m.env = append(k.m.env, smallSizes+"=1")
	k.dir = filepath.Join(k.m.home, "journals")
	if err := os.Mkdir(k.dir, 0o700); err != nil {
		t.Fatal(err)
	}
	return k
}

// begin makes the folders.
func (k *torture) begin() {
	k.t.Helper()
	k.mount("")
	for i := range churners {
		k.must(os.Mkdir(filepath.Join(k.m.mnt, k.folder(i)), 0o755))
		k.own = append(k.own, newModel())
	}
	k.must(os.Mkdir(filepath.Join(k.m.mnt, sharedFolder), 0o755))
	k.umount()
}

// umount unmounts. Another test's child that is just being started may have a copy of a descriptor
// there for an instant.
func (k *torture) umount() {
	k.t.Helper()
	code, said := 0, ""
	if !eventually(func() bool { code, _, said = k.m.mediafs("umount", k.m.mnt); return code != exitBusy }) ||
		code != exitOK {
		k.t.Fatalf("umount: exit code %d, %s", code, said)
	}
}

func (k *torture) must(err error) {
	k.t.Helper()
	if err != nil {
		k.t.Fatal(err)
	}
}

func (k *torture) folder(i int) string { return fmt.Sprint("own", i) }
func (k *torture) sign() string        { return filepath.Join(k.dir, "sign") }
func (k *torture) armed() string       { return filepath.Join(k.dir, "armed") }

// mount mounts a daemon that will kill itself at a point, if it is given.
func (k *torture) mount(killAt string) {
	k.t.Helper()
	k.mounting(killAt, k.m.do)
}

func (k *torture) mounting(killAt string, do func(args ...string) string) {
	k.t.Helper()
	env := k.m.env
	if killAt != "" {
		k.m.env = append(env[:len(env):len(env)], killWhenArmed+"="+killAt+"|"+k.sign())
	}
	upload := k.uploads[k.r.IntN(len(k.uploads))]
	do(append([]string{"mount", k.store, k.m.mnt, "--cache-size=2MiB", "--upload=" + upload}, k.flags...)...)
	k.behind = k.behind || upload == "background"
	k.m.env = env
}

func (k *torture) run(rounds int) {
	var points []killPoint
	for _, p := range killPoints {
		if p.local || !k.local {
			points = append(points, p)
		}
	}
	all := len(points) // with so many rounds, each is asked for
	k.r.Shuffle(len(points), func(i, j int) { points[i], points[j] = points[j], points[i] })
	k.begin()
	for k.round = range rounds {
		if k.round%2 == 1 && rounds < all { // a short run has random moments as well
			k.kill(nil)
		} else {
			p := points[0]
			points = append(points[1:], p)
			k.kill(&p)
		}
		if k.t.Failed() {
			return
		}
	}
	k.t.Logf("%d rounds, %d operations, killed at %v", rounds, k.ops, k.hits)
	if rounds < all {
		return
	}
	for more := 0; more < 3*all; more++ { // a point that was not passed in its round has others
		i := slices.IndexFunc(points, func(p killPoint) bool { return k.hits[p.name] == 0 })
		if i < 0 || k.t.Failed() {
			break
		}
		k.round++
		k.kill(&points[i])
	}
	for _, p := range points {
		if k.hits[p.name] == 0 {
			k.t.Errorf("no daemon was ever killed at the point %q", p.name)
		}
	}
}

// kill is one round: mount, churn, kill, mount, flush, compare.
func (k *torture) kill(at *killPoint) {
	t := k.t
	os.Remove(k.sign())
	os.Remove(k.armed())
	what, spec := "a random moment", ""
	if at != nil {
		nth := 1 + k.r.IntN(at.most)
		what, spec = fmt.Sprintf("%q, the %d. time", at.name, nth), fmt.Sprintf("%s|%d", at.name, nth)
	}
	t.Logf("round %d: %s", k.round, what)
	k.mount(spec)
	pid := k.m.status().PID
	k.must(os.WriteFile(k.armed(), nil, 0o600))
	churns := k.churn()
	if at == nil {
		time.Sleep(time.Duration(20+k.r.IntN(700)) * time.Millisecond)
	} else {
		for range 150 { // 3 s at the most: it may not come by there at all
			if _, err := os.Stat(k.sign()); err == nil {
				k.hits[at.name]++
				break
			}
			time.Sleep(20 * time.Millisecond)
		}
	}
	k.end(pid)
	journals := churns()
	if t.Failed() {
		return
	}
	k.m.do("umount", k.m.mnt)
	if k.r.IntN(3) == 0 {
		k.killRecovery()
	}
	k.mount("")
	k.m.do("flush", k.m.mnt)
	k.compare(journals)
	k.umount()
	if code, stdout, stderr := k.m.mediafs("check", k.store); code != exitOK {
		t.Errorf("check: exit code %d\n%s%s", code, stdout, stderr)
	}
}

// end kills a daemon, if it has not done so itself, and waits until it is gone.
func (k *torture) end(pid int) {
	s := daemon.Mount{PID: pid, CatalogDir: k.catalogDir()}
	if s.Alive() {
		syscall.Kill(pid, syscall.SIGKILL)
	}
	if !eventually(func() bool { return !s.Alive() }) {
		k.t.Fatal("killed, and still there")
	}
}

func (k *torture) catalogDir() string {
	return filepath.Join(k.m.home, ".local/state/mediafs", libraryKey(k.store))
}

// killRecovery kills the next daemon as well, while it takes up what the last one left.
func (k *torture) killRecovery() {
	os.Remove(k.sign())
	point := recoveryPoints[k.r.IntN(len(recoveryPoints))]
	k.t.Logf("  and again at %q", point)
	// A process that is killed while it makes its mount may have a request of its own there, which
	// keeps it from ending.
	over, freed := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(freed)
		for {
			select {
			case <-over:
				return
			case <-time.After(20 * time.Millisecond):
				if _, err := os.Stat(k.sign()); err == nil {
					unix.Unmount(
						k.m.mnt, unix.MNT_FORCE,
					) //nolint:errcheck // it breaks the connection, whether it unmounts or not
				}
			}
		}
	}()
	k.mounting(fmt.Sprintf("%s|%d", point, 1+k.r.IntN(4)), func(args ...string) string {
		k.m.mediafs(args...) // it may well have died by then
		return ""
	})
	k.m.mediafs("flush", k.m.mnt)
	close(over)
	<-freed
	if b, err := os.ReadFile(filepath.Join(k.catalogDir(), "catalog/lock")); err == nil {
		if pid, err := strconv.Atoi(string(bytes.TrimRight(b, "\x00\n "))); err == nil && pid > 1 {
			k.end(pid)
		}
	}
	if k.m.mounted() {
		k.m.do("umount", k.m.mnt)
	}
}

// churn starts the processes; what it returns waits for their end and gives their journals.
func (k *torture) churn() func() [][]*op {
	return startChurn(k.t, k.m, churners, func(i int) churnOptions {
		return churnOptions{
			Mount:   k.m.mnt,
			Folder:  k.folder(i),
			Journal: filepath.Join(k.dir, fmt.Sprintf("%d-%d", k.round, i)),
			Seed:    k.r.Uint64(),
			Large:   k.large && i == 0 && k.r.IntN(3) == 0,
			Shared:  true,
			Flush:   !k.large,
		}
	})
}

func startChurn(t *testing.T, m *machine, n int, opt func(i int) churnOptions) func() [][]*op {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), commandDeadline)
	var cmds []*exec.Cmd
	var journals []string
	for i := range n {
		o := opt(i)
		b, err := json.Marshal(o)
		if err != nil {
			t.Fatal(err)
		}
		cmd := exec.CommandContext(ctx, self, string(b))
		cmd.Env = append(m.env[:len(m.env):len(m.env)], runAsProgram+"="+runAsChurn)
		cmd.Stderr = &bytes.Buffer{}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		cmds, journals = append(cmds, cmd), append(journals, o.Journal)
	}
	return func() (all [][]*op) {
		defer cancel()
		for i, cmd := range cmds {
			// One that has not begun when the daemon dies fails to read its folder.
			err := cmd.Wait()
			if ctx.Err() != nil {
				t.Errorf("process %d hung: %v", i, err)
			}
			ops, err := readOps(journals[i])
			if err != nil && !os.IsNotExist(err) {
				t.Error(err)
			}
			all = append(all, ops)
		}
		return all
	}
}

// compare holds what is mounted against the journals, and takes it over.
func (k *torture) compare(journals [][]*op) {
	t := k.t
	entries, err := os.ReadDir(k.m.mnt)
	k.must(err)
	if len(entries) != churners+1 {
		t.Errorf("in the root there is %v", entries)
	}
	histories := make([][]*op, churners)
	for i, journal := range journals {
		k.ops += len(journal)
		var own []*op
		own, histories[i] = split(journal)
		is, err := readModel(filepath.Join(k.m.mnt, k.folder(i)), true)
		if err != nil {
			t.Errorf("read the folder of process %d: %v", i, err)
			return
		}
		if s := k.settle(k.own[i], own, is); s != "" {
			t.Errorf("round %d, folder of process %d: %s\n%s", k.round, i, s, lastOps(own, 25))
		}
		k.own[i] = is.takenOver(k.own[i].history)
	}
	now, err := readShared(filepath.Join(k.m.mnt, sharedFolder))
	k.must(err)
	if !explain(k.shared, now, histories) {
		t.Errorf(
			"round %d: no order of what was done in the shared folder ends with %v\n%s", k.round, now,
			describeShared(k.shared, histories),
		)
	}
	k.shared = now
}

// settleKill is what must be there after the daemon was killed: all that returned.
func settleKill(m *model, journal []*op, is *model) string {
	doubt, wrong := m.replay(journal)
	switch {
	case wrong != "":
		return wrong
	case doubt != nil:
		return m.either(doubt, is, exactBytes)
	}
	return m.differs(is, exactBytes)
}

// replay carries a journal out on the model and compares the answers. doubt is the operation at the
// end that never returned.
func (m *model) replay(journal []*op) (doubt *op, wrong string) {
	for i, o := range journal {
		if o.inDoubt() {
			if i != len(journal)-1 {
				return nil, fmt.Sprintf("operation %d went on after %q", o.N, o.Err)
			}
			return o, ""
		}
		errno, tells := m.apply(o)
		switch {
		case (errno == 0) != (o.Err == ""):
			return nil, fmt.Sprintf("operation %d, %s %s %s: %q, should be %v", o.N, o.Do, o.Path, o.To, o.Err, errno)
		case o.Do == "read" && o.Err == "" && tells != o.Res:
			return nil, fmt.Sprintf("operation %d read other bytes at %d: %x, should be %x", o.N, o.Off, o.Res, tells)
		}
	}
	return nil, ""
}

// either compares with the model as it is before an operation that never returned and as it is
// after; bytes being written are the old or the new ones.
func (m *model) either(o *op, is *model, bytesOK func(name string, want, is *modelNode) string) string {
	before := m.differs(is, bytesOK)
	if before == "" {
		return ""
	}
	later := m.clone()
	if errno, _ := later.apply(o); errno != 0 {
		return fmt.Sprintf("%s (operation %d, %s, cannot have changed anything)", before, o.N, o.Do)
	}
	after := later.differs(is, bytesOK)
	if after == "" {
		return ""
	}
	if o.Do == "write" || o.Do == "copy" {
		file := o.FD
		if o.Do == "copy" {
			file = o.To2
		}
		was, now := m.files[file].node, later.files[file].node
		after = later.differs(is, func(name string, want, is *modelNode) string {
			if want == now && eitherBytes(is.data, was.data, now.data) {
				return ""
			}
			return bytesOK(name, want, is)
		})
	}
	if after == "" {
		return ""
	}
	return fmt.Sprintf("neither as before operation %d (%s): %s; nor as after: %s", o.N, o.Do, before, after)
}

// lastOps shows the end of a journal.
func lastOps(ops []*op, n int) string {
	var b strings.Builder
	for _, o := range ops[max(0, len(ops)-n):] {
		line, _ := json.Marshal(o)
		fmt.Fprintf(&b, "  %s\n", line)
	}
	return b.String()
}
