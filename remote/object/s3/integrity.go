package s3

import (
	"crypto/md5"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"hash/crc32"
	"strings"

	"mediafs/remote"
	"mediafs/remote/object"
)

// What a store proves of the bytes that it was given. A checksum goes with each of them; a store
// that compares it has what was sent when it says so. One that does not may give the checksum, or
// an etag that is the MD5, back. Where neither is so the size of the object is asked for.

// Headers that minio-go passes on as they are.
const (
	headerCRC32C    = "x-amz-checksum-crc32c"
	headerAlgorithm = "x-amz-checksum-algorithm"
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

const keptWrong = "the store, or a proxy before it, changes what it stores: use another one; what was written is kept on this machine"

// otherSize is the error of an object that is not as long as what was sent.
func otherSize(op, key string, has, sent int64) error {
	return remote.E(op, key, remote.Corrupt, fmt.Errorf("the store has %d bytes, it was sent %d", has, sent)).
		WithHint(keptWrong)
}

// kept compares the answer to a put or part with what was sent. proven is false when it says
// nothing about that. Corrupt: the store has other bytes.
func (b *Bucket) kept(op, key string, p *payload, a *answer, etag, crc32c string) (proven bool, err error) {
	wrong := func(what, has, sent string) error {
		return remote.E(op, key, remote.Corrupt, fmt.Errorf("the %s of what the store has is %s, of what it was sent %s", what, has, sent)).
			WithHint(keptWrong)
	}
	proven = p.checks.Verified
	if p.crc32c != "" && crc32c != "" {
		if crc32c != p.crc32c {
			return false, wrong("CRC-32C", crc32c, p.crc32c)
		}
		proven = true
	}
	if b.habits.MD5Tags && p.md5 != nil && !a.encrypted {
		if sum := hex.EncodeToString(p.md5); !strings.EqualFold(etag, sum) {
			return false, wrong("MD5", etag, sum)
		}
		proven = true
	}
	return proven, nil
}

// joined compares the answer to a completion with the parts.
func (b *Bucket) joined(op, key string, parts []object.Part, a *answer, etag, crc32c string) error {
	wrong := func(what, has, of string) error {
		return remote.E(op, key, remote.Corrupt, fmt.Errorf("the %s of what the store made of %d parts is %s, that of the parts %s", what, len(parts), has, of)).
			WithHint(keptWrong)
	}
	var sums, tags []byte
	for _, p := range parts {
		sum, _ := base64.StdEncoding.DecodeString(p.Sum) // what is none has no length, too
		sums = append(sums, sum...)
		tag, _ := hex.DecodeString(p.ETag)
		tags = append(tags, tag...)
	}
	if i := strings.LastIndexByte(crc32c, '-'); i > 0 && len(sums) == len(parts)*crc32.Size {
		sum := crc32.Checksum(sums, castagnoli)
		of := base64.StdEncoding.EncodeToString(
			binary.BigEndian.AppendUint32(nil, sum),
		) + fmt.Sprintf("-%d", len(parts))
		if crc32c != of {
			return wrong("CRC-32C", crc32c, of)
		}
	}
	if b.habits.MD5Tags && !a.encrypted && len(tags) == len(parts)*md5.Size {
		if of := fmt.Sprintf("%x-%d", md5.Sum(tags), len(parts)); !strings.EqualFold(etag, of) {
			return wrong("MD5", etag, of)
		}
	}
	return nil
}
