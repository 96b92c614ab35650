// Package bucket is the store that mediafs owns: a whole library, catalog log and contents, in one
// object.Bucket. No server stands between the clients; they agree through put-if-absent alone.
//
// It implements remote.Store and remote.Log. To it a commit is opaque bytes with a number, and a
// checkpoint is a sorted run of opaque records: what they mean is remote/bucket/record's matter.
// FORMAT.md has every byte that is written.
//
// It never changes or deletes an object that it did not write itself, never gives a content key new
// bytes, and never deletes old commits or checkpoints on its own account. It caches nothing but its
// knowledge of the log's last numbers.
package bucket

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"golang.org/x/sys/unix"

	"mediafs/remote"
	"mediafs/remote/object"
)

// Options of a Store; the zero value works.
type Options struct {
	ReadOnly        bool   // refuse everything that writes
	CreateInForeign bool   // Create may make a library beside objects that are not its own
	Note            string // for people, kept in format.json by Create

	// SeenLimit is how long the sight of a commit counts as proof that the log was not trimmed past
	// it; 0 is 10 minutes. It is far below the 7 days for which no commit is ever deleted.
	SeenLimit time.Duration
	// CheckpointLimit is how long writing a checkpoint may take from reading the manifest it builds
	// on; 0 is 12 hours, half of the time for which no manifest is deleted.
	CheckpointLimit time.Duration

	// A request that failed with Unavailable, Throttled or Conflict is sent again after a pause
	// that doubles from FirstPause (0: 200 ms) to MaxPause (0: 10 s), of which a random half is
	// left out. All but Append give up after Attempts requests (0: 5).
	FirstPause time.Duration
	MaxPause   time.Duration
	Attempts   int

	ChunkSize int64 // smallest chunk of an upload of known size, in bytes; 0 is 16 MiB
	PartSize  int   // aim for a part of a checkpoint, uncompressed bytes; 0 is 4 MiB

	// Boot is a clock that never goes back and counts the time that the machine is suspended; nil
	// is CLOCK_BOOTTIME.
	Boot func() time.Duration
}

const (
	defaultSeenLimit       = 10 * time.Minute
	defaultCheckpointLimit = 12 * time.Hour
	defaultFirstPause      = 200 * time.Millisecond
	defaultMaxPause        = 10 * time.Second
	defaultAttempts        = 5
	defaultChunkSize       = 16 << 20
	defaultPartSize        = 4 << 20
)

func (o Options) withDefaults() (Options, error) {
	or := func(d *time.Duration, def time.Duration) {
		if *d <= 0 {
			*d = def
		}
	}
	or(&o.SeenLimit, defaultSeenLimit)
	or(&o.CheckpointLimit, defaultCheckpointLimit)
	or(&o.FirstPause, defaultFirstPause)
	or(&o.MaxPause, defaultMaxPause)
	if o.Attempts <= 0 {
		o.Attempts = defaultAttempts
	}
	if o.ChunkSize <= 0 {
		o.ChunkSize = defaultChunkSize
	}
	if o.PartSize <= 0 {
		o.PartSize = defaultPartSize
	}
	if o.Boot == nil {
		var t unix.Timespec
		if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &t); err != nil {
			return o, remote.E("read the boot clock", "", remote.Unsupported, err)
		}
		o.Boot = bootTime
	}
	return o, nil
}

// bootTime is CLOCK_BOOTTIME. Its only error is a clock that the kernel does not know, which
// withDefaults ruled out.
func bootTime() time.Duration {
	var t unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_BOOTTIME, &t)
	return time.Duration(t.Nano())
}

// A Store is one library in a bucket. All methods may be called concurrently.
type Store struct {
	bucket object.Bucket
	opt    Options
	lib    uuid.UUID
	writer string // tells the checkpoint parts of this Store from those of any other; 16 hex digits
	facts  remote.Facts
	whole  object.Whole // the bucket that the library is a part of; nil: it ends where the library ends
	prefix string       // of the library in whole
	habits object.Habits
	seen   sightings
	clock  storeClock

	// unreadable is the number under which the log last had an object that is no commit, or a hole,
	// until what came of that is known; 0: none.
	unreadable atomic.Uint64
	damaged    sync.Map // keys of parts of checkpoints that were read and are not what they should be
}

var (
	_ remote.Store        = (*Store)(nil)
	_ remote.Log          = (*Store)(nil)
	_ remote.FileUploader = (*Store)(nil)
	_ remote.Composer     = (*Store)(nil)
	_ remote.Spacious     = (*Store)(nil)
)

// maxContent is the largest content, in bytes: what S3 documents as the largest object that all its
// implementations take.
const maxContent = 5 << 40

// newStore makes the Store of a library whose format.json is known.
func newStore(b object.Bucket, opt Options, f format) *Store {
	bf := b.Facts()
	s := &Store{
		bucket: b,
		opt:    opt,
		lib:    f.Library,
		writer: randomHex(8),
		facts: remote.Facts{
			Kind: "bucket", URL: bf.URL, Library: f.Library.String(), ReadOnly: opt.ReadOnly, Local: bf.Local,
			UniqueNames: true, SizesKnown: true, Ranges: true,
			MaxName: 255, MaxSize: maxContent,
		},
	}
	if r, ok := b.(object.Rooted); ok {
		s.whole, s.prefix = r.Root()
	}
	s.seen.limit = opt.SeenLimit
	return s
}

// Facts are those of the library and of the bucket it lies in.
func (s *Store) Facts() remote.Facts { return s.facts }

// Space is that of the bucket, which says so when it is a local directory.
func (s *Store) Space() (remote.Space, bool) {
	f := s.bucket.Facts()
	return remote.Space{Free: f.Free, Device: f.Device}, f.Capacity > 0
}

// Now is the store's clock: its newest answer's Date and the time since, suspend included. Stores
// give the date in whole seconds, so that it may step back by up to one between two calls.
func (s *Store) Now() time.Time { return s.clock.now(s.opt.Boot()) }

// Close closes the bucket. The Store has no goroutine that outlives a call.
func (s *Store) Close() error { return s.bucket.Close() }

// writable fails with ReadOnly when the store was opened so.
func (s *Store) writable(op, key string) error {
	if s.opt.ReadOnly {
		return remote.E(op, key, remote.ReadOnly, errors.New("the store was opened read-only"))
	}
	return nil
}

// randomHex is n random bytes as 2n hex digits.
func randomHex(n int) string {
	b := make([]byte, n)
	rand.Read(b) // never fails: it ends the process rather than give weak bytes
	return hex.EncodeToString(b)
}

// during adds to an error what was being done, to which key; its kind stays.
func during(op, key string, err error) error {
	if err == nil {
		return nil
	}
	return remote.E(op, key, remote.KindOf(err), err)
}

// heard keeps the store's clock up to date with an answer.
func (s *Store) heard(i object.Info) { s.clock.heard(i.Date, s.opt.Boot()) }

// exists asks whether key is there; the answer "no" is no error.
func (s *Store) exists(ctx context.Context, key string) (info object.Info, ok bool, err error) {
	return s.existsIn(ctx, s.bucket, key)
}

func (s *Store) existsIn(ctx context.Context, from source, key string) (info object.Info, ok bool, err error) {
	err = s.retry(ctx, func() (err error) {
		info, err = from.Head(ctx, key)
		return err
	})
	if errors.Is(err, remote.NotExist) {
		return info, false, nil
	}
	if err == nil {
		s.heard(info)
	}
	return info, err == nil, err
}
