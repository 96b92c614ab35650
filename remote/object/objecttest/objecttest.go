// Package objecttest is the conformance suite of object storage: what object.Bucket promises, as
// tests. Every implementation runs it, and so does every wrapper around one.
package objecttest

import (
	"bytes"
	"context"
	"errors"
	"io"
	"testing"

	"mediafs/remote"
	"mediafs/remote/object"
)

// Config says where a bucket is known to differ. The zero value demands everything.
type Config struct {
	// InMemory: bodies are held in memory, so that streaming is not tested.
	InMemory bool

	// UploadsByKey: the server lists multipart uploads only for a prefix that is a whole key, as
	// MinIO does.
	UploadsByKey bool
}

// Run tests the buckets that open makes: each call gives an empty one.
func Run(t *testing.T, open func(t *testing.T) object.Bucket) {
	RunConfig(t, Config{}, open)
}

// RunConfig is Run for a bucket with known differences.
func RunConfig(t *testing.T, cfg Config, open func(t *testing.T) object.Bucket) {
	for _, c := range []struct {
		name string
		test func(*suite)
	}{
		{"PutGet", testPutGet},
		{"Replace", testReplace},
		{"Empty", testEmpty},
		{"Ranges", testRanges},
		{"IfMatch", testIfMatch},
		{"IfAbsent", testIfAbsent},
		{"IfAbsentRace", testIfAbsentRace},
		{"Body", testBody},
		{"NotExist", testNotExist},
		{"Keys", testKeys},
		{"UnusualKeys", testUnusualKeys},
		{"List", testList},
		{"ListMissing", testListMissing},
		{"Delete", testDelete},
		{"DeleteMany", testDeleteMany},
		{"Cancelled", testCancelled},
		{"CancelledReader", testCancelledReader},
		{"ReadersSeeWhole", testReadersSeeWhole},
		{"Streaming", testStreaming},
		{"Dates", testDates},
		{"Facts", testFacts},
		{"Multipart", testMultipart},
		{"MultipartResume", testMultipartResume},
		{"MultipartReplacesPart", testMultipartReplacesPart},
		{"MultipartInvisible", testMultipartInvisible},
		{"MultipartReplacesObject", testMultipartReplacesObject},
		{"MultipartCompleteTwice", testMultipartCompleteTwice},
		{"MultipartWrongPart", testMultipartWrongPart},
		{"MultipartAbort", testMultipartAbort},
		{"MultipartUnknown", testMultipartUnknown},
		{"CopyPart", testCopyPart},
		{"CopyPartErrors", testCopyPartErrors},
		{"ListMultiparts", testListMultiparts},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := open(t)
			c.test(&suite{T: t, b: b, cfg: cfg, ctx: t.Context()})
		})
	}
}

// suite is one test with its bucket.
type suite struct {
	*testing.T
	b   object.Bucket
	cfg Config
	ctx context.Context
}

func (s *suite) put(key, body string) object.Info {
	s.Helper()
	info, err := s.b.Put(s.ctx, key, bytes.NewReader([]byte(body)), int64(len(body)), object.PutOptions{})
	if err != nil {
		s.Fatalf("put %s: %v", key, err)
	}
	return info
}

// read gets a range and checks that Info has the size of the whole.
func (s *suite) read(key string, opt object.GetOptions) ([]byte, object.Info) {
	s.Helper()
	r, info, err := s.b.Get(s.ctx, key, opt)
	if err != nil {
		s.Fatalf("get %s: %v", key, err)
	}
	defer r.Close()
	data, err := io.ReadAll(r)
	if err != nil {
		s.Fatalf("read %s: %v", key, err)
	}
	return data, info
}

func (s *suite) readAll(key string) string {
	s.Helper()
	data, info := s.read(key, object.GetOptions{Length: -1})
	if info.Size != int64(len(data)) {
		s.Fatalf("%s: info says %d bytes, %d were read", key, info.Size, len(data))
	}
	return string(data)
}

// want fails unless err is of the kind, is an *remote.Error and names the key.
func (s *suite) want(what string, err error, kind remote.Kind, key string) {
	s.Helper()
	if !errors.Is(err, kind) {
		s.Errorf("%s: got error %v, want kind %q", what, err, error(kind))
		return
	}
	var e *remote.Error
	if !errors.As(err, &e) {
		s.Errorf("%s: error %v is no *remote.Error", what, err)
	} else if key != "" && e.Path != key {
		s.Errorf("%s: error is about %q, want %q", what, e.Path, key)
	}
}

// ok fails the test on an error.
func (s *suite) ok(what string, err error) {
	s.Helper()
	if err != nil {
		s.Fatalf("%s: %v", what, err)
	}
}

// pattern is n bytes that differ everywhere and for every seed.
func pattern(seed byte, n int64) []byte {
	p := make([]byte, n)
	x := uint32(seed)*2654435761 + 1
	for i := range p {
		x = x*1664525 + 1013904223
		p[i] = byte(x >> 24)
	}
	return p
}
