package check

import (
	"bytes"
	"encoding/binary"
	"fmt"

	"mediafs/remote/bucket/record"
)

func beUint64(b []byte) uint64 { return binary.BigEndian.Uint64(b) }

func (s *survey) readTrash() error {
	return s.records(record.KeyTrash, func(key, value []byte) error {
		var e record.TrashEntry
		if !s.decode(key, value, 9, &e) {
			return nil
		}
		s.report.Trash++
		n := s.node(e.Node)
		what := fmt.Sprintf("trash entry %d", beUint64(key[1:]))
		switch {
		case n == nil:
			s.find.add(
				DanglingTrash, Place{Path: string(e.Name), Trash: true, Deleted: stdTime(e.Deleted)}, what,
				"node %d is not there", e.Node,
			)
		case n.trash:
			s.at(NamedTrash, e.Node, 0, what, "node %d is in the trash twice", e.Node)
		default:
			n.trash = true
		}
		return nil
	})
}

// readNames goes through all names: each leads to a node of its kind and lies in a folder. It
// counts them from both sides.
func (s *survey) readNames() error {
	var in *folder // the folder of the names that are read
	id := uint64(0)
	return s.records(record.KeyDentry, func(key, value []byte) error {
		var d record.Dentry
		if !s.decode(key, value, 0, &d) {
			return nil
		}
		if len(key) < 9 {
			s.find.add(
				BadRecord, Place{}, fmt.Sprintf("record %q", key), "its key has %d bytes, a name's has more than 9",
				len(key),
			)
			return nil
		}
		name := key[9:]
		if f := beUint64(key[1:]); f != id {
			id, in = f, s.folder(f)
			if in == nil {
				s.strays[id] = true
				why := "it is no folder"
				if s.node(id) == nil {
					why = "it is not there"
				}
				s.at(StrayNames, id, 0, fmt.Sprintf("folder %d", id), "%s, and %q lies in it", why, name)
			}
		}
		if in != nil {
			in.names++
			if d.Kind == kindFolder {
				in.folders++
			}
		}
		what := fmt.Sprintf("the name %q in folder %d", name, id)
		if why := illegal(name); why != "" {
			s.at(IllegalName, id, 0, what, "%s", why)
		}
		n := s.node(d.Node)
		if n == nil {
			s.dangling[d.Node] = true
			if i := s.find.add(DanglingName, Place{Path: string(name)}, what, "node %d is not there", d.Node); i >= 0 {
				s.pending = append(s.pending, pending{finding: i, node: id})
			}
			return nil
		}
		n.names++
		if uint32(n.kind) != d.Kind {
			s.at(WrongKind, d.Node, 0, what, "the name says type %d, node %d is of type %d", d.Kind, d.Node, n.kind)
		}
		if f := s.folder(d.Node); f != nil && n.names == 1 {
			f.parent = id
		}
		return nil
	})
}

func illegal(name []byte) string {
	switch {
	case len(name) == 0:
		return "it is empty"
	case len(name) > record.MaxName:
		return fmt.Sprintf("it has %d bytes, at most %d are allowed", len(name), record.MaxName)
	case bytes.ContainsAny(name, "/\x00"):
		return "it has a slash or a zero byte in it"
	case string(name) == "." || string(name) == "..":
		return "every folder has it already"
	}
	return ""
}

// checkTree: every node can be reached from the root, folders by exactly one name.
func (s *survey) checkTree() error {
	if len(s.nodes) > 0 && s.folder(record.Root) == nil {
		s.find.add(StrayNames, Place{Path: "/"}, "folder 1", "the root is not there, or no folder")
	}
	for i := range s.nodes {
		n := &s.nodes[i]
		what := fmt.Sprintf("node %d", n.id)
		switch {
		case n.id == record.Root && n.names > 0:
			s.at(Cycle, n.id, 0, what, "the root has a name in a folder")
		case n.id == record.Root:
		case n.names == 0 && !n.trash:
			s.at(LostNode, n.id, 0, what, "it has no name and is not in the trash")
		case n.names > 0 && n.trash:
			s.at(NamedTrash, n.id, 0, what, "it is in the trash and has %d names", n.names)
		case n.kind == kindFolder && n.names > 1:
			s.at(SeveralNames, n.id, 0, what, "it has %d", n.names)
		}
	}
	s.findCycles()
	return s.ctx.Err()
}

// findCycles follows each folder upwards. A folder without a parent ends the way: it is the root,
// or was found before.
func (s *survey) findCycles() {
	const (
		unseen = iota
		above  // on the way that is followed now
		done
	)
	state := make([]uint8, len(s.folders))
	index := func(f *folder) int { // of a pointer into the slice
		lo, hi := 0, len(s.folders)
		for lo < hi {
			if m := (lo + hi) / 2; s.folders[m].id < f.id {
				lo = m + 1
			} else {
				hi = m
			}
		}
		return lo
	}
	var way []int
	for i := range s.folders {
		way = way[:0]
		for at := i; state[at] != done; {
			if state[at] == above {
				f := s.folders[at]
				s.at(Cycle, f.id, 0, fmt.Sprintf("folder %d", f.id), "it lies in itself")
				break
			}
			state[at] = above
			way = append(way, at)
			up := s.folder(s.folders[at].parent)
			if up == nil || s.folders[at].id == record.Root {
				break
			}
			at = index(up)
		}
		for _, at := range way {
			state[at] = done
		}
	}
}

