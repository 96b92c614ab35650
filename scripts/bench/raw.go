package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"golang.org/x/sync/errgroup"

	"mediafs/remote/object"
)

const (
	partSize = 16 << 20
	parallel = 4
)

// put is a multipart upload as a plain client does it.
func put(ctx context.Context, bucket object.Bucket, key, from string) error {
	f, err := os.Open(from)
	if err != nil {
		return err
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return err
	}
	id, err := bucket.CreateMultipart(ctx, key, "application/octet-stream")
	if err != nil {
		return err
	}
	parts := make([]object.Part, (st.Size()+partSize-1)/partSize)
	err = each(ctx, st.Size(), func(ctx context.Context, i int, off, n int64) (err error) {
		parts[i], err = bucket.PutPart(ctx, key, id, i+1, io.NewSectionReader(f, off, n), n)
		return err
	})
	if err == nil {
		_, err = bucket.CompleteMultipart(ctx, key, id, parts)
	}
	return err
}

// get fetches an object range by range into a file.
func get(ctx context.Context, bucket object.Bucket, key, to string) error {
	info, err := bucket.Head(ctx, key)
	if err != nil {
		return err
	}
	f, err := os.Create(to)
	if err != nil {
		return err
	}
	err = each(ctx, info.Size, func(ctx context.Context, _ int, off, n int64) error {
		body, _, err := bucket.Get(ctx, key, object.GetOptions{Offset: off, Length: n})
		if err != nil {
			return err
		}
		got, err := io.Copy(io.NewOffsetWriter(f, off), body)
		if err == nil && got != n {
			err = fmt.Errorf("%d bytes at %d, want %d", got, off, n)
		}
		return errors.Join(err, body.Close())
	})
	return errors.Join(err, f.Close())
}

// each calls do for every part of size bytes, a few at the same time.
func each(ctx context.Context, size int64, do func(ctx context.Context, i int, off, n int64) error) error {
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(parallel)
	for i, off := 0, int64(0); off < size; i, off = i+1, off+partSize {
		g.Go(func() error { return do(ctx, i, off, min(partSize, size-off)) })
	}
	return g.Wait()
}

// empty deletes everything in a bucket.
func empty(ctx context.Context, bucket object.Bucket) error {
	for {
		page, _, err := bucket.List(ctx, "", "", 0)
		if err != nil || len(page) == 0 {
			return err
		}
		for _, o := range page {
			if err := bucket.Delete(ctx, o.Key); err != nil {
				return err
			}
		}
	}
}
