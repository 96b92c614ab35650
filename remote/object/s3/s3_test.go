package s3_test

import (
	"context"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/minio/minio-go/v7"

	"mediafs/remote/object"
	"mediafs/remote/object/objecttest"
	"mediafs/remote/object/s3"
	"mediafs/remote/object/s3/s3server"
)

// server is one object store for all tests of the package that do not stop it.
var server = sync.OnceValues(func() (*s3server.Server, error) { return s3server.Open(s3server.Options{}) })

var opened atomic.Int64

func TestMain(m *testing.M) {
	minio.DefaultRetryUnit = time.Millisecond // what its loop waits after an attempt, also after the only one
	code := m.Run()
	if opened.Load() > 0 {
		if s, err := server(); err == nil {
			s.Close()
		}
	}
	os.Exit(code)
}

// options are for an empty prefix of the shared server.
func options(t *testing.T) s3.Options {
	t.Helper()
	n := opened.Add(1)
	s, err := server()
	if err != nil {
		t.Fatal(err)
	}
	return optionsOf(s, fmt.Sprintf("run %d/of/tests", n))
}

func optionsOf(s *s3server.Server, prefix string) s3.Options {
	return s3.Options{
		Endpoint: s.Endpoint, Region: s.Region, Bucket: s.Bucket, Prefix: prefix, AllowHTTP: true,
		AccessKey: s.AccessKey, SecretKey: s3.Secret(s.SecretKey),
	}
}

func open(t *testing.T, opt s3.Options) *s3.Bucket {
	t.Helper()
	b, err := s3.Open(context.Background(), opt)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.Close() })
	return b
}

func TestBucket(t *testing.T) {
	cfg := objecttest.Config{}
	if s, err := server(); err != nil {
		t.Fatal(err)
	} else if s.Kind == s3server.MinIO {
		cfg.UploadsByKey = true // MinIO lists the uploads of one key, never of a prefix
	}
	objecttest.RunConfig(t, cfg, func(t *testing.T) object.Bucket { return open(t, options(t)) })
}

// The same once the habits of the server are known: what was put then has checksums.
func TestBucketWithHabits(t *testing.T) {
	cfg := objecttest.Config{}
	s, err := server()
	if err != nil {
		t.Fatal(err)
	}
	cfg.UploadsByKey = s.Kind == s3server.MinIO
	b, n := open(t, options(t)), 0
	h, err := b.Learn(t.Context(), func() string { n++; return fmt.Sprintf("probe/%d", n) })
	if err != nil || !h.Known || !h.Put.Verified || !h.Part.Verified {
		t.Fatalf("%+v, %v", h, err)
	}
	t.Logf("%s: %+v", s.Kind, h)
	if s.Kind == s3server.VersityGW && (h.Part.Sum != object.SumMD5 || h.NoCopy) {
		t.Errorf("%+v: VersityGW 1.8 gives copied parts the CRC-32C of their source", h)
	}
	objecttest.RunConfig(t, cfg, func(t *testing.T) object.Bucket {
		b := open(t, options(t))
		b.SetHabits(h)
		return b
	})
}
