package record

import (
	"bytes"
	"errors"
	"fmt"
	"testing"

	"google.golang.org/protobuf/proto"

	"mediafs/remote"
)

func sample() *Commit {
	n, _ := proto.Marshal(
		&Node{
			Mode:  0o100644,
			Mtime: &Time{Seconds: -1, Nanos: 999999999},
			Head:  &Head{Size: 3, Extents: []*Extent{{Length: 3, Content: make([]byte, 16)}}},
		},
	)
	return &Commit{
		Author:         3,
		Session:        make([]byte, 16),
		FirstOperation: 7,
		LastOperation:  9,
		Previous:       Hash([]byte("before")),
		Time:           &Time{Seconds: 1},
		Writes: []*Write{
			{Key: NodeKey(5), Value: n},
			{Key: DentryKey(1, "\xff\n"), Value: []byte{8, 5}},
			{Key: XattrKey(5, "user.a"), Delete: true},
		},
	}
}

func TestCommitRoundTrip(t *testing.T) {
	b, err := EncodeCommit(sample())
	if err != nil {
		t.Fatal(err)
	}
	c, err := DecodeCommit(b)
	if err != nil || !proto.Equal(c, sample()) {
		t.Fatalf("%v, %v", c, err)
	}
	again, err := EncodeCommit(c)
	if err != nil || !bytes.Equal(again, b) {
		t.Fatal("a commit has two encodings")
	}
}

func TestCommitLimits(t *testing.T) {
	many := func(n int) (ws []*Write) {
		for i := range n {
			ws = append(ws, &Write{Key: fmt.Appendf(nil, "s%d", i)})
		}
		return ws
	}
	for what, c := range map[string]struct {
		change func(*Commit)
		kind   remote.Kind
	}{
		"too many writes":       {func(c *Commit) { c.Writes = many(MaxCommitWrites + 1) }, remote.TooLarge},
		"a long key":            {func(c *Commit) { c.Writes[0].Key = make([]byte, MaxKey+1) }, remote.Invalid},
		"an empty key":          {func(c *Commit) { c.Writes[0].Key = nil }, remote.Invalid},
		"a long value":          {func(c *Commit) { c.Writes[0].Value = make([]byte, MaxRecord+1) }, remote.TooLarge},
		"a counter":             {func(c *Commit) { c.Writes[0].Key = UsageKey() }, remote.Invalid},
		"a client record":       {func(c *Commit) { c.Writes[0].Key = ClientKey(3) }, remote.Invalid},
		"a key twice":           {func(c *Commit) { c.Writes[1].Key = c.Writes[0].Key }, remote.Invalid},
		"a deletion of a value": {func(c *Commit) { c.Writes[0].Delete = true }, remote.Invalid},
		"a high client":         {func(c *Commit) { c.Author = MaxClient + 1 }, remote.Invalid},
		"operations backwards":  {func(c *Commit) { c.LastOperation = 1 }, remote.Invalid},
		"too many bytes": {func(c *Commit) {
			c.Writes = many(9)
			for _, w := range c.Writes {
				w.Value = make([]byte, MaxRecord)
			}
		}, remote.TooLarge},
	} {
		cm := sample()
		c.change(cm)
		if _, err := EncodeCommit(cm); !errors.Is(err, c.kind) {
			t.Errorf("%s: %v, want %v", what, err, c.kind)
		}
		b, _ := proto.Marshal(cm)
		if _, err := DecodeCommit(b); !errors.Is(err, remote.Corrupt) {
			t.Errorf("%s, read: %v", what, err)
		}
	}
	full := sample()
	full.Writes = many(MaxCommitWrites)
	if _, err := EncodeCommit(full); err != nil {
		t.Error(err)
	}
}

func TestKeysSortAsPeopleWant(t *testing.T) {
	if bytes.Compare(NodeKey(255), NodeKey(256)) >= 0 ||
		bytes.Compare(VersionKey(make([]byte, 16), 9), VersionKey(make([]byte, 16), 10)) >= 0 {
		t.Error("numbers do not sort")
	}
	if n, rest, ok := NumberOf(DentryKey(7, "x/y")); !ok || n != 7 || string(rest) != "x/y" {
		t.Error("a key is not read back")
	}
	if _, _, ok := NumberOf([]byte("n1234567")); ok {
		t.Error("a short key has a number")
	}
}

// The field that is counted before decoding is the one with the writes.
func TestWritesField(t *testing.T) {
	f := (&Commit{}).ProtoReflect().Descriptor().Fields().ByName("writes")
	if f.Number() != writesField {
		t.Errorf("writes are field %d", f.Number())
	}
}
