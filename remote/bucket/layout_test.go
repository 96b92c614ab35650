package bucket

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"reflect"
	"testing"
	"time"

	"github.com/google/uuid"

	"mediafs/remote"
)

var testLibrary = uuid.MustParse("6ba7b810-9dad-41d1-80b4-00c04fd430c8")

var formatTime = time.Date(2026, 1, 2, 3, 4, 5, 6, time.UTC)

func testRun(n int) *run {
	r := &run{}
	for i := range n {
		r.add(remote.Record{Key: fmt.Appendf(nil, "key %06d", i), Value: bytes.Repeat([]byte{byte(i)}, i%700)})
	}
	return r
}

// One block of a part can be fetched by key: the index says where it is and vouches for it.
func TestPartIndex(t *testing.T) {
	r := testRun(2_000)
	hash := hashRecords(r.raw)
	obj := encodePart(testLibrary, hash, r)
	blocks, n, err := decodeIndex(obj[len(obj)-2_000:], int64(len(obj)))
	ok(t, err)
	if n != 2_000 || len(blocks) < 8 {
		t.Fatalf("%d records in %d blocks", n, len(blocks))
	}
	b := blocks[3]
	raw, err := decodeBlock(obj[b.off:b.off+b.size], b)
	ok(t, err)
	recs, err := decodeRecords(raw, nil)
	ok(t, err)
	if !bytes.Equal(recs[0].Key, b.first) || bytes.Compare(recs[len(recs)-1].Key, blocks[4].first) >= 0 {
		t.Errorf("the block from %q has the records %q to %q", b.first, recs[0].Key, recs[len(recs)-1].Key)
	}
	z := bytes.Clone(obj[b.off : b.off+b.size])
	z[len(z)/2] ^= 1
	_, err = decodeBlock(z, b)
	want(t, err, remote.Corrupt)
}

// Whoever receives a record may change it and append to it.
func TestRecordsAreTheReceivers(t *testing.T) {
	r := testRun(10)
	recs, err := decodePart(testLibrary, hashRecords(r.raw), encodePart(testLibrary, hashRecords(r.raw), r))
	ok(t, err)
	_ = append(recs[0].Key, "xxxxxxxxxx"...)
	_ = append(recs[0].Value, "xxxxxxxxxx"...)
	if string(recs[1].Key) != "key 000001" {
		t.Errorf("the next record became %q", recs[1].Key)
	}
}

func TestCutter(t *testing.T) {
	const target = 16 << 10
	c := cutter{target: target}
	sizes, size := []int{}, 0
	for i := range 100_000 {
		size += 50
		if c.ends(size, 50, fmt.Appendf(nil, "node %d", i)) {
			sizes = append(sizes, size)
			size = 0
		}
	}
	total := 0
	for _, n := range sizes {
		if n < target/4 || n > 4*target+50 {
			t.Errorf("a part of %d bytes", n)
		}
		total += n
	}
	if mean := total / len(sizes); mean < target*8/10 || mean > target*12/10 {
		t.Errorf("parts of %d bytes on average, want about %d", mean, target)
	}
}

// A header of known bytes: a change of this test is a change of the format.
func TestHeaderBytes(t *testing.T) {
	got := seal(testLibrary, kindCommit, 0x0102030405060708, []byte("abc"))
	want := "6d65646961667300" + "0000" + "0001" + "00000000" +
		"6ba7b8109dad41d180b400c04fd430c8" + "0102030405060708" + "0000000000000003" +
		"1b7b90c37a4052470ec7c7b8ddb9af85" + "616263"
	if s := fmt.Sprintf("%x", got); s != want {
		t.Errorf("the object is\n%s, want\n%s", s, want)
	}
}

func TestKeys(t *testing.T) {
	for _, n := range []uint64{0, 1, 99, 1 << 40, ^uint64(0)} {
		if got, ok := numberIn(logPrefix, logKey(n)); !ok || got != n {
			t.Errorf("%s gives %d, %v", logKey(n), got, ok)
		}
	}
	for _, k := range []string{"log/0/1", "log/0/0000000000000000000x", "log/1/00000000000000000001", "log/0/99999999999999999999", "log/0/-0000000000000000001"} {
		if n, ok := numberIn(logPrefix, k); ok {
			t.Errorf("%s gives %d", k, n)
		}
	}
	if !(logKey(9) < logKey(10)) || !(logKey(1<<63) < logKey(1<<63+1)) {
		t.Error("keys do not ascend with their numbers")
	}
}