// checkCounters compares what the catalog counts with what was counted here.
func (s *survey) checkCounters() error {
	err := s.records(record.KeyLinks, func(key, value []byte) error {
		if len(key) != 9 {
			s.find.add(BadRecord, Place{}, fmt.Sprintf("record %q", key), "its key has %d bytes, not 9", len(key))
			return nil
		}
		var have uint64
		record.DecodeCounters(value, &have)
		id := beUint64(key[1:])
		n := s.node(id)
		switch {
		case n == nil && s.dangling[id]: // the name is the fault
		case n == nil:
			s.find.add(
				WrongCounter, Place{}, fmt.Sprintf("names of node %d", id),
				"the catalog counts %d, and there is no such node", have,
			)
		default:
			n.noted = true
			s.compare(id, fmt.Sprintf("names of node %d", id), have, uint64(n.names))
		}
		return nil
	})
	if err != nil {
		return err
	}
	for _, n := range s.nodes {
		if !n.noted {
			s.compare(n.id, fmt.Sprintf("names of node %d", n.id), 0, uint64(n.names))
		}
	}
	if err := s.checkCounts(); err != nil {
		return err
	}
	have := s.tx.Usage()
	for _, c := range []struct {
		what       string
		have, want uint64
	}{
		{"nodes", have.Nodes, s.usage.Nodes}, {"bytes of heads", have.Live, s.usage.Live},
		{"bytes of versions", have.Versions, s.usage.Versions}, {"bytes of contents", have.Contents, s.usage.Contents},
	} {
		s.compare(0, c.what+" in the library", c.have, c.want)
	}
	return s.tx.Err()
}

func (s *survey) compare(node uint64, what string, have, want uint64) {
	if have != want {
		s.at(WrongCounter, node, 0, what, "the catalog counts %d, there are %d", have, want)
	}
}

// checkCounts compares the counters of folders; they are merged with the folders, both ascend.
func (s *survey) checkCounts() error {
	i := 0
	absent := func(to uint64) {
		for ; i < len(s.folders) && s.folders[i].id < to; i++ {
			f := s.folders[i]
			s.compare(f.id, fmt.Sprintf("names in folder %d", f.id), 0, uint64(f.names))
		}
	}
	err := s.records(record.KeyCounts, func(key, value []byte) error {
		if len(key) != 9 {
			s.find.add(BadRecord, Place{}, fmt.Sprintf("record %q", key), "its key has %d bytes, not 9", len(key))
			return nil
		}
		id := beUint64(key[1:])
		var have record.Counts
		record.DecodeCounters(value, &have.Children, &have.Folders)
		absent(id)
		switch {
		case i < len(s.folders) && s.folders[i].id == id:
			f := s.folders[i]
			s.compare(id, fmt.Sprintf("names in folder %d", id), have.Children, uint64(f.names))
			s.compare(id, fmt.Sprintf("folders in folder %d", id), have.Folders, uint64(f.folders))
			i++
		case !s.strays[id]:
			s.find.add(
				WrongCounter, Place{}, fmt.Sprintf("names in folder %d", id),
				"the catalog counts %d, and there is no such folder", have.Children,
			)
		}
		return nil
	})
	if err == nil {
		absent(1<<64 - 1)
	}
	return err
}

// checkOwners notes records that belong to nothing, and those that this program does not know.
func (s *survey) checkOwners() error {
	for _, m := range s.media {
		if m.node == 0 {
			c, what := OrphanRecord, fmt.Sprintf("what was said of media %x", m.id)
			if m.versions > 0 {
				c, what = OrphanVersion, fmt.Sprintf("%d versions of media %x", m.versions, m.id)
			}
			s.find.add(c, Place{}, what, "no node holds the media")
		}
	}
	gone := uint64(0)
	err := s.records(record.KeyXattr, func(key, _ []byte) error {
		id, name, ok := record.NumberOf(key)
		if !ok {
			s.find.add(
				BadRecord, Place{}, fmt.Sprintf("record %q", key),
				"its key has %d bytes, an attribute's has more than 9", len(key),
			)
			return nil
		}
		if id != gone && s.node(id) == nil {
			gone = id
			s.find.add(OrphanRecord, Place{}, fmt.Sprintf("attribute %q of node %d", name, id), "the node is not there")
		}
		return nil
	})
	if err != nil {
		return err
	}
	known := []byte{
		record.KeyNode, record.KeyDentry, record.KeyXattr, record.KeyContent, record.KeyVersion, record.KeyTrash,
		record.KeyClient, record.KeySetting, record.KeyFeature, record.KeyMedia, record.KeyAttached, record.KeyFacts,
		record.KeyEnded, record.KeyCondemned, record.KeyCounts, record.KeyLinks, record.KeyUsage,
	}
	for letter := range 256 {
		if bytes.IndexByte(known, byte(letter)) >= 0 {
			continue
		}
		n := 0
		err := s.records(byte(letter), func(_, _ []byte) error { n++; return nil })
		if err != nil {
			return err
		}
		if n > 0 {
			s.find.add(
				UnknownRecord, Place{}, fmt.Sprintf("%d records of letter %q", n, rune(letter)),
				"this version does not know the letter",
			)
		}
	}
	return nil
}
