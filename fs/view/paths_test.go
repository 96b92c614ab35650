package view

import (
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// Of a media with several names a view tells those that the caller can reach.
func TestNamesOutOfReach(t *testing.T) {
	r := newRig(t)
	own := r.f.add("/a-own", folded, "")
	r.f.set(own, func(n *fakeNode) { n.attr.Mode, n.attr.UID = unix.S_IFDIR|0o700, ann })
	id := r.f.add("/a-own/private-name.jpg", reg, "x")
	r.f.mu.Lock()
	r.f.name(r.f.nodes[1], "public.jpg", id)
	r.f.mu.Unlock()
	for _, p := range []string{".media/info/public.jpg.json", ".media/zip/public.jpg.zip"} {
		text, err := r.read(bob, p)
		if err != nil || strings.Contains(text, "private-name") || !strings.Contains(text, "public.jpg") {
			t.Errorf("%s: %q, %v", p, text, err)
		}
	}
	if text, err := r.read(ann, ".media/info/public.jpg.json"); err != nil || !strings.Contains(text, "private-name") {
		t.Errorf("%q, %v", text, err)
	}
	for name, want := range map[string]string{"paths": "/public.jpg", "name": "public.jpg"} {
		if got, err := r.l.GetXattr(as(bob), id, "user.media."+name); err != nil ||
			strings.TrimSpace(string(got)) != want {
			t.Errorf("user.media.%s: %q, %v, want %q", name, got, err, want)
		}
	}
}
