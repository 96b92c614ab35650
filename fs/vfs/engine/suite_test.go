package engine_test

import (
	"context"
	"path/filepath"
	"testing"
	"time"

	"github.com/sirupsen/logrus"

	"mediafs/cache/block"
	"mediafs/cache/catalog"
	"mediafs/fs/fuse"
	"mediafs/fs/vfs"
	"mediafs/fs/vfs/engine"
	"mediafs/fs/vfs/vfstest"
	"mediafs/remote/bucket"
	"mediafs/remote/object"
	"mediafs/remote/object/mem"
	"mediafs/remote/object/open"
	"mediafs/remote/object/s3/s3server"
)

// machine is one machine's library over some object storage, with directories of its own.
type machine struct {
	*engine.FS
	store *bucket.Store
}

// openMachine opens the library in b, which it makes when it is missing, with the catalog, cache
// and spool in dir.
func openMachine(t testing.TB, b object.Bucket, dir string, change ...func(*engine.Options)) *machine {
	t.Helper()
	m, err := tryMachine(t, b, dir, change...)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func tryMachine(t testing.TB, b object.Bucket, dir string, change ...func(*engine.Options)) (*machine, error) {
	t.Helper()
	ctx := context.Background()
	bo := bucket.Options{FirstPause: time.Millisecond, MaxPause: 5 * time.Millisecond, ChunkSize: 64 << 10}
	store, err := bucket.Open(ctx, b, bo)
	if err != nil {
		if store, err = bucket.Create(ctx, b, bo); err != nil {
			return nil, err
		}
	}
	log := logrus.New()
	log.SetOutput(testLog{t})
	opt := engine.Options{
		Store: store,
		Catalog: catalog.Options{
			Dir:           filepath.Join(dir, "catalog"),
			Machine:       []byte(dir),
			PollInterval:  20 * time.Millisecond,
			RetryInterval: 5 * time.Millisecond,
			DeferDelay:    20 * time.Millisecond,
		},
		Cache:         block.Options{Dir: filepath.Join(dir, "cache")},
		SpoolDir:      filepath.Join(dir, "spool"),
		FlushDelay:    10 * time.Millisecond,
		RetryInterval: 5 * time.Millisecond,
		Log:           logrus.NewEntry(log),
		Host:          "testhost",
	}
	for _, c := range change {
		c(&opt)
	}
	fs, err := engine.Open(ctx, opt)
	if err != nil {
		return nil, err
	}
	return &machine{fs, store}, nil
}

type testLog struct{ t testing.TB }

func (l testLog) Write(p []byte) (int, error) {
	if testing.Verbose() {
		l.t.Logf("%s", p)
	}
	return len(p), nil
}

func TestSuite(t *testing.T) { runSuite(t, mem.New(mem.Options{})) }

// The same on a real server: every requirement on object storage that the suite's own does not have
// shows here.
func TestSuiteOnS3(t *testing.T) {
	if testing.Short() {
		t.Skip("-short: the suite runs in memory only")
	}
	notWithRace(t)
	srv := s3server.Start(t)
	t.Setenv("AWS_ACCESS_KEY_ID", srv.AccessKey)
	t.Setenv("AWS_SECRET_ACCESS_KEY", srv.SecretKey)
	b, err := open.URL(t.Context(), srv.URL("suite"), open.Options{})
	if err != nil {
		t.Fatal(err)
	}
	runSuite(t, b)
}

// Every edit lies over its media and is sent as extents, and every file that is longer than a chunk
// streams.
func TestSuiteOfEdits(t *testing.T) {
	runSuite(t, mem.New(mem.Options{}), func(o *engine.Options) { o.WholeBelow, o.StreamFrom = 1, 64<<10 })
}

// notWithRace leaves out what moves so many bytes that the race detector makes minutes of it; the
// same code runs with it on fewer.
func notWithRace(t *testing.T) {
	if raceEnabled {
		t.Skip("too long with the race detector; it runs without")
	}
}

func runSuite(t *testing.T, b object.Bucket, change ...func(*engine.Options)) {
	var m *machine
	n := 0
	open := func() (vfs.Library, error) {
		if m != nil {
			if err := m.Flush(t.Context()); err != nil {
				return nil, err
			}
			if err := m.Close(); err != nil {
				return nil, err
			}
		}
		n++
		var err error
		m, err = tryMachine(t, b, t.TempDir(), change...)
		return m, err
	}
	vfstest.Run(t, func(t *testing.T) vfstest.System {
		lib, err := open()
		if err != nil {
			t.Fatal(err)
		}
		traits := vfstest.Traits{MaxXattr: 60000, Sparse: true, ZeroRange: true}
		return vfstest.OverLibrary(lib, fuse.Errno, traits, open, func() error { return m.Close() })
	})
}
