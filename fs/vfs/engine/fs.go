package engine

import (
	"context"
	"errors"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sirupsen/logrus"

	"mediafs/cache/block"
	"mediafs/cache/catalog"
	"mediafs/cache/spool"
	"mediafs/fs/vfs"
	"mediafs/remote"
)

// Options configure a file system. Store and Spool are needed; Catalog and Cache are opened by Open
// from their own options.
type Options struct {
	Store remote.Store
	// StayReadable, Mended, Run, Changed, Reloaded, Referenced, Orphaned, Init, ReadOnly,
	// Host and Log are filled in
	Catalog  catalog.Options
	Cache    block.Options // Store and Log are filled in
	SpoolDir string

	ReadOnly bool
	// Background: close returns when bytes and catalog entry are synced to the local disk, and
	// uploads go on behind. fsync still waits for the store.
	Background bool
	Trash      time.Duration // how long deleted media are kept; 0: they are not
	UID        uint32        // owner of the root of a new library
	GID        uint32
	Host       string // names this machine in conflicts; default: the host's name

	UploadTimeout time.Duration // how long close and fsync wait for the store; default 5 min
	// up to this size, in bytes, a media is edited as a whole, but not appended to: a request costs
	// as much as that much data; default 1 MiB
	WholeBelow   int64
	StreamFrom   int64         // how long a new file is, in bytes, when its first chunks are sent; default 32 MiB
	RewriteFrom  int           // a media of so many extents is made whole again behind; default 16
	RewriteAfter time.Duration // once nobody has edited it for this long; default 10 min
	// and so many bytes that are not on this disk, at most, are fetched for it; default 16 MiB
	RewriteFetch  int64
	FlushDelay    time.Duration // when what another process's close left is uploaded; default 2 s
	RetryInterval time.Duration // first pause after a failed upload, doubling up to a minute; default 1 s
	TrashInterval time.Duration // how often the trash is looked through; default 1 h
	FactsDelay    time.Duration // how long after an upload the facts of a media are read; default 2 s

	// Facts reads what the bytes of media say; nil: nobody does.
	Facts FactsReader

	// ThreadGroup gives the process that a thread belongs to, 0 when it cannot be told; default:
	// /proc.
	ThreadGroup func(tid uint32) uint32
	Now         func() time.Time
	Log         *logrus.Entry

	// Step is called at named points of writing and uploading, for tests that stop the world there.
	Step func(point string)
}

// An FS is a library as a file system. It implements Library.
type FS struct {
	opt   Options
	log   *logrus.Entry
	cat   *catalog.Catalog
	cache *block.Cache
	store remote.Store
	spool *spool.Spool

	now adjustable // of opt

	refusals   refusals
	troubles   troubles
	asides     asides
	opened     atomic.Bool   // the catalog is there
	ready      chan struct{} // closed when Open has succeeded
	takenOver  sync.Once
	taken      atomic.Bool            // takenOver is over and notTaken nil
	notTaken   error                  // of takenOver
	left       vfs.Pending            // what is in the spool until then
	viewFolder atomic.Pointer[string] // as the library's settings had it when they were last read

	mu        sync.Mutex
	inodes    map[vfs.ID]*inode
	announcer vfs.Announcer

	uploads *uploader
	rewrite *rewriter
	facts   *factsAgent
	ctx     context.Context // ends at Close
	cancel  context.CancelFunc
	unsent  atomic.Int64   // bytes of all spool files that wait for their upload, holes not counted
	wg      sync.WaitGroup // goes up under mu, and not once closed is set
	closed  bool           // guarded by mu
}

var _ vfs.Library = (*FS)(nil)

