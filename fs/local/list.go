package local

import (
	"cmp"
	"slices"

	"mediafs/fs/vfs"
)

// Places of droppings in a listing lie behind ".." and before the first of the inner library.
const (
	firstPlace = 3
	endPlaces  = vfs.FirstCookie
)

// An entry is one name of a folder.
type entry struct {
	name  string
	ino   uint64 // of the real file
	place uint64 // cookie in listings; the name's own as long as it is there, whatever is renamed over it
	gone  bool   // it was removed, and only its place is left
}

// A list is the droppings of one folder in the order of their places, which is that of their
// making. The zero value is not ready: newList.
type list struct {
	names map[string]*entry
	order []*entry // ascending places
	gone  int      // how many of order were removed
	next  uint64   // place of the next new name
	end   uint64   // places are below
}

func newList(end uint64) *list {
	return &list{names: make(map[string]*entry), next: firstPlace, end: end}
}

// full tells that no other name has room.
func (l *list) full() bool { return uint64(len(l.names)) >= l.end-firstPlace }

// set makes name mean the file ino. l is not full, or the name is there.
func (l *list) set(name string, ino uint64) {
	if e := l.names[name]; e != nil {
		e.ino = ino
		return
	}
	if l.next == l.end {
		// Every place was used once: they are dealt out anew, and a listing under way may miss
		// some. That is once in a million names.
		l.compact()
		l.next = firstPlace
		for _, e := range l.order {
			e.place = l.next
			l.next++
		}
	}
	e := &entry{name: name, ino: ino, place: l.next}
	l.next++
	l.names[name] = e
	l.order = append(l.order, e)
}

func (l *list) remove(name string) {
	e := l.names[name]
	if e == nil {
		return
	}
	delete(l.names, name)
	e.gone = true
	if l.gone++; l.gone > 32 && l.gone > len(l.names) {
		l.compact()
	}
}

func (l *list) compact() {
	l.order = slices.DeleteFunc(l.order, func(e *entry) bool { return e.gone })
	l.gone = 0
}

// after gives up to max entries whose places are greater than place and below end.
func (l *list) after(place, end uint64, max int) (some []entry) {
	i, _ := slices.BinarySearchFunc(l.order, place+1, func(e *entry, at uint64) int { return cmp.Compare(e.place, at) })
	for _, e := range l.order[i:] {
		if e.place >= end || len(some) == max {
			break
		}
		if !e.gone {
			some = append(some, *e)
		}
	}
	return some
}
