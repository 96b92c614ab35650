package catalog

import (
	"context"
	"sync/atomic"
)

// Progress is how far Open has brought the catalog to the store's state.
type Progress struct {
	Bytes, AllBytes     int64  // of the newest checkpoint's records; AllBytes is 0 where none is loaded
	Commits, AllCommits uint64 // of the log; AllCommits is about what there are, 0: not known
}

// progress tells Options.Progress of it.
func (c *Catalog) progress(p Progress) {
	if c.opt.Progress != nil && !c.mounted {
		c.opt.Progress(p)
	}
}

// A newester is a log that tells cheaply where about it ends.
type newester interface {
	// Newest is the number of a commit that is there, at least after, and about the newest.
	Newest(ctx context.Context, after uint64) (uint64, error)
}

// countAfter is how many commits are read before it is worth asking how many there are.
const countAfter = 200

// A logProgress tells of the reading of a log.
type logProgress struct {
	c      *Catalog
	first  uint64 // applied before
	newest atomic.Uint64
	stop   context.CancelFunc
}

// read tells that the log was applied up to a commit.
func (p *logProgress) read(ctx context.Context, applied uint64) {
	c := p.c
	if c.opt.Progress == nil || c.mounted {
		return
	}
	n := applied - p.first
	log, ok := c.store.(newester)
	if n >= countAfter && p.stop == nil && ok {
		ctx, p.stop = context.WithCancel(ctx)
		go func() { // while the log is read on; it fails with what fails that
			if newest, err := log.Newest(ctx, applied); err == nil {
				p.newest.Store(newest)
			}
		}()
	}
	all := uint64(0)
	if newest := p.newest.Load(); newest > 0 {
		all = max(newest, applied) - p.first
	}
	c.progress(Progress{Commits: n, AllCommits: all})
}

func (p *logProgress) end() {
	if p.stop != nil {
		p.stop()
	}
}
