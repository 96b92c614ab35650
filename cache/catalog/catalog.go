package catalog

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/dgraph-io/badger/v4"
	"github.com/dgraph-io/badger/v4/options"
	"github.com/sirupsen/logrus"
	"golang.org/x/sys/unix"

	"mediafs/remote"
	"mediafs/remote/bucket/record"
)

// Options configure a Catalog. Dir and Store are needed; the zero value of the rest works.
type Options struct {
	Dir      string     // made 0700 when missing; one process at a time
	Store    remote.Log // the log that is followed
	Library  string     // identity of the library; a directory that belongs to another is refused
	ReadOnly bool       // follow only: no client number is taken, Update fails with ReadOnly
	// StayReadable opens a catalog also when the log cannot be read on, at the last commit that can
	// be: see Blocked. Without it Open fails then.
	StayReadable bool

	// Machine tells this machine and the file system of Dir from others; when it changes, a new
	// client number is taken.
	Machine []byte
	Host    string // for people

	// Init gives the records of an empty library's first commit.
	Init func() []remote.Record
	// Run runs an intent from the outbox again when its caller is gone. The function that was given
	// to Update is used while it waits.
	Run func(tx *Tx, intent []byte) error
	// Changed is told the replicated keys whose values changed other than through an Update of this
	// process that is unaffected. It is called from the catalog's goroutine with no lock held.
	Changed func(keys [][]byte)
	// Reloaded is told that the replicated catalog was replaced by the store's newest checkpoint,
	// so that any key may have changed. It is called from the catalog's goroutine with no lock
	// held; Open does not call it.
	Reloaded func()
	// Mended is called when a log that was blocked can be read to its end, before Blocked ends, in
	// the catalog's goroutine with no lock held; it may be before Open returns. Its error keeps the
	// log blocked.
	Mended func() error
	// Referenced tells whether a node is looked up or open here, so that its record must outlive
	// its deletion as an orphan. It is called under the catalog's lock.
	Referenced func(node uint64) bool
	// Orphaned is told of each node that is referenced and was deleted: by an operation of this
	// machine (here), when that has been carried out, or else by another, with the name that it had
	// last, which may be empty. It is called under the catalog's lock: no view sees the deletion
	// before.
	Orphaned func(node uint64, here bool, parent uint64, name string)
	// HashName gives the place of a name in a folder's listing; nil: a keyed hash.
	HashName func(name string) uint64
	// NoIndex leaves out the index under which media are found. When the directory is opened
	// without it, the index is made anew.
	NoIndex bool

	PollInterval  time.Duration // how often the log is read when nothing happens; default 2 s
	AppendTimeout time.Duration // how long Update waits for the log; default 5 min
	// after which a deferred operation goes to the log by itself; default 1 s; below 0: Defer is
	// Update
	DeferDelay     time.Duration
	AttemptTimeout time.Duration // how long the log may try before status tells of it; default 10 s
	// pause after a failure; the first of those that grow up to 128 times as long; default 500 ms
	RetryInterval   time.Duration
	CheckpointBytes int64         // log since the newest checkpoint that makes one due, at least; default 16 MiB
	CheckpointDelay time.Duration // longest random wait for another machine's checkpoint; default 20 s
	// CommitCost is what a commit of the log counts at least towards the next checkpoint, in bytes:
	// a request to the store costs its reader as much time as so many bytes. Default 16 KiB, so
	// that 1,024 small commits make a checkpoint due.
	CommitCost int64

	// Progress is told, often and from one goroutine, how far Open is; nil: nobody.
	Progress func(Progress)

	// BootID tells this boot of the kernel from others; empty: the kernel is asked.
	BootID string

	Log *logrus.Entry

	// Step is called at named points of appending and applying, for tests that stop the world
	// there.
	Step func(point string)
}