func FuzzUnseal(f *testing.F) {
	f.Add(seal(testLibrary, kindCommit, 3, []byte("body")), uint64(3))
	f.Add(seal(testLibrary, kindCommit, 4, nil), uint64(3))
	f.Add([]byte("mediafs\x00"), uint64(0))
	f.Fuzz(func(t *testing.T, obj []byte, n uint64) {
		body, err := unseal(obj, testLibrary, kindCommit, n)
		if err == nil && !bytes.Equal(seal(testLibrary, kindCommit, n, body), obj) {
			t.Errorf("an object was taken that is not what would be written: %x", obj)
		}
	})
}

func FuzzCommit(f *testing.F) {
	for _, b := range []string{"", "body", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"} {
		f.Add([]byte(b), encoder().EncodeAll([]byte(b), nil))
	}
	f.Fuzz(func(t *testing.T, body, z []byte) {
		if len(body) <= maxCommit {
			obj, err := encodeCommit(testLibrary, 5, body)
			ok(t, err)
			got, err := decodeCommit(testLibrary, 5, obj)
			if err != nil || !bytes.Equal(got, body) {
				t.Errorf("%q came back as %q, %v", body, got, err)
			}
		}
		if got, err := decodeCommit(testLibrary, 5, seal(testLibrary, kindCommit, 5, z)); err == nil && len(got) > maxCommitRead {
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
		obj := seal(testLibrary, kindPart, hashRecords(raw).number(), body)
		recs, err := decodePart(testLibrary, hashRecords(raw), obj)
		if err != nil {
			return
		}
		again := &run{}
		for _, rec := range recs {
			again.add(rec)
		}
		if len(recs) > 0 && hashRecords(again.raw) != hashRecords(raw) {
			t.Errorf("a part was taken whose records have another hash")
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
			want(t, err, remote.Corrupt)
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

func FuzzRecords(f *testing.F) {
	f.Add(testRun(20).raw)
	f.Add([]byte{1, 'a', 0, 1, 'b', 2, 'x'})
	f.Fuzz(func(t *testing.T, raw []byte) {
		recs, err := decodeRecords(raw, nil)
		if err != nil {
			want(t, err, remote.Corrupt)
			return
		}
		again := &run{}
		for _, rec := range recs {
			again.add(rec)
		}
		back, err := decodeRecords(again.raw, nil)
		if err != nil || !reflect.DeepEqual(back, recs) {
			t.Errorf("%v became %v, %v", recs, back, err)
		}
	})
}

func FuzzManifest(f *testing.F) {
	m := manifest{Seq: 9, Hash: []byte{1, 2}, Records: 2, Bytes: 20, Parts: []partEntry{{
		Key: partPrefix + "x", Hash: "000102030405060708090a0b0c0d0e0f", Size: 500, Records: 2, Bytes: 20, First: []byte("a"), Last: []byte("b"),
	}}}
	obj, err := encodeManifest(testLibrary, m)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(obj[headerSize:])
	f.Add([]byte(`{"seq":9,"parts":[{}]}`))
	f.Add([]byte(`[]`))
	f.Fuzz(func(t *testing.T, body []byte) {
		m, err := parseManifest(body, 9)
		if err != nil {
			want(t, err, remote.Corrupt)
			return
		}
		obj, err := encodeManifest(testLibrary, m)
		ok(t, err)
		_, err = decodeManifest(testLibrary, 9, obj)
		ok(t, err)
	})
}

func FuzzFormat(f *testing.F) {
	b, err := encodeFormat(testLibrary, formatTime, "note")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Add([]byte(`{"magic":"mediafs","format":0}`))
	f.Add([]byte(`null`))
	f.Fuzz(func(t *testing.T, b []byte) {
		got, err := decodeFormat(b)
		if err == nil && (got.Magic != formatMagic || got.Format != formatNumber) {
			t.Errorf("taken: %+v", got)
		}
	})
}
