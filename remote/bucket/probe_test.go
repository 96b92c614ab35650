package bucket

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"mediafs/remote"
	"mediafs/remote/object"
	"mediafs/remote/object/s3"
	"mediafs/remote/storetest/fakes3"
)

// onFake opens a new library on a server of its own.
func onFake(t *testing.T, h fakes3.Habits) (*fakes3.Server, *Store) {
	t.Helper()
	srv := fakes3.Start(t, h)
	b, err := s3.Open(
		t.Context(),
		s3.Options{Endpoint: srv.URL, Bucket: fakes3.Bucket, AllowHTTP: true, AccessKey: "id", SecretKey: "secret"},
	)
	ok(t, err)
	opt := quick(new(fakeBoot))
	opt.ChunkSize = 5 << 20
	s, err := Create(t.Context(), b, opt)
	ok(t, err)
	t.Cleanup(func() { s.Close() })
	return srv, s
}

func opaque(body []byte) string { return fmt.Sprintf("tag%d", len(body)) }

// framed is what a store keeps that takes the framing of signed chunks for data.
func framed(body []byte) []byte {
	return slices.Concat(
		fmt.Appendf(nil, "%x;chunk-signature=0\r\n", len(body)), body, []byte("\r\n0;chunk-signature=0\r\n\r\n"),
	)
}

