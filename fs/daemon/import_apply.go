package daemon

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"mediafs/fs/vfs"
	"mediafs/remote"
)

// importsAtOnce is how many changes of one batch wait for the log together: they share its commits, each of which takes about 300 of them.
const importsAtOnce = 600

// maxBatch is the most that a batch takes as JSON, in bytes: 1,000 items with the longest keys and paths that can be.
const maxBatch = 16 << 20

// What became of an item.
const (
	didImport = vfs.Imported
	didUpdate = vfs.Updated
)

// An ImportBatch is what is changed in a library with one call.
type ImportBatch struct {
	UID    uint32          `json:"uid"` // owner of what is made
	GID    uint32          `json:"gid"`
	Items  []ImportItem    `json:"items,omitempty"`
	Remove []ImportRemoval `json:"remove,omitempty"`
}

// An ImportItem is an object that becomes a media, or a folder. Folders on its way are made.
type ImportItem struct {
	Path   anyText   `json:"path"` // from the library's root on
	Folder bool      `json:"folder,omitempty"`
	Key    string    `json:"key,omitempty"`  // as bucket.External takes it
	ETag   string    `json:"etag,omitempty"` // without quotes
	Size   int64     `json:"size,omitempty"` // bytes
	Mtime  time.Time `json:"mtime,omitzero"`
	Type   string    `json:"type,omitempty"` // media type; empty when not known
}

// An ImportRemoval is a media that goes to the trash, if Path is still the name of Node.
type ImportRemoval struct {
	Path anyText `json:"path"`
	Node uint64  `json:"node"`
}

// An ImportResult says what became of a batch.
type ImportResult struct {
	Folders int64        `json:"folders"` // made
	What    []ImportDone `json:"what"`    // of each item
	Removed int64        `json:"removed"`
	Kept    []string     `json:"kept,omitempty"` // why removals did not happen
}

// An ImportDone says what became of an item.
type ImportDone struct {
	What   string `json:"what,omitempty"`   // vfs.Imported, vfs.Updated or vfs.Unchanged; of a folder nothing
	Failed string `json:"failed,omitempty"` // why not
	Kind   string `json:"kind,omitempty"`   // of that error
}

