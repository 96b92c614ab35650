package bucket

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"strings"

	"mediafs/remote"
	"mediafs/remote/object"
)

// The suffixes of side objects: what lies beside a content because it is too long for the catalog.
const (
	SuffixSum   = ".sum"   // checksums of its blocks
	SuffixFacts = ".facts" // what was read out of its bytes
)

// maxSide is the longest side object, in bytes: the checksums of the largest content have 80 MiB.
const maxSide = 128 << 20

// side is the key, kind and own number of a side object. That of an imported content cannot lie
// beside it, among other people's objects: it lies where no content id leads, named by a hash of
// key and etag.
func side(id remote.ContentID, suffix string) (key string, k kind, number uint64, err error) {
	switch suffix {
	case SuffixSum:
		k = kindSum
	case SuffixFacts:
		k = kindFacts
	default:
		return "", 0, 0, remote.E("", "", remote.Invalid, fmt.Errorf("%q is no suffix of a side object", suffix))
	}
	key, etag, err := locate(id)
	if err != nil {
		return "", 0, 0, err
	}
	name := id.ID
	if strings.HasPrefix(id.ID, externalPrefix) {
		sum := sha256.Sum256([]byte(key + "\x00" + etag))
		name = hex.EncodeToString(sum[:16])
		key = externalSidePrefix + name
	}
	b, err := hex.DecodeString(name[:16])
	if err != nil {
		return "", 0, 0, remote.E("", "", remote.Invalid, err)
	}
	return key + suffix, k, binary.BigEndian.Uint64(b), nil
}

// SideKey is the key of a side object of a content, whether there is one or not. Invalid: no such
// content or suffix can be.
func SideKey(id remote.ContentID, suffix string) (string, error) {
	key, _, _, err := side(id, suffix)
	return key, during("name side object", id.ID+suffix, err)
}

// PutSide stores a side object of a content, replacing one that is there: it can be made anew from
// the content, and the catalog knows which bytes are meant. TooLarge above 128 MiB.
func (s *Store) PutSide(ctx context.Context, id remote.ContentID, suffix string, body []byte) error {
	const op = "put side object"
	key, k, number, err := side(id, suffix)
	if err != nil {
		return during(op, id.ID+suffix, err)
	}
	if err := s.writable(op, key); err != nil {
		return err
	}
	if len(body) > maxSide {
		return remote.E(
			op, key, remote.TooLarge, fmt.Errorf("it has %d bytes, at most %d are allowed", len(body), maxSide),
		)
	}
	return during(op, key, s.put(ctx, key, seal(s.lib, k, number, body), object.PutOptions{}))
}

// GetSide reads a side object that PutSide stored. NotExist, Corrupt: make it anew.
func (s *Store) GetSide(ctx context.Context, id remote.ContentID, suffix string) ([]byte, error) {
	const op = "read side object"
	key, k, number, err := side(id, suffix)
	if err != nil {
		return nil, during(op, id.ID+suffix, err)
	}
	obj, _, err := s.get(ctx, key, maxSide+headerSize)
	if err != nil {
		return nil, during(op, key, err)
	}
	body, err := unseal(obj, s.lib, k, number)
	return body, during(op, key, err)
}
