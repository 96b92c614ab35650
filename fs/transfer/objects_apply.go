package transfer

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	"mediafs/fs/vfs"
	"mediafs/fs/vfs/engine"
	"mediafs/remote"
)

// importsAtOnce is how many changes of one batch wait for the log together: they share its commits,
// each of which takes about 300 of them.
const importsAtOnce = 600

// MaxBatch is the most that a batch takes as JSON, in bytes: 1,000 items with the longest keys and
// paths that can be.
const MaxBatch = 16 << 20

// An ObjectsBatch is what is changed in a library with one call.
type ObjectsBatch struct {
	UID    uint32          `json:"uid"` // owner of what is made
	GID    uint32          `json:"gid"`
	Items  []ObjectItem    `json:"items,omitempty"`
	Remove []ObjectRemoval `json:"remove,omitempty"`
}

// An ObjectItem is an object that becomes a media, or a folder. Folders on its way are made.
type ObjectItem struct {
	Path   anyText   `json:"path"` // from the library's root on
	Folder bool      `json:"folder,omitempty"`
	Key    string    `json:"key,omitempty"`  // as bucket.External takes it
	ETag   string    `json:"etag,omitempty"` // without quotes
	Size   int64     `json:"size,omitempty"` // bytes
	Mtime  time.Time `json:"mtime,omitzero"`
	Type   string    `json:"type,omitempty"` // media type; empty when not known
}

// An ObjectRemoval is a media that goes to the trash, if Path is still the name of Node.
type ObjectRemoval struct {
	Path anyText `json:"path"`
	Node uint64  `json:"node"`
}

// An ObjectsResult says what became of a batch.
type ObjectsResult struct {
	Folders int64        `json:"folders"` // made
	What    []ObjectDone `json:"what"`    // of each item
	Removed int64        `json:"removed"`
	Kept    []string     `json:"kept,omitempty"` // why removals did not happen
}

// An ObjectDone says what became of an item.
type ObjectDone struct {
	What   string `json:"what,omitempty"`   // vfs.Imported, vfs.Updated or vfs.Unchanged; of a folder nothing
	Failed string `json:"failed,omitempty"` // why not
	Kind   string `json:"kind,omitempty"`   // of that error
}

func (d ObjectDone) reason() string {
	switch d.Kind {
	case remote.Exist.Error():
		return "the name is taken in the library"
	case remote.NotDir.Error():
		return "its folder has the name of a file"
	case remote.Permission.Error():
		return keptName
	}
	return "the library did not take it"
}

func notDone(err error) ObjectDone {
	return ObjectDone{Failed: err.Error(), Kind: remote.KindOf(err).Error()}
}

