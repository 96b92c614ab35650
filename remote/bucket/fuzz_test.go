package bucket

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"hash/crc32"
	"reflect"
	"strings"
	"testing"

	"mediafs/remote"
)

// Each decoder is fed with anything: it may refuse it, as Corrupt or Unsupported, and what it takes
// is what would have been written. Checksums are made right where they would keep the rest from
// being reached.

// decline fails the test unless err is one of the kinds.
func decline(t *testing.T, err error, kinds ...remote.Kind) {
	t.Helper()
	for _, k := range kinds {
		if remote.KindOf(err) == k {
			return
		}
	}
	t.Fatalf("the error is of another kind: %v", err)
}

// resealed is obj with the checksum that its bytes have.
func resealed(obj []byte) []byte {
	b := bytes.Clone(obj)
	if len(b) >= headerSize {
		sum := checksum(b)
		copy(b[sumAt:], sum[:])
	}
	return b
}

func FuzzUnseal(f *testing.F) {
	f.Add(seal(testLibrary, kindCommit, 3, []byte("body")), uint64(3), uint16(kindCommit))
	f.Add(seal(testLibrary, kindCommit, 4, nil), uint64(3), uint16(kindCommit))
	f.Add(
		seal(testLibrary, kindSum, 0x0123456789abcdef, []byte{1, 2, 3, 4}), uint64(0x0123456789abcdef), uint16(kindSum),
	)
	f.Add(seal(testLibrary, kindFacts, 9, []byte("{}")), uint64(9), uint16(kindFacts))
	f.Add(seal(testLibrary, kindProbe, 1, []byte{1}), uint64(1), uint16(99))
	f.Add([]byte("mediafs\x00"), uint64(0), uint16(0))
	f.Fuzz(func(t *testing.T, obj []byte, n uint64, k uint16) {
		if _, err := unseal(obj, testLibrary, kind(k), n); err != nil {
			decline(t, err, remote.Corrupt, remote.Unsupported)
		}
		obj = resealed(obj)
		body, err := unseal(obj, testLibrary, kind(k), n)
		if err != nil {
			decline(t, err, remote.Corrupt, remote.Unsupported)
			return
		}
		again := seal(testLibrary, kind(k), n, body)
		copy(again[12:16], obj[12:16]) // nobody reads these yet
		if !bytes.Equal(resealed(again), obj) {
			t.Errorf("an object was taken that is not what would be written: %x", obj)
		}
	})
}

func FuzzCommit(f *testing.F) {
	for _, b := range []string{"", "body", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"} {
		z := encoder().EncodeAll([]byte(b), nil)
		f.Add([]byte(b), z)
		f.Add([]byte{}, bytes.Repeat(z, 3))
	}
	f.Add([]byte{}, []byte{})
	f.Add([]byte{}, encoder().EncodeAll(make([]byte, maxCommitRead+1), nil))
	f.Fuzz(func(t *testing.T, body, z []byte) {
		if len(body) <= maxCommit {
			obj, err := encodeCommit(testLibrary, 5, body)
			ok(t, err)
			got, err := decodeCommit(testLibrary, 5, obj)
			if err != nil || !bytes.Equal(got, body) {
				t.Errorf("%q came back as %q, %v", body, got, err)
			}
		}
		got, err := decodeCommit(testLibrary, 5, seal(testLibrary, kindCommit, 5, z))
		if err != nil {
			decline(t, err, remote.Corrupt)
			return
		}
		if len(got) > maxCommitRead {
			t.Errorf("%d bytes came out of %d", len(got), len(z))
		}
	})
}

func FuzzPart(f *testing.F) {
	for _, n := range []int{1, 3, 300} {
		r := testRun(n)
		obj := encodePart(testLibrary, hashRecords(r.raw), r)
		f.Add(obj[headerSize:], r.raw)
	}
	f.Add([]byte{}, []byte{})
	f.Fuzz(func(t *testing.T, body, raw []byte) {
		hash := hashRecords(raw)
		recs, err := decodePart(testLibrary, hash, seal(testLibrary, kindPart, hash.number(), body))
		if err != nil {
			decline(t, err, remote.Corrupt)
			return
		}
		again := &run{}
		for _, rec := range recs {
			again.add(rec)
		}
		if hashRecords(again.raw) != hash {
			t.Errorf("a part was taken whose records have another hash")
		}
	})
}