// A Catalog is the metadata of one library. All methods may be called concurrently.
type Catalog struct {
	opt     Options
	log     *logrus.Entry
	store   remote.Log
	db      *badger.DB
	lock    *os.File
	pins    pinFile
	ballast *ballast
	hashes  nameHash

	// mu is the catalog's one lock: View holds it shared, whatever changes the catalog exclusively
	// (and lets go with unlock), nobody across a call to the store.
	mu sync.RWMutex
	st struct {
		seq      uint64 // applied commit
		hash     []byte // of its body
		time     time.Time
		ckpt     checkpointed
		client   uint32 // 0: not joined
		session  []byte
		pending  []*operation      // the outbox in order
		hurry    uint64            // operations up to this one are to go to the log now
		undo     map[string][]byte // full key → value at seq, nil: absent; the same as the U records
		pin      *pin
		replaced replaced // what is kept of others' commits for the outbox
		sessions []byte   // under which this directory appends, oldest first; as on disk
		own      authored // newest operation of ours that was applied
		ids      counter
		ops      counter
		closed   bool
		fatal    error    // the catalog takes no more writes
		blocked  *Blocked // not nil: the log cannot be read on, and the catalog takes no writes until it can
		loading  error    // not nil: what is in Badger is no catalog, and why; text only, its kind means nothing
		index    indexState
	}

	// snap is held shared by who reads a snapshot for long, exclusively by who drops records; taken
	// before mu.
	snap sync.RWMutex

	status  statusBox
	marked  bool // this process's marker of use is in the directory
	mounted bool // Open is over; set before the goroutine that reads it starts
	wake    chan struct{}
	// reindexed is signalled when the builder of the index has something to do.
	reindexed chan struct{}
	damaged   atomic.Pointer[badCheckpoint] // what was found at the last load of a checkpoint; nil: it is whole
	patience  atomic.Int64                  // opt.AppendTimeout, until SetAppendTimeout
	drain     *sync.Cond                    // signalled with mu held when pending shrinks
	unblocked chan struct{}                 // closed while the log is not blocked; guarded by mu
	cancel    context.CancelCauseFunc
	done      sync.WaitGroup
	ctx       context.Context
}

// SetAppendTimeout changes Options.AppendTimeout, which must be positive, for updates that begin
// after it.
func (c *Catalog) SetAppendTimeout(d time.Duration) { c.patience.Store(int64(d)) }

func (c *Catalog) appendTimeout() time.Duration { return time.Duration(c.patience.Load()) }

// Open opens or makes the catalog in opt.Dir and brings it up to the store's newest commit. It
// fails with Busy when another process has the directory, and with the store's error when the store
// cannot be reached before ctx ends.
func Open(ctx context.Context, opt Options) (*Catalog, error) {
	if opt.PollInterval == 0 {
		opt.PollInterval = 2 * time.Second
	}
	if opt.AppendTimeout == 0 {
		opt.AppendTimeout = 5 * time.Minute
	}
	if opt.DeferDelay == 0 {
		opt.DeferDelay = time.Second
	}
	if opt.AttemptTimeout == 0 {
		opt.AttemptTimeout = 10 * time.Second
	}
	if opt.RetryInterval == 0 {
		opt.RetryInterval = 500 * time.Millisecond
	}
	if opt.CheckpointBytes == 0 {
		opt.CheckpointBytes = 16 << 20
	}
	if opt.CheckpointDelay == 0 {
		opt.CheckpointDelay = 20 * time.Second
	}
	if opt.CommitCost == 0 {
		opt.CommitCost = 16 << 10
	}
	if opt.Log == nil {
		l := logrus.New()
		l.SetOutput(io.Discard)
		opt.Log = logrus.NewEntry(l)
	}
	c := &Catalog{
		opt:       opt,
		log:       opt.Log,
		store:     opt.Store,
		wake:      make(chan struct{}, 1),
		reindexed: make(chan struct{}, 1),
	}
	c.patience.Store(int64(opt.AppendTimeout))
	c.drain = sync.NewCond(&c.mu)
	c.unblocked = make(chan struct{})
	close(c.unblocked)
	c.st.undo = make(map[string][]byte)
	c.ctx, c.cancel = context.WithCancelCause(context.Background())
	if err := c.openDir(); err != nil {
		return nil, err
	}
	err := c.start(ctx)
	if err != nil {
		return nil, errors.Join(err, c.closeDir())
	}
	c.mounted = true
	c.done.Add(2)
	go c.follow()
	go c.build()
	return c, nil
}

