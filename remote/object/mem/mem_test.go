package mem_test

import (
	"strings"
	"testing"
	"time"

	"mediafs/remote/object"
	"mediafs/remote/object/mem"
	"mediafs/remote/object/objecttest"
)

func TestBucket(t *testing.T) {
	objecttest.RunConfig(t, objecttest.Config{InMemory: true}, func(t *testing.T) object.Bucket {
		return mem.New(mem.Options{})
	})
}

func TestBucketWithMinPart(t *testing.T) {
	objecttest.RunConfig(t, objecttest.Config{InMemory: true}, func(t *testing.T) object.Bucket {
		return mem.New(mem.Options{MinPart: 1000, NoDate: true})
	})
}

// The clock is the test's.
func TestNow(t *testing.T) {
	now := time.Date(2001, 2, 3, 4, 5, 6, 0, time.UTC)
	b := mem.New(mem.Options{Now: func() time.Time { return now }})
	info, err := b.Put(t.Context(), "x", strings.NewReader("x"), 1, object.PutOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if !info.Date.Equal(now) || !info.Modified.Equal(now) {
		t.Errorf("put at %v: %+v", now, info)
	}
	written := now
	now = now.Add(time.Hour)
	if info, err = b.Head(t.Context(), "x"); err != nil || !info.Date.Equal(now) || !info.Modified.Equal(written) {
		t.Errorf("head at %v: %+v, %v", now, info, err)
	}
}