// A part of any records, cut into blocks anywhere, with every checksum right: what is taken is in
// order, and the same when it is written again.
func FuzzPartOfRecords(f *testing.F) {
	f.Add(testRun(20).raw, uint16(100), uint32(20))
	f.Add([]byte{1, 'a', 0, 1, 'b', 2, 'x', 'y'}, uint16(3), uint32(2))
	f.Add([]byte{1, 'b', 0, 1, 'a', 0}, uint16(0), uint32(2))
	f.Add([]byte{0, 0}, uint16(0), uint32(1))
	f.Fuzz(func(t *testing.T, raw []byte, cut uint16, records uint32) {
		r := &run{raw: raw, blocks: []int{0}, records: int(records)}
		if int(cut) > 0 && int(cut) < len(raw) {
			r.blocks = append(r.blocks, int(cut))
		}
		hash := hashRecords(raw)
		recs, err := decodePart(testLibrary, hash, encodePart(testLibrary, hash, r))
		if err != nil {
			decline(t, err, remote.Corrupt)
			return
		}
		again := &run{}
		last := []byte(nil)
		for _, rec := range recs {
			ok(t, checkRecord(rec, last))
			again.add(rec)
			last = rec.Key
		}
		if again.records == 0 {
			return
		}
		h := hashRecords(again.raw)
		back, err := decodePart(testLibrary, h, encodePart(testLibrary, h, again))
		if err != nil || !reflect.DeepEqual(back, recs) {
			t.Errorf("%v became %v, %v", recs, back, err)
		}
	})
}

// The checksum is always right here, so that what lies behind it is reached.
func FuzzIndex(f *testing.F) {
	r := testRun(900)
	obj := encodePart(testLibrary, hashRecords(r.raw), r)
	at := binary.BigEndian.Uint32(obj[len(obj)-footerSize:])
	f.Add(obj[at:len(obj)-footerSize], at)
	f.Add([]byte{}, uint32(headerSize))
	f.Add(make([]byte, 40), uint32(headerSize))
	f.Fuzz(func(t *testing.T, index []byte, at uint32) {
		tail := bytes.Clone(index)
		for _, n := range []uint32{at, uint32(len(index)), 7} {
			tail = binary.BigEndian.AppendUint32(tail, n)
		}
		tail = binary.BigEndian.AppendUint32(tail, crc32.Checksum(tail, castagnoli))
		blocks, _, err := decodeIndex(tail, int64(at)+int64(len(tail)))
		if err != nil {
			decline(t, err, remote.Corrupt)
			return
		}
		end := uint32(headerSize)
		for _, b := range blocks {
			if b.off != end {
				t.Fatalf("a block at %d where %d belongs", b.off, end)
			}
			end += b.size
		}
		if end != at {
			t.Errorf("the blocks end at %d, the index begins at %d", end, at)
		}
	})
}

func FuzzBlock(f *testing.F) {
	for _, n := range []int{0, 1, 70_000, maxBlock, maxBlock + 1} {
		f.Add(encoder().EncodeAll(make([]byte, n), nil), uint32(n))
	}
	f.Fuzz(func(t *testing.T, z []byte, raw uint32) {
		got, err := decodeBlock(z, block{size: uint32(len(z)), raw: raw, crc: crc32.Checksum(z, castagnoli)})
		if err != nil {
			decline(t, err, remote.Corrupt)
			return
		}
		if len(got) != int(raw) || len(got) > maxBlock {
			t.Errorf("%d bytes came out, %d were announced", len(got), raw)
		}
	})
}

func FuzzRecords(f *testing.F) {
	f.Add(testRun(20).raw)
	f.Add([]byte{1, 'a', 0, 1, 'b', 2, 'x'})
	f.Add([]byte{0x81, 0x00, 'a', 0}) // a length that is longer than it must be
	f.Fuzz(func(t *testing.T, raw []byte) {
		recs, err := decodeRecords(raw, nil)
		if err != nil {
			decline(t, err, remote.Corrupt)
			return
		}
		again := &run{}
		for _, rec := range recs {
			again.add(rec)
		}
		if !bytes.Equal(again.raw, raw) {
			t.Errorf("%x is written %x", raw, again.raw)
		}
	})
}