// What a store does is found out, and a store that cannot be trusted is refused with the reason.
func TestProbeOfServers(t *testing.T) {
	crc, md5, verified := object.Checks{
		Sum:      object.SumCRC32C,
		Verified: true,
	}, object.Checks{
		Sum: object.SumMD5,
	}, object.Checks{
		Sum:      object.SumMD5,
		Verified: true,
	}
	month := object.Lock{On: true, Mode: "GOVERNANCE", Days: 30}
	for name, c := range map[string]struct {
		habits fakes3.Habits
		want   object.Habits
		why    string // refused: part of the reason
	}{
		"sound":                                  {want: object.Habits{Put: crc, Part: crc, MD5Tags: true, Known: true}},
		"no checksums":                           {habits: fakes3.Habits{Checksums: fakes3.Ignore}, want: object.Habits{Put: md5, Part: md5, MD5Tags: true, Known: true}},
		"MD5 alone":                              {habits: fakes3.Habits{Checksums: fakes3.Refuse}, want: object.Habits{Put: verified, Part: verified, MD5Tags: true, Known: true}},
		"encrypts":                               {habits: fakes3.Habits{Tag: opaque}, want: object.Habits{Put: crc, Part: crc, Known: true}},
		"proves nothing":                         {habits: fakes3.Habits{Checksums: fakes3.Ignore, Tag: opaque}, want: object.Habits{Put: md5, Part: md5, Known: true}},
		"copies no parts":                        {habits: fakes3.Habits{NoCopy: true}, want: object.Habits{Put: crc, Part: crc, MD5Tags: true, NoCopy: true, Known: true}},
		"copies with the checksum of the source": {habits: fakes3.Habits{CopySum: true}, want: object.Habits{Put: crc, Part: verified, MD5Tags: true, Known: true}},
		"locks objects":                          {habits: fakes3.Habits{LockDays: 30}, want: object.Habits{Put: crc, Part: crc, MD5Tags: true, Known: true, Lock: month}},
		"locks, MD5 alone": {habits: fakes3.Habits{LockDays: 30, Checksums: fakes3.Refuse},
			want: object.Habits{Put: verified, Part: verified, MD5Tags: true, Known: true, Lock: month}},

		"frames parts": {habits: fakes3.Habits{Checksums: fakes3.Ignore, Tag: opaque, Keep: func(_ string, part int, b []byte) []byte {
			if part > 0 {
				return framed(b)
			}
			return b
		}}, why: "the store has"},
		"frames parts, with their MD5": {habits: fakes3.Habits{Checksums: fakes3.Ignore, Keep: func(_ string, part int, b []byte) []byte {
			if part > 0 {
				return framed(b)
			}
			return b
		}}, why: "the store has"},
		"changes a byte of a part": {habits: fakes3.Habits{Tag: opaque, Keep: func(_ string, part int, b []byte) []byte {
			if part == 1 && len(b) > 1<<20 {
				b[1<<20] ^= 1
			}
			return b
		}}, why: "is not what was sent"},
		"changes bytes it gives": {habits: fakes3.Habits{Give: func(_ string, b []byte) []byte {
			if len(b) > 1<<20 {
				b[len(b)-1] ^= 1
			}
			return b
		}}, why: "is not what was sent"},
		"ignores ranges":     {habits: fakes3.Habits{IgnoreRange: true}, why: "ignores ranges"},
		"copies all":         {habits: fakes3.Habits{EatsCopy: true}, why: "the store has"},
		"lists wrong sizes":  {habits: fakes3.Habits{Size: func(key string, n int) int { return n + 1 }}, why: "is listed with"},
		"lists parts' sizes": {habits: fakes3.Habits{Size: func(key string, n int) int { return min(n, 5<<20) }}, why: "is listed as"},
		"two winners":        {habits: fakes3.Habits{IgnoreCondition: true}, why: "exactly 1 must"},
		"text for people": {habits: fakes3.Habits{Keep: func(_ string, _ int, b []byte) []byte {
			return bytes.ReplaceAll(b, []byte("\r\n"), []byte("\n"))
		}, Checksums: fakes3.Ignore, Tag: opaque}, why: "listed as"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			srv, s := onFake(t, c.habits)
			err := s.Probe(t.Context())
			if c.why != "" {
				if kind := remote.KindOf(
					err,
				); kind != remote.Unsupported && kind != remote.Corrupt || !strings.Contains(err.Error(), c.why) ||
					hintOf(err) == "" {
					t.Errorf("got %v, want a refusal with a hint and %q", err, c.why)
				}
				return
			}
			if err != nil || s.Habits() != c.want {
				t.Errorf("got %+v, %v; want %+v", s.Habits(), err, c.want)
			}
			for _, r := range srv.Requests() {
				if r.Method == "PUT" && r.Header.Get("X-Amz-Copy-Source") == "" && r.Header.Get("Content-Md5") == "" &&
					r.Header.Get("X-Amz-Checksum-Crc32c") == "" {
					t.Errorf("a put of %s has no checksum", r.Key)
				}
				if v := r.Header.Get("X-Amz-Content-Sha256"); strings.HasPrefix(v, "STREAMING") {
					t.Errorf("a body of %s is sent in a framing: %s", r.Key, v)
				}
			}
			if keys := srv.Keys(); c.habits.LockDays == 0 && len(keys) != 1 {
				t.Errorf("left over: %q", keys)
			}
		})
	}
}

// What is found out once is enough for the next opening.
func TestHabitsAreKeptTo(t *testing.T) {
	srv, s := onFake(t, fakes3.Habits{})
	s.SetHabits(
		object.Habits{
			Put:     object.Checks{Sum: object.SumCRC32C, Verified: true},
			MD5Tags: true,
			NoCopy:  true,
			Known:   true,
		},
	)
	srv.Requests()
	sendBytes(t, s, make([]byte, 100))
	rs := srv.Requests()
	if len(rs) != 1 || rs[0].Header.Get("X-Amz-Checksum-Crc32c") == "" || rs[0].Header.Get("Content-Md5") != "" {
		t.Errorf("requests %+v", rs)
	}
}

// sendBytes uploads bytes as a content.
func sendBytes(t *testing.T, s *Store, b []byte) (remote.ContentID, error) {
	t.Helper()
	up, err := s.StartUpload(t.Context(), remote.UploadSpec{Size: int64(len(b))})
	if err != nil {
		return remote.ContentID{}, err
	}
	chunk, n := int(up.Needs().ChunkSize), 0
	for ; n*chunk < len(b); n++ {
		part := b[n*chunk : min((n+1)*chunk, len(b))]
		if err := up.PutChunk(
			t.Context(), n, io.NewSectionReader(bytes.NewReader(part), 0, int64(len(part))),
		); err != nil {
			return remote.ContentID{}, err
		}
	}
	return up.Commit(t.Context(), n, int64(len(b)))
}

