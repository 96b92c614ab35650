package view

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"mediafs/fs/vfs"
	"mediafs/remote/bucket/record"
)

// A trashList is what the trash holds, read at once and believed until something is deleted or
// restored through this Library, or for the time that the options say: what other machines and the
// retention do shows that late.
//
// It also keeps the names that programs chose for what they moved into the trash. They last as long
// as the mount: afterwards an entry has the name that it had in its folder, with the entry's number
// where there are several.
type trashList struct {
	generation atomic.Uint64 // grows with every change

	mu     sync.Mutex // guards what is below; held while the trash is read
	now    *trashed
	chosen map[uint64]choice // entry → name
}

// A choice is a name that somebody gave to an entry, and the generation from which on the entry is
// in the trash.
type choice struct {
	name  string
	since uint64
}

// changed says that the list may not hold any more.
func (t *trashList) changed() { t.generation.Add(1) }

// left says that one entry is no longer there. Nothing is read again for that, unless another gets
// its name: emptying a trash of thousands takes time by their number, and not by its square.
func (t *trashList) left(e vfs.TrashEntry) {
	t.mu.Lock()
	n := t.now
	t.mu.Unlock()
	if n == nil {
		return
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.gone == nil {
		n.gone, n.named = make(map[uint64]bool), make(map[string]int)
		for _, e := range n.entries {
			n.named[e.Name]++
		}
	}
	n.gone[e.Entry] = true
	if n.named[e.Name] > 1 {
		t.changed()
	}
}

// choose keeps a name for an entry.
func (t *trashList) choose(entry uint64, name string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.chosen == nil {
		t.chosen = make(map[uint64]choice)
	}
	t.chosen[entry] = choice{name, t.generation.Add(1)}
}

// A trashed is the trash at one time.
type trashed struct {
	generation uint64
	read       time.Time
	entries    []vfs.TrashEntry // ascending by number
	chosen     map[uint64]string

	mu    sync.Mutex // guards what is below
	shown map[audience]*shown
	gone  map[uint64]bool // entries that were deleted or restored since
	named map[string]int  // how many entries have a name; filled with gone
}

// has tells whether an entry is still in the trash, as far as this process knows.
func (n *trashed) has(entry uint64) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return !n.gone[entry]
}

// An audience is for whom the trash is shown.
type audience struct {
	desktop bool // only what the user deleted, with names that leave room for .trashinfo
	root    bool // everything
	uid     uint32
}

// A shown is the trash as one audience has it.
type shown struct {
	of      *trashed
	entries []vfs.TrashEntry
	names   []string
	byName  map[string]int
}

func (l *Library) trashNow(ctx context.Context) (*trashed, error) {
	t := &l.trash
	t.mu.Lock()
	defer t.mu.Unlock()
	g, now := t.generation.Load(), l.opt.Now()
	if n := t.now; n != nil && n.generation == g && now.Sub(n.read) < l.opt.TrashAge && !now.Before(n.read) {
		return n, nil
	}
	n := &trashed{generation: g, read: now, shown: make(map[audience]*shown), chosen: make(map[uint64]string)}
	err := l.TrashEntries(ctx, func(e vfs.TrashEntry) bool {
		n.entries = append(n.entries, e)
		return true
	})
	if err != nil {
		return nil, err
	}
	slices.SortFunc(n.entries, func(a, b vfs.TrashEntry) int {
		if a.Entry < b.Entry {
			return -1
		}
		return 1
	})
	there := make(map[uint64]bool, len(t.chosen))
	for _, e := range n.entries {
		if c, ok := t.chosen[e.Entry]; ok {
			n.chosen[e.Entry], there[e.Entry] = c.name, true
		}
	}
	for e, c := range t.chosen {
		if !there[e] && c.since <= g {
			delete(t.chosen, e)
		}
	}
	t.now = n
	return n, nil
}

// to gives what an audience is shown, with the names: those that were chosen, then the original
// ones, of which the lowest entry has a name plain.
func (n *trashed) to(a audience) *shown {
	n.mu.Lock()
	defer n.mu.Unlock()
	if s := n.shown[a]; s != nil {
		return s
	}
	s := &shown{of: n, byName: make(map[string]int)}
	for _, e := range n.entries {
		if a.root || e.UID == a.uid || !a.desktop && e.Attr.UID == a.uid {
			s.entries = append(s.entries, e)
		}
	}
	s.names = make([]string, len(s.entries))
	for i, e := range s.entries {
		c, ok := n.chosen[e.Entry]
		if _, taken := s.byName[c]; ok && !taken {
			s.names[i], s.byName[c] = c, i
		}
	}
	limit := a.limit()
	for i, e := range s.entries {
		if s.names[i] != "" {
			continue
		}
		name := e.Name
		_, taken := s.byName[name]
		if _, like := suffix(name); taken || like || len(name) > limit || !entryName(name) {
			name = suffixedTo(name, e.Entry, limit)
		}
		s.names[i], s.byName[name] = name, i
	}
	n.shown[a] = s
	return s
}

func (a audience) limit() int {
	if a.desktop {
		return record.MaxName - len(infoEnding)
	}
	return record.MaxName
}

// find gives the entry with a name, also under the spelling with its number.
func (s *shown) find(a audience, name string) (vfs.TrashEntry, bool) {
	if i, ok := s.byName[name]; ok {
		return s.entries[i], true
	}
	if n, ok := suffix(name); ok {
		i, ok := slices.BinarySearchFunc(s.entries, n, func(e vfs.TrashEntry, n uint64) int {
			switch {
			case e.Entry < n:
				return -1
			case e.Entry > n:
				return 1
			}
			return 0
		})
		if ok && suffixedTo(s.entries[i].Name, n, a.limit()) == name {
			return s.entries[i], true
		}
	}
	return vfs.TrashEntry{}, false
}
