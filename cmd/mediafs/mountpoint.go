package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"mediafs/fs/control"
	"mediafs/fs/daemon"
	"mediafs/remote"
)

// answerTimeout is how long a command waits for one answer of a daemon: it gives them from memory.
const answerTimeout = 5 * time.Second

// find looks up what is mounted on dir, or with within what dir lies in. Only the mount table, the
// list of mounts and a lock are asked: none of that waits for a daemon.
func (p *program) find(dir string, within bool) (daemon.Place, daemon.Registry, error) {
	pl, err := p.places()
	if err != nil {
		return daemon.Place{}, daemon.Registry{}, err
	}
	absolute, err := path(dir).absolute(pl.home)
	if err != nil {
		return daemon.Place{}, daemon.Registry{}, err
	}
	look := pl.registry().Locate
	if within {
		look = pl.registry().Containing
	}
	place, err := look(absolute)
	if err != nil {
		err = &exitError{exitMountPoint, err}
	}
	return place, pl.registry(), err
}

// errStalled is the cause when a flush was given up.
var errStalled = errors.New("nothing moved for too long")

// drain has the daemon upload everything and shows how it goes. It gives up when nothing has moved
// for timeout.
func (p *program) drain(ctx context.Context, c *control.Client, timeout time.Duration) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	give := time.AfterFunc(timeout, func() { cancel(errStalled) })
	defer give.Stop()
	g := newProgress(p.stderr)
	err := c.Flush(ctx, func(pending control.Pending) {
		if g.show(pending) {
			give.Reset(timeout)
		}
	})
	g.end()
	switch {
	case err == nil:
		return nil
	case errors.Is(context.Cause(ctx), errStalled) && !g.began:
		return remote.E("flush", "", remote.Unavailable, fmt.Errorf("the daemon did not answer for %s", timeout))
	case errors.Is(context.Cause(ctx), errStalled):
		return &exitError{
			exitPending, fmt.Errorf("not in the store yet: %s; nothing moved for %s", pendingText(g.seen), timeout),
		}
	case !g.seen.None() && !errors.Is(err, remote.NotExist):
		return &exitError{exitPending, fmt.Errorf("not in the store yet: %s: %w", pendingText(g.seen), err)}
	}
	return err
}
