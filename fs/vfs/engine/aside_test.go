package engine_test

import (
	"bytes"
	"testing"
	"time"

	"mediafs/fs/vfs"
	"mediafs/fs/vfs/engine"
	"mediafs/remote/object/mem"
)

// The ways in which programs put the old file aside and a new one in its place: the media is what
// has the name, the backup is a copy of it.
func TestBackupKeepsIdentityWithTheName(t *testing.T) {
	ways := []struct {
		name   string
		backup string
		save   func(s steps)
		kept   bool // the backup stays
	}{
		{"vim", "doc~", func(s steps) { s.rename("doc", "doc~"); s.write("doc", "second"); s.unlink("doc~") }, false},
		{"emacs", "doc~", func(s steps) { s.rename("doc", "doc~"); s.write("doc", "second") }, true},
		{"exiftool", "doc_original", func(s steps) {
			s.write("doc_exiftool_tmp", "second")
			s.rename("doc", "doc_original")
			s.rename("doc_exiftool_tmp", "doc")
		}, true},
		{
			"cp --backup=numbered", "doc.~1~", func(s steps) { s.rename("doc", "doc.~1~"); s.write("doc", "second") },
			true,
		},
		{"GLib", "doc~", func(s steps) {
			s.write(".goutputstream", "second")
			a, err := s.Link(bg, me, s.stat("doc").ID, vfs.Root, "doc~")
			s.ok(err)
			s.Forget(a.ID, 1)
			s.rename(".goutputstream", "doc")
		}, true},
	}
	for _, w := range ways {
		t.Run(w.name, func(t *testing.T) {
			var c clock
			b := mem.New(mem.Options{})
			s := openMachine(t, b, t.TempDir(), c.use, func(o *engine.Options) { o.Trash = time.Hour }).with(t)
			defer s.Close()
			s.write("doc", "first")
			_, old := s.node("doc")
			s.ok(s.SetXattr(bg, me, s.stat("doc").ID, "user.media.title", []byte("A title"), 0))
			c.advance(time.Hour)
			w.save(s)
			id, n := s.node("doc")
			if !bytes.Equal(n.MediaId, old.MediaId) {
				t.Errorf("doc is media %x, was %x", n.MediaId, old.MediaId)
			}
			if v, err := s.GetXattr(bg, id, "user.media.title"); string(v) != "A title" {
				t.Errorf("title %q, %v", v, err)
			}
			if vs := s.versions(
				old.MediaId,
			); len(vs) != 1 || s.bytesOf(b, vs[0].Head) != "first" || s.read("doc") != "second" ||
				len(s.trash()) != 0 {
				t.Errorf("versions %v, holds %q, trash %v", vs, s.read("doc"), s.trash())
			}
			if w.kept {
				if _, bn := s.node(w.backup); bytes.Equal(bn.MediaId, old.MediaId) || s.read(w.backup) != "first" {
					t.Errorf("the backup is media %x and holds %q", bn.MediaId, s.read(w.backup))
				}
			}
		})
	}
}

// A file that people rename stays the media that it was, whatever comes under its former name.
func TestRenameIsNoBackup(t *testing.T) {
	var c clock
	s := openMachine(t, mem.New(mem.Options{}), t.TempDir(), c.use).with(t)
	defer s.Close()
	s.write("doc", "first")
	_, old := s.node("doc")
	s.rename("doc", "other")
	s.write("doc", "second")
	if _, n := s.node("other"); !bytes.Equal(n.MediaId, old.MediaId) {
		t.Error("a renamed file lost its identity to a new one")
	}
	s.rename("other", "other~")
	c.advance(2 * time.Minute)
	s.write("other", "third")
	if _, n := s.node("other~"); !bytes.Equal(n.MediaId, old.MediaId) {
		t.Error("a file renamed long ago lost its identity to a new one")
	}
}
