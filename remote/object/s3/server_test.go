package s3_test

import (
	"errors"
	"strings"
	"testing"

	"mediafs/remote"
	"mediafs/remote/object"
	"mediafs/remote/object/s3"
	"mediafs/remote/object/s3/s3server"
	"mediafs/remote/transport"
)

// A server that crashed is not reached, and has everything that it confirmed when it comes back.
func TestCrashedServer(t *testing.T) {
	s := s3server.Start(t)
	b := open(t, optionsOf(s, ""))
	if err := put(t, b, object.PutOptions{IfAbsent: true}); err != nil {
		t.Fatal(err)
	}
	s.Kill()
	_, err := b.Put(t.Context(), "log/2", strings.NewReader("x"), 1, object.PutOptions{IfAbsent: true})
	if !errors.Is(err, remote.Unavailable) {
		t.Errorf("put to a dead server: %v", err)
	}
	if _, err := b.Head(t.Context(), "log/1"); !errors.Is(err, remote.Unavailable) {
		t.Errorf("head on a dead server: %v", err)
	}
	if err := s.Restart(); err != nil {
		t.Fatal(err)
	}
	if data, _, err := get(t, b, object.GetOptions{Length: -1}); err != nil || string(data) != "x" {
		t.Errorf("after the restart: %q, %v", data, err)
	}
	if err := put(t, b, object.PutOptions{IfAbsent: true}); !errors.Is(err, remote.Exist) {
		t.Errorf("put-if-absent after the restart: %v", err)
	}
}

func TestWrongKeysAndBuckets(t *testing.T) {
	opt := options(t)
	wrong := opt
	wrong.SecretKey = "HUSH"
	check(t, "wrong secret", put(t, open(t, wrong), object.PutOptions{}), remote.Permission, "secret key is wrong")
	wrong = opt
	wrong.AccessKey = "nobody"
	check(t, "wrong key", put(t, open(t, wrong), object.PutOptions{}), remote.Permission, "access key")
	wrong = opt
	wrong.Bucket = "no-such-bucket"
	err := put(t, open(t, wrong), object.PutOptions{})
	check(t, "wrong bucket", err, remote.NotExist, `"no-such-bucket" (create the bucket first`)
	if !errors.Is(err, s3.ErrNoBucket) {
		t.Errorf("%v is not told from a missing object", err)
	}
}

// Prefixes keep libraries in one bucket apart.
func TestPrefixes(t *testing.T) {
	opt := options(t)
	one, two := opt, opt
	one.Prefix, two.Prefix = opt.Prefix+"/a", opt.Prefix+"/a-b"
	a, b := open(t, one), open(t, two)
	if err := put(t, a, object.PutOptions{}); err != nil {
		t.Fatal(err)
	}
	if page, _, err := b.List(t.Context(), "", "", 0); err != nil || len(page) != 0 {
		t.Errorf("the other prefix lists %v, %v", page, err)
	}
	if page, _, err := a.List(t.Context(), "", "", 0); err != nil || len(page) != 1 || page[0].Key != "log/1" {
		t.Errorf("its own prefix lists %v, %v", page, err)
	}
	if err := put(t, b, object.PutOptions{IfAbsent: true}); err != nil {
		t.Error(err)
	}
}

// What each operation costs in requests is behaviour.
func TestRequests(t *testing.T) {
	var n transport.Counter
	opt := options(t)
	opt.Transport.Counter = &n
	b := open(t, opt)
	cost := func(what string, want int64, do func() error) {
		t.Helper()
		before := n.Get("", "*").Requests
		if err := do(); err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		if got := n.Get("", "*").Requests - before; got != want {
			t.Errorf("%s costs %d requests, want %d", what, got, want)
		}
	}
	cost("put", 1, func() error { return put(t, b, object.PutOptions{IfAbsent: true}) })
	cost("get", 1, func() error { _, _, err := get(t, b, object.GetOptions{Length: -1}); return err })
	cost("range", 1, func() error { _, _, err := get(t, b, object.GetOptions{Length: 1}); return err })
	cost(
		"range past the end", 2,
		func() error { _, _, err := get(t, b, object.GetOptions{Offset: 9, Length: 1}); return err },
	)
	cost("head", 1, func() error { _, err := b.Head(t.Context(), "log/1"); return err })
	cost("list", 1, func() error { _, _, err := b.List(t.Context(), "", "", 0); return err })
	cost("full page", 1, func() error { _, _, err := b.List(t.Context(), "", "", 1); return err })
	cost("delete one", 1, func() error { return b.Delete(t.Context(), "log/1") })
	cost("delete three", 1, func() error { return b.Delete(t.Context(), "log/1", "log/2", "log/3") })
	cost("delete none", 0, func() error { return b.Delete(t.Context()) })
}
