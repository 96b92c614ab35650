package bucket

import (
	"context"
	"errors"
	"iter"
	"slices"
	"strings"
	"time"

	"mediafs/remote"
	"mediafs/remote/object"
)

// What others keep in the bucket that the library lies in. Nothing here writes.

// A ForeignObject is an object that is not the library's.
type ForeignObject struct {
	Name     string    // its key in the whole bucket
	Key      string    // as External takes it; empty with Err or Folder
	Size     int64     // bytes
	ETag     string    // without quotes
	Modified time.Time // store's clock
	// it is empty and its name ends in a slash: how some tools keep a folder; Name has no slash at
	// its end
	Folder bool
	Err    error // why no library can refer to it: see object.CheckKey
}

// A ForeignDescription is what a writer noted of an object.
type ForeignDescription struct {
	Type string            // media type
	Meta map[string]string // names in lower case
}

// ownFolders are the places of a library: nothing below them is ever imported, whoever wrote it.
var ownFolders = []string{"checkpoint/", contentPrefix, "log/", probePrefix}

// ForeignObjects yields the objects whose keys in the whole bucket begin with prefix, ascending,
// but for the library's own and those among them: about one request for a thousand. Of a store that
// ends where the library ends (a local directory) the whole bucket is that. After an error it
// stops.
func (s *Store) ForeignObjects(ctx context.Context, prefix string) iter.Seq2[ForeignObject, error] {
	return func(yield func(ForeignObject, error) bool) {
		for after := ""; ; {
			page, more, err := s.listForeign(ctx, prefix, after)
			if err != nil {
				yield(ForeignObject{}, during("list objects to import", prefix, err))
				return
			}
			skipped := false
			for _, i := range page {
				if i.Key <= after && skipped {
					continue
				}
				after = i.Key
				if behind, own := s.ownPlace(i.Key); own {
					if behind != "" {
						after, skipped = behind, true
					}
					continue
				}
				if !yield(s.foreign(i), nil) {
					return
				}
			}
			if !more || len(page) == 0 {
				return
			}
		}
	}
}

func (s *Store) listForeign(ctx context.Context, prefix, after string) (page []object.Info, more bool, err error) {
	list := s.bucket.List
	if all, ok := s.bucket.(object.AllLister); ok {
		list = all.ListAll
	}
	if s.whole != nil {
		list = s.whole.ListAll
	}
	err = s.retry(ctx, func() (err error) {
		page, more, err = list(ctx, prefix, after, 0)
		return err
	})
	return page, more, err
}

// ownPlace tells whether a name is one of the library's, and behind which key the listing goes on
// when all of its folder is.
func (s *Store) ownPlace(name string) (behind string, own bool) {
	key, ok := strings.CutPrefix(name, s.prefix)
	if !ok {
		return "", false
	}
	i := slices.IndexFunc(ownFolders, func(folder string) bool { return strings.HasPrefix(key, folder) })
	if i >= 0 {
		return s.prefix + ownFolders[i] + lastRune, true
	}
	return "", key == formatKey
}

func (s *Store) foreign(i object.Info) ForeignObject {
	o := ForeignObject{Name: i.Key, Size: i.Size, ETag: i.ETag, Modified: i.Modified}
	if folder, ok := strings.CutSuffix(i.Key, "/"); ok && i.Size == 0 && object.CheckKey("", folder) == nil {
		o.Name, o.Folder = folder, true
		return o
	}
	if o.Err = object.CheckKey("import", i.Key); o.Err != nil {
		return o
	}
	if i.ETag == "" {
		o.Err = remote.E("import", i.Key, remote.Unsupported, errors.New("the store gives no etag for it"))
		return o
	}
	if key, inside := strings.CutPrefix(i.Key, s.prefix); inside {
		o.Key = key
	} else {
		o.Key = fromRoot + i.Key
	}
	return o
}

// DescribeForeign asks for what the listing does not tell of an object: one request. key is as
// External takes it. A local directory tells nothing more.
func (s *Store) DescribeForeign(ctx context.Context, key string) (ForeignDescription, error) {
	if s.whole == nil {
		return ForeignDescription{}, nil
	}
	name, outside := strings.CutPrefix(key, fromRoot)
	if !outside {
		name = s.prefix + key
	}
	var d object.Description
	err := s.retry(ctx, func() (err error) {
		d, err = s.whole.Describe(ctx, name)
		return err
	})
	if err != nil {
		return ForeignDescription{}, during("describe object", key, err)
	}
	s.heard(d.Info)
	return ForeignDescription{Type: d.Type, Meta: d.Meta}, nil
}

// Place is where the library lies: the bucket's prefix of it, empty or with a slash at its end, and
// whether there can be objects beside it.
func (s *Store) Place() (prefix string, beside bool) { return s.prefix, s.whole != nil }