func (d ImportDone) reason() string {
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

func notDone(err error) ImportDone {
	return ImportDone{Failed: err.Error(), Kind: remote.KindOf(err).Error()}
}

// ImportBatch takes objects into the library. What is wrong with single ones is in the result; an error means that the library takes no
// changes now, and that some of the batch may have been made: giving it again is safe.
func (p *parts) ImportBatch(ctx context.Context, b ImportBatch) (ImportResult, error) {
	if p.opt.ReadOnly {
		return ImportResult{}, remote.E("import", p.opt.Dir, remote.ReadOnly, errors.New("the library is mounted read-only"))
	}
	r := ImportResult{What: make([]ImportDone, len(b.Items))}
	f := &folders{fs: p.fs, caller: vfs.Caller{UID: b.UID, GID: b.GID}, at: map[string]folderAt{"": {id: vfs.Root}}}
	if err := f.prepare(ctx, b.Items); err != nil {
		return r, err
	}
	r.Folders = f.made
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(importsAtOnce)
	for i, item := range b.Items {
		g.Go(func() error {
			what, err := p.importItem(gctx, f, item)
			r.What[i] = what
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return r, err
	}
	for _, x := range b.Remove {
		switch err := p.prune(ctx, f.caller, x); {
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
	case remote.Unavailable, remote.Throttled, remote.Interrupted, remote.ReadOnly, remote.NoSpace, remote.Corrupt, remote.Permission:
		return true
	}
	return false
}

// importItem makes one media. Its error is one of the library.
func (p *parts) importItem(ctx context.Context, f *folders, item ImportItem) (ImportDone, error) {
	folder, name := splitPath(strings.TrimSuffix(string(item.Path), "/"))
	if item.Folder {
		if at := f.at[strings.TrimSuffix(string(item.Path), "/")]; at.err != nil {
			return notDone(at.err), nil
		}
		return ImportDone{}, nil
	}
	at := f.at[folder]
	if at.err != nil {
		return notDone(at.err), nil
	}
	what, _, err := p.fs.Import(ctx, f.caller, vfs.External{Parent: at.id, Name: name, Key: item.Key, ETag: item.ETag, Size: item.Size,
		Mtime: vfs.TimeOf(item.Mtime), Type: item.Type, Mode: 0o644})
	switch {
	case err == nil:
		return ImportDone{What: what}, nil
	case fatal(err):
		return notDone(err), err
	}
	return notDone(err), nil
}

// prune moves a media to the trash.
func (p *parts) prune(ctx context.Context, c vfs.Caller, x ImportRemoval) error {
	folder, name := splitPath(string(x.Path))
	parent, err := p.fs.Resolve(ctx, folder)
	if err != nil {
		return err
	}
	a, err := p.fs.Lookup(ctx, parent.ID, name)
	if err != nil {
		return err
	}
	p.fs.Forget(a.ID, 1)
	if a.ID != x.Node {
		return remote.E("move to the trash", string(x.Path), remote.Stale, errors.New("another media has this name by now"))
	}
	_, err = p.fs.TrashName(ctx, c, parent.ID, name)
	return err
}

// folders are those that the items of a batch lie in. Those of one depth are made at the same time, so that they share commits.
type folders struct {
	fs     *vfs.FS
	caller vfs.Caller
	at     map[string]folderAt // by path, without a slash at its end
	made   int64
}

type folderAt struct {
	id  vfs.ID
	err error // why it is no folder
}

func (f *folders) prepare(ctx context.Context, items []ImportItem) error {
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
	if a.Mode&typeMask != typeFolder {
		return folderAt{err: remote.E("import into", fmt.Sprintf("%q", name), remote.NotDir, errors.New("a file has the name that a folder needs"))}, false
	}
	return folderAt{id: a.ID}, made
}

// A batchTaker is a library that takes batches.
type batchTaker interface {
	ImportBatch(ctx context.Context, b ImportBatch) (ImportResult, error)
}

// ImportBatch hands a batch to the library.
func (d *Daemon) ImportBatch(ctx context.Context, b ImportBatch) (ImportResult, error) {
	if d.readOnly() {
		return ImportResult{}, errReadOnly("import", d.opt.Dir)
	}
	d.mu.RLock()
	lib := d.lib
	d.mu.RUnlock()
	t, ok := lib.(batchTaker)
	if !ok {
		return ImportResult{}, remote.E("import", d.opt.Dir, remote.Interrupted, errors.New("the library is closed"))
	}
	return t.ImportBatch(ctx, b)
}

// An imported is the answer to a batch.
type imported struct {
	ImportResult
	Failed *failure `json:"failure,omitempty"`
}

// handleImports adds what imports need to the control socket.
func handleImports(mux *http.ServeMux, target any) {
	mux.HandleFunc("POST "+protocol+"/import", func(w http.ResponseWriter, r *http.Request) {
		var b ImportBatch
		var answer imported
		t, ok := target.(batchTaker)
		err := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxBatch)).Decode(&b)
		switch {
		case err != nil:
			err = remote.E("read the batch", "", remote.Invalid, err)
		case !ok:
			err = remote.E("import", "", remote.Unsupported, nil)
		default:
			answer.ImportResult, err = t.ImportBatch(r.Context(), b)
		}
		if err != nil {
			answer.Failed = failureOf(err)
		}
		w.Header().Set("Content-Type", "application/json")
		json.NewEncoder(w).Encode(answer) //nolint:errcheck // who asked has gone
	})
}

// ImportBatch has the daemon take a batch.
func (c *Client) ImportBatch(ctx context.Context, b ImportBatch) (ImportResult, error) {
	const op = "import"
	var answer imported
	if err := c.ask(ctx, op, "/import", b, &answer); err != nil {
		return ImportResult{}, err
	}
	if answer.Failed != nil {
		return answer.ImportResult, answer.Failed.err()
	}
	return answer.ImportResult, nil
}

// ask posts one JSON document and reads another.
func (c *Client) ask(ctx context.Context, op, path string, question, answer any) error {
	var b strings.Builder
	if err := json.NewEncoder(&b).Encode(question); err != nil {
		return remote.E(op, c.dir, remote.Invalid, err)
	}
	body, err := c.send(ctx, op, http.MethodPost, path, strings.NewReader(b.String()))
	if err != nil {
		return err
	}
	defer body.Close()
	if err := json.NewDecoder(io.LimitReader(body, maxBatch)).Decode(answer); err != nil {
		return c.broken(op, cmp.Or(ctx.Err(), err))
	}
	return nil
}
