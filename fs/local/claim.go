package local

import (
	"context"
	"slices"
	"sync"

	"mediafs/fs/vfs"
	"mediafs/remote"
)

// claims let one caller at a time change which droppings a folder has, or remove the folder: so
// none is made in a folder that is just found empty. A claim is held across calls of the inner
// library, and nobody waits for one but who changes droppings of that same folder; the lock of the
// Library never is.
type claims struct {
	mu   sync.Mutex
	held map[vfs.ID]*claim
}

type claim struct {
	token chan struct{} // full: somebody has the claim
	users int           // who has it or waits
}

// take claims folders, in the order of their numbers so that no two callers wait for each other. It
// gives up when ctx ends.
func (c *claims) take(ctx context.Context, op string, folders ...vfs.ID) (release func(), err error) {
	slices.Sort(folders)
	folders = slices.Compact(folders)
	for i, id := range folders {
		if err := c.one(ctx, op, id); err != nil {
			c.release(folders[:i])
			return nil, err
		}
	}
	return func() { c.release(folders) }, nil
}

func (c *claims) one(ctx context.Context, op string, id vfs.ID) error {
	c.mu.Lock()
	if c.held == nil {
		c.held = make(map[vfs.ID]*claim)
	}
	cl := c.held[id]
	if cl == nil {
		cl = &claim{token: make(chan struct{}, 1)}
		c.held[id] = cl
	}
	cl.users++
	c.mu.Unlock()
	select {
	case cl.token <- struct{}{}:
		return nil
	default:
	}
	select {
	case cl.token <- struct{}{}:
		return nil
	case <-ctx.Done():
		c.leave(id, cl)
		return remote.E(op, "", remote.KindOf(ctx.Err()), ctx.Err())
	}
}

func (c *claims) release(folders []vfs.ID) {
	for _, id := range folders {
		c.mu.Lock()
		cl := c.held[id]
		c.mu.Unlock()
		<-cl.token
		c.leave(id, cl)
	}
}

func (c *claims) leave(id vfs.ID, cl *claim) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if cl.users--; cl.users == 0 {
		delete(c.held, id)
	}
}
