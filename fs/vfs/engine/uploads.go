package engine

import (
	"context"
	"errors"
	"fmt"
	"sort"
	"strconv"

	"mediafs/cache/catalog"
	"mediafs/fs/media"
	"mediafs/fs/vfs"
	"mediafs/fs/vfs/operation"
	"mediafs/remote"
)

// errCancelled is what a program gets that writes on after its upload was cancelled.
var errCancelled = errors.New("its upload was cancelled; open the file again to write to it")

// Uploads tells what is on its way to the store, by path.
func (fs *FS) Uploads(context.Context) ([]vfs.UploadState, error) {
	var list []vfs.UploadState
	for _, ino := range fs.all() {
		ino.mu.Lock()
		dirty, size, lastErr := ino.dirty, ino.size, ino.lastErr
		ino.mu.Unlock()
		if dirty {
			u := vfs.UploadState{Node: ino.id, Size: size}
			if lastErr != nil {
				u.Error = lastErr.Error()
			}
			ino.mu.Lock()
			u.Running = ino.cancel != nil
			ino.mu.Unlock()
			ino.io.RLock()
			if w := ino.w; w != nil {
				up := w.shown.Load()
				u.Sent = min(up.progress(), size)
				u.Running = u.Running || up != nil && up.streams()
			}
			ino.io.RUnlock()
			list = append(list, u)
		}
		fs.release(ino)
	}
	err := fs.cat.View(func(tx *catalog.Tx) error {
		for i := range list {
			if ps := operation.PathsOf(tx, list[i].Node); len(ps) > 0 {
				list[i].Path = ps[0]
			}
		}
		return tx.Err()
	})
	sort.Slice(list, func(i, j int) bool {
		if list[i].Path != list[j].Path {
			return list[i].Path < list[j].Path
		}
		return list[i].Node < list[j].Node
	})
	return list, err
}

// CancelUpload gives up what of a media is not in the store. Programs that have it open for writing
// get an error for what they write after it.
func (fs *FS) CancelUpload(ctx context.Context, id vfs.ID) error {
	ino := fs.hold(id)
	defer fs.release(ino)
	if !ino.isDirty() {
		return remote.E("cancel upload", fmt.Sprint(id), remote.NotExist, errors.New("nothing of it is on its way"))
	}
	ino.mu.Lock()
	if ino.cancel != nil {
		ino.cancel(errCancelled)
	}
	ino.mu.Unlock()
	if err := fs.lock(ctx, ino); err != nil {
		return err
	}
	defer ino.unlock()
	w := ino.w
	if w == nil || !ino.isDirty() {
		return remote.E("cancel upload", fmt.Sprint(id), remote.NotExist, errors.New("it had just ended"))
	}
	ino.swap(nil)
	ino.clean()
	ino.mu.Lock()
	ino.lastErr, ino.pages, ino.copyOf = nil, "", nil
	ino.cancelled++ // not before something is given up: who writes goes on when the upload had just ended
	ino.mu.Unlock()
	if err := fs.end(w); err != nil {
		return err
	}
	empty := false
	err := fs.cat.View(func(tx *catalog.Tx) error {
		n := tx.Node(id)
		empty = n != nil && !tx.Orphan(id) && n.Head.GetSize() == 0 && len(n.MediaId) > 0
		return tx.Err()
	})
	if err == nil && empty {
		err = fs.EditMedia(
			ctx,
			vfs.Caller{},
			id,
			vfs.MediaChange{
				Edits: []media.Edit{{Field: "status", Do: media.Set, Value: strconv.Itoa(remote.StatusIncomplete)}},
			},
		)
	}
	fs.announcePages(id)
	return err
}

// cancellable makes an upload one that CancelUpload can end. What it returns is called when the
// upload has ended.
func (ino *inode) cancellable(ctx context.Context) (context.Context, func()) {
	ctx, cancel := context.WithCancelCause(ctx)
	ino.mu.Lock()
	ino.cancel = cancel
	ino.mu.Unlock()
	return ctx, func() {
		ino.mu.Lock()
		ino.cancel = nil
		ino.mu.Unlock()
		cancel(nil)
	}
}
