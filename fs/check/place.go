package check

import (
	"slices"
	"strings"
	"time"

	"google.golang.org/protobuf/proto"

	"mediafs/cache/catalog"
	"mediafs/remote/bucket/record"
)

func stdTime(t *record.Time) time.Time { return time.Unix(t.GetSeconds(), int64(t.GetNanos())) }

// maxDepth ends a way upwards that leads in a circle.
const maxDepth = 10000

// pathOf gives the path of a node by its first name, how many further names it has, and the node at
// which the way up ended: the root, or the first without a name, to which the path is relative.
func pathOf(tx *catalog.Tx, id uint64) (path string, further int, top uint64) {
	var names []string
	at := id
	for len(names) < maxDepth && at != record.Root {
		first, n := catalog.Name{}, 0
		for name := range tx.Names(at) {
			if n++; n == 1 {
				first = name
			}
		}
		if n == 0 {
			break
		}
		if at == id {
			further = n - 1
		}
		names = append(names, first.Name)
		at = first.Folder
	}
	slices.Reverse(names)
	path = strings.Join(names, "/")
	if at == record.Root {
		path = "/" + path
	}
	return path, further, at
}

// placesOf says where nodes are. Those in the trash cost one pass over it, however many they are.
func placesOf(tx *catalog.Tx, ids []uint64) (map[uint64]Place, error) {
	places := make(map[uint64]Place)
	nameless := make(map[uint64][]uint64) // top of the way → nodes below it
	for _, id := range ids {
		if _, known := places[id]; known || id == 0 {
			continue
		}
		path, further, top := pathOf(tx, id)
		places[id] = Place{Path: path, Node: id, Names: further}
		if top != record.Root {
			nameless[top] = append(nameless[top], id)
		}
	}
	if len(nameless) == 0 {
		return places, tx.Err()
	}
	for _, v := range tx.Records([]byte{record.KeyTrash}) {
		var e record.TrashEntry
		if proto.Unmarshal(v, &e) != nil {
			continue
		}
		for _, id := range nameless[e.Node] {
			p := places[id]
			p.Trash, p.Deleted = true, stdTime(e.Deleted)
			p.Path = below(folderPath(tx, e.Parent), strings.TrimSuffix(string(e.Name)+"/"+p.Path, "/"))
			places[id] = p
		}
		delete(nameless, e.Node)
	}
	return places, tx.Err()
}

// folderPath is the path of a folder, "…" at its beginning when it is no longer there or in the
// trash itself.
func folderPath(tx *catalog.Tx, id uint64) string {
	path, _, top := pathOf(tx, id)
	if top != record.Root {
		path = strings.TrimSuffix("…/"+path, "/")
	}
	return path
}

func below(folder, name string) string { return strings.TrimSuffix(folder, "/") + "/" + name }

// placePending fills in the places of the findings that were made while the catalog was read.
func (s *survey) placePending() error {
	var ids []uint64
	for i := range s.pending {
		p := &s.pending[i]
		if m := search(s.media, p.media); p.node == 0 && m != nil {
			p.node = m.node
		}
		ids = append(ids, p.node)
	}
	places, err := placesOf(s.tx, ids)
	for _, p := range s.pending {
		f := &s.report.Findings[p.finding]
		place := places[p.node]
		if f.Place.Path != "" { // a name in the folder that is looked up
			place = Place{Path: below(place.Path, f.Place.Path)}
		}
		place.Version = p.version
		f.Place = place
	}
	s.pending = nil
	return err
}
