package operation

import (
	"bytes"

	"mediafs/cache/catalog"
	"mediafs/fs/vfs"
	"mediafs/remote/bucket/record"
)

// LivesOn tells whether a media that was node's went over to another node by a rename. That leaves
// a version, of which the newest stays for as long as the media does, and a media that ends takes
// all its versions along.
func LivesOn(tx *catalog.Tx, media []byte, node vfs.ID) bool {
	if len(media) == 0 {
		return false
	}
	if n := tx.Node(node); n != nil && !tx.Orphan(node) && bytes.Equal(n.MediaId, media) {
		return false
	}
	k, _ := tx.Last(record.VersionPrefix(media))
	return k != nil
}
