package bucket

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"fmt"

	"github.com/google/uuid"

	"mediafs/remote"
)

// Every object of a library but contents and format.json begins with this header; FORMAT.md has its
// bytes.
const (
	magic      = "mediafs\x00"
	headerSize = 64
	sumSize    = 16 // a SHA-256 cut to 128 bits
	sumAt      = headerSize - sumSize
)

// formatNumber is the format that this package writes, and the newest that it reads. 0 changes
// without notice; it becomes 1 when it is frozen.
const formatNumber = 0

// kind says what an object of ours is. Numbers are part of the format.
type kind uint16

const (
	kindCommit   kind = 1
	kindPart     kind = 2
	kindManifest kind = 3
	kindSum      kind = 4
	kindFacts    kind = 5
	kindProbe    kind = 6
)

func (k kind) String() string {
	names := [...]string{
		1: "commit",
		2: "checkpoint part",
		3: "checkpoint manifest",
		4: "block checksums",
		5: "facts",
		6: "probe",
	}
	if k >= 1 && int(k) < len(names) {
		return names[k]
	}
	return fmt.Sprintf("object of kind %d", uint16(k))
}

// seal puts the header in front of body: the whole object. number is the object's own.
func seal(lib uuid.UUID, k kind, number uint64, body []byte) []byte {
	b := make([]byte, headerSize, headerSize+len(body))
	copy(b, magic)
	binary.BigEndian.PutUint16(b[8:], formatNumber)
	binary.BigEndian.PutUint16(b[10:], uint16(k))
	copy(b[16:], lib[:])
	binary.BigEndian.PutUint64(b[32:], number)
	binary.BigEndian.PutUint64(b[40:], uint64(len(body)))
	b = append(b, body...)
	sum := checksum(b)
	copy(b[sumAt:], sum[:])
	return b
}

// unseal checks an object and returns its body, which shares its memory. Errors: Corrupt when
// anything is not what was asked for, Unsupported when a later version of the program wrote it.
func unseal(obj []byte, lib uuid.UUID, k kind, number uint64) ([]byte, error) {
	if len(obj) < headerSize {
		return nil, corrupt("it has %d bytes, fewer than the header of a %s", len(obj), k)
	}
	if string(obj[:len(magic)]) != magic {
		return nil, corrupt("it does not begin like an object of a library: another program wrote it")
	}
	if f := binary.BigEndian.Uint16(obj[8:]); f > formatNumber {
		return nil, remote.E("", "", remote.Unsupported, fmt.Errorf("it is in format %d, this version of mediafs knows %d", f, formatNumber)).
			WithHint(upgradeHint)
	}
	if got := kind(binary.BigEndian.Uint16(obj[10:])); got != k {
		return nil, corrupt("it is a %s where a %s belongs", got, k)
	}
	if !bytes.Equal(obj[16:32], lib[:]) {
		return nil, corrupt("it belongs to library %s, not to %s", uuid.UUID(obj[16:32]), lib)
	}
	if got := binary.BigEndian.Uint64(obj[32:]); got != number {
		return nil, corrupt("it is number %d where %d belongs", got, number)
	}
	if n := binary.BigEndian.Uint64(obj[40:]); n != uint64(len(obj)-headerSize) {
		return nil, corrupt("it says that %d bytes follow its header, there are %d", n, len(obj)-headerSize)
	}
	if sum := checksum(obj); !bytes.Equal(sum[:], obj[sumAt:headerSize]) {
		return nil, corrupt("its checksum is %x, its bytes have %x", obj[sumAt:headerSize], sum)
	}
	return obj[headerSize:], nil
}

// checksum covers the header up to the checksum itself, and the body.
func checksum(obj []byte) (sum [sumSize]byte) {
	h := sha256.New()
	h.Write(obj[:sumAt])
	h.Write(obj[headerSize:])
	copy(sum[:], h.Sum(nil))
	return sum
}

const upgradeHint = "upgrade mediafs on this machine"

// corrupt is an error that has yet to be told which object it is about: see during.
func corrupt(format string, args ...any) error {
	return remote.E("", "", remote.Corrupt, fmt.Errorf(format, args...))
}
