package objecttest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"strings"
	"sync"
	"time"

	"mediafs/remote"
	"mediafs/remote/object"
)

func testPutGet(s *suite) {
	body := string(pattern(1, 100_000))
	put, err := s.b.Put(
		s.ctx, "content/ab/x", strings.NewReader(body), int64(len(body)), object.PutOptions{Type: "image/jpeg"},
	)
	s.ok("put", err)
	if got := s.readAll("content/ab/x"); got != body {
		s.Errorf("read %d other bytes than the %d that were put", len(got), len(body))
	}
	head, err := s.b.Head(s.ctx, "content/ab/x")
	s.ok("head", err)
	_, get := s.read("content/ab/x", object.GetOptions{Length: -1})
	for _, i := range []object.Info{put, head, get} {
		if i.Key != "content/ab/x" || i.Size != int64(len(body)) || i.ETag != head.ETag || i.ETag == "" ||
			strings.Contains(i.ETag, `"`) {
			s.Errorf("put, head and get describe it differently: %+v", i)
		}
	}
	if head.Modified.IsZero() || time.Since(head.Modified).Abs() > time.Hour {
		s.Errorf("modified at %v", head.Modified)
	}
}

func testReplace(s *suite) {
	seen := map[string]bool{}
	for i := range 5 {
		// One size, quickly one after the other: only the etag tells them apart.
		body := fmt.Sprintf("body %d", i)
		s.put("x", body)
		info, err := s.b.Head(s.ctx, "x")
		s.ok("head", err)
		if seen[info.ETag] {
			s.Errorf("etag %s comes again for other bytes", info.ETag)
		}
		seen[info.ETag] = true
		if got := s.readAll("x"); got != body {
			s.Errorf("got %q, want %q", got, body)
		}
	}
}

func testEmpty(s *suite) {
	s.put("empty", "")
	if got := s.readAll("empty"); got != "" {
		s.Errorf("an empty object has %q", got)
	}
	for _, opt := range []object.GetOptions{{Length: 10}, {Offset: 5, Length: -1}, {Offset: 0, Length: 0}} {
		if data, info := s.read("empty", opt); len(data) != 0 || info.Size != 0 {
			s.Errorf("range %+v of an empty object: %d bytes, size %d", opt, len(data), info.Size)
		}
	}
	s.want("put if absent", s.putIfAbsent("empty", "x"), remote.Exist, "empty")
}

func testRanges(s *suite) {
	body := pattern(2, 1000)
	whole := s.put("x", string(body))
	for _, c := range []struct{ off, n, from, to int64 }{
		{0, -1, 0, 1000}, {0, 1000, 0, 1000}, {0, 2000, 0, 1000}, {0, 1, 0, 1}, {0, 0, 0, 0},
		{999, 1, 999, 1000}, {999, -1, 999, 1000}, {500, 100, 500, 600}, {500, 501, 500, 1000}, {500, -1, 500, 1000},
		{500, 0, 0, 0}, {1000, 0, 0, 0}, {1000, -1, 0, 0}, {1000, 5, 0, 0}, {5000, -1, 0, 0}, {5000, 10, 0, 0},
	} {
		data, info := s.read("x", object.GetOptions{Offset: c.off, Length: c.n})
		if !bytes.Equal(data, body[c.from:c.to]) {
			s.Errorf("%d bytes at %d: got %d bytes, not those from %d to %d", c.n, c.off, len(data), c.from, c.to)
		}
		if info.Size != 1000 || info.ETag != whole.ETag || info.Key != "x" {
			s.Errorf("%d bytes at %d: info is %+v, want that of the whole object", c.n, c.off, info)
		}
	}
	_, _, err := s.b.Get(s.ctx, "x", object.GetOptions{Offset: -1, Length: 1})
	s.want("negative offset", err, remote.Invalid, "x")
}

