package bucket

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"mediafs/remote"
	"mediafs/remote/object"
)

// Token holds the id, the chunk size and the store's name for the multipart upload. A content of
// one chunk has none: there is nothing to resume.
func (u *upload) Token() string {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.mu.uploadID == "" {
		return ""
	}
	return formatToken(u.id, u.chunk, u.mu.uploadID)
}

func formatToken(id string, chunk int64, uploadID string) string {
	return id + " " + strconv.FormatInt(chunk, 10) + " " + uploadID
}

func parseToken(token string) (id string, chunk int64, uploadID string, err error) {
	f := strings.SplitN(token, " ", 3)
	if len(f) == 3 && ownedID(f[0]) && f[2] != "" {
		if chunk, err = strconv.ParseInt(f[1], 10, 64); err == nil && chunk > 0 && chunk <= maxContent {
			return f[0], chunk, f[2], nil
		}
	}
	return "", 0, "", remote.E("", "", remote.Invalid, fmt.Errorf("%.100q is no token of an upload", token))
}

// resume continues a multipart upload. When the store knows it no longer, it was completed or
// aborted; which, the object tells.
func (s *Store) resume(ctx context.Context, spec remote.UploadSpec) (*upload, error) {
	id, chunk, uploadID, err := parseToken(spec.Resume)
	if err != nil {
		return nil, err
	}
	if spec.ID != "" && spec.ID != id {
		return nil, remote.E("", "", remote.Invalid, fmt.Errorf("the token is of content %s", id))
	}
	spec.ID = id
	u, err := s.newUpload(spec)
	if err != nil {
		return nil, err
	}
	u.chunk = chunk
	u.mu.uploadID = uploadID
	if u.size > chunk*s.maxParts() {
		return nil, u.tooMany()
	}
	var parts []object.Part
	err = s.retry(ctx, func() (err error) {
		parts, err = s.bucket.ListParts(ctx, u.key, uploadID)
		return err
	})
	// the latter: the store does not list parts
	gone := errors.Is(err, remote.NotExist) || errors.Is(err, remote.Unsupported)
	if err != nil && !gone {
		return nil, err
	}
	info, there, err := s.exists(ctx, u.key)
	switch {
	case err != nil:
		return nil, err
	case !gone && there:
		u.mu.etag = info.ETag // put whole before it became a multipart upload
	case gone && !there:
		return nil, aborted(u.key)
	case gone && u.size >= 0 && info.Size != u.size:
		return nil, remote.E("resume upload", u.key, remote.Exist, fmt.Errorf("another content of %d bytes has this id", info.Size)).
			WithHint("upload again under a new id")
	case gone:
		u.finish(info.Size)
	}
	for _, p := range parts {
		want := chunk
		if u.size >= 0 {
			want = min(chunk, u.size-int64(p.Number-1)*chunk)
		}
		if p.Size == want {
			u.mu.parts[p.Number-1] = p
		}
	}
	return u, nil
}

// aborted is the error of an upload that somebody else put an end to.
func aborted(key string) error {
	return remote.E("continue upload", key, remote.Stale, errors.New("the store does not know it any more: somebody took it for abandoned")).
		WithHint("start it again from the local file")
}

// sameBytes fails with Exist unless the object has the bytes of r from off on. With off 0, and for
// a last chunk, it must also end there; a content that was completed has a known size.
func (u *upload) sameBytes(ctx context.Context, off int64, r *io.SectionReader) error {
	u.mu.Lock()
	done, final := u.mu.done, u.mu.final
	u.mu.Unlock()
	if !done {
		final = r.Size()
	}
	return u.s.retry(ctx, func() error {
		body, info, err := u.s.bucket.Get(ctx, u.key, object.GetOptions{Offset: off, Length: r.Size()})
		if err != nil {
			return err
		}
		defer body.Close()
		if info.Size != final || r.Size() != min(u.chunk, final-off) && r.Size() > 0 {
			return u.taken(fmt.Sprintf(", with %d bytes", info.Size))
		}
		ours := io.NewSectionReader(r, 0, r.Size())
		a, b := make([]byte, 64<<10), make([]byte, 64<<10)
		for {
			n, err := io.ReadFull(body, a)
			if err != nil && err != io.EOF && err != io.ErrUnexpectedEOF {
				return err
			}
			if _, rerr := io.ReadFull(ours, b[:n]); rerr != nil {
				return remote.E("read chunk", u.key, remote.Other, rerr)
			}
			if !bytes.Equal(a[:n], b[:n]) {
				return u.taken(", with other bytes")
			}
			if err != nil {
				return nil
			}
		}
	})
}
