package storetest_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"
	"time"

	"mediafs/remote"
	"mediafs/remote/object"
	"mediafs/remote/object/mem"
	"mediafs/remote/object/objecttest"
	"mediafs/remote/storetest"
)

func put(ctx context.Context, b object.Bucket, key, body string) error {
	_, err := b.Put(ctx, key, strings.NewReader(body), int64(len(body)), object.PutOptions{IfAbsent: true})
	return err
}

func get(t *testing.T, b object.Bucket, key string) (string, error) {
	t.Helper()
	r, _, err := b.Get(t.Context(), key, object.GetOptions{Length: -1})
	if err != nil {
		return "", err
	}
	defer r.Close()
	data, err := io.ReadAll(r)
	return string(data), err
}

func exists(t *testing.T, b object.Bucket, key string) bool {
	t.Helper()
	_, err := b.Head(t.Context(), key)
	if err != nil && !errors.Is(err, remote.NotExist) {
		t.Fatal(err)
	}
	return err == nil
}

func wrapped(t *testing.T) (*storetest.Faulty, *mem.Bucket) {
	m := mem.New(mem.Options{})
	f := storetest.New(m)
	t.Cleanup(func() { f.Close() })
	return f, m
}

// Without faults the wrapper is a bucket like any other.
func TestTransparent(t *testing.T) {
	objecttest.RunConfig(t, objecttest.Config{InMemory: true}, func(t *testing.T) object.Bucket {
		f, _ := wrapped(t)
		return f
	})
}

func TestFailTheNth(t *testing.T) {
	f, m := wrapped(t)
	f.Fail(storetest.Fault{Op: storetest.Put, Prefix: "log/", Nth: 2, Times: 2})
	var failed []int
	for i := 1; i <= 5; i++ {
		if err := put(t.Context(), f, fmt.Sprintf("content/%d", i), "c"); err != nil {
			t.Fatal(err)
		}
		if err := put(t.Context(), f, fmt.Sprintf("log/%d", i), "x"); err != nil {
			if !errors.Is(err, remote.Unavailable) || !errors.Is(err, storetest.ErrInjected) {
				t.Fatalf("error %v is not the injected one", err)
			}
			failed = append(failed, i)
		}
	}
	if fmt.Sprint(failed) != "[2 3]" {
		t.Errorf("puts %v failed, want 2 and 3", failed)
	}
	if exists(t, m, "log/2") || !exists(t, m, "log/4") {
		t.Error("the second put had an effect, or the fourth none")
	}
}

func TestFailAfterItsEffect(t *testing.T) {
	f, m := wrapped(t)
	mine := remote.E("put", "x", remote.Throttled, nil)
	f.Fail(storetest.Fault{Action: storetest.FailAfter, Err: mine})
	if err := put(t.Context(), f, "x", "body"); !errors.Is(err, remote.Throttled) {
		t.Fatalf("got %v, want the given error", err)
	}
	if !exists(t, m, "x") {
		t.Error("the put did not happen")
	}
	// A request that fails by itself keeps its own error.
	f.Fail(storetest.Fault{Action: storetest.FailAfter})
	if err := put(t.Context(), f, "x", "body"); !errors.Is(err, remote.Exist) {
		t.Errorf("got %v, want Exist", err)
	}
}

func TestRemoveFault(t *testing.T) {
	f, _ := wrapped(t)
	remove := f.Fail(storetest.Fault{Times: -1})
	for range 3 {
		if err := put(t.Context(), f, "x", ""); !errors.Is(err, remote.Unavailable) {
			t.Fatalf("got %v, want Unavailable", err)
		}
	}
	remove()
	remove()
	if err := put(t.Context(), f, "x", ""); err != nil {
		t.Error(err)
	}
}

// A put that is held lands after its caller gave up.
func TestLateEffect(t *testing.T) {
	f, m := wrapped(t)
	release := make(chan struct{})
	f.Fail(storetest.Fault{Op: storetest.Put, Action: storetest.Hold, Release: release})
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Millisecond)
	defer cancel()
	body := []byte("early")
	_, err := f.Put(ctx, "log/1", strings.NewReader(string(body)), 5, object.PutOptions{})
	if !errors.Is(err, remote.Unavailable) {
		t.Fatalf("got %v, want Unavailable from the end of the context", err)
	}
	if exists(t, m, "log/1") {
		t.Fatal("the put happened before its release")
	}
	close(release)
	f.Settle()
	if s, err := get(t, m, "log/1"); err != nil || s != "early" {
		t.Errorf("got %q, %v after the release", s, err)
	}
}

// With an error of its own the caller is answered at once, and may use its body again.
func TestLateEffectAnsweredAtOnce(t *testing.T) {
	f, m := wrapped(t)
	release := make(chan struct{})
	gone := remote.E("put", "p", remote.Unavailable, nil)
	f.Fail(storetest.Fault{Op: storetest.Put, Action: storetest.Hold, Release: release, Err: gone})
	if err := put(t.Context(), f, "log/1", "mine"); !errors.Is(err, remote.Unavailable) {
		t.Fatalf("got %v", err)
	}
	if err := put(t.Context(), f, "log/1", "other"); err != nil {
		t.Fatal(err)
	}
	close(release)
	f.Settle()
	if s, _ := get(t, m, "log/1"); s != "other" {
		t.Errorf("the late put-if-absent won: %q", s)
	}
}