func testIfMatch(s *suite) {
	first := s.put("x", "first")
	if data, _ := s.read("x", object.GetOptions{Length: -1, IfMatch: first.ETag}); string(data) != "first" {
		s.Errorf("got %q", data)
	}
	s.put("x", "second")
	for _, opt := range []object.GetOptions{{Length: -1}, {Offset: 1, Length: 2}, {Offset: 100, Length: -1}} {
		opt.IfMatch = first.ETag
		r, _, err := s.b.Get(s.ctx, "x", opt)
		if err == nil {
			r.Close()
		}
		s.want(fmt.Sprintf("get %+v", opt), err, remote.Stale, "x")
	}
	_, _, err := s.b.Get(s.ctx, "gone", object.GetOptions{Length: -1, IfMatch: first.ETag})
	s.want("get of nothing", err, remote.NotExist, "gone")
}

func (s *suite) putIfAbsent(key, body string) error {
	_, err := s.b.Put(s.ctx, key, strings.NewReader(body), int64(len(body)), object.PutOptions{IfAbsent: true})
	return err
}

func testIfAbsent(s *suite) {
	s.ok("first", s.putIfAbsent("log/0/1", "first"))
	s.want("second", s.putIfAbsent("log/0/1", "second"), remote.Exist, "log/0/1")
	if got := s.readAll("log/0/1"); got != "first" {
		s.Errorf("got %q", got)
	}
	s.ok("delete", s.b.Delete(s.ctx, "log/0/1"))
	s.ok("after delete", s.putIfAbsent("log/0/1", "third"))
	if got := s.readAll("log/0/1"); got != "third" {
		s.Errorf("got %q", got)
	}
}

// Many clients race for one key: one wins, all others are told so, and the bytes are the winner's.
// Conflict is the store's way to say "try again".
func testIfAbsentRace(s *suite) {
	const racers, rounds = 12, 4
	for round := range rounds {
		key := fmt.Sprintf("log/0/%d", round)
		start := make(chan struct{})
		errs := make([]error, racers)
		var wg sync.WaitGroup
		for i := range racers {
			wg.Go(func() {
				body := fmt.Sprintf("racer %02d", i)
				<-start
				for range 100 {
					_, errs[i] = s.b.Put(
						s.ctx, key, strings.NewReader(body), int64(len(body)), object.PutOptions{IfAbsent: true},
					)
					if !errors.Is(errs[i], remote.Conflict) {
						return
					}
				}
			})
		}
		close(start)
		wg.Wait()
		winner := -1
		for i, err := range errs {
			switch {
			case err == nil && winner >= 0:
				s.Fatalf("racers %d and %d both won", winner, i)
			case err == nil:
				winner = i
			default:
				s.want(fmt.Sprintf("racer %d", i), err, remote.Exist, key)
			}
		}
		if winner < 0 {
			s.Fatal("nobody won")
		}
		if got, want := s.readAll(key), fmt.Sprintf("racer %02d", winner); got != want {
			s.Errorf("the object is %q, the winner put %q", got, want)
		}
	}
}

// The body is read from its start, wherever it stands, and exactly size bytes of it.
func testBody(s *suite) {
	body := strings.NewReader("0123456789")
	if _, err := body.Seek(7, io.SeekStart); err != nil {
		s.Fatal(err)
	}
	_, err := s.b.Put(s.ctx, "x", body, 10, object.PutOptions{})
	s.ok("put a body that stands elsewhere", err)
	if got := s.readAll("x"); got != "0123456789" {
		s.Errorf("got %q", got)
	}
	_, err = s.b.Put(s.ctx, "y", strings.NewReader("short"), 10, object.PutOptions{})
	if err == nil {
		s.Error("a body that is too short was taken")
	}
	_, err = s.b.Head(s.ctx, "y")
	s.want("head of what was too short", err, remote.NotExist, "y")
	_, err = s.b.Put(s.ctx, "z", strings.NewReader(""), -1, object.PutOptions{})
	s.want("negative size", err, remote.Invalid, "z")
}

