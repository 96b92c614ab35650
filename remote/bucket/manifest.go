package bucket

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"fmt"

	"github.com/google/uuid"
)

// maxManifest bounds what is read back as a manifest, in bytes: about 250,000 parts.
const maxManifest = 64 << 20

// A manifest is a checkpoint's list of parts.
type manifest struct {
	Seq     uint64      `json:"seq"`
	Hash    []byte      `json:"hash"` // of commit Seq
	Writer  string      `json:"writer"`
	Records int64       `json:"records"`
	Bytes   int64       `json:"bytes"` // of keys and values, uncompressed
	Parts   []partEntry `json:"parts"`
}

// A partEntry is one part as the manifest has it.
type partEntry struct {
	Key     string `json:"key"`
	Hash    string `json:"hash"` // a partHash
	Size    int64  `json:"size"` // of the object, in bytes
	Records int64  `json:"records"`
	Bytes   int64  `json:"bytes"` // of keys and values, uncompressed
	First   []byte `json:"first"` // first key
	Last    []byte `json:"last"`  // last key
}

func (p partEntry) hash() (h partHash, err error) {
	if !isHex(p.Hash, 2*len(h)) {
		return h, corrupt("the hash %.100q of part %.200q is damaged", p.Hash, p.Key)
	}
	_, err = hex.Decode(h[:], []byte(p.Hash))
	return h, err
}

func encodeManifest(lib uuid.UUID, m manifest) ([]byte, error) {
	if m.Parts == nil {
		m.Parts = []partEntry{}
	}
	body, err := json.MarshalIndent(m, "", " ")
	if err != nil {
		return nil, err
	}
	return seal(lib, kindManifest, m.Seq, append(body, '\n')), nil
}

// decodeManifest checks the manifest of the checkpoint after commit seq.
func decodeManifest(lib uuid.UUID, seq uint64, obj []byte) (manifest, error) {
	body, err := unseal(obj, lib, kindManifest, seq)
	if err != nil {
		return manifest{}, err
	}
	return parseManifest(body, seq)
}

func parseManifest(body []byte, seq uint64) (m manifest, err error) {
	if err := json.Unmarshal(body, &m); err != nil {
		return m, corrupt("it is not what mediafs writes: %w", err)
	}
	if m.Seq != seq {
		return m, corrupt("it is the checkpoint after commit %d, not after %d", m.Seq, seq)
	}
	records, size := int64(0), int64(0)
	for i, p := range m.Parts {
		hash, err := p.hash()
		if err != nil {
			return m, err
		}
		if named, ok := parsePartKey(p.Key); !ok || named != hash {
			return m, corrupt("its part %d has the hash %s and the key %q", i, p.Hash, p.Key)
		}
		// Each record has a key of at least one byte.
		if p.Size < headerSize+footerSize || p.Size > maxPart || p.Records <= 0 || p.Bytes < p.Records ||
			p.Bytes > maxPart {
			return m, corrupt(
				"its part %d makes no sense: %s, %d bytes, %d records of %d bytes", i, p.Key, p.Size, p.Records,
				p.Bytes,
			)
		}
		if len(p.First) == 0 || len(p.Last) > maxKey || bytes.Compare(p.First, p.Last) > 0 ||
			(i > 0 && bytes.Compare(m.Parts[i-1].Last, p.First) >= 0) {
			return m, corrupt("its part %d is not in order", i)
		}
		records += p.Records
		size += p.Bytes
	}
	if records != m.Records || size != m.Bytes {
		return m, corrupt("its parts have %d records of %d bytes, not %d of %d", records, size, m.Records, m.Bytes)
	}
	return m, nil
}

// partKey makes a key for a new part that no other writer makes, nor this one again.
func partKey(hash partHash, writer string) string {
	return fmt.Sprintf("%s%s-%s-%s", partPrefix, hash, writer, randomHex(8))
}