func TestCloseDropsWhatIsHeld(t *testing.T) {
	f, m := wrapped(t)
	f.Fail(storetest.Fault{Action: storetest.Hold, Release: make(chan struct{}), Err: remote.Unavailable})
	if err := put(t.Context(), f, "x", "x"); !errors.Is(err, remote.Unavailable) {
		t.Fatal(err)
	}
	f.Close()
	if exists(t, m, "x") {
		t.Error("a held put happened at Close")
	}
	if err := put(t.Context(), f, "y", "y"); !errors.Is(err, remote.Unavailable) {
		t.Errorf("a put after Close: %v", err)
	}
}

func TestCutAndAlter(t *testing.T) {
	f, m := wrapped(t)
	if err := put(t.Context(), m, "x", "0123456789"); err != nil {
		t.Fatal(err)
	}
	f.Fail(storetest.Fault{Action: storetest.Cut, At: 4})
	s, err := get(t, f, "x")
	if s != "0123" || !errors.Is(err, remote.Unavailable) {
		t.Errorf("cut: got %q, %v", s, err)
	}
	f.Fail(storetest.Fault{Action: storetest.Alter, At: 4})
	s, err = get(t, f, "x")
	if want := "0123\xcb56789"; s != want || err != nil {
		t.Errorf("alter: got %q, %v; want %q", s, err, want)
	}
	if s, err = get(t, f, "x"); s != "0123456789" || err != nil {
		t.Errorf("afterwards: got %q, %v", s, err)
	}
}

func TestDown(t *testing.T) {
	f, m := wrapped(t)
	if err := put(t.Context(), f, "x", "body"); err != nil {
		t.Fatal(err)
	}
	r, _, err := f.Get(t.Context(), "x", object.GetOptions{Length: -1})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	f.SetDown(true)
	if _, err := r.Read(make([]byte, 1)); !errors.Is(err, remote.Unavailable) {
		t.Errorf("read while down: %v", err)
	}
	if err := put(t.Context(), f, "y", ""); !errors.Is(err, remote.Unavailable) || exists(t, m, "y") {
		t.Errorf("put while down: %v", err)
	}
	f.SetDown(false)
	if err := put(t.Context(), f, "y", ""); err != nil {
		t.Error(err)
	}
}

func TestCounts(t *testing.T) {
	f, _ := wrapped(t)
	for i := range 3 {
		put(t.Context(), f, fmt.Sprintf("log/0/%d", i), "")
	}
	put(t.Context(), f, "format.json", "")
	f.Head(t.Context(), "log/0/1")
	f.Delete(t.Context(), "log/0/1", "log/0/2")
	for _, c := range []struct {
		op    storetest.Op
		class string
		want  int
	}{
		{storetest.Put, "log", 3}, {storetest.Put, "format.json", 1}, {storetest.Put, "", 4},
		{storetest.Head, "log", 1}, {"", "log", 5}, {"", "", 6}, {storetest.Get, "", 0},
	} {
		if n := f.Count(c.op, c.class); n != c.want {
			t.Errorf("%s of %q: %d, want %d", c.op, c.class, n, c.want)
		}
	}
	calls := f.Calls()
	if last := calls[len(calls)-1]; last != (storetest.Call{N: 6, Op: storetest.Delete, Key: "log/0/1", Keys: 2}) {
		t.Errorf("last call is %+v", last)
	}
	if n := f.Counts()[storetest.Put]["log"]; n != 3 {
		t.Errorf("counts say %d puts of log", n)
	}
	f.Reset()
	f.SetClass(func(key string) string { return key[:1] })
	put(t.Context(), f, "zebra", "")
	if f.Count("", "z") != 1 || f.Count("", "") != 1 {
		t.Error("reset or class did not take")
	}
}

func TestHookAndLatency(t *testing.T) {
	f, m := wrapped(t)
	f.Hook(func(c storetest.Call) error {
		if c.N == 2 {
			return remote.E("put", c.Key, remote.Quota, nil)
		}
		return nil
	})
	if err := put(t.Context(), f, "a", ""); err != nil {
		t.Fatal(err)
	}
	if err := put(t.Context(), f, "b", ""); !errors.Is(err, remote.Quota) || exists(t, m, "b") {
		t.Errorf("hook: %v", err)
	}
	f.Hook(nil)
	f.SetLatency(time.Hour)
	ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	if err := put(ctx, f, "c", ""); !errors.Is(err, remote.Unavailable) || exists(t, m, "c") {
		t.Errorf("latency: %v", err)
	}
}

// Every fault hits exactly once however many ask at the same time.
func TestConcurrent(t *testing.T) {
	f, _ := wrapped(t)
	f.Fail(storetest.Fault{Nth: 10, Times: 7})
	var wg sync.WaitGroup
	var mu sync.Mutex
	failed := 0
	for i := range 50 {
		wg.Go(func() {
			if err := put(t.Context(), f, fmt.Sprint(i), "x"); err != nil {
				mu.Lock()
				failed++
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	if failed != 7 || f.Count(storetest.Put, "") != 50 {
		t.Errorf("%d of %d failed, want 7 of 50", failed, f.Count("", ""))
	}
}

// PutFile is there only when the bucket behind has it.
func TestMover(t *testing.T) {
	f, _ := wrapped(t)
	if _, err := f.PutFile(t.Context(), "x", "/nowhere"); !errors.Is(err, remote.Unsupported) {
		t.Errorf("got %v, want Unsupported", err)
	}
	if f.Count("", "") != 0 {
		t.Error("what the bucket cannot do was counted")
	}
}