func testNotExist(s *suite) {
	s.put("a/b/c", "x")
	for _, key := range []string{"nothing", "a/nothing", "no/such/folder", "a/b/c2"} {
		_, err := s.b.Head(s.ctx, key)
		s.want("head", err, remote.NotExist, key)
		_, _, err = s.b.Get(s.ctx, key, object.GetOptions{Length: -1})
		s.want("get", err, remote.NotExist, key)
		_, _, err = s.b.Get(s.ctx, key, object.GetOptions{Offset: 10, Length: 10})
		s.want("get a range", err, remote.NotExist, key)
	}
	// What other keys lie below is no object.
	_, err := s.b.Head(s.ctx, "a/b")
	s.want("head of a prefix", err, remote.NotExist, "a/b")
}

func testKeys(s *suite) {
	for _, c := range []struct {
		key  string
		kind remote.Kind
	}{
		{"", remote.Invalid}, {"/", remote.Invalid}, {"/x", remote.Invalid}, {"x/", remote.Invalid}, {"x//y", remote.Invalid},
		{".", remote.Invalid}, {"..", remote.Invalid}, {"../x", remote.Invalid}, {"x/../../y", remote.Invalid}, {"x/./y", remote.Invalid},
		{"x/..", remote.Invalid}, {"x\x00y", remote.Invalid}, {"x\xff", remote.Invalid},
		{strings.Repeat("n", 256), remote.TooLong}, {"x/" + strings.Repeat("n", 256) + "/y", remote.TooLong},
		{strings.Repeat("seg/", 300) + "x", remote.TooLong},
	} {
		what := fmt.Sprintf("key %.40q: ", c.key)
		s.want(what+"put", s.putIfAbsent(c.key, "x"), c.kind, c.key)
		_, err := s.b.Head(s.ctx, c.key)
		s.want(what+"head", err, c.kind, c.key)
		_, _, err = s.b.Get(s.ctx, c.key, object.GetOptions{Length: -1})
		s.want(what+"get", err, c.kind, c.key)
		s.want(what+"delete", s.b.Delete(s.ctx, "fine", c.key), c.kind, c.key)
		_, err = s.b.CreateMultipart(s.ctx, c.key, "")
		s.want(what+"begin upload", err, c.kind, c.key)
	}
	page, more, err := s.b.List(s.ctx, "", "", 0)
	s.ok("list", err)
	if len(page) != 0 || more {
		s.Errorf("bad keys left %v", page)
	}
}

// Keys that a path, an URL or XML could take for something else.
func testUnusualKeys(s *suite) {
	keys := []string{
		"a b+c%20d&e=f?g#h", "quote'\"<>", "Größe/日本語/😀", "back\\slash", "~tilde!*(),;:@", strings.Repeat("n", 200),
		"dots.../..x/x..", " leading and trailing ",
	}
	for _, key := range keys {
		s.put(key, "body of "+key)
	}
	for _, key := range keys {
		if got := s.readAll(key); got != "body of "+key {
			s.Errorf("%q has %q", key, got)
		}
		page, _, err := s.b.List(s.ctx, key, "", 0)
		s.ok("list "+key, err)
		if len(page) != 1 || page[0].Key != key {
			s.Errorf("list of %q gives %v", key, page)
		}
	}
	s.ok("delete", s.b.Delete(s.ctx, keys...))
	if page, _, err := s.b.List(s.ctx, "", "", 0); err != nil || len(page) != 0 {
		s.Errorf("after delete: %v, %v", page, err)
	}
}

func testDelete(s *suite) {
	for _, key := range []string{"a/1", "a/2", "b"} {
		s.put(key, "x")
	}
	s.ok("one", s.b.Delete(s.ctx, "a/1"))
	s.ok("again", s.b.Delete(s.ctx, "a/1"))
	s.ok("missing", s.b.Delete(s.ctx, "never/was/there"))
	s.ok("none", s.b.Delete(s.ctx))
	s.ok("what others lie below", s.b.Delete(s.ctx, "a"))
	page, _, err := s.b.List(s.ctx, "", "", 0)
	s.ok("list", err)
	if got := keysOf(page); got != "a/2 b" {
		s.Errorf("left are %q", got)
	}
}

