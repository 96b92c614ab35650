package engine

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"

	"mediafs/cache/catalog"
	"mediafs/fs/media"
	"mediafs/fs/vfs"
	"mediafs/fs/vfs/intent"
	"mediafs/fs/vfs/operation"
	"mediafs/remote"
	"mediafs/remote/bucket/record"
)

// Attributes of media: names of the model (fs/media) are not stored as attributes but read from,
// and written to, the media's record. On anything but a media, and for all other names, extended
// attributes are just kept.

// desktopNames are the names of the model that do not begin with media.AttributePrefix.
var desktopNames = func() map[string]bool {
	names := make(map[string]bool)
	for _, f := range media.Fields() {
		for _, a := range f.Attributes {
			names[a] = true
		}
	}
	return names
}()

// modelled tells whether a name is one of the model; the rest never costs more than this.
func modelled(name string) bool {
	return strings.HasPrefix(name, media.AttributePrefix) || desktopNames[name]
}

// mediaAttribute reads an attribute of the model. known is false when it is none, or the node is no
// media.
func (fs *FS) mediaAttribute(ctx context.Context, id vfs.ID, name string) (value []byte, known bool, err error) {
	if name == media.AttributeError {
		c, _ := vfs.CallerOf(ctx)
		if text, ok := fs.refusals.get(refusal{id, c.UID}); ok {
			return []byte(text), true, nil
		}
		if t, ok := fs.troubles.of(id); ok {
			return []byte(t.What + ": " + t.Error), true, nil
		}
		return nil, true, remote.E("getxattr", name, remote.NoAttribute, nil)
	}
	if !modelled(name) {
		return nil, false, nil
	}
	err = fs.cat.View(func(tx *catalog.Tx) error {
		n := tx.Node(id)
		if n == nil {
			return operation.Missing(tx, "getxattr", id)
		}
		if len(n.MediaId) == 0 || tx.Orphan(id) {
			return tx.Err() // of what has no name any more, attributes are just kept
		}
		value, known = media.Attribute(fs.whole(tx, id, n, operation.PathsOf(tx, id)), name)
		if known && value == nil {
			return remote.E("getxattr", name, remote.NoAttribute, tx.Err())
		}
		return tx.Err()
	})
	return value, known, err
}

// listAttributes names the attributes of the model that people have set.
func listAttributes(tx *catalog.Tx, id vfs.ID) []string {
	n := tx.Node(id)
	if n == nil || len(n.MediaId) == 0 || tx.Orphan(id) {
		return nil
	}
	m := new(record.Media)
	if !tx.Load(record.MediaKey(n.MediaId), m) {
		return nil
	}
	return media.Listed(m)
}

// setMediaAttribute sets an attribute of the model, or takes it away. known is false when it is
// none, or the node is no media.
func (fs *FS) setMediaAttribute(
	ctx context.Context, c vfs.Caller, id vfs.ID, name string, value []byte, flags uint32, remove bool,
) (known bool, err error) {
	if name == media.AttributeError {
		return true, remote.E("setxattr", name, remote.Permission, errors.New("it only tells why another was refused"))
	}
	if !modelled(name) {
		return false, nil
	}
	isMedia, set := false, false
	err = fs.cat.View(func(tx *catalog.Tx) error {
		n := tx.Node(id)
		if n == nil {
			return operation.Missing(tx, "setxattr", id)
		}
		isMedia = len(n.MediaId) > 0 && !tx.Orphan(id)
		set = slices.Contains(listAttributes(tx, id), name)
		return tx.Err()
	})
	if err != nil || !isMedia {
		return false, err
	}
	edits, requests, known, err := media.EditsFor(name, value, remove)
	switch {
	case err == nil && !known:
		return false, nil
	case err != nil:
	case set && flags&vfs.XattrCreate != 0:
		return true, remote.E("setxattr", name, remote.Exist, nil)
	case !set && (flags&vfs.XattrReplace != 0 || remove) && len(requests) == 0:
		return true, remote.E("setxattr", name, remote.NoAttribute, nil)
	default:
		ch := vfs.MediaChange{Edits: edits}
		if len(requests) > 0 && c.UID == vfs.NoID {
			err = remote.E(
				"setxattr", name, remote.Permission,
				errors.New("on a mount with the option idmap the kernel does not tell who asks"),
			)
		}
		for _, r := range requests {
			if r.User != "" && r.User != UserName(c.UID) && c.UID != 0 {
				err = errors.Join(
					err,
					remote.E("setxattr", name, remote.Permission, errors.New("only root likes and votes for others")),
				)
			}
			a, aerr := r.Attachment(UserName(c.UID), stamp(vfs.TimeOf(fs.opt.Now())))
			err = errors.Join(err, aerr)
			ch.Attached = append(ch.Attached, a)
		}
		if err == nil {
			err = fs.setAttribute(ctx, c, id, ch, flags)
		}
	}
	if k := remote.KindOf(err); k == remote.Invalid || k == remote.Permission {
		fs.refusals.put(refusal{id, c.UID}, err.Error())
	} else if err == nil {
		fs.refusals.put(refusal{id, c.UID}, "")
	}
	return true, err
}

// setAttribute is EditMedia for an attribute that is set or removed: a program that copies a file
// sets those of the model as any other.
func (fs *FS) setAttribute(ctx context.Context, c vfs.Caller, id vfs.ID, ch vfs.MediaChange, flags uint32) error {
	if flags != 0 || len(ch.Attached) > 0 {
		return fs.EditMedia(ctx, c, id, ch)
	}
	return fs.editMedia(ctx, c, id, ch, func(in *intent.Intent) error { return fs.doAttributes(ctx, in, nil) })
}

// A refusal is about a node, and for the user who was refused: what he tried is nobody else's to
// read.
type refusal struct {
	id  vfs.ID
	uid uint32
}

// refusals remember why setting attributes was refused, the last few times.
type refusals struct {
	mu    sync.Mutex
	text  map[refusal]string
	order []refusal
}

// maxRefusals is how many they remember.
const maxRefusals = 256

func (r *refusals) get(id refusal) (string, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	t, ok := r.text[id]
	return t, ok
}

func (r *refusals) put(id refusal, text string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	_, known := r.text[id]
	if text == "" {
		if known {
			delete(r.text, id)
			r.order = slices.DeleteFunc(r.order, func(o refusal) bool { return o == id })
		}
		return
	}
	if r.text == nil {
		r.text = make(map[refusal]string)
	}
	r.text[id] = text
	if known {
		return
	}
	if r.order = append(r.order, id); len(r.order) > maxRefusals {
		delete(r.text, r.order[0])
		r.order = r.order[1:]
	}
}
