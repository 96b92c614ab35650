package engine

import (
	"context"
	"errors"
	"fmt"
	"time"

	"google.golang.org/protobuf/proto"

	"mediafs/cache/catalog"
	"mediafs/fs/vfs/intent"
	"mediafs/fs/vfs/operation"
	"mediafs/remote"
	"mediafs/remote/bucket/record"
)

// Changes of attributes that are deferred (catalog.Defer). A program that copies a file sets its
// times, owner, mode and attributes one by one, before the close or right after it. Each of them on
// its own would wait for a commit. They are about a node that this machine has just made, so that
// nobody else knows it yet, and decide no race; so they show here at once and go to the log with
// the head that the close sets, with any other change that is waited for, or a second later. close
// and fsync wait for them, and tell when one of them could not be made.

// deferFor is how long after a node was made here, or its bytes came into the store, its attributes
// are deferred: archivers set those of a folder when all is in it.
const deferFor = time.Minute

// orphans is what changes a node without a name: the catalog, or a transaction of it.
type orphans interface {
	ChangeOrphan(id uint64, fn func(n *record.Node)) error
	ChangeOrphanXattrs(id uint64, fn func(n *record.Node, xattrs map[string]*record.Xattr) error) error
}

// doAttributes runs an intent that changes attributes of a node, deferred when the node is being
// written or has just been made. orphan does the same for a node without a name; nil: it is an
// error.
func (fs *FS) doAttributes(ctx context.Context, in *intent.Intent, orphan func(o orphans) error) error {
	ino := fs.hold(in.Node)
	defer fs.release(ino)
	if !fs.defers(ino, in) {
		return fs.doNow(ctx, in, orphan)
	}
	b, err := proto.Marshal(in)
	if err != nil {
		return remote.E("encode operation", "", remote.Invalid, err)
	}
	number, err := fs.cat.Defer(
		ctx, b, func(tx *catalog.Tx) error { return operation.Run(tx, in, new(operation.Result)) },
		func(tx *catalog.Tx, why error) error { return fs.notMade(tx, in, orphan, why) },
	)
	if number > 0 {
		ino.mu.Lock()
		ino.owed = max(ino.owed, number)
		ino.mu.Unlock()
	}
	if orphan != nil && errors.Is(err, operation.ErrOrphan) {
		return orphan(fs.cat)
	}
	return err
}

// doNow is doAttributes for a change that is waited for.
func (fs *FS) doNow(ctx context.Context, in *intent.Intent, orphan func(o orphans) error) error {
	_, err := fs.do(ctx, in)
	if orphan != nil && errors.Is(err, operation.ErrOrphan) {
		return orphan(fs.cat)
	}
	return err
}

// notMade decides what is told of a deferred change that cannot be made any more, and gives what
// people are to know of it. It is called in the catalog's transaction, under its lock.
//
// A node that another machine has deleted goes on with the change for who has it open. What another
// machine has set to another value since came after this change, and wins as on any disk: the
// status lists it, as of each late change. All else is an error of the next close or fsync as well.
func (fs *FS) notMade(tx *catalog.Tx, in *intent.Intent, orphan func(o orphans) error, why error) error {
	switch {
	case orphan != nil && errors.Is(why, operation.ErrOrphan) && orphan(tx) == nil:
		return nil
	case in.Kind == intent.Kind_REMOVE_XATTR && errors.Is(why, remote.NoAttribute):
		return nil // another machine has removed it
	case errors.Is(why, operation.ErrNewer):
		return why
	}
	fs.mu.Lock()
	ino := fs.inodes[in.Node]
	fs.mu.Unlock()
	if ino != nil {
		ino.mu.Lock()
		ino.notMade = why
		ino.mu.Unlock()
	}
	return why
}

// defers reports whether a change of attributes is deferred. One that depends on what there is
// (XATTR_CREATE and the like) is not, and none of who may run a program as whom: what takes that
// away comes before any bytes, and nothing that another machine does may keep it from being made.
func (fs *FS) defers(ino *inode, in *intent.Intent) bool {
	fs.mu.Lock()
	writers := ino.writers
	fs.mu.Unlock()
	ino.mu.Lock()
	fresh := ino.dirty || !ino.came.IsZero() && time.Since(ino.came) < deferFor
	ino.mu.Unlock()
	if writers == 0 && !fresh || in.Flags != 0 {
		return false
	}
	if in.Change == nil || in.Change.Mode == nil && in.Change.Uid == nil && in.Change.Gid == nil {
		return true
	}
	runs := false
	err := fs.cat.View(func(tx *catalog.Tx) error {
		n := tx.Node(in.Node)
		runs = n != nil && operation.IsMedia(n) && n.Mode&(operation.Setuid|operation.Setgid) != 0
		return tx.Err()
	})
	return err == nil && !runs
}

// fresh notes that a node was made here, or that its bytes have come into the store.
func (ino *inode) fresh() {
	ino.mu.Lock()
	ino.came = time.Now()
	ino.mu.Unlock()
}

// owesAttributes reports whether changes of an inode's attributes were deferred, or were not made,
// since a close or fsync last told.
func (ino *inode) owesAttributes() bool {
	ino.mu.Lock()
	defer ino.mu.Unlock()
	return ino.owed > 0 || ino.notMade != nil
}

// owedAttributes is the last deferred change of an inode's attributes that no close or fsync has
// confirmed; 0: there is none.
func (ino *inode) owedAttributes() uint64 {
	ino.mu.Lock()
	defer ino.mu.Unlock()
	return ino.owed
}

// awaitAttributes waits, as long as close may, until the deferred changes of an inode's attributes
// are in the log.
func (fs *FS) awaitAttributes(ctx context.Context, ino *inode) error {
	owed := ino.owedAttributes()
	if owed > 0 {
		ctx, cancel := context.WithTimeout(ctx, fs.uploadTimeout())
		defer cancel()
		if err := fs.cat.Await(ctx, owed); err != nil {
			return err
		}
	}
	return ino.told(owed)
}

// keepAttributes is awaitAttributes for a close that returns when what was changed survives a loss
// of power here.
func (fs *FS) keepAttributes(ino *inode) error {
	if !ino.owesAttributes() {
		return nil
	}
	if err := fs.cat.Sync(); err != nil {
		return err
	}
	return ino.told(0) // an fsync still waits for them
}

// told is called when deferred changes up to a number are confirmed. It gives the error of one that
// was not made, once.
func (ino *inode) told(number uint64) error {
	ino.mu.Lock()
	defer ino.mu.Unlock()
	if ino.owed <= number {
		ino.owed = 0
	}
	why := ino.notMade
	ino.notMade = nil
	if why == nil {
		return nil
	}
	return remote.E("set attributes", fmt.Sprintf("node %d", ino.id), remote.Other, fmt.Errorf("an earlier change of them is not made: %w", why)).
		WithHint("the file is in the store without it; mediafs status lists it")
}
