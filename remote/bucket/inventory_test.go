package bucket

import (
	"errors"
	"iter"
	"reflect"
	"slices"
	"strings"
	"testing"

	"mediafs/remote"
	"mediafs/remote/object"
	"mediafs/remote/storetest"
)

// gather reads a sequence to its end.
func gather[T any](t *testing.T, seq iter.Seq2[T, error]) (out []T) {
	t.Helper()
	for v, err := range seq {
		ok(t, err)
		out = append(out, v)
	}
	return out
}

// litter puts objects of other programs into the bucket.
func litter(t *testing.T, b object.Bucket, keys ...string) {
	t.Helper()
	for _, k := range keys {
		_, err := b.Put(t.Context(), k, strings.NewReader("litter"), 6, object.PutOptions{})
		ok(t, err)
	}
}

// Every object is in exactly one list, except those that all machines need to open the library.
func TestInventory(t *testing.T) {
	stores(t, func(t *testing.T, s *Store, bad *storetest.Faulty) {
		b := bad.Unwrap()
		owned := put(t, s, data(100, 1))
		external := External("dcim/IMG 1.jpg", "etag")
		ok(t, s.PutSide(t.Context(), owned, SuffixSum, []byte("sums")))
		ok(t, s.PutSide(t.Context(), external, SuffixFacts, []byte("facts")))
		for n := uint64(1); n <= 3; n++ {
			ok(t, s.Append(t.Context(), n, body(n)))
		}
		_, err := s.WriteCheckpoint(t.Context(), 2, []byte("hash"), records(3, 0))
		ok(t, err)
		probe := probePrefix + strings.Repeat("0", 32)
		others := []string{
			"checkpoint/manifest/2", "checkpoint/part/x", "content0", "dcim/IMG 1.jpg", "log/0/1",
			"log/1/00000000000000000001", probe, "zoo/x",
		}
		foreign := []string{
			"content/" + testID, "content/external/x.sum", "content/zz/" + testID, contentKey(testID) + ".txt",
			"content/\U0010fffe",
		}
		litter(t, b, append(others, foreign...)...)

		sum, err := SideKey(owned, SuffixSum)
		ok(t, err)
		facts, err := SideKey(external, SuffixFacts)
		ok(t, err)
		wanted := map[string]ContentObject{
			contentKey(owned.ID): {ID: owned, Size: 100},
			sum:                  {ID: owned, Side: SuffixSum, Size: headerSize + 4},
			facts:                {Side: SuffixFacts, Size: headerSize + 5},
		}
		for _, k := range foreign {
			wanted[k] = ContentObject{Size: 6}
		}
		last := ""
		for _, c := range gather(t, s.Contents(t.Context())) {
			w := wanted[c.Key]
			if c.Key <= last || c.Modified.IsZero() || c.ID != w.ID || c.Side != w.Side || c.Size != w.Size {
				t.Errorf("listed after %s: %+v, want %+v", last, c, w)
			}
			last = c.Key
			delete(wanted, c.Key)
		}
		if len(wanted) != 0 {
			t.Errorf("not listed: %v", wanted)
		}

		var nums []uint64
		for _, o := range gather(t, s.LogObjects(t.Context())) {
			nums = append(nums, o.Seq)
			if o.Key != logKey(o.Seq) || o.Size <= headerSize || o.Modified.IsZero() {
				t.Errorf("a commit: %+v", o)
			}
		}
		if !slices.Equal(nums, []uint64{1, 2, 3}) {
			t.Errorf("the log is %v", nums)
		}
		ms := gather(t, s.Manifests(t.Context()))
		ps := gather(t, s.Parts(t.Context()))
		if len(ms) != 1 || len(ps) != 1 {
			t.Fatalf("%d manifests, %d parts", len(ms), len(ps))
		}
		m := ms[0]
		if m.Seq != 2 || m.Err != nil || string(m.Hash) != "hash" || m.Records != 3 || m.Bytes == 0 ||
			!slices.Equal(m.Parts, []PartOfRange{{Key: ps[0].Key, Size: ps[0].Size}}) {
			t.Errorf("the manifest is %+v, the part %+v", m, ps[0])
		}

		bad.Reset()
		var got []string
		for _, o := range gather(t, s.Others(t.Context())) {
			got = append(got, o.Key)
			if o.Probe != (o.Key == probe) || o.Size != 6 || o.Modified.IsZero() {
				t.Errorf("another object: %+v", o)
			}
		}
		if !slices.Equal(got, others) {
			t.Errorf("others are %q, want %q", got, others)
		}
		if n := bad.Count("", ""); n != 2 {
			t.Errorf("others cost %d requests", n)
		}
	})
}

