package engine

import (
	"bytes"
	"hash/crc32"
	"testing"
)

func TestCRCOfZeros(t *testing.T) {
	for _, n := range []int{0, 1, 2, 7, 255, 4096, 1<<20 + 3} {
		for _, head := range []string{"", "x", "some bytes"} {
			sum := crc32.ChecksumIEEE([]byte(head))
			want := crc32.Update(sum, crc32.IEEETable, bytes.Repeat([]byte{0}, n))
			if got := crcZeros(sum, int64(n)); got != want {
				t.Errorf("%q and %d zeros: %08x, want %08x", head, n, got, want)
			}
		}
	}
}
