package bucket

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"mediafs/remote"
	"mediafs/remote/object"
)

// locate finds the object of a content and the etag that it must have, "" for any. The key may be
// one from the root of the bucket: see source.
func locate(id remote.ContentID) (key, etag string, err error) {
	if key, external := strings.CutPrefix(id.ID, externalPrefix); external {
		if key == "" || id.Validator == "" {
			return "", "", remote.E(
				"", "", remote.Invalid, errors.New("an object that was imported in place needs its key and etag"),
			)
		}
		return key, id.Validator, object.CheckKey("", strings.TrimPrefix(key, fromRoot))
	}
	if !ownedID(id.ID) {
		return "", "", remote.E(
			"", "", remote.Invalid, fmt.Errorf("%q is no content id: 32 lower-case hex digits are", id.ID),
		)
	}
	return contentKey(id.ID), "", nil
}

// A source is where objects are read.
type source interface {
	Get(ctx context.Context, key string, opt object.GetOptions) (io.ReadCloser, object.Info, error)
	Head(ctx context.Context, key string) (object.Info, error)
}

// source finds out where an object is read, and its key there.
func (s *Store) source(key string) (source, string, error) {
	outside, ok := strings.CutPrefix(key, fromRoot)
	switch {
	case !ok:
		return s.bucket, key, nil
	case s.whole == nil:
		return nil, "", remote.E("", "", remote.Invalid, errors.New("it lies beside the library, where this kind of store has nothing")).
			WithHint("open the library in the bucket that it was imported in")
	}
	return s.whole, outside, nil
}

// replaced is what is wrong with an imported object whose etag is another by now.
func replaced() error { return errors.New("the object was replaced in the bucket") }

// importAgain is what can be done about that.
const importAgain = "import it again; the bytes that it had are in the bucket only if that keeps versions of its objects"

// putBack is what can be done about an imported object that somebody has deleted.
const putBack = "it was imported where it lay, and is not the library's: put the same object back there, or delete the media"

// OpenContent opens a range of a content; see remote.Store. Whoever reads retries: only it knows
// how far it got. A range of no bytes costs no request and is not checked against the store.
func (s *Store) OpenContent(ctx context.Context, id remote.ContentID, off, n int64) (io.ReadCloser, error) {
	const op = "open content"
	key, etag, err := locate(id)
	if err != nil {
		return nil, during(op, id.ID, err)
	}
	if off < 0 {
		return nil, remote.E(op, key, remote.Invalid, fmt.Errorf("offset %d is negative", off))
	}
	if n == 0 {
		return io.NopCloser(bytes.NewReader(nil)), nil
	}
	from, name, err := s.source(key)
	if err != nil {
		return nil, during(op, key, err)
	}
	r, info, err := from.Get(ctx, name, object.GetOptions{Offset: off, Length: max(n, -1), IfMatch: etag})
	switch {
	case etag != "" && errors.Is(err, remote.Stale):
		return nil, remote.E(op, key, remote.Stale, replaced()).WithHint(importAgain)
	case etag != "" && errors.Is(err, remote.NotExist):
		return nil, remote.E(op, key, remote.NotExist, fmt.Errorf("the object is gone from the bucket: %w", err)).
			WithHint(putBack)
	case err != nil:
		return nil, during(op, key, err)
	}
	s.heard(info)
	return r, nil
}

// UploadFile takes a local file as a content; see remote.FileUploader.
func (s *Store) UploadFile(ctx context.Context, spec remote.UploadSpec, path string) (remote.ContentID, error) {
	const op = "take file as content"
	if err := s.writable(op, path); err != nil {
		return remote.ContentID{}, err
	}
	m, ok := s.bucket.(object.Mover)
	if !ok {
		return remote.ContentID{}, remote.E(
			op, path, remote.Unsupported, errors.New("the store is not on a local disk"),
		)
	}
	u, err := s.newUpload(spec)
	if err != nil {
		return remote.ContentID{}, during(op, path, err)
	}
	info, err := m.PutFile(ctx, u.key, path)
	if err != nil {
		return remote.ContentID{}, during(op, path, err)
	}
	s.heard(info)
	return remote.ContentID{ID: u.id}, nil
}
