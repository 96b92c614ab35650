package s3

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/minio/minio-go/v7"

	"mediafs/remote"
	"mediafs/remote/object"
)

func (b *Bucket) CreateMultipart(ctx context.Context, key, mediaType string) (string, error) {
	const op = "begin multipart upload"
	name, err := b.begin(ctx, op, key)
	if err != nil {
		return "", err
	}
	if mediaType == "" {
		mediaType = defaultType
	}
	id, err := b.core.NewMultipartUpload(ctx, b.bucket, name, minio.PutObjectOptions{ContentType: mediaType})
	if err != nil {
		return "", b.convert(op, key, err, remote.Other)
	}
	if id == "" {
		return "", remote.E(op, key, remote.Unavailable, errors.New("the answer has no upload id"))
	}
	return id, nil
}

func (b *Bucket) PutPart(ctx context.Context, key, uploadID string, number int, body io.ReadSeeker, size int64) (object.Part, error) {
	const op = "put part"
	name, err := b.begin(ctx, op, key)
	if err != nil {
		return object.Part{}, err
	}
	if err := object.CheckPart(op, key, number, size, b.Facts()); err != nil {
		return object.Part{}, err
	}
	p, err := newPayload(ctx, op, key, body, size)
	if err != nil {
		return object.Part{}, err
	}
	part, err := b.core.PutObjectPart(ctx, b.bucket, name, uploadID, number, p, size, minio.PutObjectPartOptions{
		Sha256Hex: p.sha256, DisableContentSha256: p.sha256 != "",
	})
	if err = p.finish(op, key, err); err != nil {
		return object.Part{}, b.convert(op, key, err, remote.Other)
	}
	return object.Part{Number: number, ETag: part.ETag, Size: size}, nil
}

// CopyPart lets the server copy; no bytes come here.
func (b *Bucket) CopyPart(ctx context.Context, key, uploadID string, number int, source string, off, n int64) (object.Part, error) {
	const op = "copy part"
	name, err := b.begin(ctx, op, key)
	if err != nil {
		return object.Part{}, err
	}
	from, err := b.begin(ctx, op, source)
	if err != nil {
		return object.Part{}, err
	}
	if err := object.CheckPart(op, key, number, n, b.Facts()); err != nil {
		return object.Part{}, err
	}
	if off < 0 || n < 1 {
		return object.Part{}, remote.E(op, key, remote.Invalid, fmt.Errorf("%d bytes at %d are no range", n, off))
	}
	part, err := b.core.CopyObjectPart(ctx, b.bucket, from, b.bucket, name, uploadID, number, off, n, nil)
	if isCode(err, minio.NoSuchKey) {
		return object.Part{}, b.convert(op, source, err, remote.Other)
	}
	if err != nil {
		return object.Part{}, b.convert(op, key, err, remote.Other)
	}
	etag := strings.Trim(part.ETag, `"`)
	if etag == "" {
		// A copy that fails after its answer has begun is an error under status 200.
		return object.Part{}, remote.E(op, key, remote.Unavailable, errors.New("the server broke off the copy"))
	}
	return object.Part{Number: number, ETag: etag, Size: n}, nil
}

// ListParts is one request for up to 1,000 parts.
func (b *Bucket) ListParts(ctx context.Context, key, uploadID string) ([]object.Part, error) {
	const op = "list parts"
	name, err := b.begin(ctx, op, key)
	if err != nil {
		return nil, err
	}
	parts := []object.Part{}
	for marker := 0; ; {
		page, err := b.core.ListObjectParts(ctx, b.bucket, name, uploadID, marker, pageSize)
		if err != nil {
			return nil, b.convert(op, key, err, remote.Other)
		}
		for _, p := range page.ObjectParts {
			parts = append(parts, object.Part{Number: p.PartNumber, ETag: strings.Trim(p.ETag, `"`), Size: p.Size})
		}
		if !page.IsTruncated {
			break
		}
		if page.NextPartNumberMarker <= marker {
			return nil, remote.E(op, key, remote.Unavailable, errors.New("the list of parts does not go on"))
		}
		marker = page.NextPartNumberMarker
	}
	slices.SortFunc(parts, func(a, b object.Part) int { return a.Number - b.Number })
	return parts, nil
}

func (b *Bucket) CompleteMultipart(ctx context.Context, key, uploadID string, parts []object.Part) (object.Info, error) {
	const op = "complete multipart upload"
	name, err := b.begin(ctx, op, key)
	if err != nil {
		return object.Info{}, err
	}
	size, err := object.CheckParts(op, key, parts)
	if err != nil {
		return object.Info{}, err
	}
	list := make([]minio.CompletePart, len(parts))
	for i, p := range parts {
		list[i] = minio.CompletePart{PartNumber: p.Number, ETag: p.ETag}
	}
	actx, a := withAnswer(ctx)
	up, err := b.core.CompleteMultipartUpload(actx, b.bucket, name, uploadID, list, minio.PutObjectOptions{})
	if err == nil && up.ETag != "" {
		return object.Info{Key: key, Size: size, ETag: up.ETag, Modified: a.date, Date: a.date}, nil
	}
	// In doubt, or done by an earlier call: the object tells.
	err = b.convert(op, key, err, remote.Other)
	if kind := remote.KindOf(err); err == nil || kind == remote.NotExist || kind == remote.Unavailable {
		info, herr := b.stat(ctx, op, key, name, "")
		if herr == nil && info.Size == size {
			return info, nil
		}
		if err == nil {
			return object.Info{}, herr
		}
	}
	return object.Info{}, err
}

func (b *Bucket) AbortMultipart(ctx context.Context, key, uploadID string) error {
	const op = "abort multipart upload"
	name, err := b.begin(ctx, op, key)
	if err != nil {
		return err
	}
	err = b.core.AbortMultipartUpload(ctx, b.bucket, name, uploadID)
	if isCode(err, minio.NoSuchUpload) {
		return nil
	}
	return b.convert(op, key, err, remote.Other)
}

// ListMultiparts is one request for up to 1,000 uploads. MinIO's server lists only those of one key, given as a prefix; a
// shorter prefix finds nothing there, which is no error.
func (b *Bucket) ListMultiparts(ctx context.Context, prefix string) ([]object.MultipartUpload, error) {
	const op = "list multipart uploads"
	if err := object.CheckContext(ctx, op, prefix); err != nil {
		return nil, err
	}
	if object.NoKeyBegins(prefix) {
		return nil, nil
	}
	var ups []object.MultipartUpload
	for keyMarker, idMarker := "", ""; ; {
		page, err := b.core.ListMultipartUploads(ctx, b.bucket, b.prefix+prefix, keyMarker, idMarker, "", pageSize)
		if err != nil {
			return nil, b.convert(op, prefix, err, remote.Other)
		}
		for _, u := range page.Uploads {
			if key, ok := strings.CutPrefix(u.Key, b.prefix+prefix); ok {
				ups = append(ups, object.MultipartUpload{Key: prefix + key, ID: u.UploadID, Initiated: u.Initiated})
			}
		}
		if !page.IsTruncated {
			break
		}
		if page.NextKeyMarker == keyMarker && page.NextUploadIDMarker == idMarker {
			return nil, remote.E(op, prefix, remote.Unavailable, errors.New("the list of uploads does not go on"))
		}
		keyMarker, idMarker = page.NextKeyMarker, page.NextUploadIDMarker
	}
	slices.SortFunc(ups, object.CompareUploads)
	return ups, nil
}
