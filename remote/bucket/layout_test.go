package bucket

import (
	"bytes"
	"fmt"
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
