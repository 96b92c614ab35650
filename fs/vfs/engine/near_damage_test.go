package engine_test

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"mediafs/fs/vfs"
	"mediafs/fs/vfs/engine"
	"mediafs/remote/object/mem"
	"mediafs/remote/storetest"
)

// An upload that needs bytes of the content below an edit, and does not get them, fails; it never
// sends others in their place. It is made when they are there again.
func TestUploadWithoutItsBase(t *testing.T) {
	for _, c := range []struct {
		name string
		edit func(s steps, f vfs.File, want []byte) []byte
	}{
		{"between two edits", func(s steps, f vfs.File, want []byte) []byte {
			want = append([]byte(nil), want...)
			for i, off := range []int{100, 4000} {
				edit := noise(uint64(i+2), 3000)
				s.put(f, edit, int64(off))
				copy(want[off:], edit)
			}
			return want
		}},
		{"cut to little", func(s steps, f vfs.File, want []byte) []byte {
			s.put(f, "edit", 100)
			size := int64(1000)
			_, err := s.SetAttr(bg, me, s.stat("film").ID, f, vfs.AttrChange{Size: &size})
			s.ok(err)
			return append(append(append([]byte(nil), want[:100]...), "edit"...), want[104:1000]...)
		}},
	} {
		for _, gone := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, gone %v", c.name, gone), func(t *testing.T) {
				b := mem.New(mem.Options{})
				line := storetest.New(b)
				want := []byte(noise(1, 2<<20))
				made(t, b, "film", string(want))
				s := openMachine(
					t, line, t.TempDir(), hurried, func(o *engine.Options) { o.UploadTimeout = 100 * time.Millisecond },
				).with(t)
				defer s.Close()
				_, n := s.node("film")
				key := keyOf(n.Head.Extents[0].Content)
				sound := bytesAt(t, b, key)
				back := func() { become(t, b, key, sound) }
				if gone {
					become(t, b, key, nil)
				} else {
					back = line.Fail(storetest.Fault{Op: storetest.Get, Prefix: key, Times: -1})
				}
				f := s.open("film", os.O_RDWR)
				want = c.edit(s, f, want)
				if err := f.Flush(bg, me); err == nil || !strings.Contains(err.Error(), key[len(key)-32:]) {
					t.Errorf("close: %v", err)
				}
				f.Release()
				back()
				waitFor(t, func() bool { return s.Flush(bg) == nil && s.Status().Pending.Files == 0 })
				o := openMachine(t, b, t.TempDir()).with(t)
				defer o.Close()
				if s.read("film") != string(want) || o.read("film") != string(want) {
					t.Error("it reads otherwise")
				}
			})
		}
	}
}
