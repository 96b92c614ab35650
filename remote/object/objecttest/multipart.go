package objecttest

import (
	"bytes"
	"fmt"
	"strings"
	"time"

	"mediafs/remote"
	"mediafs/remote/object"
)

func (s *suite) begin(key string) string {
	s.Helper()
	id, err := s.b.CreateMultipart(s.ctx, key, "video/mp4")
	if err != nil {
		s.Fatalf("begin upload of %s: %v", key, err)
	}
	if id == "" {
		s.Fatal("an upload without id")
	}
	return id
}

func (s *suite) part(key, id string, number int, body []byte) object.Part {
	s.Helper()
	p, err := s.b.PutPart(s.ctx, key, id, number, bytes.NewReader(body), int64(len(body)))
	if err != nil {
		s.Fatalf("put part %d of %s: %v", number, key, err)
	}
	if p.Number != number || p.Size != int64(len(body)) || p.ETag == "" || strings.Contains(p.ETag, `"`) {
		s.Fatalf("part %d of %d bytes is described as %+v", number, len(body), p)
	}
	return p
}

func (s *suite) complete(key, id string, parts ...object.Part) object.Info {
	s.Helper()
	info, err := s.b.CompleteMultipart(s.ctx, key, id, parts)
	if err != nil {
		s.Fatalf("complete %s: %v", key, err)
	}
	return info
}

// full is the size of a part that is not the last.
func (s *suite) full() int64 { return s.b.Facts().MinPart + 17 }

func testMultipart(s *suite) {
	one, two, last := pattern(1, s.full()), pattern(2, s.full()), pattern(3, 3)
	id := s.begin("content/v")
	p3 := s.part("content/v", id, 7, last) // any order, with gaps
	p1 := s.part("content/v", id, 1, one)
	p2 := s.part("content/v", id, 4, two)
	info := s.complete("content/v", id, p1, p2, p3)
	want := string(one) + string(two) + string(last)
	if info.Size != int64(len(want)) || info.Key != "content/v" {
		s.Errorf("completed object is %+v, want %d bytes", info, len(want))
	}
	head, err := s.b.Head(s.ctx, "content/v")
	s.ok("head", err)
	if head.ETag != info.ETag || head.Size != info.Size {
		s.Errorf("complete says %+v, head %+v", info, head)
	}
	if got := s.readAll("content/v"); got != want {
		s.Error("the object is not its parts in order")
	}
	if data, _ := s.read("content/v", object.GetOptions{Offset: s.full() - 2, Length: 4, IfMatch: info.ETag}); string(
		data,
	) != want[s.full()-2:s.full()+2] {
		s.Error("a range over the border of two parts is wrong")
	}
}

// What was put can be found again and used by somebody who only has the id.
func testMultipartResume(s *suite) {
	one, two := pattern(1, s.full()), pattern(2, 100)
	id := s.begin("x")
	put := s.part("x", id, 1, one)
	parts, err := s.b.ListParts(s.ctx, "x", id)
	s.ok("list parts", err)
	if len(parts) != 1 || parts[0] != put {
		s.Fatalf("parts are %+v, want %+v", parts, put)
	}
	s.part("x", id, 3, []byte("unused"))
	p2 := s.part("x", id, 2, two)
	parts, err = s.b.ListParts(s.ctx, "x", id)
	s.ok("list parts", err)
	if len(parts) != 3 || parts[0].Number != 1 || parts[1] != p2 || parts[2].Number != 3 {
		s.Fatalf("parts are %+v", parts)
	}
	s.complete("x", id, parts[:2]...)
	if got := s.readAll("x"); got != string(one)+string(two) {
		s.Error("the object is not the parts it was completed with")
	}
}

func testMultipartReplacesPart(s *suite) {
	id := s.begin("x")
	old := s.part("x", id, 1, []byte("old bytes"))
	p := s.part("x", id, 1, []byte("new bytes"))
	if old.ETag == p.ETag {
		s.Errorf("both parts have the etag %s", p.ETag)
	}
	_, err := s.b.CompleteMultipart(s.ctx, "x", id, []object.Part{old})
	s.want("complete with the old part", err, remote.Invalid, "x")
	s.complete("x", id, p)
	if got := s.readAll("x"); got != "new bytes" {
		s.Errorf("got %q", got)
	}
}

func testMultipartInvisible(s *suite) {
	id := s.begin("x")
	s.part("x", id, 1, []byte("part"))
	_, err := s.b.Head(s.ctx, "x")
	s.want("head before complete", err, remote.NotExist, "x")
	page, _, err := s.b.List(s.ctx, "", "", 0)
	s.ok("list", err)
	if len(page) != 0 {
		s.Errorf("an unfinished upload is listed: %v", page)
	}
	s.ok("abort", s.b.AbortMultipart(s.ctx, "x", id))
}