// A store that was sound and begins to keep other bytes than it is given is not believed: by its
// checksum, its etag, or the size.
func TestStoreThatBeginsToLie(t *testing.T) {
	cut := func(b []byte) []byte { return b[:len(b)-1] }
	flip := func(b []byte) []byte { b[0] ^= 1; return b }
	for name, c := range map[string]struct {
		habits     fakes3.Habits
		keep       func(b []byte) []byte
		undetected bool // a byte that changed: nothing that the store says tells it
	}{
		"proves by checksums, frames":  {fakes3.Habits{}, framed, false},
		"proves by MD5, frames":        {fakes3.Habits{Checksums: fakes3.Ignore}, framed, false},
		"proves by MD5, changes":       {fakes3.Habits{Checksums: fakes3.Ignore}, flip, false},
		"proves by MD5, cuts":          {fakes3.Habits{Checksums: fakes3.Refuse}, cut, false},
		"proves nothing, frames":       {fakes3.Habits{Checksums: fakes3.Ignore, Tag: opaque}, framed, false},
		"proves nothing, cuts":         {fakes3.Habits{Checksums: fakes3.Ignore, Tag: opaque}, cut, false},
		"proves nothing, changes":      {fakes3.Habits{Checksums: fakes3.Ignore, Tag: opaque}, flip, true},
		"checks what it does not keep": {fakes3.Habits{Tag: opaque}, cut, false},
	} {
		for _, size := range []int{1000, 12 << 20} { // a put, an upload of three parts
			t.Run(fmt.Sprintf("%s/%d", name, size), func(t *testing.T) {
				t.Parallel()
				srv, s := onFake(t, c.habits)
				ok(t, s.Probe(t.Context()))
				body := bytes.Repeat([]byte("0123456789abcdef"), size/16+1)[:size]
				if _, err := sendBytes(t, s, body); err != nil {
					t.Fatalf("as long as it is sound: %v", err)
				}
				srv.Change(func(h *fakes3.Habits) {
					h.Keep = func(key string, part int, b []byte) []byte {
						if part <= 1 {
							return c.keep(b)
						}
						return b
					}
				})
				srv.Requests()
				_, err := sendBytes(t, s, body)
				detected := !c.undetected && !(name == "checks what it does not keep" && size == 1000)
				if detected && (!errors.Is(err, remote.Corrupt) || hintOf(err) == "") {
					t.Errorf("got %v, want that it is corrupt, with a hint", err)
				}
				if !detected && err != nil {
					t.Errorf("got %v", err)
				}
				if n := len(srv.Requests()); n > 9 {
					t.Errorf("%d requests: it was tried again", n)
				}
			})
		}
	}
}

// A listing with a hole is made again before anything is concluded from it; a store that never
// lists what it has is refused.
func TestProbeBesideHolesOfListings(t *testing.T) {
	for _, holes := range []int64{2, 1 << 40} {
		srv, s := onFake(t, fakes3.Habits{})
		var listed atomic.Int64
		srv.Change(func(h *fakes3.Habits) {
			h.Answer = func(w http.ResponseWriter, r *http.Request) bool {
				if r.URL.Query().Get("list-type") == "" || listed.Add(1)%(holes+1) == 0 {
					return false
				}
				fmt.Fprint(
					w, `<?xml version="1.0"?><ListBucketResult><IsTruncated>false</IsTruncated></ListBucketResult>`,
				)
				return true
			}
		})
		switch err := s.Probe(t.Context()); {
		case holes == 2 && err != nil:
			t.Errorf("with holes: %v", err)
		case holes > 2 && (remote.KindOf(err) != remote.Unsupported || !strings.Contains(err.Error(), "is not listed")):
			t.Errorf("without end: %v", err)
		}
	}
}
