package daemon

import (
	"io"
	"time"

	"github.com/sirupsen/logrus"

	"mediafs/fs/vfs/engine"
)

// Options say what a daemon mounts, where, and with what limits. Store, Dir, CatalogDir and
// CacheDir are needed; the zero value of the rest works.
type Options struct {
	Store      string // URL, s3:// or file://, without secrets
	Dir        string // mount point, absolute
	CatalogDir string // catalog, outbox, spool, lock and control socket; made when missing
	CacheDir   string // blocks only; made when missing

	CacheSize int64         // bytes; 0: 10 GiB
	Trash     time.Duration // how long deleted media are kept; 0: 30 days
	NoTrash   bool          // delete at once
	ReadOnly  bool          // change nothing in the library

	// files of these names stay on this machine, as fs/local has it; nil: local.DefaultNames,
	// empty: none do
	LocalNames []string

	// NoFacts: nobody reads what the bytes of media say. Else a child does, which is this program
	// run with the argument facts-worker.
	NoFacts bool

	Background bool // a close returns when the bytes are synced to the local disk, and uploads go on behind

	// Owner of the root folder of a library that this mount makes; nil: this user and group.
	RootUID, RootGID *uint32

	// Fixed are settings that do not change while mounted, by name: Remount compares them.
	// SetLogLevel changes what is logged; nil: nobody can.
	Fixed       map[string]string
	SetLogLevel func(level string) error

	Create    bool // make a library even where other objects are
	MakeStore bool // make the folder of a local store when it is missing
	existing  bool // make none anywhere

	AllowOther   bool
	MountOptions []string // further ones for the kernel, as in mount -o
	Source       string   // what the mount table calls the device, without secrets; empty: the store's URL

	AppendTimeout  time.Duration // how long a change waits for the log; 0: 5 minutes
	ConnectTimeout time.Duration // how long Open waits for the store; 0: 25 s
	// how long Open waits for a daemon of the same catalog directory that is ending; 0: not at all
	LockTimeout time.Duration
	StopTimeout time.Duration // how long Close lets uploads go on; 0: 1 minute
	// how long the kernel and then the library may take to let go before Close leaves them behind;
	// 0: 20 s
	CloseTimeout time.Duration

	// how long an unmount waits for files to be closed; 0: a second, or a quarter of CloseTimeout
	// when that is less
	BusyTimeout time.Duration

	// HangTimeout is how long a request of the kernel may go without an answer before the daemon
	// takes itself for stuck: it writes its goroutines to the log, cuts the mount off and ends. 0:
	// four times AppendTimeout, which is what a close of a file that was written through two
	// handles waits at most for others, for its upload and for the log, and 2 minutes; negative:
	// never.
	HangTimeout time.Duration

	// Limits of single requests to the store, which is asked again after each; 0: as
	// transport.Options and block.Options have them.
	StallTimeout  time.Duration // a transfer makes no progress
	AnswerTimeout time.Duration // an answer does not begin
	ReadTimeout   time.Duration // how long a read tries on without a byte before it fails with EIO

	Profile string // section of the AWS credentials file; empty: as the AWS environment says

	Registry Registry // where the mount is noted; no Dir: nowhere
	LogFile  string   // where Log goes, absolute, for CheckPlaces alone; empty: to no file
	Version  string   // for status and for the client's name at the store

	Log *logrus.Entry // nil logs nothing

	// Waiting is told by Open, once and in words for people, that it waits for another daemon to
	// end; nil: nobody is told.
	Waiting func(text string)
	// Opening is told by Open, often and from one goroutine, how far it is; nil: nobody is told.
	Opening func(Opening)
	// Claimed is called by Open when the folders are checked and locked and nothing else was done,
	// which fails with its error. What it returns takes back what it made, should the mount fail
	// after it; nil does nothing.
	Claimed func() (undo func(), err error)

	FlushDelay time.Duration         // as vfs.Options has it, for tests
	Step       func(point string)    // called at named points, for tests that stop the world there
	ChunkSize  int64                 // as bucket.Options has it, for tests
	Tune       func(*engine.Options) // has the last word on how the library is opened, for tests; nil changes nothing
}

func (o Options) withDefaults() Options {
	or := func(d *time.Duration, value time.Duration) {
		if *d == 0 {
			*d = value
		}
	}
	or(&o.Trash, 30*24*time.Hour)
	or(&o.AppendTimeout, 5*time.Minute)
	or(&o.ConnectTimeout, 25*time.Second)
	or(&o.StopTimeout, time.Minute)
	or(&o.CloseTimeout, 20*time.Second)
	or(&o.BusyTimeout, min(time.Second, o.CloseTimeout/4))
	or(&o.HangTimeout, hangTimeout(o.AppendTimeout))
	if o.CacheSize == 0 {
		o.CacheSize = 10 << 30
	}
	if o.Log == nil {
		l := logrus.New()
		l.SetOutput(io.Discard)
		o.Log = logrus.NewEntry(l)
	}
	return o
}

// trash is the retention as the library has it: 0 keeps nothing.
func (o Options) trash() time.Duration {
	if o.NoTrash {
		return 0
	}
	return o.Trash
}