func testMultipartReplacesObject(s *suite) {
	s.put("x", "before")
	id := s.begin("x")
	p := s.part("x", id, 1, []byte("after"))
	if got := s.readAll("x"); got != "before" {
		s.Errorf("before complete: %q", got)
	}
	s.complete("x", id, p)
	if got := s.readAll("x"); got != "after" {
		s.Errorf("after complete: %q", got)
	}
}

// A completion whose answer was lost is asked for again.
func testMultipartCompleteTwice(s *suite) {
	id := s.begin("x")
	p := s.part("x", id, 1, []byte("bytes"))
	first := s.complete("x", id, p)
	again := s.complete("x", id, p)
	if again.ETag != first.ETag || again.Size != first.Size {
		s.Errorf("first %+v, again %+v", first, again)
	}
	// A store may remember that this upload was completed; it must not do it again.
	s.put("x", "something else of another size")
	if _, err := s.b.CompleteMultipart(s.ctx, "x", id, []object.Part{p}); err != nil {
		s.want("complete when the object is another", err, remote.NotExist, "x")
	}
	if got := s.readAll("x"); got != "something else of another size" {
		s.Errorf("completing again made the object %q", got)
	}
}

func testMultipartWrongPart(s *suite) {
	id := s.begin("x")
	p := s.part("x", id, 1, pattern(1, s.full()))
	q := s.part("x", id, 2, []byte("last"))
	for what, parts := range map[string][]object.Part{
		"none":      {},
		"missing":   {p, q, {Number: 9, ETag: p.ETag, Size: 1}},
		"other tag": {{Number: 1, ETag: q.ETag, Size: p.Size}, q},
		"backwards": {q, p},
		"twice":     {p, p},
	} {
		_, err := s.b.CompleteMultipart(s.ctx, "x", id, parts)
		s.want("complete with parts: "+what, err, remote.Invalid, "x")
	}
	max := s.b.Facts().MaxParts
	for _, n := range []int{0, -1, max + 1} {
		_, err := s.b.PutPart(s.ctx, "x", id, n, strings.NewReader("x"), 1)
		s.want(fmt.Sprintf("part number %d", n), err, remote.Invalid, "x")
	}
	_, err := s.b.PutPart(s.ctx, "x", id, 3, strings.NewReader("short"), 10)
	if err == nil {
		s.Error("a part that is too short was taken")
	}
	body := strings.NewReader("moved")
	body.Seek(3, 0)
	r, err := s.b.PutPart(s.ctx, "x", id, max, body, 5)
	s.ok("last number, body that stands elsewhere", err)
	r3 := s.part("x", id, 2, pattern(2, s.full()))
	s.complete("x", id, p, r3, r)
	if got := s.readAll("x"); !strings.HasSuffix(got, "moved") {
		s.Error("the last part is wrong")
	}
}

func testMultipartAbort(s *suite) {
	id := s.begin("x")
	p := s.part("x", id, 1, []byte("part"))
	s.ok("abort", s.b.AbortMultipart(s.ctx, "x", id))
	s.ok("abort again", s.b.AbortMultipart(s.ctx, "x", id))
	_, err := s.b.PutPart(s.ctx, "x", id, 2, strings.NewReader("x"), 1)
	s.want("put part after abort", err, remote.NotExist, "x")
	_, err = s.b.CompleteMultipart(s.ctx, "x", id, []object.Part{p})
	s.want("complete after abort", err, remote.NotExist, "x")
	_, err = s.b.ListParts(s.ctx, "x", id)
	s.want("list parts after abort", err, remote.NotExist, "x")
	_, err = s.b.Head(s.ctx, "x")
	s.want("head", err, remote.NotExist, "x")
	ups, err := s.b.ListMultiparts(s.ctx, "x")
	s.ok("list uploads", err)
	if len(ups) != 0 {
		s.Errorf("the aborted upload is listed: %+v", ups)
	}
}

func testMultipartUnknown(s *suite) {
	// An id that was given out once: stores differ in what they say of ids that they could not have
	// made.
	id := s.begin("other")
	for _, c := range []struct{ key, id string }{{"x", id}, {"other", gone(id)}} {
		_, err := s.b.PutPart(s.ctx, c.key, c.id, 1, strings.NewReader("x"), 1)
		s.want("put part", err, remote.NotExist, c.key)
		_, err = s.b.ListParts(s.ctx, c.key, c.id)
		s.want("list parts", err, remote.NotExist, c.key)
		_, err = s.b.CompleteMultipart(
			s.ctx, c.key, c.id, []object.Part{{Number: 1, ETag: "0123456789abcdef0123456789abcdef", Size: 1}},
		)
		s.want("complete", err, remote.NotExist, c.key)
		s.ok("abort", s.b.AbortMultipart(s.ctx, c.key, c.id))
	}
	if parts, err := s.b.ListParts(s.ctx, "other", id); err != nil || len(parts) != 0 {
		s.Errorf("a new upload has the parts %v, %v", parts, err)
	}
	s.ok("abort", s.b.AbortMultipart(s.ctx, "other", id))
}

