package block

import (
	"bytes"
	"reflect"
	"testing"

	"mediafs/remote"
)

func sidecars() []sidecar {
	return []sidecar{
		{id: remote.ContentID{ID: "a", Validator: "b"}, size: 1, source: sumsGiven, present: []uint64{1}},
		{
			id:      remote.ContentID{ID: "a"},
			size:    3 * BlockSize,
			pinned:  true,
			source:  sumsOwn,
			present: []uint64{5},
			sums:    []uint32{1, 2, 3},
		},
		{
			id:      remote.ContentID{Validator: "etag"},
			size:    65*BlockSize + 1,
			source:  sumsLoaded,
			present: []uint64{1 << 63, 3},
			sums:    make([]uint32, 66),
		},
		{id: remote.ContentID{ID: "empty"}, source: sumsGiven},
	}
}

func TestSidecarRoundTrip(t *testing.T) {
	for _, s := range sidecars() {
		b := s.encode()
		got, err := decodeSidecar(b)
		if err != nil || !reflect.DeepEqual(*got, s) {
			t.Errorf("%+v became %+v, %v", s, got, err)
		}
		for i := range b {
			b[i] ^= 1
			if _, err := decodeSidecar(b); err == nil {
				t.Errorf("byte %d of %d was damaged without notice", i, len(b))
			}
			b[i] ^= 1
			if _, err := decodeSidecar(b[:i]); err == nil {
				t.Errorf("cut at %d of %d without notice", i, len(b))
			}
		}
	}
	// A bit beyond the end would be a block that does not exist.
	s := sidecar{size: 3 * BlockSize, source: sumsGiven, present: []uint64{8}}
	if _, err := decodeSidecar(s.encode()); err == nil {
		t.Error("block 3 of 3 taken")
	}
}

func FuzzSidecar(f *testing.F) {
	for _, s := range sidecars() {
		b := s.encode()
		f.Add(b[:len(b)-sidecarSum])
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		b := seal(body)
		s, err := decodeSidecar(b)
		if err != nil {
			return
		}
		if !bytes.Equal(s.encode(), b) {
			t.Errorf("%x decodes to %+v, which encodes to %x", b, s, s.encode())
		}
	})
}

func TestNamesDiffer(t *testing.T) {
	seen := make(map[string]remote.ContentID)
	for _, id := range []remote.ContentID{{}, {ID: "ab"}, {ID: "a", Validator: "b"}, {Validator: "ab"}, {ID: "../../etc/passwd"}} {
		n := nameOf(id)
		if other, ok := seen[n]; ok || !isName(n) {
			t.Errorf("%v: %s, as %v", id, n, other)
		}
		seen[n] = id
	}
}
