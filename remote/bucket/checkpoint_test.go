package bucket

import (
	"encoding/binary"
	"fmt"
	"iter"

	"mediafs/remote"
)

// records yields n records; the value of every record changes with salt only where a key ends in 7777.
func records(n int, salt byte) iter.Seq2[remote.Record, error] {
	return func(yield func(remote.Record, error) bool) {
		for i := range n {
			v := binary.BigEndian.AppendUint64(nil, uint64(i)*0x9e3779b97f4a7c15)
			if i%10_000 == 7_777 {
				v[0] ^= salt
			}
			if !yield(remote.Record{Key: fmt.Appendf(nil, "node/%012d", i*3), Value: append(v, "some value of a node"...)}, nil) {
				return
			}
		}
	}
}