// openDir locks the directory and opens Badger.
func (c *Catalog) openDir() error {
	dir := c.opt.Dir
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return local("open catalog", dir, err)
	}
	f, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_RDWR|os.O_CREATE|unix.O_NOFOLLOW, 0o600)
	if err != nil {
		return local("open catalog", dir, err)
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		holder := make([]byte, 20)
		n, _ := f.ReadAt(holder, 0)
		f.Close()
		return remote.E("open catalog", dir, remote.Busy, fmt.Errorf("process %s uses it", holder[:n])).
			WithHint("a library can be mounted once with one catalog directory; give --catalog-dir for a second mount")
	}
	if err := errors.Join(f.Truncate(0), second(f.WriteAt([]byte(fmt.Sprint(os.Getpid())), 0))); err != nil {
		f.Close()
		return local("open catalog", dir, err)
	}
	c.lock = f
	c.ballast = newBallast(dir)
	if err := c.ballast.start(); err != nil {
		f.Close()
		return err
	}
	if c.pins, err = openPins(dir); err != nil {
		f.Close()
		return err
	}
	// A transaction takes 15 % of a memtable and an entry for each 96 bytes of that. The largest
	// commit (1,000 names of 255 bytes that change their nodes, 1,000 operations that leave the
	// outbox) needs 1.4 MB and 8,000 entries.
	bo := badger.DefaultOptions(filepath.Join(dir, "badger")).
		WithLogger(badgerLog{c.log}).
		WithMemTableSize(12 << 20).WithNumMemtables(2).
		WithBlockCacheSize(32 << 20).WithIndexCacheSize(16 << 20).
		WithValueLogFileSize(16 << 20).
		WithNumVersionsToKeep(1).WithDetectConflicts(false).
		WithNumCompactors(2).
		WithCompression(options.ZSTD).WithZSTDCompressionLevel(1).
		WithMetricsEnabled(false)
	// Tables of one size in all levels: a compaction has a dozen in memory, twice, and those of the
	// lower levels would have up to 64 MiB.
	bo.TableSizeMultiplier = 1
	// A pinned batch (one value of up to 512 KiB) stays in the tree: the value log is never used.
	bo = bo.WithValueThreshold(min(bo.MemTableSize*15/100, 1<<20))
	if c.db, err = badger.Open(bo); err != nil {
		c.pins.close()
		c.lock.Close()
		return remote.E("open catalog", dir, localKind(err), err).
			WithHint("if the catalog is damaged, unmounted changes are in its spool; move the directory away to start from the store")
	}
	return nil
}

// closeDir closes what openDir opened. The marker of use goes when Badger has everything on disk.
func (c *Catalog) closeDir() error {
	err := c.ballast.end()
	if err == nil {
		err = c.db.Close() // else it is left as by a process that was killed
	}
	if err == nil && c.marked {
		if err = os.Remove(c.marker()); errors.Is(err, os.ErrNotExist) {
			err = nil
		}
	}
	return errors.Join(err, c.pins.close(), c.lock.Close())
}

// start reads what the directory knows, brings it to the store's state and joins.
func (c *Catalog) start(ctx context.Context) error {
	if err := c.distrust(); err != nil {
		return err
	}
	if err := c.loadLocal(); err != nil {
		return err
	}
	if err := c.openIndex(); err != nil {
		return err
	}
	if c.st.loading == nil { // a load drops the undo records
		c.mu.Lock()
		err := c.undoAll()
		c.unlock()
		if err != nil {
			return err
		}
	}
	if err := c.catchUpAtStart(ctx); err != nil {
		return err
	}
	if err := c.forgetKept(); err != nil {
		return err
	}
	if err := c.checkFeatures(); err != nil {
		return err
	}
	if c.opt.ReadOnly ||
		c.Blocked() != nil { // blocked, it may have written more than it can read: it joins when it can
		return nil
	}
	return c.enter(ctx)
}

