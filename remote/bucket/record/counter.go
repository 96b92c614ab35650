package record

import "encoding/binary"

// Counts are what a folder holds.
type Counts struct {
	Children uint64 // names
	Folders  uint64 // of them, folders
}

// Usage is what a library holds.
type Usage struct {
	Nodes    uint64 // nodes, those in the trash included
	Live     uint64 // bytes of the heads of all media, those in the trash included
	Versions uint64 // bytes of kept versions
	Contents uint64 // bytes of contents that the catalog knows, whether referred to or not
}

// EncodeCounters writes counters as varints; the number of them may grow.
func EncodeCounters(n ...uint64) []byte {
	var b []byte
	for _, v := range n {
		b = binary.AppendUvarint(b, v)
	}
	return b
}

// DecodeCounters reads counters into dst; missing ones are 0, more than dst are ignored. Malformed
// bytes end the reading.
func DecodeCounters(b []byte, dst ...*uint64) {
	for _, d := range dst {
		v, n := binary.Uvarint(b)
		if n <= 0 {
			return
		}
		*d, b = v, b[n:]
	}
}
