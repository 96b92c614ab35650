package record

import (
	"bytes"
	"encoding/binary"
	"errors"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"mediafs/remote"
)

// Whatever decodes is within the limits and encodes again to the same commit, unknown fields and
// all.
func FuzzDecodeCommit(f *testing.F) {
	b, _ := EncodeCommit(sample())
	f.Add(b)
	f.Add(b[:len(b)/2])
	f.Add([]byte{})
	f.Add(
		protowire.AppendBytes(
			protowire.AppendTag(bytes.Clone(b), 99, protowire.BytesType), []byte("a later version's"),
		),
	)
	f.Add(bytes.Repeat([]byte{writesField<<3 | 2, 0}, MaxCommitWrites+1)) // empty writes
	join, _ := EncodeCommit(&Commit{Writes: []*Write{{Key: ClientKey(1), Value: []byte{1}}, {Key: NodeKey(Root)}}})
	f.Add(join)
	f.Fuzz(func(t *testing.T, b []byte) {
		c, err := DecodeCommit(b)
		if err != nil {
			if !errors.Is(err, remote.Corrupt) {
				t.Fatalf("kind of %v", err)
			}
			return
		}
		again, err := EncodeCommit(c)
		if err != nil {
			t.Fatal(err)
		}
		back, err := DecodeCommit(again)
		if err != nil || !proto.Equal(back, c) {
			t.Fatalf("%v became %v, %v", c, back, err)
		}
	})
}

// messages is every message that is the value of a record, by the letter of its key.
var messages = map[byte]func() proto.Message{
	KeyNode:    func() proto.Message { return new(Node) },
	KeyDentry:  func() proto.Message { return new(Dentry) },
	KeyXattr:   func() proto.Message { return new(Xattr) },
	KeyContent: func() proto.Message { return new(Content) },
	KeyVersion: func() proto.Message { return new(Version) },
	KeyTrash:   func() proto.Message { return new(TrashEntry) },
	KeyClient:  func() proto.Message { return new(Client) },
	KeySetting: func() proto.Message { return new(Setting) },
	KeyFeature: func() proto.Message { return new(Feature) },
	KeyMedia:   func() proto.Message { return new(Media) },
}

// A value that decodes encodes again to the same, with what later versions put into it.
func FuzzMessages(f *testing.F) {
	when := &Time{Seconds: -62135596800, Nanos: 999999999}
	head := &Head{
		Size: 9,
		Extents: []*Extent{
			{Length: 4, Content: make([]byte, 16)},
			{Offset: 5, Length: 4, Content: make([]byte, 16), ContentOffset: 1 << 40},
		},
		Time:   when,
		Client: 3,
	}
	for letter, m := range map[byte]proto.Message{
		KeyNode:    &Node{Mode: 0o100644, Uid: 1, Gid: 2, Rdev: 3, Atime: when, Mtime: when, Ctime: when, Btime: when, Target: []byte("\xff"), Head: head, MediaId: make([]byte, 16)},
		KeyDentry:  &Dentry{Node: 7, Kind: 8},
		KeyXattr:   &Xattr{Value: []byte("v")},
		KeyContent: &Content{Size: 1, BlockSums: make([]byte, 4), Crc32: 5, HasCrc32: true, Type: "image/jpeg", Cipher: &Cipher{Suite: 1}, External: &External{Key: "k", Etag: "e"}, Time: when},
		KeyVersion: &Version{Head: head, Time: when, Node: 1, Mtime: when, Reason: 2},
		KeyTrash:   &TrashEntry{Node: 1, Parent: 2, Name: []byte("\n"), Deleted: when, Uid: 1000},
		KeyClient:  &Client{Session: make([]byte, 16), LastOperation: 5, Machine: make([]byte, 32), Host: "h", Joined: when},
		KeySetting: &Setting{Value: []byte{0}},
		KeyFeature: &Feature{Note: "for people"},
		KeyMedia:   &Media{Edited: when},
	} {
		b, err := proto.Marshal(m)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(letter, b)
		f.Add(letter, protowire.AppendVarint(protowire.AppendTag(b, 1000, protowire.VarintType), 1))
	}
	f.Fuzz(func(t *testing.T, letter byte, b []byte) {
		make := messages[letter]
		if make == nil || len(b) > MaxRecord {
			return
		}
		m := make()
		if proto.Unmarshal(b, m) != nil {
			return
		}
		again, err := proto.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		back := make()
		if err := proto.Unmarshal(again, back); err != nil || !proto.Equal(back, m) {
			t.Fatalf("%v became %v, %v", m, back, err)
		}
	})
}

func FuzzCounters(f *testing.F) {
	f.Add(EncodeCounters(1, 2, 1<<63))
	f.Add(EncodeCounters(1, 2, 3, 4, 5))
	f.Add([]byte{0xff})
	f.Add(bytes.Repeat([]byte{0xff}, 11))
	f.Fuzz(func(t *testing.T, b []byte) {
		var n [4]uint64
		DecodeCounters(b, &n[0], &n[1], &n[2], &n[3])
		var m [4]uint64
		DecodeCounters(EncodeCounters(n[:]...), &m[0], &m[1], &m[2], &m[3])
		if n != m {
			t.Fatalf("%v became %v", n, m)
		}
	})
}

// A key gives back what it was made of.
func FuzzKeys(f *testing.F) {
	f.Add(uint64(1), "name", NodeKey(7))
	f.Add(uint64(1)<<62, "\xff/\x00", DentryKey(7, "x/y"))
	f.Add(^uint64(0), "", []byte("n1234567"))
	f.Fuzz(func(t *testing.T, id uint64, name string, raw []byte) {
		for _, key := range [][]byte{DentryKey(id, name), XattrKey(id, name)} {
			if n, rest, ok := NumberOf(key); !ok || n != id || string(rest) != name {
				t.Errorf("%q gives %d, %q, %v", key, n, rest, ok)
			}
		}
		for _, key := range [][]byte{NodeKey(id), TrashKey(id), CountsKey(id), LinksKey(id)} {
			if n, rest, ok := NumberOf(key); !ok || n != id || len(rest) != 0 {
				t.Errorf("%q gives %d, %q, %v", key, n, rest, ok)
			}
		}
		n, rest, ok := NumberOf(raw)
		if ok != (len(raw) >= 9) {
			t.Errorf("%q: %v", raw, ok)
		}
		if ok && !bytes.Equal(append(binary.BigEndian.AppendUint64(raw[:1:1], n), rest...), raw) {
			t.Errorf("%q gives %d and %q", raw, n, rest)
		}
		if len(raw) > 0 && id > 0 && bytes.Compare(NodeKey(id-1), NodeKey(id)) >= 0 {
			t.Errorf("the keys of %d and the node before it do not ascend", id)
		}
	})
}
