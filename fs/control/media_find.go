package control

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"mediafs/fs/query"
	"mediafs/fs/vfs"
	"mediafs/remote"
)

// find tells what matches as it is found. With a folder, what has a name below it, by that name.
func (s *Media) find(ctx context.Context, _ vfs.Caller, r *MediaRequest, emit func(MediaAnswer) error) error {
	q, err := query.Parse(r.Query)
	if err != nil {
		return err
	}
	below, err := s.below(ctx, r.Folder)
	if err != nil {
		return err
	}
	var (
		found  int64
		failed error
	)
	err = s.Library.Find(ctx, q, 0, func(m *remote.Media) bool {
		name, ok, err := s.name(ctx, m, below)
		if err == nil && ok {
			found++
			if !r.Count {
				a := MediaAnswer{Path: RawName(name), Node: m.Node}
				if r.Long {
					a.Media = m
				}
				err = emit(a)
			}
		}
		failed = err
		return err == nil && (r.Limit == 0 || found < int64(r.Limit))
	})
	if err = errors.Join(err, failed); err == nil && r.Count {
		err = emit(MediaAnswer{Count: found})
	}
	if done, total, ready := s.Library.Indexed(); err == nil && !ready {
		err = emit(
			MediaAnswer{
				Note: fmt.Sprintf(
					"the index is being made (%d of about %d records): some media may be missing", done,
					max(done, total),
				),
			},
		)
	}
	return err
}

// below gives the paths of a folder, each ending with a slash; nil for none.
func (s *Media) below(ctx context.Context, folder *Target) ([]string, error) {
	if folder == nil {
		return nil, nil
	}
	a, err := s.resolve(ctx, *folder)
	switch {
	case err != nil:
		return nil, err
	case !isFolder(a):
		return nil, remote.E("look in", "", remote.NotDir, nil)
	case a.ID == vfs.Root:
		return nil, nil
	}
	paths, err := s.Library.Paths(ctx, a.ID)
	if err == nil && len(paths) == 0 {
		err = remote.E("look in", "", remote.NotExist, errors.New("the folder is in the trash"))
	}
	for i := range paths {
		paths[i] += "/"
	}
	return paths, err
}

// name picks the first of a media's names that lies in one of the folders; ok is false when none
// does.
func (s *Media) name(ctx context.Context, m *remote.Media, folders []string) (name string, ok bool, err error) {
	names := m.Paths
	for _, n := range names {
		// The record has texts. Names are bytes, and one that is no text is not among them as it
		// is.
		if strings.ContainsRune(n, '\uFFFD') {
			if names, err = s.Library.Paths(ctx, m.Node); err != nil {
				return "", false, err
			}
			break
		}
	}
	for _, n := range names {
		if folders == nil {
			return n, true, nil
		}
		for _, f := range folders {
			if strings.HasPrefix(n, f) {
				return n, true, nil
			}
		}
	}
	return "", false, nil
}

// quoting writes a text between the quotation marks of a query.
var quoting = strings.NewReplacer(`\`, `\\`, `"`, `\"`)

// tags lists all tags, with the number of media that have each.
func (s *Media) tags(ctx context.Context, _ vfs.Caller, _ *MediaRequest, emit func(MediaAnswer) error) error {
	tags, err := s.Library.Values(ctx, "tag", nil)
	if err != nil {
		return err
	}
	for _, tag := range tags {
		q, err := query.Parse(`tag:"` + quoting.Replace(tag) + `"`)
		if err != nil {
			return err
		}
		a := MediaAnswer{Tag: tag}
		if err := s.Library.Find(ctx, q, 0, func(m *remote.Media) bool {
			if slices.Contains(m.Tags, tag) { // the query does not tell upper from lower case
				a.Count++
			}
			return true
		}); err != nil {
			return err
		}
		if err := emit(a); err != nil {
			return err
		}
	}
	return nil
}
