package catalog

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"mediafs/remote"
)

// The decoders of what only this machine has. What they take is what an encoder makes; anything
// else is refused or counts as absent, and never as something else.

func FuzzPin(f *testing.F) {
	for _, p := range []pin{{seq: 1, first: 2, last: 3, body: []byte("a batch")}, {seq: 1 << 63, last: 1<<64 - 1}} {
		f.Add(p.encode())
		f.Add(append(p.encode(), "the rest of a longer one before"...))
	}
	f.Add(make([]byte, pinRoom))
	f.Add([]byte{2})
	f.Fuzz(func(t *testing.T, b []byte) {
		p, err := decodePin(b)
		if err != nil {
			if !errors.Is(err, remote.Unsupported) || b[0] <= pinVersion {
				t.Errorf("%x: %v", b, err)
			}
			return
		}
		if p == nil {
			return
		}
		if again := p.encode(); !bytes.HasPrefix(b, again) {
			t.Errorf("%x is taken for %+v, which is %x", b, p, again)
		}
		if p.fresh {
			t.Error("a pin of an earlier process is taken for one of this")
		}
	})
}

// A pin of which any byte is not as it was written never had its PUT.
func TestTornPin(t *testing.T) {
	whole := (&pin{seq: 7, first: 8, last: 9, body: []byte("a batch of operations")}).encode()
	for i := range whole {
		torn := bytes.Clone(whole)
		torn[i] ^= 0x10
		if p, err := decodePin(torn); p != nil || err != nil && i > 0 {
			t.Errorf("byte %d: %+v, %v", i, p, err)
		}
		if p, err := decodePin(whole[:i]); p != nil || err != nil {
			t.Errorf("cut at %d: %+v, %v", i, p, err)
		}
	}
}

func FuzzApplied(f *testing.F) {
	hash := bytes.Repeat([]byte{7}, 32)
	known := checkpointed{seq: 4, since: 2, size: 3}
	f.Add(encodeApplied(1, known, hash))
	f.Add(encodeApplied(1, known, hash)[:56]) // of an earlier version
	f.Add(encodeApplied(1, known, hash[:31]))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) {
		c := new(Catalog)
		c.decodeApplied(b)
		if c.st.hash == nil {
			if c.st.seq != 0 || len(b) >= 56 {
				t.Errorf("%x is taken for commit %d without a hash", b, c.st.seq)
			}
			return
		}
		if again := encodeApplied(c.st.seq, c.st.ckpt, c.st.hash); !bytes.HasPrefix(b, again[:56]) ||
			len(b) >= 64 && !bytes.HasPrefix(b, again) {
			t.Errorf("%x is taken for %x", b, again)
		}
	})
}

func FuzzUndo(f *testing.F) {
	f.Add([]byte("a value"), true)
	f.Add([]byte{}, true)
	f.Add([]byte{}, false)
	f.Fuzz(func(t *testing.T, old []byte, there bool) {
		if !there {
			old = nil
		} else if old == nil {
			old = []byte{}
		}
		got := undoOf(undoValue(old))
		if (got == nil) != (old == nil) || !bytes.Equal(got, old) {
			t.Errorf("%x (there: %v) became %x (there: %v)", old, old != nil, got, got != nil)
		}
		// Any bytes at all are something that is there, or nothing.
		if v := undoOf(old); len(old) > 1 && old[0] == 1 && !bytes.Equal(v, old[1:]) {
			t.Errorf("%x became %x", old, v)
		}
	})
}

// An outbox with an entry that cannot be one is refused, with all that it has: nothing of it is
// dropped. What has the form of one is run, and what makes no sense then is dropped alone.
func FuzzOutbox(f *testing.F) {
	prefix := string(localKey("outbox/"))
	key := binary.BigEndian.AppendUint64([]byte(prefix), reserved-1)
	session := string(bytes.Repeat([]byte{9}, 16))
	for _, v := range []string{session + "add k 5", session + "name 1 f 77", session, session + "nonsense", session + "unname 1 x", "short", ""} {
		f.Add(key, []byte(v))
	}
	f.Add([]byte(prefix+"1234567"), []byte(session+"add k 5"))
	f.Add([]byte(prefix+"123456789"), []byte(session+"add k 5"))
	f.Fuzz(func(t *testing.T, key, value []byte) {
		if !bytes.HasPrefix(key, []byte(prefix)) || len(key) > 200 || len(value) > 10_000 {
			t.Skip()
		}
		w := newWorld(t)
		dir := t.TempDir()
		a := w.open(dir)
		a.must("add k 1")
		if err := a.updateLocal(func(tx *Tx) error { tx.raw(key, value); return nil }); err != nil {
			t.Fatal(err)
		}
		before := a.outbox()
		a.Close()
		words := map[string]int{"add": 3, "name": 4, "unname": 3}
		b, err := w.try(dir, func(o *Options) {
			o.Run = func(tx *Tx, intent []byte) error {
				f := strings.Fields(string(intent))
				if len(f) == 0 || words[f[0]] == 0 || len(f) < words[f[0]] {
					return remote.E("run", string(intent), remote.Invalid, nil)
				}
				return runWord(tx, intent)
			}
		})
		if len(key) != len(prefix)+8 || len(value) < 16 {
			if !errors.Is(err, remote.Corrupt) {
				t.Fatalf("%x: %x: %v", key, value, err)
			}
			return
		}
		if err != nil {
			t.Fatalf("%x: %x: %v", key, value, err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
		defer cancel()
		if err := b.Flush(ctx); err != nil {
			t.Fatal(err)
		}
		if after := b.outbox(); len(before) == 0 || len(after) != 0 {
			t.Errorf("%d entries before, %v after", len(before), after)
		}
		b.must("add k 1")
	})
}

// outbox lists the entries on disk.
func (b *box) outbox() (all []string) {
	b.t.Helper()
	b.view(func(tx *Tx) {
		p := localKey("outbox/")
		for k, v := range tx.scan(p, p, true) {
			all = append(all, fmt.Sprintf("%x: %x", k, v))
		}
	})
	return all
}
