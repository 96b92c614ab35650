package local

import (
	"context"
	"maps"
	"sync"

	"mediafs/fs/vfs"
)

// The kernel knows a file by an id for as long as it has references on it, and goes on with that id
// when the file has crossed the border. So both kinds of ids may mean something on the other side
// for a while: a dropping's a file of the inner library (Library.entered), and an inner file's a
// dropping (Library.left).

// entered gives the node of the inner library that a dropping has become; 0 when it has not.
func (n *node) entered() vfs.ID { return n.inner.Load() }

// at gives the id by which what the kernel knows as id is known now.
func (l *Library) at(id vfs.ID) vfs.ID {
	if l.moved.Load() == 0 {
		return id
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if local(id) {
		if n := l.nodes[id]; n != nil && n.entered() != 0 {
			return n.entered()
		}
	} else if n := l.left[id]; n != nil {
		return n.id
	}
	return id
}

// known turns a reference that the inner library gave into one on the id by which the kernel knows
// the file already.
func (l *Library) known(a *vfs.Attr) {
	if l.moved.Load() == 0 {
		return
	}
	l.mu.Lock()
	n := l.entered[a.ID]
	if n != nil {
		n.lookups++
	}
	l.mu.Unlock()
	if n != nil {
		l.inner.Forget(a.ID, 1)
		a.ID = n.id
	}
}

// letGo ends that a dropping which is in the inner library is known by its old id; the caller gives
// the reference back that this had. mu is held.
func (l *Library) letGo(n *node) {
	if id := n.entered(); id != 0 && l.entered[id] == n {
		delete(l.entered, id)
		l.moved.Add(-1)
		l.forgets = append(l.forgets, id)
	}
}

// unlock gives mu back, and then references of the inner library, for which it must not be held.
func (l *Library) unlock() {
	forgets := l.forgets
	l.forgets = nil
	l.mu.Unlock()
	for _, id := range forgets {
		l.inner.Forget(id, 1)
	}
}

// forgotten looks which files of the inner library that left it are still known by their ids. Such
// a file has no name any more, so it ends with the last reference and the last upload of it.
func (l *Library) forgotten() {
	if l.moved.Load() == 0 {
		return
	}
	l.mu.Lock()
	left := maps.Clone(l.left)
	l.mu.Unlock()
	for id, n := range left {
		l.forgottenOne(id, n)
	}
}

func (l *Library) forgottenOne(id vfs.ID, n *node) {
	if a, err := l.inner.GetAttr(context.Background(), id); err == nil && a.Nlink == 0 {
		return
	}
	l.mu.Lock()
	if l.left[id] == n {
		delete(l.left, id)
		l.moved.Add(-1)
		n.lookups--
		l.settle(n)
	}
	l.unlock()
}

// Announcer passes on what the inner library announces, also under the ids by which the kernel
// knows what it means.
func (l *Library) Announcer(to vfs.Announcer) vfs.Announcer { return announcer{l, to} }

type announcer struct {
	l  *Library
	to vfs.Announcer
}

func (a announcer) Entry(parent vfs.ID, name string) { a.to.Entry(parent, name) }

func (a announcer) Node(id vfs.ID, data bool) {
	a.to.Node(id, data)
	if a.l.moved.Load() == 0 {
		return
	}
	a.l.mu.Lock()
	n := a.l.entered[id]
	a.l.mu.Unlock()
	if n != nil {
		a.to.Node(n.id, data)
	}
}

// opens are the opens of inner files that run, by id. One that is about to leave the inner library
// waits for none and lets none begin.
type opens struct {
	mu      sync.Mutex
	running map[vfs.ID]int
	stopped map[vfs.ID]chan struct{}
}

// begin waits until nothing stops an open.
func (o *opens) begin(id vfs.ID) {
	o.mu.Lock()
	for o.stopped[id] != nil {
		over := o.stopped[id]
		o.mu.Unlock()
		<-over // some reads of the spool and an unlink
		o.mu.Lock()
	}
	if o.running == nil {
		o.running = make(map[vfs.ID]int)
	}
	o.running[id]++
	o.mu.Unlock()
}

func (o *opens) end(id vfs.ID) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.running[id]--; o.running[id] == 0 {
		delete(o.running, id)
	}
}

// stop holds up opens until release; ok is false while one runs.
func (o *opens) stop(id vfs.ID) (release func(), ok bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.running[id] > 0 || o.stopped[id] != nil {
		return nil, false
	}
	if o.stopped == nil {
		o.stopped = make(map[vfs.ID]chan struct{})
	}
	over := make(chan struct{})
	o.stopped[id] = over
	return func() {
		o.mu.Lock()
		defer o.mu.Unlock()
		delete(o.stopped, id)
		close(over)
	}, true
}
