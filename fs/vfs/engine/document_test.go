package engine_test

import (
	"strings"
	"testing"

	"mediafs/remote/object/mem"
)

// A document that is damaged or gone is made anew.
func TestDocumentIsMadeAnew(t *testing.T) {
	b := mem.New(mem.Options{})
	r := &teller{}
	s := openMachine(t, b, t.TempDir(), r.use).with(t)
	defer s.Close()
	s.write("a", "first")
	waitFor(t, s.FactsIdle)
	id := s.stat("a").ID
	_, err := s.Document(bg, id)
	s.ok(err)
	page, _, err := b.List(bg, "content/", "", 0)
	s.ok(err)
	n := 0
	for _, o := range page {
		if strings.HasSuffix(o.Key, ".facts") {
			s.ok(b.Delete(bg, o.Key))
			n++
		}
	}
	if n != 1 {
		t.Fatal(n, page)
	}
	if _, err := s.Document(bg, id); err == nil {
		t.Fatal("read what is gone")
	}
	waitFor(t, func() bool { _, err := s.Document(bg, id); return err == nil })
}
