package bucket

import (
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"testing"

	"mediafs/remote/object"
	"mediafs/remote/object/dir"
	"mediafs/remote/object/mem"
	"mediafs/remote/object/s3"
	"mediafs/remote/object/s3/s3server"
	"mediafs/remote/storetest"
)

// server is one object store for all tests of the package, which keep apart by their prefixes.
var (
	server   = sync.OnceValues(func() (*s3server.Server, error) { return s3server.Open(s3server.Options{}) })
	prefixes atomic.Int64
)

func TestMain(m *testing.M) {
	code := m.Run()
	if prefixes.Load() > 0 {
		if s, err := server(); err == nil {
			s.Close()
		}
	}
	os.Exit(code)
}

// stores opens a library on each kind of object storage: on a real server too, where chunks have 5
// MiB.
func stores(t *testing.T, test func(t *testing.T, s *Store, bad *storetest.Faulty)) {
	run := func(name string, open func(t *testing.T) object.Bucket) {
		t.Run(name, func(t *testing.T) {
			bad := storetest.New(open(t))
			s, err := Create(t.Context(), bad, quick(new(fakeBoot)))
			ok(t, err)
			bad.Reset()
			test(t, s, bad)
		})
	}
	run("mem", func(*testing.T) object.Bucket { return mem.New(mem.Options{}) })
	run("dir", func(t *testing.T) object.Bucket {
		b, err := dir.Open(t.TempDir(), dir.Options{})
		ok(t, err)
		t.Cleanup(func() { b.Close() })
		return b
	})
	run("s3", func(t *testing.T) object.Bucket {
		n := prefixes.Add(1)
		srv, err := server()
		ok(t, err)
		b, err := s3.Open(t.Context(), s3.Options{
			Endpoint:  srv.Endpoint,
			Region:    srv.Region,
			Bucket:    srv.Bucket,
			Prefix:    fmt.Sprintf("library %d", n),
			AllowHTTP: true,
			AccessKey: srv.AccessKey,
			SecretKey: s3.Secret(srv.SecretKey),
		})
		ok(t, err)
		t.Cleanup(func() { b.Close() })
		return b
	})
}
