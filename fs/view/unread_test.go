package view

import (
	"testing"

	"golang.org/x/sys/unix"

	"mediafs/remote"
)

// A view shows of a media no more than the tree does: not what is said of one that the caller may
// not read, nor a name in a folder that he may not list.
func TestWhatCannotBeRead(t *testing.T) {
	r := newRig(t)
	drop := r.f.add("/drop", folded, "")
	r.f.set(drop, func(n *fakeNode) { n.attr.Mode, n.attr.UID = unix.S_IFDIR|0o711, ann })
	named := r.f.add("/drop/name.jpg", reg, "")
	closed := r.f.add("/closed.jpg", reg, "")
	r.f.set(named, func(n *fakeNode) { n.attr.UID, n.media.Tags = ann, []string{"named"} })
	r.f.set(closed, func(n *fakeNode) {
		n.attr.Mode, n.attr.UID, n.media.Tags, n.media.Favorites = unix.S_IFREG|0o600, ann, []string{
			"secret",
		}, []string{
			"ann",
		}
	})
	for uid, want := range map[uint32][]string{0: {"name.jpg", "closed.jpg"}, ann: {"name.jpg", "closed.jpg"}, bob: nil} {
		r.lists(uid, ".media/search/jpg", want...)
		r.lists(uid, ".media/latest", want...)
	}
	r.lists(bob, ".media/tags")
	r.lists(ann, ".media/tags", "named", "secret")
	r.lists(bob, ".media/favorites", "bob")
	for _, p := range []string{".media/tags/secret", ".media/tags/named", ".media/search/tag:secret/closed.jpg", ".media/latest/name.jpg"} {
		_, err := r.at(bob, p)
		r.kind(p, err, remote.NotExist)
	}
}