// Open opens a library: its catalog is brought up to the store's state, and what an earlier process
// left in the spool goes on to the store. ctx bounds the opening alone.
func Open(ctx context.Context, opt Options) (*FS, error) {
	opt.defaults()
	fs := &FS{opt: opt, log: opt.Log, store: opt.Store, inodes: make(map[vfs.ID]*inode), ready: make(chan struct{})}
	fs.now.background.Store(opt.Background)
	fs.now.trash.Store(int64(opt.Trash))
	fs.now.uploadTimeout.Store(int64(opt.UploadTimeout))
	fs.ctx, fs.cancel = context.WithCancel(context.Background())
	fs.uploads, fs.rewrite, fs.facts = newUploader(fs), newRewriter(fs), newFactsAgent(fs)
	log, ok := opt.Store.(remote.Log)
	if !ok {
		return nil, remote.E(
			"open library", opt.Store.Facts().URL, remote.Unsupported, errors.New("the store keeps no log"),
		)
	}
	co := opt.Catalog
	co.Store, co.ReadOnly, co.Host, co.Log = log, opt.ReadOnly, opt.Host, opt.Log
	co.Library = opt.Store.Facts().Library
	co.StayReadable, co.Mended = true, fs.mended
	co.Run, co.Changed, co.Reloaded = Rerun, fs.Changed, fs.Reloaded
	co.Referenced, co.Orphaned = fs.Referenced, fs.orphaned
	if co.Step == nil {
		co.Step = opt.Step
	}
	co.Init = func() []remote.Record { return InitialRecords(opt.UID, opt.GID, vfs.TimeOf(opt.Now())) }
	var err error
	if fs.cat, err = catalog.Open(ctx, co); err != nil {
		return nil, err
	}
	bo := opt.Cache
	bo.Store, bo.Log = opt.Store, opt.Log
	if bo.Step == nil {
		bo.Step = opt.Step
	}
	if fs.cache, err = block.Open(bo); err != nil {
		fs.cancel()
		return nil, errors.Join(err, fs.cat.Close())
	}
	if fs.spool, err = spool.Open(opt.SpoolDir); err == nil && fs.cat.Blocked() == nil {
		err = fs.takeOver()
	} else if err == nil && !opt.ReadOnly {
		fs.left.Files, fs.left.Bytes, err = fs.spool.Waiting()
	}
	if err != nil {
		fs.cancel()
		return nil, errors.Join(err, fs.cache.Close(), fs.cat.Close())
	}
	fs.opened.Store(true)
	fs.readSettings()
	fs.hold(vfs.Root) // the kernel always knows it
	close(fs.ready)
	fs.wg.Add(1)
	go fs.uploads.loop()
	fs.wg.Add(1)
	go fs.rewrite.loop()
	fs.wg.Add(1)
	go fs.facts.loop()
	if !opt.ReadOnly {
		fs.wg.Add(1)
		go fs.sweepTrash()
	}
	return fs, nil
}

func (o *Options) defaults() {
	set := func(d *time.Duration, v time.Duration) {
		if *d == 0 {
			*d = v
		}
	}
	set(&o.UploadTimeout, 5*time.Minute)
	set(&o.FlushDelay, 2*time.Second)
	set(&o.FactsDelay, 2*time.Second)
	set(&o.RetryInterval, time.Second)
	set(&o.TrashInterval, time.Hour)
	set(&o.RewriteAfter, 10*time.Minute)
	if o.RewriteFrom == 0 {
		o.RewriteFrom = 16
	}
	if o.RewriteFetch == 0 {
		o.RewriteFetch = 16 << 20
	}
	if o.WholeBelow == 0 {
		o.WholeBelow = 1 << 20
	}
	if o.StreamFrom == 0 {
		o.StreamFrom = 32 << 20
	}
	if o.Host == "" {
		o.Host = hostName()
	}
	if o.ThreadGroup == nil {
		o.ThreadGroup = threadGroup
	}
	if o.Step == nil {
		o.Step = func(string) {}
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Log == nil {
		l := logrus.New()
		l.SetOutput(io.Discard)
		o.Log = logrus.NewEntry(l)
	}
}

// Close stops uploads and closes everything but the store. What is not in the store stays in spool
// and outbox and goes on at the next Open; call Flush first to wait for it.
func (fs *FS) Close() error {
	fs.mu.Lock()
	fs.closed = true
	fs.mu.Unlock()
	fs.cancel()
	fs.uploads.wakeUp()
	fs.wg.Wait()
	var errs []error
	for _, ino := range fs.all() {
		errs = append(errs, fs.leave(ino))
	}
	errs = append(errs, fs.cat.Close(), fs.cache.Close())
	return errors.Join(errs...)
}

// spawn runs f in a goroutine that Close waits for; false when the file system is being closed.
func (fs *FS) spawn(f func()) bool {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	if fs.closed {
		return false
	}
	fs.wg.Go(f)
	return true
}

// leave closes an inode's spool file: it stays when it has bytes that the store has not.
func (fs *FS) leave(ino *inode) error {
	ino.up <- struct{}{} // whoever has it gives up: the file system's context is over
	defer ino.unlock()
	w := ino.w
	if w == nil {
		return nil
	}
	ino.swap(nil)
	if !ino.isDirty() {
		return fs.end(w)
	}
	if u := w.up; u != nil {
		if u.done != nil {
			<-u.done
		}
		d := w.file.Description()
		u.describe(&d)
		return errors.Join(w.file.Describe(d), w.file.Keep())
	}
	return w.file.Keep()
}

// Flush returns when everything that was written and changed before is in the store.
func (fs *FS) Flush(ctx context.Context) error {
	return errors.Join(fs.uploads.flush(ctx), fs.cat.Flush(ctx))
}

func (fs *FS) sweepTrash() {
	defer fs.wg.Done()
	t := time.NewTicker(fs.opt.TrashInterval)
	defer t.Stop()
	for fs.awaitLog() {
		if err := errors.Join(fs.emptyTrash(fs.ctx), fs.sweepEnded(fs.ctx)); err != nil && fs.ctx.Err() == nil {
			fs.log.WithError(err).
				Warn("the trash could not be emptied of what is past its time; it will be tried again")
		}
		select {
		case <-fs.ctx.Done():
			return
		case <-t.C:
		}
	}
}
