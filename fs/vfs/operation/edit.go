package operation

import (
	"encoding/binary"
	"errors"
	"fmt"

	"mediafs/cache/catalog"
	"mediafs/fs/media"
	"mediafs/fs/vfs/intent"
	"mediafs/remote"
	"mediafs/remote/bucket/record"
)

func runEditMedia(tx *catalog.Tx, in *intent.Intent) error {
	n := tx.Node(in.Node)
	if n == nil || tx.Orphan(in.Node) {
		if tx.Late() && LivesOn(tx, in.MediaId, in.Node) {
			return say(tx, in, in.MediaId, nil) // another node holds the media now
		}
		return Missing(tx, "edit", in.Node)
	}
	if len(n.MediaId) == 0 {
		return remote.E(
			"edit", fmt.Sprint(in.Node), remote.Unsupported, errors.New("only media have titles, tags and the like"),
		)
	}
	if err := say(tx, in, n.MediaId, FactsOf(tx, in.Node, n)); err != nil {
		return err
	}
	n.Ctime = in.Time
	tx.Store(record.NodeKey(in.Node), n)
	return nil
}

// say changes what is said of a media.
func say(tx *catalog.Tx, in *intent.Intent, id []byte, facts *record.Facts) error {
	key := record.MediaKey(id)
	m := new(record.Media)
	tx.Load(key, m)
	edits, attached, err := unseenEdits(tx, in, id)
	if err != nil {
		return err
	}
	if err := media.Apply(m, in.Time, media.OverFacts(m, facts, edits)); err != nil {
		return err
	}
	for _, a := range attached {
		attach(tx, id, m, a)
	}
	if media.Empty(m) {
		if tx.Get(key) != nil {
			tx.Delete(key)
		}
	} else {
		tx.Store(key, m)
	}
	return nil
}

// attach puts something to a media or takes it off. A new comment or link gets its number here,
// where nobody else takes the same.
func attach(tx *catalog.Tx, id []byte, m *record.Media, in *intent.Attached) {
	a := media.Attachment{Kind: byte(in.Kind), Which: in.Which, Value: in.Value, Remove: in.Remove}
	a.Number(m)
	if a.Kind == record.AttachedLink && len(a.Which) == 0 {
		n := uint64(1)
		if k, _ := tx.Last(record.AttachedKey(id, a.Kind)); len(k) == 1+len(id)+1+8 {
			n = binary.BigEndian.Uint64(k[len(k)-8:]) + 1
		}
		a.Which = binary.BigEndian.AppendUint64(nil, n)
	}
	key := record.AttachedKey(id, a.Kind, a.Which...)
	if !a.Remove {
		tx.Put(key, a.Value)
	} else if tx.Get(key) != nil {
		tx.Delete(key)
	}
}
