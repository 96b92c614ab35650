package mem

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"mediafs/remote"
	"mediafs/remote/object"
)

func (b *Bucket) CreateMultipart(ctx context.Context, key, mediaType string) (string, error) {
	if err := begin(ctx, "begin multipart upload", key); err != nil {
		return "", err
	}
	now := b.opt.Now()
	b.mu.Lock()
	defer b.mu.Unlock()
	id := b.newID()
	b.mu.uploads[id] = &upload{key: key, initiated: now, parts: map[int]*entry{}}
	return id, nil
}

// uploadOf finds an upload; the lock is held.
func (b *Bucket) uploadOf(op, key, id string) (*upload, error) {
	if u := b.mu.uploads[id]; u != nil && u.key == key {
		return u, nil
	}
	return nil, remote.E(op, key, remote.NotExist, fmt.Errorf("there is no multipart upload %q", id))
}

func (b *Bucket) PutPart(
	ctx context.Context, key, uploadID string, number int, body io.ReadSeeker, size int64,
) (object.Part, error) {
	const op = "put part"
	if err := begin(ctx, op, key); err != nil {
		return object.Part{}, err
	}
	if err := object.CheckPart(op, key, number, size, b.Facts()); err != nil {
		return object.Part{}, err
	}
	e, err := b.readAll(ctx, op, key, body, size)
	if err != nil {
		return object.Part{}, err
	}
	return b.storePart(op, key, uploadID, number, e)
}

func (b *Bucket) storePart(op, key, uploadID string, number int, e *entry) (object.Part, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	u, err := b.uploadOf(op, key, uploadID)
	if err != nil {
		return object.Part{}, err
	}
	u.parts[number] = e
	return object.Part{Number: number, ETag: e.etag, Size: int64(len(e.data))}, nil
}

func (b *Bucket) CopyPart(
	ctx context.Context, key, uploadID string, number int, source string, off, n int64,
) (object.Part, error) {
	const op = "copy part"
	if err := begin(ctx, op, key); err != nil {
		return object.Part{}, err
	}
	if err := object.CheckKey(op, source); err != nil {
		return object.Part{}, err
	}
	if err := object.CheckPart(op, key, number, n, b.Facts()); err != nil {
		return object.Part{}, err
	}
	src, err := b.find(op, source)
	if err != nil {
		return object.Part{}, err
	}
	if off < 0 || n < 1 || off > int64(len(src.data))-n {
		return object.Part{}, remote.E(op, key, remote.Invalid,
			fmt.Errorf("%d bytes at %d do not lie in %s, which has %d", n, off, source, len(src.data)))
	}
	data := src.data[off : off+n]
	return b.storePart(op, key, uploadID, number, &entry{data: data, etag: etag(data), modified: b.opt.Now()})
}

func (b *Bucket) ListParts(ctx context.Context, key, uploadID string) ([]object.Part, error) {
	const op = "list parts"
	if err := begin(ctx, op, key); err != nil {
		return nil, err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	u, err := b.uploadOf(op, key, uploadID)
	if err != nil {
		return nil, err
	}
	parts := make([]object.Part, 0, len(u.parts))
	for n, e := range u.parts {
		parts = append(parts, object.Part{Number: n, ETag: e.etag, Size: int64(len(e.data))})
	}
	slices.SortFunc(parts, func(a, b object.Part) int { return a.Number - b.Number })
	return parts, nil
}

func (b *Bucket) CompleteMultipart(
	ctx context.Context, key, uploadID string, parts []object.Part,
) (object.Info, error) {
	const op = "complete multipart upload"
	if err := begin(ctx, op, key); err != nil {
		return object.Info{}, err
	}
	size, err := object.CheckParts(op, key, parts)
	if err != nil {
		return object.Info{}, err
	}
	e, err := b.assemble(op, key, uploadID, parts)
	if err != nil {
		if done, ferr := b.find(op, key); remote.KindOf(err) == remote.NotExist && ferr == nil &&
			int64(len(done.data)) == size {
			return b.info(key, done), nil
		}
		return object.Info{}, err
	}
	b.store(key, e, false)
	b.mu.Lock()
	delete(b.mu.uploads, uploadID)
	b.mu.Unlock()
	return b.info(key, e), nil
}

func (b *Bucket) assemble(op, key, uploadID string, parts []object.Part) (*entry, error) {
	now := b.opt.Now()
	b.mu.Lock()
	defer b.mu.Unlock()
	u, err := b.uploadOf(op, key, uploadID)
	if err != nil {
		return nil, err
	}
	var data []byte
	for i, p := range parts {
		have := u.parts[p.Number]
		switch {
		case have == nil || have.etag != p.ETag:
			return nil, remote.E(
				op, key, remote.Invalid, fmt.Errorf("part %d with etag %s was not put", p.Number, p.ETag),
			)
		case i < len(parts)-1 && int64(len(have.data)) < b.opt.MinPart:
			return nil, remote.E(
				op, key, remote.Invalid,
				fmt.Errorf("part %d has %d bytes, at least %d are needed", p.Number, len(have.data), b.opt.MinPart),
			)
		}
		data = append(data, have.data...)
	}
	// As in S3, the same bytes put whole have another etag.
	return &entry{data: data, etag: etag(data) + "-" + strconv.Itoa(len(parts)), modified: now}, nil
}

func (b *Bucket) AbortMultipart(ctx context.Context, key, uploadID string) error {
	if err := begin(ctx, "abort multipart upload", key); err != nil {
		return err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if u := b.mu.uploads[uploadID]; u != nil && u.key == key {
		delete(b.mu.uploads, uploadID)
	}
	return nil
}

func (b *Bucket) ListMultiparts(ctx context.Context, prefix string) ([]object.MultipartUpload, error) {
	if err := object.CheckContext(ctx, "list multipart uploads", prefix); err != nil {
		return nil, err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	var ups []object.MultipartUpload
	for id, u := range b.mu.uploads {
		if strings.HasPrefix(u.key, prefix) {
			ups = append(ups, object.MultipartUpload{Key: u.key, ID: id, Initiated: u.initiated})
		}
	}
	slices.SortFunc(ups, object.CompareUploads)
	return ups, nil
}
