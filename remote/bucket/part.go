package bucket

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"hash/crc32"

	"github.com/cespare/xxhash/v2"
	"github.com/google/uuid"

	"mediafs/remote"
)

const (
	maxKey    = 4 << 10  // longest key of a record, in bytes
	maxValue  = 64 << 10 // longest value of a record, in bytes
	blockSize = 64 << 10 // a block ends with the record that brings it to this size, uncompressed
	maxBlock  = 256 << 10
	// maxPart bounds what is read back as a part, in bytes.
	maxPart    = 256 << 20
	indexEntry = 16 // bytes before the key in an entry of the index
	footerSize = 16
)

// partHash names a part by its records alone: the same records have the same hash whatever
// compressed them.
type partHash [16]byte

func (h partHash) String() string { return hex.EncodeToString(h[:]) }

// number is a part's own number in its header.
func (h partHash) number() uint64 { return binary.BigEndian.Uint64(h[:8]) }

func hashRecords(raw []byte) partHash {
	sum := sha256.Sum256(raw)
	return partHash(sum[:16])
}

// A run is some records in a row on their way into a part.
type run struct {
	raw     []byte // the records: each a length and the key, a length and the value; lengths are uvarints
	blocks  []int  // where in raw each block begins
	records int
	bytes   int64  // keys and values
	first   []byte // first key
	last    []byte // last key
}

// add appends a record.
func (r *run) add(rec remote.Record) {
	if len(r.blocks) == 0 || len(r.raw)-r.blocks[len(r.blocks)-1] >= blockSize {
		r.blocks = append(r.blocks, len(r.raw))
	}
	r.raw = appendField(r.raw, rec.Key)
	r.raw = appendField(r.raw, rec.Value)
	if r.records == 0 {
		r.first = bytes.Clone(rec.Key)
	}
	r.last = append(r.last[:0], rec.Key...)
	r.records++
	r.bytes += int64(len(rec.Key) + len(rec.Value))
}

func appendField(b, field []byte) []byte {
	b = binary.AppendUvarint(b, uint64(len(field)))
	return append(b, field...)
}

// takeField is the inverse of appendField: it takes no length that is longer than it must be, so
// that equal records are equal bytes. What it returns cannot grow into what follows.
func takeField(b []byte, limit int) (field, rest []byte, ok bool) {
	n, k := binary.Uvarint(b)
	if k <= 0 || (k > 1 && b[k-1] == 0) || n > uint64(limit) || n > uint64(len(b)-k) {
		return nil, nil, false
	}
	return b[k : k+int(n) : k+int(n)], b[k+int(n):], true
}

// A cutter decides where parts end. It looks at keys, so that a change moves no boundary but those
// next to it, and a range of records that did not change makes the same part again.
type cutter struct{ target int }

// ends reports whether a part of size raw bytes ends with a record of n raw bytes and this key:
// never below a quarter of the target, always from four times the target on, and in between with a
// chance in proportion to n that makes parts of the target's size on average.
func (c cutter) ends(size, n int, key []byte) bool {
	low := c.target / 4
	switch {
	case size < low:
		return false
	case size >= 4*c.target:
		return true
	}
	mean := uint64(max(c.target-low, 1))
	if uint64(n) >= mean {
		return true
	}
	return xxhash.Sum64(key) < uint64(n)*(^uint64(0)/mean)
}

// encodePart makes the object of a run.
func encodePart(lib uuid.UUID, hash partHash, r *run) []byte {
	var body, index []byte
	for i, start := range r.blocks {
		end := len(r.raw)
		if i+1 < len(r.blocks) {
			end = r.blocks[i+1]
		}
		raw := r.raw[start:end]
		at := len(body)
		body = encoder().EncodeAll(raw, body)
		index = binary.BigEndian.AppendUint32(index, uint32(headerSize+at))
		index = binary.BigEndian.AppendUint32(index, uint32(len(body)-at))
		index = binary.BigEndian.AppendUint32(index, uint32(len(raw)))
		index = binary.BigEndian.AppendUint32(index, crc32.Checksum(body[at:], castagnoli))
		key, _, _ := takeField(raw, maxKey)
		index = appendField(index, key)
	}
	indexAt := headerSize + len(body)
	body = append(body, index...)
	body = binary.BigEndian.AppendUint32(body, uint32(indexAt))
	body = binary.BigEndian.AppendUint32(body, uint32(len(index)))
	body = binary.BigEndian.AppendUint32(body, uint32(r.records))
	body = binary.BigEndian.AppendUint32(body, crc32.Checksum(body[len(body)-len(index)-12:], castagnoli))
	return seal(lib, kindPart, hash.number(), body)
}

// A block is one entry of a part's index.
type block struct {
	off, size, raw uint32 // in bytes; off counts from the start of the object
	crc            uint32
	first          []byte
}

