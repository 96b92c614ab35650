package bucket

import (
	"io"
	"strings"
	"testing"

	"mediafs/remote"
	"mediafs/remote/object"
	"mediafs/remote/storetest"
)

// An object that was imported in place is read only as long as it is the one that was imported,
// whatever its key is.
func TestExternalContent(t *testing.T) {
	stores(t, func(t *testing.T, s *Store, bad *storetest.Faulty) {
		b := bad.Unwrap()
		overwrite := func(key, body string) object.Info {
			t.Helper()
			info, err := b.Put(t.Context(), key, strings.NewReader(body), int64(len(body)), object.PutOptions{})
			ok(t, err)
			return info
		}
		for _, key := range []string{
			"IMG_1.jpg", "dcim/100 CANON/IMG 1.jpg", "Ünïcode/e\u0301/写真.jpg", "..a/b../...", "a+b%2F&c=d?e#f;g", "content/foreign", ".hidden", "tab\tand\nline",
		} {
			info := overwrite(key, "the bytes of "+key)
			id := External(key, info.ETag)
			if got := content(t, s, id); string(got) != "the bytes of "+key {
				t.Errorf("%q reads %q", key, got)
			}
			r, err := s.OpenContent(t.Context(), id, 4, 5)
			ok(t, err)
			if got, err := io.ReadAll(r); err != nil || string(got) != "bytes" {
				t.Errorf("a range of %q reads %q, %v", key, got, err)
			}
			ok(t, r.Close())
			size, err := s.StatContent(t.Context(), id)
			if err != nil || size != int64(len("the bytes of "+key)) {
				t.Errorf("%q has %d bytes, %v", key, size, err)
			}
			ok(t, s.PutSide(t.Context(), id, SuffixSum, []byte("sums of "+key)))
			side, err := SideKey(id, SuffixSum)
			ok(t, err)
			if !strings.HasPrefix(side, "content/external/") {
				t.Errorf("the side object of %q is %s", key, side)
			}

			overwrite(key, "other bytes") // somebody edits it
			_, err = s.OpenContent(t.Context(), id, 0, -1)
			want(t, err, remote.Stale)
			_, err = s.OpenContent(t.Context(), id, 4, 5)
			want(t, err, remote.Stale)
			_, err = s.StatContent(t.Context(), id)
			want(t, err, remote.Stale)
			// What is known of the former bytes is still there.
			if got, err := s.GetSide(t.Context(), id, SuffixSum); err != nil || string(got) != "sums of "+key {
				t.Errorf("its side object is %q, %v", got, err)
			}
			ok(t, b.Delete(t.Context(), key))
			_, err = s.OpenContent(t.Context(), id, 0, -1)
			want(t, err, remote.NotExist)
			_, err = s.StatContent(t.Context(), id)
			want(t, err, remote.NotExist)
		}
		// Keys that no library can hold are refused before a request.
		bad.Reset()
		for _, key := range []string{
			"", "/", "//leading", "/..", "trailing/", "a//b", ".", "..", "../up", "a/../b", "a/./b", "a/..", "nul\x00", "not \xff UTF-8",
			strings.Repeat("x", 256), strings.Repeat("x/", 600) + "x",
		} {
			id := External(key, "etag")
			wanted := remote.Invalid
			if len(key) > 255 {
				wanted = remote.TooLong
			}
			_, err := s.OpenContent(t.Context(), id, 0, -1)
			want(t, err, wanted)
			_, err = s.StatContent(t.Context(), id)
			want(t, err, wanted)
			want(t, s.PutSide(t.Context(), id, SuffixSum, nil), wanted)
			_, err = s.GetSide(t.Context(), id, SuffixSum)
			want(t, err, wanted)
			piece := remote.Piece{Length: 1, Source: id}
			_, err = s.Compose(t.Context(), remote.UploadSpec{Size: 1}, strings.NewReader("x"), []remote.Piece{piece})
			want(t, err, remote.Invalid)
		}
		_, err := s.OpenContent(t.Context(), External("IMG_1.jpg", ""), 0, -1)
		want(t, err, remote.Invalid)
		if n := bad.Count("", ""); n != 0 {
			t.Errorf("%d requests for what is refused: %v", n, bad.Calls())
		}
	})
}

func TestStatContent(t *testing.T) {
	r := newRig(t)
	id := put(t, r.Store, data(123, 1))
	r.bad.Fail(storetest.Fault{Op: storetest.Head, Times: 2})
	size, err := r.StatContent(t.Context(), id)
	if err != nil || size != 123 {
		t.Errorf("%d bytes, %v", size, err)
	}
	_, err = r.StatContent(t.Context(), remote.ContentID{ID: testID})
	want(t, err, remote.NotExist)
	_, err = r.StatContent(t.Context(), remote.ContentID{ID: "../x"})
	want(t, err, remote.Invalid)
	r.bad.SetDown(true)
	_, err = r.StatContent(t.Context(), id)
	want(t, err, remote.Unavailable)
}
