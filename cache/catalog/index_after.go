package catalog

import (
	"encoding/binary"
	"iter"

	"mediafs/cache/catalog/index"
	"mediafs/remote/terms"
)

// PostingsAfter yields the nodes of one term that are greater than after, ascending, each once. It
// costs one seek and then a step a node. Look at Err after it.
func (tx *Tx) PostingsAfter(kind terms.Kind, term string, after uint64) iter.Seq[uint64] {
	return func(yield func(uint64) bool) {
		prefix := index.Prefix([]byte{classDerived, index.PostingLetter}, kind, term)
		from := binary.BigEndian.AppendUint64(append([]byte(nil), prefix...), after+1)
		last, any := uint64(0), false
		for k := range tx.scan(prefix, from, false) {
			if len(k) < len(prefix)+8 {
				continue
			}
			node := binary.BigEndian.Uint64(k[len(prefix):])
			if any && node == last {
				continue
			}
			last, any = node, true
			if !yield(node) {
				return
			}
		}
	}
}
