package daemon

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"mediafs/fs/control"
	"mediafs/fs/transfer"
	"mediafs/fs/vfs"
	"mediafs/remote"
)

// A Library is a library that is open in this process and not mounted, for one command that asks
// about its media or imports some. It has the catalog directory to itself as a daemon does.
type Library struct {
	opt  Options
	lock *control.Lock
	p    *parts
}

// OpenLibrary opens a library without mounting it. Options are those of Open, of which Dir and what
// belongs to the kernel do not count. No library is made where there is none: NotExist, or
// ErrForeign. Busy: a daemon, or another command, has the catalog directory; Dial may reach the
// first.
func OpenLibrary(ctx context.Context, opt Options) (*Library, error) {
	opt = opt.withDefaults()
	opt.existing, opt.NoFacts = true, true
	// How long the trash is kept is for the mount to say: nothing in it is too old for a command,
	// and what the command deletes goes there.
	opt.Trash, opt.NoTrash = 100*365*24*time.Hour, false
	if err := opt.CheckPlaces(); err != nil {
		return nil, err
	}
	made := &madeDirs{}
	lock, err := claimDirs(ctx, opt, made)
	if err != nil {
		made.undo(opt.CatalogDir)
		return nil, err
	}
	p, _, err := openParts(ctx, opt)
	if err != nil {
		err = errors.Join(err, lock.Close())
		made.undo(opt.CatalogDir)
		return nil, err
	}
	return &Library{opt: opt, lock: lock, p: p}, nil
}

// Media carries out a request in the name of the user of this process, as control.Client.Media does
// through a daemon.
func (l *Library) Media(
	ctx context.Context, verb string, r control.MediaRequest, each func(control.MediaAnswer) error,
) error {
	me := vfs.Caller{UID: uint32(os.Geteuid()), GID: uint32(os.Getegid()), PID: uint32(os.Getpid())}
	return (&control.Media{Library: l.p.media(), Now: time.Now}).Answer(ctx, me, verb, &r, each)
}

// ImportObjects takes objects into the library, as transfer.ApplyObjects has it.
func (l *Library) ImportObjects(ctx context.Context, b transfer.ObjectsBatch) (transfer.ObjectsResult, error) {
	return l.p.ImportObjects(ctx, b)
}

// ImportRecords edits media, as transfer.ApplyRecords has it.
func (l *Library) ImportRecords(ctx context.Context, b transfer.RecordsBatch) (transfer.RecordsResult, error) {
	return l.p.ImportRecords(ctx, b)
}

// Flush returns when everything that was changed before, in an earlier mount too, is in the store.
func (l *Library) Flush(ctx context.Context) error { return l.p.flush(ctx) }

// Close brings what was changed, and what an earlier mount left, into the store for at most
// Options.StopTimeout, and closes everything. ErrPending: the rest is kept for the next mount.
func (l *Library) Close() error {
	ctx, cancel := context.WithTimeout(context.Background(), l.opt.StopTimeout)
	defer cancel()
	err := l.p.close(ctx)
	var last control.Status
	l.p.describe(&last)
	if !last.Pending.None() {
		err = remote.E(
			"close",
			l.opt.Store,
			remote.Unavailable,
			fmt.Errorf("%w: %d files (%d bytes) and %d changes are kept in %s",
				ErrPending, last.Pending.Files, last.Pending.Bytes, last.Pending.Operations, l.opt.CatalogDir),
		)
	}
	return errors.Join(err, l.lock.Close())
}