func FuzzManifest(f *testing.F) {
	hash := hashRecords([]byte("x"))
	m := manifest{Seq: 9, Hash: []byte{1, 2}, Writer: "w", Records: 2, Bytes: 20, Parts: []partEntry{
		{
			Key:     partKey(hash, randomHex(8)),
			Hash:    hash.String(),
			Size:    500,
			Records: 2,
			Bytes:   20,
			First:   []byte("a"),
			Last:    []byte("b"),
		},
	}}
	add := func(m manifest) {
		obj, err := encodeManifest(testLibrary, m)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(obj[headerSize:])
	}
	add(m)
	two := m.Parts[0]
	two.First, two.Last, two.Records = []byte("c"), []byte("c"), 1
	m.Parts, m.Records, m.Bytes = append(m.Parts, two), 3, 40
	add(m)
	m.Parts[0].Records = 1<<63 - 1 // the sum runs over
	m.Parts[1].Records = 1<<63 - 1
	m.Records = -2
	add(m)
	add(manifest{Seq: 9})
	f.Add([]byte(`{"seq":9,"parts":[{}]}`))
	f.Add([]byte(`{"seq":9,"parts":null,"later":{"x":[1]}}`))
	f.Add([]byte(`[]`))
	f.Fuzz(func(t *testing.T, body []byte) {
		m, err := parseManifest(body, 9)
		if err != nil {
			decline(t, err, remote.Corrupt)
			return
		}
		if m.Records < 0 || m.Bytes < m.Records {
			t.Errorf("%d records of %d bytes", m.Records, m.Bytes)
		}
		for _, p := range m.Parts {
			if _, ok := parsePartKey(p.Key); !ok {
				t.Errorf("a part with the key %q", p.Key)
			}
		}
		obj, err := encodeManifest(testLibrary, m)
		ok(t, err)
		back, err := decodeManifest(testLibrary, 9, obj)
		ok(t, err)
		if again, err := encodeManifest(testLibrary, back); err != nil || !bytes.Equal(again, obj) {
			t.Errorf("%+v became %+v, %v", m, back, err)
		}
	})
}

func FuzzFormat(f *testing.F) {
	b, err := encodeFormat(testLibrary, formatTime, "note\n\xff")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Add(bytes.Replace(b, []byte("05Z"), []byte("05.0Z"), 1))
	f.Add(bytes.Replace(b, []byte("{"), []byte(`{"later":[1],`), 1))
	f.Add(bytes.Replace(b, []byte(testLibrary.String()), []byte(strings.ToUpper(testLibrary.String())), 1))
	f.Add(bytes.Replace(b, []byte("2026-01-02T03:04:05Z"), []byte("0000-01-01T00:00:00+23:59"), 1))
	f.Add([]byte(`{"magic":"mediafs","format":0}`))
	f.Add([]byte(`{"magic":"mediafs","format":1,"library":7}`))
	f.Add([]byte(`null`))
	f.Fuzz(func(t *testing.T, b []byte) {
		got, err := decodeFormat(checked(b))
		if err != nil {
			decline(t, err, remote.Corrupt, remote.Unsupported)
			return
		}
		if got.Magic != formatMagic || got.Format != formatNumber {
			t.Errorf("taken: %+v", got)
		}
		again, err := encodeFormat(got.Library, got.Created, got.Note)
		ok(t, err)
		if back, err := decodeFormat(again); err != nil || back != got {
			t.Errorf("%+v became %+v, %v", got, back, err)
		}
	})
}

// checked gives a format.json the checksum that the text of its fields has.
func checked(b []byte) []byte {
	var v map[string]any
	if json.Unmarshal(b, &v) != nil || v == nil {
		return b
	}
	text := fmt.Sprintf("%v\n%v\n%v\n%v\n%v\n", v["magic"], v["format"], v["library"], v["created"], v["note"])
	v["check"] = fmt.Sprintf("%08x", crc32.Checksum([]byte(text), castagnoli))
	out, err := json.Marshal(v)
	if err != nil {
		return b
	}
	return out
}

