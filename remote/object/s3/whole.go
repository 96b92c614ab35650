package s3

import (
	"context"
	"strings"

	"github.com/minio/minio-go/v7"

	"mediafs/remote"
	"mediafs/remote/object"
)

var (
	_ object.Rooted = (*Bucket)(nil)
	_ object.Whole  = (*Bucket)(nil)
)

// Root is the bucket without the prefix.
func (b *Bucket) Root() (object.Whole, string) {
	whole := *b
	whole.prefix = ""
	return &whole, b.prefix
}

// ListAll costs what List does.
func (b *Bucket) ListAll(
	ctx context.Context, prefix, after string, max int,
) (page []object.Info, more bool, err error) {
	return b.list(ctx, prefix, after, max, true)
}

// Describe is one request.
func (b *Bucket) Describe(ctx context.Context, key string) (object.Description, error) {
	const op = "describe object"
	name, err := b.begin(ctx, op, key)
	if err != nil {
		return object.Description{}, err
	}
	ctx, a := withAnswer(ctx)
	oi, err := b.core.StatObject(ctx, b.bucket, name, minio.StatObjectOptions{})
	if err != nil {
		return object.Description{}, b.convert(op, key, err, remote.Other)
	}
	d := object.Description{
		Info: object.Info{Key: key, Size: oi.Size, ETag: oi.ETag, Modified: oi.LastModified, Date: a.date},
		Type: oi.ContentType,
		Meta: make(map[string]string, len(oi.UserMetadata)),
	}
	for name, value := range oi.UserMetadata {
		d.Meta[strings.ToLower(name)] = value
	}
	return d, nil
}
