package record

import (
	"crypto/sha256"
	"fmt"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"mediafs/remote"
)

// EncodeCommit gives the body of a commit. A commit over the limits is an error of kind TooLarge.
func EncodeCommit(c *Commit) ([]byte, error) {
	if err := checkCommit(c); err != nil {
		return nil, err
	}
	b, err := proto.MarshalOptions{Deterministic: true}.Marshal(c)
	if err != nil {
		return nil, remote.E("encode commit", "", remote.Invalid, err)
	}
	return b, nil
}

// DecodeCommit reads the body of a commit. What is malformed or over the limits is Corrupt.
func DecodeCommit(body []byte) (*Commit, error) {
	const op = "decode commit"
	n, err := countWrites(body)
	if err != nil {
		return nil, remote.E(op, "", remote.Corrupt, err)
	}
	if n > MaxCommitWrites {
		return nil, remote.E(op, "", remote.Corrupt, fmt.Errorf("%d writes, at most %d", n, MaxCommitWrites))
	}
	c := new(Commit)
	if err := proto.Unmarshal(body, c); err != nil {
		return nil, remote.E(op, "", remote.Corrupt, err)
	}
	if err := checkCommit(c); err != nil {
		return nil, remote.E(op, "", remote.Corrupt, err)
	}
	return c, nil
}

// countWrites counts the writes of a commit without making room for them: one of two bytes would
// take a hundred in memory.
func countWrites(body []byte) (n int, err error) {
	for len(body) > 0 {
		field, _, size := protowire.ConsumeField(body)
		if size < 0 {
			return 0, protowire.ParseError(size)
		}
		if field == writesField {
			n++
		}
		body = body[size:]
	}
	return n, nil
}

// writesField is the number of Commit's field writes.
const writesField = 7

// Hash is what the successor of a commit carries as its predecessor.
func Hash(body []byte) []byte {
	h := sha256.Sum256(body)
	return h[:]
}

func checkCommit(c *Commit) error {
	bad := func(kind remote.Kind, format string, a ...any) error {
		return remote.E("check commit", "", kind, fmt.Errorf(format, a...))
	}
	if len(c.Writes) > MaxCommitWrites {
		return bad(remote.TooLarge, "%d writes, at most %d", len(c.Writes), MaxCommitWrites)
	}
	if c.Author > MaxClient {
		return bad(remote.Invalid, "client number %d, at most %d", c.Author, MaxClient)
	}
	if c.LastOperation < c.FirstOperation {
		return bad(remote.Invalid, "operations %d to %d", c.FirstOperation, c.LastOperation)
	}
	total := 0
	seen := make(map[string]bool, len(c.Writes))
	for _, w := range c.Writes {
		switch {
		case len(w.Key) == 0 || len(w.Key) > MaxKey:
			return bad(remote.Invalid, "key of %d bytes", len(w.Key))
		case w.Key[0] >= 'A' && w.Key[0] <= 'Z':
			return bad(remote.Invalid, "key %q is a counter: those are never in the log", w.Key)
		case w.Key[0] == KeyClient && c.Author != 0:
			return bad(remote.Invalid, "writes a client record, which only a join does")
		case len(w.Value) > MaxRecord:
			return bad(remote.TooLarge, "record %q of %d bytes, at most %d", w.Key, len(w.Value), MaxRecord)
		case w.Delete && len(w.Value) > 0:
			return bad(remote.Invalid, "record %q is deleted and has a value", w.Key)
		case seen[string(w.Key)]:
			return bad(remote.Invalid, "key %q is written twice", w.Key)
		}
		seen[string(w.Key)] = true
		total += len(w.Key) + len(w.Value)
	}
	if total > MaxCommitBytes {
		return bad(remote.TooLarge, "%d bytes of writes, at most %d", total, MaxCommitBytes)
	}
	return nil
}