// ApplyObjects takes objects into a library. What is wrong with single ones is in the result; an
// error means that the library takes no changes now, and that some of the batch may have been made:
// giving it again is safe.
func ApplyObjects(ctx context.Context, fs *engine.FS, b ObjectsBatch) (ObjectsResult, error) {
	r := ObjectsResult{What: make([]ObjectDone, len(b.Items))}
	f := &folders{fs: fs, caller: vfs.Caller{UID: b.UID, GID: b.GID}, at: map[string]folderAt{"": {id: vfs.Root}}}
	if err := f.prepare(ctx, b.Items); err != nil {
		return r, err
	}
	r.Folders = f.made
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(importsAtOnce)
	for i, item := range b.Items {
		g.Go(func() error {
			what, err := f.importObject(gctx, item)
			r.What[i] = what
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return r, err
	}
	for _, x := range b.Remove {
		switch err := f.prune(ctx, x); {
		case err == nil:
			r.Removed++
		case fatal(err):
			return r, err
		default:
			r.Kept = append(r.Kept, err.Error())
		}
	}
	return r, nil
}

// fatal tells whether an error is one of the library, and no other item would do better.
func fatal(err error) bool {
	if errors.Is(err, vfs.ErrKept) {
		return false
	}
	switch remote.KindOf(err) {
	case remote.Unavailable,
		remote.Throttled,
		remote.Interrupted,
		remote.ReadOnly,
		remote.NoSpace,
		remote.Corrupt,
		remote.Permission:
		return true
	}
	return false
}

// importObject makes one media. Its error is one of the library.
func (f *folders) importObject(ctx context.Context, item ObjectItem) (ObjectDone, error) {
	folder, name := splitPath(strings.TrimSuffix(string(item.Path), "/"))
	if item.Folder {
		if at := f.at[strings.TrimSuffix(string(item.Path), "/")]; at.err != nil {
			return notDone(at.err), nil
		}
		return ObjectDone{}, nil
	}
	at := f.at[folder]
	if at.err != nil {
		return notDone(at.err), nil
	}
	what, _, err := f.fs.Import(
		ctx,
		f.caller,
		engine.External{Parent: at.id, Name: name, Key: item.Key, ETag: item.ETag, Size: item.Size,
			Mtime: vfs.TimeOf(item.Mtime), Type: item.Type, Mode: 0o644},
	)
	switch {
	case err == nil:
		return ObjectDone{What: what}, nil
	case fatal(err):
		return notDone(err), err
	}
	return notDone(err), nil
}

// prune moves a media to the trash.
func (f *folders) prune(ctx context.Context, x ObjectRemoval) error {
	folder, name := splitPath(string(x.Path))
	parent, err := f.fs.Resolve(ctx, folder)
	if err != nil {
		return err
	}
	a, err := f.fs.Lookup(ctx, parent.ID, name)
	if err != nil {
		return err
	}
	f.fs.Forget(a.ID, 1)
	if a.ID != x.Node {
		return remote.E(
			"move to the trash", string(x.Path), remote.Stale, errors.New("another media has this name by now"),
		)
	}
	_, err = f.fs.TrashName(ctx, f.caller, parent.ID, name)
	return err
}

// folders are those that the items of a batch lie in. Those of one depth are made at the same time,
// so that they share commits.
type folders struct {
	fs     *engine.FS
	caller vfs.Caller
	at     map[string]folderAt // by path, without a slash at its end
	made   int64
}

type folderAt struct {
	id  vfs.ID
	err error // why it is no folder
}

func (f *folders) prepare(ctx context.Context, items []ObjectItem) error {
	levels := map[int]map[string]bool{}
	for _, i := range items {
		dir := strings.TrimSuffix(string(i.Path), "/")
		if !i.Folder {
			dir, _ = splitPath(dir)
		}
		for dir != "" {
			depth := strings.Count(dir, "/")
			if levels[depth] == nil {
				levels[depth] = map[string]bool{}
			}
			levels[depth][dir] = true
			dir, _ = splitPath(dir)
		}
	}
	for depth := 1; len(levels[depth]) > 0; depth++ {
		var mu sync.Mutex // guards made and at
		g, gctx := errgroup.WithContext(ctx)
		g.SetLimit(importsAtOnce)
		found := map[string]folderAt{}
		for dir := range levels[depth] {
			g.Go(func() error {
				up, name := splitPath(dir)
				at, made := f.find(gctx, f.at[up], name)
				mu.Lock()
				defer mu.Unlock()
				if found[dir] = at; made {
					f.made++
				}
				if at.err != nil && fatal(at.err) {
					return at.err
				}
				return nil
			})
		}
		if err := g.Wait(); err != nil {
			return err
		}
		for dir, at := range found {
			f.at[dir] = at
		}
	}
	return nil
}

// find looks for a folder and makes it when it is not there.
func (f *folders) find(ctx context.Context, up folderAt, name string) (at folderAt, made bool) {
	if up.err != nil {
		return up, false
	}
	a, err := f.fs.Lookup(ctx, up.id, name)
	if errors.Is(err, remote.NotExist) {
		a, err = f.fs.Mkdir(ctx, f.caller, up.id, name, 0o755)
		if made = err == nil; errors.Is(err, remote.Exist) { // another import was first
			a, err = f.fs.Lookup(ctx, up.id, name)
		}
	}
	if err != nil {
		return folderAt{err: err}, false
	}
	f.fs.Forget(a.ID, 1)
	if a.Mode&unix.S_IFMT != unix.S_IFDIR {
		return folderAt{
			err: remote.E(
				"import into", fmt.Sprintf("%q", name), remote.NotDir,
				errors.New("a file has the name that a folder needs"),
			),
		}, false
	}
	return folderAt{id: a.ID}, made
}
