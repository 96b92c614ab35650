package s3

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
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
	opt := minio.PutObjectOptions{ContentType: mediaType}
	if b.habits.Part.Sum == object.SumCRC32C {
		opt.UserMetadata = map[string]string{headerAlgorithm: "CRC32C"}
	}
	id, err := b.core.NewMultipartUpload(ctx, b.bucket, name, opt)
	if err != nil {
		return "", b.convert(op, key, err, remote.Other)
	}
	if id == "" {
		return "", remote.E(op, key, remote.Unavailable, errors.New("the answer has no upload id"))
	}
	return id, nil
}

func (b *Bucket) PutPart(
	ctx context.Context, key, uploadID string, number int, body io.ReadSeeker, size int64,
) (object.Part, error) {
	const op = "put part"
	name, err := b.begin(ctx, op, key)
	if err != nil {
		return object.Part{}, err
	}
	if err := object.CheckPart(op, key, number, size, b.Facts()); err != nil {
		return object.Part{}, err
	}
	p, err := b.newPayload(ctx, op, key, body, size, b.habits.Part)
	if err != nil {
		return object.Part{}, err
	}
	actx, a := withAnswer(ctx)
	part, err := b.putPart(actx, name, uploadID, number, p)
	if err = p.finish(op, key, err); err != nil {
		return object.Part{}, b.convert(op, key, err, remote.Other)
	}
	if _, err := b.kept(op, key, p, a, part.ETag, part.ChecksumCRC32C); err != nil {
		return object.Part{}, err
	}
	return object.Part{Number: number, ETag: part.ETag, Size: size, Sum: p.crc32c}, nil
}

// putPart sends the request of PutPart.
func (b *Bucket) putPart(ctx context.Context, name, uploadID string, number int, p *payload) (minio.ObjectPart, error) {
	opt := minio.PutObjectPartOptions{
		Md5Base64:            p.contentMD5(),
		Sha256Hex:            p.sha256,
		DisableContentSha256: p.sha256 != "",
	}
	if p.crc32c != "" {
		opt.CustomHeader = http.Header{}
		opt.CustomHeader.Set(headerCRC32C, p.crc32c)
	}
	return b.core.PutObjectPart(ctx, b.bucket, name, uploadID, number, p, p.size, opt)
}

// CopyPart lets the server copy; no bytes come here.
func (b *Bucket) CopyPart(
	ctx context.Context, key, uploadID string, number int, source string, off, n int64,
) (object.Part, error) {
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
	if b.habits.NoCopy {
		return object.Part{}, remote.E(op, key, remote.Unsupported, errors.New("the store copies no parts"))
	}
	part, err := b.core.CopyObjectPart(ctx, b.bucket, from, b.bucket, name, uploadID, number, off, n, nil)
	switch {
	case isCode(err, minio.NoSuchKey):
		return object.Part{}, b.convert(op, source, err, remote.Other)
	case err == io.EOF: // of the answer, which has nothing in it, and not of the connection
		return object.Part{}, remote.E(
			op, key, remote.Unsupported, errors.New("the store took the copy of a part for an upload"),
		)
	}
	if err != nil {
		return object.Part{}, b.convert(op, key, err, remote.Other)
	}
	etag := strings.Trim(part.ETag, `"`)
	if etag == "" {
		// A copy that fails after its answer has begun is an error under status 200.
		return object.Part{}, remote.E(op, key, remote.Unavailable, errors.New("the server broke off the copy"))
	}
	return object.Part{Number: number, ETag: etag, Size: n, Sum: part.ChecksumCRC32C}, nil
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
			parts = append(
				parts,
				object.Part{Number: p.PartNumber, ETag: strings.Trim(p.ETag, `"`), Size: p.Size, Sum: p.ChecksumCRC32C},
			)
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

// CompleteMultipart is two requests: what was made of the parts is looked at, since the answer
// tells no size.
func (b *Bucket) CompleteMultipart(
	ctx context.Context, key, uploadID string, parts []object.Part,
) (object.Info, error) {
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
		list[i] = minio.CompletePart{PartNumber: p.Number, ETag: p.ETag, ChecksumCRC32C: p.Sum}
	}
	actx, a := withAnswer(ctx)
	up, err := b.core.CompleteMultipartUpload(actx, b.bucket, name, uploadID, list, minio.PutObjectOptions{})
	done := err == nil && up.ETag != ""
	if done {
		if err := b.joined(op, key, parts, a, up.ETag, up.ChecksumCRC32C); err != nil {
			return object.Info{}, err
		}
	}
	// When that is in doubt, or an earlier call did it, the object tells too.
	err = b.convert(op, key, err, remote.Other)
	if kind := remote.KindOf(err); err != nil && kind != remote.NotExist && kind != remote.Unavailable {
		return object.Info{}, err
	}
	info, herr := b.stat(ctx, op, key, name, "")
	switch {
	case herr == nil && info.Size == size:
		return info, nil
	case herr == nil && done && info.ETag != up.ETag:
		// A server may remember an upload that it completed or dropped, and call it done once more.
		return object.Info{}, remote.E(
			op, key, remote.NotExist, fmt.Errorf("another object is there, of %d bytes instead of %d", info.Size, size),
		)
	case herr == nil && done:
		return object.Info{}, otherSize(op, key, info.Size, size)
	case err == nil:
		return object.Info{}, herr
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

// ListMultiparts is one request for up to 1,000 uploads. MinIO's server lists only those of one
// key, given as a prefix; a shorter prefix finds nothing there, which is no error.
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
		if isCode(err, minio.NoSuchUpload) || isCode(err, minio.NoSuchKey) {
			break // GoFakeS3 knows no uploads where there never was one
		}
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