func FuzzToken(f *testing.F) {
	for _, s := range []string{formatToken(testID, 64, "id"), formatToken(testID, maxContent, "an id with spaces \x00\xff"), testID + " 0 x", testID + " +5 x", testID + " 99999999999999999999 x", "", "  "} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, token string) {
		id, chunk, uploadID, err := parseToken(token)
		if err != nil {
			decline(t, err, remote.Invalid)
			return
		}
		if !ownedID(id) || chunk <= 0 || chunk > maxContent || uploadID == "" {
			t.Errorf("%q was taken: %q, %d, %q", token, id, chunk, uploadID)
		}
		id2, chunk2, uploadID2, err := parseToken(formatToken(id, chunk, uploadID))
		if err != nil || id2 != id || chunk2 != chunk || uploadID2 != uploadID {
			t.Errorf("%q became %q, %d, %q, %v", token, id2, chunk2, uploadID2, err)
		}
	})
}

// A key is taken for one of ours only when it is exactly what would have been made.
func FuzzKeys(f *testing.F) {
	hash := hashRecords(nil)
	for _, k := range []string{
		logKey(7), manifestKey(1 << 63), partKey(hash, strings.Repeat("0", 16)), contentKey(testID), contentKey(testID) + SuffixSum,
		externalSidePrefix + testID + SuffixFacts, probePrefix + testID, formatKey, "log/0/", "content/", "checkpoint/part/--",
		"content/01/../" + testID, logPrefix + "99999999999999999999",
	} {
		f.Add(k)
	}
	f.Fuzz(func(t *testing.T, key string) {
		made := 0
		is := func(what, again string) {
			made++
			if again != key {
				t.Errorf("%q was taken for the %s %q", key, what, again)
			}
		}
		if n, ok := numberIn(logPrefix, key); ok {
			is("commit", logKey(n))
		}
		if n, ok := numberIn(manifestPrefix, key); ok {
			is("manifest", manifestKey(n))
		}
		if h, ok := parsePartKey(key); ok {
			rest := key[len(partPrefix)+33:]
			is("part", fmt.Sprintf("%s%s-%s", partPrefix, h, rest))
			if len(rest) != 33 {
				t.Errorf("%q was taken for a part", key)
			}
		}
		id, side := parseContentKey(key)
		switch {
		case id.ID != "":
			is("content", contentKey(id.ID)+side)
		case side != "":
			made++
			if len(key) != len(externalSidePrefix)+32+len(side) {
				t.Errorf("%q was taken for a side object", key)
			}
		}
		if key == formatKey {
			made++
		}
		if made > 1 || ownKey(key) != (made == 1) {
			t.Errorf("%q is ours in %d ways, ownKey says %v", key, made, ownKey(key))
		}
	})
}

// Whatever an id is, it leads to one object or is refused; it never leads out of the library or to
// another kind of object.
func FuzzContentID(f *testing.F) {
	f.Add(testID, "")
	f.Add("key:dcim/IMG 1.jpg", "etag")
	f.Add("key:../up", "etag")
	f.Add("key:", "")
	f.Add("../../etc/passwd", "x")
	f.Fuzz(func(t *testing.T, id, validator string) {
		cid := remote.ContentID{ID: id, Validator: validator}
		key, etag, err := locate(cid)
		if err != nil {
			decline(t, err, remote.Invalid, remote.TooLong)
			if _, err := SideKey(cid, SuffixSum); err == nil {
				t.Error("it has a side object")
			}
			return
		}
		if etag == "" {
			if got, _ := parseContentKey(key); got.ID != id {
				t.Errorf("%q lies at %q, which is %q", id, key, got.ID)
			}
		} else if External(key, etag) != cid {
			t.Errorf("%q lies at %q", id, key)
		}
		for _, suffix := range []string{SuffixSum, SuffixFacts} {
			k, err := SideKey(cid, suffix)
			ok(t, err)
			if got, side := parseContentKey(k); side != suffix || (etag == "") != (got.ID == id) {
				t.Errorf("the side object %q is of %q, %q", k, got.ID, side)
			}
		}
	})
}