// gone makes an id that looks like id and is not: its last letter or digit is another.
func gone(id string) string {
	last := id[len(id)-1]
	if last == 'a' {
		return id[:len(id)-1] + "b"
	}
	return id[:len(id)-1] + "a"
}

func testCopyPart(s *suite) {
	src := pattern(5, 2*s.full()+100)
	s.put("content/old", string(src))
	id := s.begin("content/new")
	p1, err := s.b.CopyPart(s.ctx, "content/new", id, 1, "content/old", 50, s.full())
	s.ok("copy part", err)
	if p1.Number != 1 || p1.Size != s.full() || p1.ETag == "" || strings.Contains(p1.ETag, `"`) {
		s.Errorf("copied part is %+v", p1)
	}
	p2 := s.part("content/new", id, 2, pattern(6, s.full()))
	p3, err := s.b.CopyPart(s.ctx, "content/new", id, 3, "content/old", int64(len(src))-1, 1)
	s.ok("copy the last byte", err)
	parts, err := s.b.ListParts(s.ctx, "content/new", id)
	s.ok("list parts", err)
	if len(parts) != 3 || parts[0] != p1 || parts[2] != p3 {
		s.Errorf("parts are %+v, want %+v and %+v among them", parts, p1, p3)
	}
	info := s.complete("content/new", id, p1, p2, p3)
	want := string(src[50:50+s.full()]) + string(pattern(6, s.full())) + string(src[len(src)-1:])
	if got := s.readAll("content/new"); got != want || info.Size != int64(len(want)) {
		s.Errorf("copied object has %d bytes, want %d, or other ones", len(got), len(want))
	}
	if got := s.readAll("content/old"); got != string(src) {
		s.Error("the source changed")
	}
}

func testCopyPartErrors(s *suite) {
	s.put("src", "0123456789")
	id := s.begin("x")
	_, err := s.b.CopyPart(s.ctx, "x", id, 1, "nothing", 0, 1)
	s.want("copy of nothing", err, remote.NotExist, "nothing")
	for _, c := range []struct{ off, n int64 }{{0, 11}, {10, 1}, {9, 2}, {-1, 2}, {100, 1}, {0, 0}, {0, -1}} {
		_, err := s.b.CopyPart(s.ctx, "x", id, 1, "src", c.off, c.n)
		s.want(fmt.Sprintf("copy %d bytes at %d", c.n, c.off), err, remote.Invalid, "x")
	}
	_, err = s.b.CopyPart(s.ctx, "x", gone(id), 1, "src", 0, 1)
	s.want("copy into an unknown upload", err, remote.NotExist, "x")
	s.ok("abort", s.b.AbortMultipart(s.ctx, "x", id))
}

func testListMultiparts(s *suite) {
	ids := map[string]string{}
	for _, key := range []string{"content/ab/1", "content/ab/2", "content/cd/1", "other"} {
		ids[s.begin(key)] = key
	}
	second := s.begin("other")
	ids[second] = "other"
	prefixes := []string{"", "content/", "content/ab/", "content/ab/1", "content/a", "other", "missing"}
	if s.cfg.UploadsByKey {
		prefixes = []string{"content/ab/1", "other", "missing"}
	}
	for _, prefix := range prefixes {
		ups, err := s.b.ListMultiparts(s.ctx, prefix)
		s.ok("list uploads", err)
		want := 0
		for _, key := range ids {
			if strings.HasPrefix(key, prefix) {
				want++
			}
		}
		if len(ups) != want {
			s.Errorf("prefix %q: %d uploads, want %d: %+v", prefix, len(ups), want, ups)
		}
		for _, u := range ups {
			if ids[u.ID] != u.Key || !strings.HasPrefix(u.Key, prefix) {
				s.Errorf("prefix %q: %+v is none of ours", prefix, u)
			}
			if time.Since(u.Initiated).Abs() > time.Hour {
				s.Errorf("%s began at %v", u.Key, u.Initiated)
			}
		}
	}
	for id, key := range ids {
		s.ok("abort", s.b.AbortMultipart(s.ctx, key, id))
	}
}
