package block

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"math"

	"mediafs/remote"
)

// Names in the cache directory: a content is <hash>.data, sparse, with <hash>.map beside it.
const (
	dataSuffix = ".data"
	mapSuffix  = ".map"
	tempSuffix = ".tmp"
)

// nameOf derives the name of a content's files from its id and validator.
func nameOf(id remote.ContentID) string {
	var n [8]byte
	binary.LittleEndian.PutUint64(n[:], uint64(len(id.ID)))
	h := sha256.New()
	h.Write(n[:])
	h.Write([]byte(id.ID))
	h.Write([]byte(id.Validator))
	return hex.EncodeToString(h.Sum(nil))
}

// isName reports whether s could have come from nameOf.
func isName(s string) bool {
	if len(s) != 2*sha256.Size {
		return false
	}
	_, err := hex.DecodeString(s)
	return err == nil
}

// A sumSource says where the checksums of a content come from.
type sumSource uint8

const (
	sumsUnknown sumSource = iota // not looked for yet
	sumsGiven                    // Content.Sums: whoever reads brings them
	// from the side object; kept in the sidecar, so that a cached content is readable without the
	// store
	sumsLoaded
	// there are none: computed of each block when it came, valid where the block is present
	sumsOwn
)

// A sidecar says which blocks of a data file are present. It is a hint: it may be older than the
// data file, so a block is believed only after its checksum. It is disposable; a newer form gets a
// new magic and the old is dropped.
//
//	magic 8 | id length u32, id | validator length u32, validator | size i64 | pinned u8 | source u8
//	| present: a u64 for each 64 blocks | sums: a u32 for each block, with source sumsLoaded and sumsOwn
//	| first 16 bytes of the SHA-256 of all before          (little-endian)
type sidecar struct {
	id      remote.ContentID
	size    int64
	pinned  bool
	source  sumSource
	present []uint64
	sums    []uint32
}

const (
	sidecarMagic = "mfsblk1\n"
	sidecarSum   = 16
	// The sidecar of a content of 4 TiB with sums has 66 MiB.
	maxSidecar = 80 << 20
)

// blocksOf returns how many blocks a content of size bytes has.
func blocksOf(size int64) int64 { return size/BlockSize + min(1, size%BlockSize) }

// segmentsOf returns how many segments a content of size bytes has.
func segmentsOf(size int64) int64 { return (blocksOf(size) + segmentBlocks - 1) / segmentBlocks }

func (s *sidecar) encode() []byte {
	b := make([]byte, 0, 64+len(s.id.ID)+len(s.id.Validator)+8*len(s.present)+4*len(s.sums))
	le := binary.LittleEndian
	b = append(b, sidecarMagic...)
	for _, t := range []string{s.id.ID, s.id.Validator} {
		b = le.AppendUint32(b, uint32(len(t)))
		b = append(b, t...)
	}
	b = le.AppendUint64(b, uint64(s.size))
	var pinned byte
	if s.pinned {
		pinned = 1
	}
	b = append(b, pinned, byte(s.source))
	for _, w := range s.present {
		b = le.AppendUint64(b, w)
	}
	for _, v := range s.sums {
		b = le.AppendUint32(b, v)
	}
	return seal(b)
}

// seal appends the checksum.
func seal(b []byte) []byte {
	h := sha256.Sum256(b)
	return append(b, h[:sidecarSum]...)
}

var errSidecar = errors.New("not a sidecar, or a damaged one")

func decodeSidecar(b []byte) (*sidecar, error) {
	if len(b) < len(sidecarMagic)+sidecarSum || string(b[:len(sidecarMagic)]) != sidecarMagic {
		return nil, errSidecar
	}
	body := b[:len(b)-sidecarSum]
	if h := sha256.Sum256(body); string(h[:sidecarSum]) != string(b[len(body):]) {
		return nil, errSidecar
	}
	le := binary.LittleEndian
	b = body[len(sidecarMagic):]
	s := new(sidecar)
	for _, t := range []*string{&s.id.ID, &s.id.Validator} {
		if len(b) < 4 || uint64(le.Uint32(b)) > uint64(len(b)-4) {
			return nil, errSidecar
		}
		n := 4 + int(le.Uint32(b))
		*t, b = string(b[4:n]), b[n:]
	}
	if len(b) < 10 {
		return nil, errSidecar
	}
	size := le.Uint64(b)
	s.pinned, s.source = b[8] == 1, sumSource(b[9])
	if b[8] > 1 || s.source < sumsGiven || s.source > sumsOwn || size > math.MaxInt64 {
		return nil, errSidecar
	}
	s.size, b = int64(size), b[10:]
	words, sums := segmentsOf(s.size), int64(0)
	if s.source != sumsGiven {
		sums = blocksOf(s.size)
	}
	if int64(len(b)) != 8*words+4*sums {
		return nil, errSidecar
	}
	for ; words > 0; words-- {
		s.present, b = append(s.present, le.Uint64(b)), b[8:]
	}
	for ; sums > 0; sums-- {
		s.sums, b = append(s.sums, le.Uint32(b)), b[4:]
	}
	if tail := blocksOf(s.size) % segmentBlocks; tail != 0 && s.present[len(s.present)-1]>>uint(tail) != 0 {
		return nil, errSidecar
	}
	return s, nil
}
