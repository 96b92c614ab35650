package media

import (
	"crypto/sha256"

	"google.golang.org/protobuf/encoding/protowire"

	"mediafs/remote/bucket/record"
)

// HeadHash tells which bytes facts are about: the first 16 bytes of SHA-256 over size and extents
// of a head, as a Head message of these alone. It is written field by field here, because a
// protobuf library does not promise one encoding. A nil head is an empty media.
func HeadHash(h *record.Head) []byte {
	var b, x []byte
	b = appendNumber(b, 1, h.GetSize())
	for _, e := range h.GetExtents() {
		x = appendNumber(x[:0], 1, e.GetOffset())
		x = appendNumber(x, 2, e.GetLength())
		if len(e.GetContent()) > 0 {
			x = protowire.AppendTag(x, 3, protowire.BytesType)
			x = protowire.AppendBytes(x, e.Content)
		}
		x = appendNumber(x, 4, e.GetContentOffset())
		b = protowire.AppendTag(b, 2, protowire.BytesType)
		b = protowire.AppendBytes(b, x)
	}
	sum := sha256.Sum256(b)
	return sum[:16]
}

func appendNumber(b []byte, field protowire.Number, n uint64) []byte {
	if n == 0 {
		return b
	}
	return protowire.AppendVarint(protowire.AppendTag(b, field, protowire.VarintType), n)
}