// decodeIndex reads the index and the footer that end a part of size bytes; tail is as much of the
// part's end as has both.
func decodeIndex(tail []byte, size int64) (blocks []block, records int, err error) {
	if len(tail) < footerSize || size < headerSize+footerSize || int64(len(tail)) > size {
		return nil, 0, corrupt("a part of %d bytes is too short", size)
	}
	foot := tail[len(tail)-footerSize:]
	at, n := int64(binary.BigEndian.Uint32(foot)), int64(binary.BigEndian.Uint32(foot[4:]))
	if at < headerSize || at+n+footerSize != size || n+footerSize > int64(len(tail)) {
		return nil, 0, corrupt("its index of %d bytes at %d does not fit", n, at)
	}
	sealed := tail[int64(len(tail))-footerSize-n : len(tail)-4]
	if sum := crc32.Checksum(sealed, castagnoli); sum != binary.BigEndian.Uint32(foot[12:]) {
		return nil, 0, corrupt("the checksum of its index is wrong")
	}
	next, total := uint32(headerSize), int64(0)
	for index := sealed[:n]; len(index) > 0; {
		if len(index) < indexEntry {
			return nil, 0, corrupt("its index ends within an entry")
		}
		b := block{
			off: binary.BigEndian.Uint32(index), size: binary.BigEndian.Uint32(index[4:]),
			raw: binary.BigEndian.Uint32(index[8:]), crc: binary.BigEndian.Uint32(index[12:]),
		}
		var ok bool
		if b.first, index, ok = takeField(index[indexEntry:], maxKey); !ok {
			return nil, 0, corrupt("its index has a damaged key")
		}
		total += int64(b.raw)
		if b.off != next || int64(b.off)+int64(b.size) > at || b.raw > maxBlock || total > maxPart {
			return nil, 0, corrupt("its index has a block of %d bytes at %d that does not fit", b.size, b.off)
		}
		next += b.size
		blocks = append(blocks, b)
	}
	if int64(next) != at {
		return nil, 0, corrupt("its index leaves out bytes %d to %d", next, at)
	}
	return blocks, int(binary.BigEndian.Uint32(foot[8:])), nil
}

// decodeBlock checks the bytes of a block and returns its records uncompressed, in memory of their
// own.
func decodeBlock(z []byte, b block) ([]byte, error) {
	if sum := crc32.Checksum(z, castagnoli); sum != b.crc {
		return nil, corrupt("the checksum of the block at %d is wrong", b.off)
	}
	raw, err := blockDecoder().DecodeAll(z, nil)
	if err != nil {
		return nil, corrupt("the block at %d cannot be decompressed: %w", b.off, err)
	}
	if len(raw) != int(b.raw) {
		return nil, corrupt("the block at %d has %d bytes, its index says %d", b.off, len(raw), b.raw)
	}
	return raw, nil
}

// decodeRecords splits uncompressed records. They share raw's memory.
func decodeRecords(raw []byte, recs []remote.Record) ([]remote.Record, error) {
	for len(raw) > 0 {
		var rec remote.Record
		var ok bool
		if rec.Key, raw, ok = takeField(raw, maxKey); ok {
			rec.Value, raw, ok = takeField(raw, maxValue)
		}
		if !ok || len(rec.Key) == 0 {
			return nil, corrupt("it has a damaged record")
		}
		recs = append(recs, rec)
	}
	return recs, nil
}

// decodePart checks a whole part, every checksum and the order of its keys, and returns its
// records.
func decodePart(lib uuid.UUID, hash partHash, obj []byte) ([]remote.Record, error) {
	if _, err := unseal(obj, lib, kindPart, hash.number()); err != nil {
		return nil, err
	}
	blocks, records, err := decodeIndex(obj, int64(len(obj)))
	if err != nil {
		return nil, err
	}
	var recs []remote.Record
	all := sha256.New()
	for _, b := range blocks {
		raw, err := decodeBlock(obj[b.off:b.off+b.size], b)
		if err != nil {
			return nil, err
		}
		all.Write(raw)
		n := len(recs)
		if recs, err = decodeRecords(raw, recs); err != nil {
			return nil, err
		}
		if n == len(recs) || !bytes.Equal(recs[n].Key, b.first) {
			return nil, corrupt("the block at %d does not begin with the key that its index says", b.off)
		}
		for i := max(n, 1); i < len(recs); i++ {
			if bytes.Compare(recs[i-1].Key, recs[i].Key) >= 0 {
				return nil, corrupt("record %d is not in order", i)
			}
		}
	}
	if sum := all.Sum(nil); partHash(sum[:16]) != hash {
		return nil, corrupt("its records have the hash %x, not %s", sum[:16], hash)
	}
	if len(recs) != records {
		return nil, corrupt("it has %d records, its end says %d", len(recs), records)
	}
	return recs, nil
}

// checkRecord refuses what may not be in a checkpoint, after the record with key last (nil: the
// first).
func checkRecord(rec remote.Record, last []byte) error {
	switch {
	case len(rec.Key) == 0:
		return remote.E("", "", remote.Invalid, errors.New("a record has an empty key"))
	case len(rec.Key) > maxKey:
		return remote.E(
			"", "", remote.TooLarge, fmt.Errorf("a key has %d bytes, at most %d are allowed", len(rec.Key), maxKey),
		)
	case len(rec.Value) > maxValue:
		return remote.E(
			"", "", remote.TooLarge,
			fmt.Errorf("the value of %.64q has %d bytes, at most %d are allowed", rec.Key, len(rec.Value), maxValue),
		)
	case last != nil && bytes.Compare(last, rec.Key) >= 0:
		return remote.E(
			"", "", remote.Invalid, fmt.Errorf("the key %.64q comes after %.64q: records must ascend", rec.Key, last),
		)
	}
	return nil
}