// Close stops following, also in the middle of a request, and closes the directory. Operations that
// are not in the log stay in the outbox; call Flush first to wait for them.
func (c *Catalog) Close() error {
	c.cancel(errClosed) // first: who holds mu may be loading a checkpoint, and gives up
	c.mu.Lock()
	if c.st.closed {
		c.mu.Unlock()
		return nil
	}
	c.st.closed = true
	for _, op := range c.st.pending {
		op.finish(remote.E("update catalog", "", remote.Unavailable, errClosed))
	}
	c.drain.Broadcast()
	c.unlock()
	c.done.Wait()
	c.snap.Lock() // a checkpoint may still read
	defer c.snap.Unlock()
	return c.closeDir()
}

var errClosed = errors.New(
	"the library is being unmounted; the operation stays in the outbox and happens at the next mount",
)

// Client is this machine's client number; 0 when the catalog is read-only.
func (c *Catalog) Client() uint32 {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.st.client
}

// readable tells why the catalog cannot be read now. mu is held.
func (c *Catalog) readable(op string) error {
	switch {
	case c.st.closed:
		return remote.E(op, "", remote.Unavailable, errClosed)
	case c.st.loading != nil:
		return remote.E(op, "", remote.Unavailable, c.st.loading).
			WithHint("it is loaded from the store again and again until that works; look at the free space of the catalog directory")
	}
	return nil
}

// writable tells why the catalog takes no operation now. mu is held.
func (c *Catalog) writable(op string) error {
	if err := c.readable(op); err != nil {
		return err
	}
	if c.opt.ReadOnly {
		return remote.E(op, "", remote.ReadOnly, errors.New("the library is mounted read-only"))
	}
	if c.st.blocked != nil {
		return c.blockedError(op, remote.ReadOnly)
	}
	return c.st.fatal
}

func (c *Catalog) step(point string) {
	if c.opt.Step != nil {
		c.opt.Step(point)
	}
}

func second[T any](_ T, err error) error { return err }

// local makes an error of the local disk.
func local(op, path string, err error) error {
	e := remote.E(op, path, localKind(err), err)
	if errors.Is(err, os.ErrNotExist) {
		e = e.WithHint("somebody has deleted what the catalog directory had in it: unmount, and mount again")
	}
	return e
}

// localKind is never NotExist: a file of the catalog that is missing is not one of the library's.
func localKind(err error) remote.Kind {
	switch {
	case errors.Is(err, badger.ErrTxnTooBig):
		return remote.TooLarge
	case errors.Is(err, badger.ErrDBClosed), errors.Is(err, badger.ErrBlockedWrites):
		return remote.Unavailable
	}
	return remote.KindOfOwn(err)
}

func newSession() []byte {
	b := make([]byte, 16)
	rand.Read(b)
	return b
}

// checkFeatures refuses a library that needs what this program does not know.
func (c *Catalog) checkFeatures() error {
	return c.View(func(tx *Tx) error {
		for key, value := range tx.Records([]byte{record.KeyFeature}) {
			if err := c.checkFeature(key, value); err != nil {
				return err
			}
		}
		return tx.Err()
	})
}

func (c *Catalog) checkFeature(key, value []byte) error {
	if len(key) < 2 {
		return nil
	}
	class, name := key[1], string(key[2:])
	note := featureNote(value)
	switch {
	case class == record.FeatureCompatible:
		return nil
	case class == record.FeatureReadOnlyCompatible && c.opt.ReadOnly:
		return nil
	case class == record.FeatureReadOnlyCompatible:
		return remote.E("open library", "", remote.Unsupported, fmt.Errorf("it uses the feature %q%s", name, note)).
			WithHint("this version can only read it: mount with --read-only, or use a newer mediafs")
	}
	return remote.E("open library", "", remote.Unsupported, fmt.Errorf("it uses the feature %q%s", name, note)).
		WithHint("use a newer mediafs")
}

type badgerLog struct{ *logrus.Entry }

func (l badgerLog) Infof(f string, a ...any)  { l.Entry.Debugf("badger: "+f, a...) }
func (l badgerLog) Debugf(f string, a ...any) { l.Entry.Tracef("badger: "+f, a...) }