func TestUnfinished(t *testing.T) {
	r := newRig(t)
	u, err := r.StartUpload(t.Context(), remote.UploadSpec{ID: testID, Size: 500})
	ok(t, err)
	for _, k := range []string{"content/x", contentKey(testID) + SuffixSum, "elsewhere"} {
		_, err := r.mem.CreateMultipart(t.Context(), k, "")
		ok(t, err)
	}
	r.bad.Fail(storetest.Fault{Op: storetest.Uploads, Times: 2})
	ups, err := r.Unfinished(t.Context())
	ok(t, err)
	var keys []string
	for _, u := range ups {
		keys = append(keys, u.Key)
		if (u.ID.ID == testID) != (u.Key == contentKey(testID)) || u.Initiated.IsZero() {
			t.Errorf("unfinished: %+v", u)
		}
	}
	if !slices.Equal(keys, []string{contentKey(testID), contentKey(testID) + SuffixSum, "content/x"}) {
		t.Errorf("unfinished: %q", keys)
	}
	ok(t, u.Abort(t.Context()))
	r.bad.SetDown(true)
	_, err = r.Unfinished(t.Context())
	want(t, err, remote.Unavailable)
}

// A manifest that cannot be read is told, and the others are read all the same.
func TestManifestsDamaged(t *testing.T) {
	r := newRig(t, smallParts)
	for n := uint64(1); n <= 4; n++ {
		_, err := r.write(n, records(2_000, byte(n)))
		ok(t, err)
	}
	b := r.raw(manifestKey(2))
	b[len(b)/2] ^= 1
	r.overwrite(manifestKey(2), b)
	r.overwrite(manifestKey(3), seal(r.lib, kindManifest, 3, []byte("{}")))
	var kinds []remote.Kind
	for _, m := range gather(t, r.Manifests(t.Context())) {
		kinds = append(kinds, remote.KindOf(m.Err))
		if (m.Err == nil) != (len(m.Parts) > 0) {
			t.Errorf("manifest %d: %+v", m.Seq, m)
		}
	}
	if !slices.Equal(kinds, []remote.Kind{remote.Other, remote.Corrupt, remote.Corrupt, remote.Other}) {
		t.Errorf("kinds are %v", kinds)
	}
	// One that is deleted between the listing and the reading.
	r.bad.Hook(func(c storetest.Call) error {
		if c.Op == storetest.Get && c.Key == manifestKey(1) {
			r.remove(c.Key)
		}
		return nil
	})
	ms := gather(t, r.Manifests(t.Context()))
	if len(ms) != 4 || !errors.Is(ms[0].Err, remote.NotExist) {
		t.Errorf("%+v", ms)
	}
}

// Listings are read page by page, retried, and end with the first error that stays.
func TestInventoryFaults(t *testing.T) {
	r := newRig(t)
	var keys []string
	for i := range 2_500 {
		keys = append(keys, contentKey(data32(i)))
	}
	litter(t, r.mem, keys...)
	ok(t, r.Append(t.Context(), 1, body(1)))
	r.bad.Fail(storetest.Fault{Op: storetest.List, Nth: 2, Times: 3})
	if n := len(gather(t, r.Contents(t.Context()))); n != 2_500 {
		t.Errorf("%d contents", n)
	}
	for range r.Contents(t.Context()) {
		break // stopping early is no crime
	}
	r.bad.SetDown(true)
	for what, seq := range map[string]func() (int, error){
		"contents":  func() (int, error) { return count(r.Contents(t.Context())) },
		"log":       func() (int, error) { return count(r.LogObjects(t.Context())) },
		"manifests": func() (int, error) { return count(r.Manifests(t.Context())) },
		"parts":     func() (int, error) { return count(r.Parts(t.Context())) },
		"others":    func() (int, error) { return count(r.Others(t.Context())) },
	} {
		if n, err := seq(); n != 1 || !errors.Is(err, remote.Unavailable) {
			t.Errorf("%s: %d, %v", what, n, err)
		}
	}
}

func count[T any](seq iter.Seq2[T, error]) (n int, err error) {
	for _, e := range seq {
		n++
		err = e
	}
	return n, err
}

// data32 is the id of content number i of a test.
func data32(i int) string {
	h := hashRecords([]byte{byte(i), byte(i >> 8)})
	return h.String()
}

// Keys are taken apart as they were made, and those of others are not taken for ours.
func TestContentKeys(t *testing.T) {
	for key, w := range map[string]struct {
		id   string
		side string
	}{
		contentKey(testID):                        {testID, ""},
		contentKey(testID) + ".sum":               {testID, SuffixSum},
		contentKey(testID) + ".facts":             {testID, SuffixFacts},
		"content/external/" + testID + ".sum":     {"", SuffixSum},
		"content/external/" + testID:              {},
		"content/external/" + testID + ".sum.sum": {},
		contentKey(testID) + ".sum.facts":         {},
		"content/02/" + testID:                    {},
		"content/01/" + strings.ToUpper(testID):   {},
		"x" + contentKey(testID):                  {},
		"content/":                                {},
		".sum":                                    {},
		"":                                        {},
	} {
		id, side := parseContentKey(key)
		if !reflect.DeepEqual(id, remote.ContentID{ID: w.id}) || side != w.side {
			t.Errorf("%q is content %q, side %q", key, id.ID, side)
		}
	}
}
