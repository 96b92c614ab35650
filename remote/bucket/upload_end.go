package bucket

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"

	"mediafs/remote"
	"mediafs/remote/object"
)

// Commit completes the content; see remote.Upload. It is no request for a single chunk, one for
// more.
func (u *upload) Commit(ctx context.Context, chunks int, size int64) (remote.ContentID, error) {
	id := remote.ContentID{ID: u.id}
	if err := u.commit(ctx, chunks, size); err != nil {
		return remote.ContentID{}, during("commit content", u.key, err)
	}
	return id, nil
}

func (u *upload) commit(ctx context.Context, chunks int, size int64) error {
	bad := func(format string, args ...any) error {
		return remote.E("", "", remote.Invalid, fmt.Errorf(format, args...))
	}
	done, err := u.state()
	if err != nil {
		return err
	}
	if u.size >= 0 && size != u.size {
		return bad("it has %d bytes, not %d", u.size, size)
	}
	if done {
		u.mu.Lock()
		defer u.mu.Unlock()
		if u.mu.final != size {
			return u.taken(fmt.Sprintf(", with %d bytes", u.mu.final))
		}
		return nil
	}
	if int64(chunks) > u.s.maxParts() {
		return u.tooMany()
	}
	if chunks == 0 && size == 0 {
		return u.commitEmpty(ctx)
	}
	u.mu.Lock()
	uploadID, whole, before := u.mu.uploadID, u.mu.whole, u.mu.etag
	var parts []object.Part
	sum := int64(0)
	for i := range chunks {
		if p, ok := u.mu.parts[i]; ok {
			parts = append(parts, p)
			sum += p.Size
		}
	}
	u.mu.Unlock()
	switch {
	case uploadID == "" && (chunks != 1 || whole != size+1):
		return bad("%d chunks with %d bytes were not put", chunks, size)
	case uploadID == "":
		u.finish(size)
		return nil
	case len(parts) != chunks || sum != size:
		return bad("%d of %d chunks were put, with %d of %d bytes", len(parts), chunks, sum, size)
	}
	for i, p := range parts[:chunks-1] {
		if p.Size != u.chunk {
			return bad("chunk %d has %d bytes, all but the last have %d", i, p.Size, u.chunk)
		}
	}
	var info object.Info
	err = u.s.retry(ctx, func() (err error) {
		info, err = u.s.bucket.CompleteMultipart(ctx, u.key, uploadID, parts)
		return err
	})
	switch {
	case errors.Is(err, remote.NotExist):
		return aborted(u.key)
	case errors.Is(err, remote.Invalid):
		return errors.Join(u.replaced(ctx, parts), err)
	case err != nil:
		return err
	}
	// An upload that somebody dropped looks as if it had been completed when the object that was
	// there has the right size, and some servers (VersityGW) say so themselves.
	if before != "" && info.ETag == before {
		return aborted(u.key)
	}
	if info.Size != size {
		return remote.E("complete upload", u.key, remote.Corrupt, fmt.Errorf("the store has %d bytes, it was sent %d", info.Size, size)).
			WithHint("the store changes what it stores: use another one; what was written is kept on this machine")
	}
	u.s.heard(info)
	u.finish(size)
	return nil
}

// commitEmpty completes a content without bytes, whatever chunks were put. Only an object that was
// put whole is in its way: Exist.
func (u *upload) commitEmpty(ctx context.Context) error {
	if err := u.putObject(ctx, io.NewSectionReader(bytes.NewReader(nil), 0, 0)); err != nil {
		return err
	}
	if id := u.multipart(); id != "" {
		// The content is whole. An upload that stays is swept like any other that was abandoned.
		_ = u.s.bucket.AbortMultipart(ctx, u.key, id)
	}
	u.finish(0)
	return nil
}

// replaced fails with Stale when the store has other parts than those that were put here: a late
// copy of a put, or another process that resumed the same upload, replaced one. Those count as
// absent from then on.
func (u *upload) replaced(ctx context.Context, parts []object.Part) error {
	var there []object.Part
	err := u.s.retry(ctx, func() (err error) {
		there, err = u.s.bucket.ListParts(ctx, u.key, u.multipart())
		return err
	})
	if err != nil {
		return nil // the store's first answer stands
	}
	etags := map[int]string{}
	for _, p := range there {
		etags[p.Number] = p.ETag
	}
	lost := 0
	u.mu.Lock()
	defer u.mu.Unlock()
	for _, p := range parts {
		if etags[p.Number] != p.ETag {
			delete(u.mu.parts, p.Number-1)
			lost++
		}
	}
	if lost == 0 {
		return nil
	}
	return remote.E("complete upload", u.key, remote.Stale, fmt.Errorf("%d of its chunks were put by somebody else", lost)).
		WithHint("start it again from the local file")
}

// finish records that the content is whole.
func (u *upload) finish(size int64) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.mu.done, u.mu.final = true, size
}

// Abort drops the upload; after Commit succeeded it does nothing. An object that was put whole is
// deleted only when this upload certainly made it: otherwise an earlier upload of the same id did,
// which the catalog may refer to.
func (u *upload) Abort(ctx context.Context) error {
	u.starting.Lock()
	defer u.starting.Unlock()
	u.mu.Lock()
	uploadID, created, skip := u.mu.uploadID, u.mu.created, u.mu.done
	u.mu.aborted = !skip
	u.mu.Unlock()
	if skip {
		return nil
	}
	var errs []error
	if uploadID != "" {
		errs = append(errs, u.s.retry(ctx, func() error { return u.s.bucket.AbortMultipart(ctx, u.key, uploadID) }))
	}
	if created {
		errs = append(errs, u.s.retry(ctx, func() error { return u.s.bucket.Delete(ctx, u.key) }))
	}
	return during("abort upload", u.key, errors.Join(errs...))
}
