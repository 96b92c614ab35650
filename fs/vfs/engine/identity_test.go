package engine_test

import (
	"os"
	"testing"
	"time"

	"mediafs/cache/catalog"
	"mediafs/fs/vfs/engine"
	"mediafs/remote/object/mem"
)

// holders counts the nodes that carry a media id.
func (s steps) holders(media []byte) (n int) {
	s.t.Helper()
	s.ok(s.View(func(tx *catalog.Tx) error {
		for range tx.MediaNodes(media) {
			n++
		}
		return tx.Err()
	}))
	return n
}

// A media that went over to another node is not brought back a second time by late bytes, however
// long ago that was and whatever it held: two nodes with one identity would end together.
func TestOneNodeAMedia(t *testing.T) {
	for name, data := range map[string]string{"with bytes": "first", "still empty": ""} {
		t.Run(name, func(t *testing.T) {
			b := mem.New(mem.Options{})
			clk := &clock{}
			// a minute past an hour
			clk.advance(time.Until(time.Now().Truncate(time.Hour).Add(time.Hour + time.Minute)))
			dir := t.TempDir()
			a := openMachine(t, b, dir, clk.use).with(t)
			if data == "" {
				f := a.create("f", "late bytes")
				defer f.Release()
			} else {
				a.write("f", data)
				f, err := a.Open(bg, me, a.stat("f").ID, uint32(os.O_RDWR))
				a.ok(err)
				a.put(f, "late bytes", 0)
				defer f.Release()
			}
			_, n := a.node("f")
			a.ok(a.Close())
			o := openMachine(t, b, t.TempDir(), clk.use).with(t)
			defer o.Close()
			for range 3 {
				o.write("tmp", time.Now().String())
				o.rename("tmp", "f")
				clk.advance(20 * time.Second)
			}
			clk.advance(2 * time.Hour)
			o.write("tmp", "newest")
			o.rename("tmp", "f")
			a = openMachine(t, b, dir, clk.use, func(o *engine.Options) { o.FlushDelay = time.Millisecond }).with(t)
			defer a.Close()
			waitFor(t, func() bool { us, err := a.Uploads(bg); a.ok(err); return len(us) == 0 })
			if got := a.holders(n.MediaId); got != 1 {
				t.Errorf("%d nodes carry the media", got)
			}
			if _, now := a.node("f"); string(now.MediaId) != string(n.MediaId) || a.read("f") != "newest" {
				t.Errorf("media %x, reads %q", now.MediaId, a.read("f"))
			}
			kept := false
			for _, v := range a.versions(n.MediaId) {
				kept = kept || a.bytesOf(b, v.Head) == "late bytes"
			}
			if !kept {
				t.Error("the late bytes are no version")
			}
		})
	}
}
