package bucket

import (
	"context"
	"errors"

	"mediafs/remote"
	"mediafs/remote/object"
)

var _ remote.Archiver = (*Store)(nil)

// keptBy finds the bucket and the key of a content, for what an archive is asked.
func (s *Store) keptBy(id remote.ContentID) (object.Archiver, string, error) {
	key, _, err := locate(id)
	if err != nil {
		return nil, "", err
	}
	from, name, err := s.source(key)
	if err != nil {
		return nil, "", err
	}
	a, ok := from.(object.Archiver)
	if !ok {
		return nil, "", remote.E("", "", remote.Unsupported, errors.New("the store keeps nothing in an archive"))
	}
	return a, name, nil
}

// Archive says how a content is kept; see remote.Archiver.
func (s *Store) Archive(ctx context.Context, id remote.ContentID) (st remote.Archive, err error) {
	a, key, err := s.keptBy(id)
	if err == nil {
		err = s.retry(ctx, func() (err error) {
			st, err = a.Archive(ctx, key)
			return err
		})
	}
	return st, during("look how content is kept", id.ID, err)
}

// RestoreArchived asks for a copy of a content that can be read; see remote.Archiver. A copy that
// is there already stays for so many days from now.
func (s *Store) RestoreArchived(ctx context.Context, id remote.ContentID, days int) (remote.Archive, error) {
	const op = "restore content"
	st, err := s.Archive(ctx, id)
	if err != nil || st.Restoring || !st.Archived && st.Until.IsZero() {
		return st, during(op, id.ID, err)
	}
	a, key, err := s.keptBy(id)
	if err != nil {
		return st, during(op, id.ID, err)
	}
	if st.Class == "INTELLIGENT_TIERING" {
		days = 0 // it stays as long as it is used
	}
	if err = s.retry(ctx, func() error { return a.Restore(ctx, key, days) }); err == nil {
		st.Restoring = st.Archived
	}
	return st, during(op, id.ID, err)
}