// More keys than one request to S3 takes, most of which are not there.
func testDeleteMany(s *suite) {
	s.put("keep", "x")
	keys := make([]string, 2100)
	for i := range keys {
		keys[i] = fmt.Sprintf("many/%04d", i)
	}
	for _, i := range []int{0, 999, 1000, 1001, 1999, 2000, 2099} {
		s.put(keys[i], "x")
	}
	s.ok("delete", s.b.Delete(s.ctx, keys...))
	page, _, err := s.b.List(s.ctx, "", "", 0)
	s.ok("list", err)
	if got := keysOf(page); got != "keep" {
		s.Errorf("left are %q", got)
	}
}

func testCancelled(s *suite) {
	s.put("x", "x")
	id, err := s.b.CreateMultipart(s.ctx, "up", "")
	s.ok("begin upload", err)
	part, err := s.b.PutPart(s.ctx, "up", id, 1, strings.NewReader("x"), 1)
	s.ok("put part", err)
	ctx, cancel := context.WithCancel(s.ctx)
	cancel()
	for what, call := range map[string]func() error{
		"put": func() error {
			_, err := s.b.Put(ctx, "y", strings.NewReader("y"), 1, object.PutOptions{})
			return err
		},
		"get":      func() error { _, _, err := s.b.Get(ctx, "x", object.GetOptions{Length: -1}); return err },
		"head":     func() error { _, err := s.b.Head(ctx, "x"); return err },
		"list":     func() error { _, _, err := s.b.List(ctx, "", "", 0); return err },
		"delete":   func() error { return s.b.Delete(ctx, "x") },
		"begin":    func() error { _, err := s.b.CreateMultipart(ctx, "z", ""); return err },
		"part":     func() error { _, err := s.b.PutPart(ctx, "up", id, 2, strings.NewReader("y"), 1); return err },
		"copy":     func() error { _, err := s.b.CopyPart(ctx, "up", id, 2, "x", 0, 1); return err },
		"parts":    func() error { _, err := s.b.ListParts(ctx, "up", id); return err },
		"complete": func() error { _, err := s.b.CompleteMultipart(ctx, "up", id, []object.Part{part}); return err },
		"abort":    func() error { return s.b.AbortMultipart(ctx, "up", id) },
		"uploads":  func() error { _, err := s.b.ListMultiparts(ctx, ""); return err },
	} {
		err := call()
		s.want(what, err, remote.Interrupted, "")
		if !errors.Is(err, context.Canceled) {
			s.Errorf("%s: %v does not wrap the error of the context", what, err)
		}
	}
	late, stop := context.WithDeadline(s.ctx, time.Now().Add(-time.Second))
	defer stop()
	_, err = s.b.Head(late, "x")
	s.want("head out of time", err, remote.Unavailable, "x")
	page, _, err := s.b.List(s.ctx, "", "", 0)
	s.ok("list", err)
	if got := keysOf(page); got != "x" {
		s.Errorf("cancelled calls left %q", got)
	}
	s.ok("abort", s.b.AbortMultipart(s.ctx, "up", id))
}

// A reader ends with its context, in an error and not in a short body.
func testCancelledReader(s *suite) {
	body := pattern(3, 4<<20)
	s.put("x", string(body))
	ctx, cancel := context.WithCancel(s.ctx)
	defer cancel()
	r, _, err := s.b.Get(ctx, "x", object.GetOptions{Length: -1})
	s.ok("get", err)
	defer r.Close()
	if _, err := io.ReadFull(r, make([]byte, 10)); err != nil {
		s.Fatal(err)
	}
	cancel()
	n, err := io.Copy(io.Discard, r)
	if err == nil {
		s.Fatalf("a cancelled reader gave all of the other %d bytes", n)
	}
	s.want("read", err, remote.Interrupted, "x")
}

