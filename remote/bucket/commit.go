package bucket

import (
	"fmt"
	"sync"

	"github.com/google/uuid"
	"github.com/klauspost/compress/zstd"

	"mediafs/remote"
)

const (
	// maxCommit is the longest body that Append takes, in bytes: twice what a commit of the largest
	// allowed records needs.
	maxCommit = 1 << 20
	// maxCommitRead is the longest that is read back, compressed or not. A later version may write
	// longer ones than this; an object made to fill the memory is refused.
	maxCommitRead = 8 << 20
)

// encoder and decoders are shared: EncodeAll and DecodeAll may be called concurrently. One decoder
// a limit.
var (
	encoder = sync.OnceValue(func() *zstd.Encoder {
		e, err := zstd.NewWriter(nil, zstd.WithZeroFrames(true), zstd.WithEncoderCRC(false), zstd.WithWindowSize(1<<20))
		if err != nil {
			panic(err) // the options are constants
		}
		return e
	})
	commitDecoder = sync.OnceValue(func() *zstd.Decoder { return newDecoder(maxCommitRead) })
	blockDecoder  = sync.OnceValue(func() *zstd.Decoder { return newDecoder(maxBlock) })
)

func newDecoder(limit uint64) *zstd.Decoder {
	d, err := zstd.NewReader(nil, zstd.WithDecoderMaxMemory(limit))
	if err != nil {
		panic(err) // the options are constants
	}
	return d
}

// encodeCommit makes the object of commit seq. The same body may give other bytes in another
// version of the program: compare bodies, not objects.
func encodeCommit(lib uuid.UUID, seq uint64, body []byte) ([]byte, error) {
	if len(body) > maxCommit {
		return nil, remote.E(
			"", "", remote.TooLarge,
			fmt.Errorf("the commit has %d bytes, at most %d are allowed", len(body), maxCommit),
		)
	}
	return seal(lib, kindCommit, seq, encoder().EncodeAll(body, nil)), nil
}

// decodeCommit checks the object of commit seq and returns its body in memory of its own.
func decodeCommit(lib uuid.UUID, seq uint64, obj []byte) ([]byte, error) {
	z, err := unseal(obj, lib, kindCommit, seq)
	if err != nil {
		return nil, err
	}
	if len(z) == 0 {
		return nil, corrupt("it has no body")
	}
	body, err := commitDecoder().DecodeAll(z, nil)
	if err != nil {
		return nil, corrupt("its body cannot be decompressed: %w", err)
	}
	return body, nil
}
