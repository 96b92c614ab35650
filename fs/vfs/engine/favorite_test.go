package engine_test

import (
	"errors"
	"testing"

	"mediafs/fs/vfs"
	"mediafs/fs/vfs/engine"
	"mediafs/remote"
	"mediafs/remote/object/mem"
)

// Who may write a file likes it for himself, and not for others.
func TestFavoriteOfAnother(t *testing.T) {
	s := openMachine(t, mem.New(mem.Options{}), t.TempDir()).with(t)
	defer s.Close()
	s.write("a", "bytes")
	id := s.stat("a").ID
	if err := s.SetXattr(bg, vfs.Caller{UID: 4242}, id, "user.media.favorite", []byte("alice"), 0); !errors.Is(
		err, remote.Permission,
	) {
		t.Errorf("for alice: %v; favourites %q", err, s.whole("a").Favorites)
	}
	s.ok(s.SetXattr(bg, vfs.Caller{UID: 4242}, id, "user.media.favorite", []byte(engine.UserName(4242)), 0))
	s.ok(s.SetXattr(bg, vfs.Caller{UID: 0}, id, "user.media.favorite", []byte("alice"), 0))
}