// While an object is replaced again and again, every reader gets the whole of one state, and the
// etag that goes with it.
func testReadersSeeWhole(s *suite) {
	const size, states = 300_000, 12
	bodies := make([][]byte, states)
	etags := make([]string, states)
	for i := range bodies {
		bodies[i] = pattern(byte(i), size+int64(i))
	}
	etags[0] = s.put("x", string(bodies[0])).ETag
	var wg sync.WaitGroup
	var mu sync.Mutex
	seen := map[string][]byte{}
	stop := make(chan struct{})
	for range 3 {
		wg.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				r, info, err := s.b.Get(s.ctx, "x", object.GetOptions{Length: -1})
				if err != nil {
					s.Errorf("get while it is replaced: %v", err)
					return
				}
				data, err := io.ReadAll(r)
				r.Close()
				if err != nil {
					s.Errorf("read while it is replaced: %v", err)
					return
				}
				i := len(data) - size
				if i < 0 || i >= states || !bytes.Equal(data, bodies[i]) {
					s.Errorf("read %d bytes that are no state of the object", len(data))
					return
				}
				mu.Lock()
				seen[info.ETag] = bodies[i]
				mu.Unlock()
			}
		})
	}
	for i := 1; i < states; i++ {
		etags[i] = s.put("x", string(bodies[i])).ETag
	}
	close(stop)
	wg.Wait()
	for i, e := range etags {
		if got, ok := seen[e]; ok && !bytes.Equal(got, bodies[i]) {
			s.Errorf("a reader got other bytes with the etag of state %d", i)
		}
	}
}

// zeros is a body of n zero bytes that takes no memory.
type zeros struct{ off, n int64 }

func (z *zeros) Read(p []byte) (int, error) {
	if z.off == z.n {
		return 0, io.EOF
	}
	p = p[:min(int64(len(p)), z.n-z.off)]
	clear(p)
	z.off += int64(len(p))
	return len(p), nil
}

func (z *zeros) Seek(off int64, whence int) (int64, error) {
	switch whence {
	case io.SeekCurrent:
		off += z.off
	case io.SeekEnd:
		off += z.n
	}
	z.off = off
	return off, nil
}

// A body is never held in memory as a whole.
func testStreaming(s *suite) {
	if s.cfg.InMemory {
		s.Skip("this bucket holds bodies in memory by design")
	}
	const size, limit = 48 << 20, 16 << 20
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	_, err := s.b.Put(s.ctx, "large", &zeros{n: size}, size, object.PutOptions{})
	s.ok("put", err)
	r, _, err := s.b.Get(s.ctx, "large", object.GetOptions{Length: -1})
	s.ok("get", err)
	n, err := io.Copy(io.Discard, r)
	r.Close()
	if err != nil || n != size {
		s.Fatalf("read %d bytes: %v", n, err)
	}
	runtime.ReadMemStats(&after)
	if used := after.TotalAlloc - before.TotalAlloc; used > limit {
		s.Errorf("putting and getting %d bytes allocated %d, at most %d are expected", size, used, limit)
	}
	s.ok("delete", s.b.Delete(s.ctx, "large"))
}

// Where a store tells its time, it is a time near ours, and Modified is on the same clock.
func testDates(s *suite) {
	put := s.put("x", "x")
	head, err := s.b.Head(s.ctx, "x")
	s.ok("head", err)
	_, get := s.read("x", object.GetOptions{Length: -1})
	for what, i := range map[string]object.Info{"put": put, "head": head, "get": get} {
		if i.Date.IsZero() {
			continue
		}
		if time.Since(i.Date).Abs() > time.Hour {
			s.Errorf("%s: the store says it is %v", what, i.Date)
		}
		if d := i.Date.Sub(head.Modified); d < -2*time.Second || d > time.Minute {
			s.Errorf("%s: modified at %v, told at %v", what, head.Modified, i.Date)
		}
	}
	page, _, err := s.b.List(s.ctx, "", "", 0)
	s.ok("list", err)
	if len(page) != 1 || !page[0].Date.IsZero() {
		s.Errorf("list fills in dates: %+v", page)
	}
}

func testFacts(s *suite) {
	f := s.b.Facts()
	if f.URL == "" || f.MinPart < 1 || f.MaxPart < f.MinPart || f.MaxParts < 1 || f.MaxPut < 1 || f.Free > f.Capacity {
		s.Errorf("facts are %+v", f)
	}
}
