package fuse

import (
	"sync"

	gofuse "github.com/hanwen/go-fuse/v2/fuse"
	"github.com/sirupsen/logrus"

	"mediafs/fs/vfs"
)

// announceWorkers is how many inodes are announced at once. Dropping pages waits for reads of them
// that are under way, so one slow read holds up one worker.
const announceWorkers = 4

// notifier is the part of go-fuse's server that an Announcer talks to.
type notifier interface {
	InodeNotify(node uint64, off, length int64) gofuse.Status
	EntryNotify(parent uint64, name string) gofuse.Status
}

// An Announcer tells the kernel of changes that it did not make. What is announced waits in a
// queue, where a second announcement of the same thing adds nothing; its senders never wait. Before
// a mount it forgets what it is told, for the kernel knows nothing yet, and after the mount's end
// too.
//
// It can be made before the library is opened and given to both the library and Mount.
type Announcer struct {
	log     *logrus.Entry
	workers sync.WaitGroup
	wake    sync.Cond // on mu

	mu struct {
		sync.Mutex
		kernel notifier
		closed bool
		lanes  map[vfs.ID]*lane
		queue  []vfs.ID // lanes that have something and that no worker is at
	}
}

// A lane is what is to be announced about one inode: itself, and names in it. One worker at a time
// is at it, because the kernel takes the inode's lock.
type lane struct {
	attrs bool
	data  bool
	names []string // in order
	known map[string]bool
	busy  bool
}

func (l *lane) empty() bool { return !l.attrs && !l.data && len(l.names) == 0 }

var _ vfs.Announcer = (*Announcer)(nil)

// NewAnnouncer makes one that is not attached to a kernel yet.
func NewAnnouncer() *Announcer {
	a := &Announcer{log: discard()}
	a.wake.L = &a.mu
	a.mu.lanes = make(map[vfs.ID]*lane)
	return a
}

// Node implements vfs.Announcer.
func (a *Announcer) Node(id vfs.ID, data bool) {
	a.add(id, func(l *lane) {
		l.attrs = true
		l.data = l.data || data
	})
}

// Entry implements vfs.Announcer.
func (a *Announcer) Entry(parent vfs.ID, name string) {
	a.add(parent, func(l *lane) {
		if l.known[name] {
			return
		}
		if l.known == nil {
			l.known = make(map[string]bool)
		}
		l.known[name] = true
		l.names = append(l.names, name)
	})
}

func (a *Announcer) add(id vfs.ID, change func(*lane)) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.mu.kernel == nil || a.mu.closed {
		return
	}
	l := a.mu.lanes[id]
	if l == nil {
		l = new(lane)
		a.mu.lanes[id] = l
	}
	queued := !l.empty()
	change(l)
	if !queued && !l.busy {
		a.mu.queue = append(a.mu.queue, id)
		a.wake.Signal()
	}
}

// attach starts the workers. An Announcer is attached once.
func (a *Announcer) attach(k notifier) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.mu.kernel != nil || a.mu.closed {
		return
	}
	a.mu.kernel = k
	for range announceWorkers {
		a.workers.Go(a.work)
	}
}

// close forgets what is queued and waits for the workers. A worker that waits for the kernel
// returns at the latest when the connection ends.
func (a *Announcer) close() {
	a.mu.Lock()
	a.mu.closed = true
	a.mu.queue = nil
	clear(a.mu.lanes)
	a.wake.Broadcast()
	a.mu.Unlock()
	a.workers.Wait()
}

func (a *Announcer) work() {
	a.mu.Lock()
	defer a.mu.Unlock()
	for {
		for len(a.mu.queue) == 0 && !a.mu.closed {
			a.wake.Wait()
		}
		if a.mu.closed {
			return
		}
		id := a.mu.queue[0]
		a.mu.queue = a.mu.queue[1:]
		l := a.mu.lanes[id]
		todo := *l
		*l = lane{busy: true}
		kernel := a.mu.kernel

		a.mu.Unlock()
		a.announce(kernel, id, &todo)
		a.mu.Lock()

		l.busy = false
		switch {
		case a.mu.closed:
		case l.empty():
			delete(a.mu.lanes, id)
		default:
			a.mu.queue = append(a.mu.queue, id)
			a.wake.Signal()
		}
	}
}

// announce talks to the kernel. Names come first: whoever looks at a node that was replaced finds
// the new one.
func (a *Announcer) announce(k notifier, id vfs.ID, l *lane) {
	for _, name := range l.names {
		a.check("announce name", id, k.EntryNotify(id, name))
	}
	switch {
	case l.data:
		a.check("announce content", id, k.InodeNotify(id, 0, 0)) // attributes and all pages
	case l.attrs:
		a.check("announce attributes", id, k.InodeNotify(id, -1, 0))
	}
}

// check reports what is out of the ordinary. That the kernel does not know the node or name is the
// usual case; at the end of a mount there is no connection any more.
func (a *Announcer) check(what string, id vfs.ID, st gofuse.Status) {
	switch st {
	case gofuse.OK, gofuse.ENOENT, gofuse.ENODEV, gofuse.EBADF, gofuse.Status(enotconn):
	default:
		a.log.WithField("node", id).WithField("status", st.String()).Debug(what)
	}
}
