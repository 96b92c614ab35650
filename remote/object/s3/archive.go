package s3

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/minio/minio-go/v7"

	"mediafs/remote"
	"mediafs/remote/object"
)

var _ object.Archiver = (*Bucket)(nil)

// archives are the storage classes whose objects must be restored before they can be read.
// (GLACIER_IR is none.)
var archives = map[string]bool{"GLACIER": true, "DEEP_ARCHIVE": true}

// Archive is one request.
func (b *Bucket) Archive(ctx context.Context, key string) (remote.Archive, error) {
	const op = "look how object is kept"
	name, err := b.begin(ctx, op, key)
	if err != nil {
		return remote.Archive{}, err
	}
	actx, a := withAnswer(ctx)
	if _, err := b.core.StatObject(actx, b.bucket, name, minio.StatObjectOptions{}); err != nil {
		return remote.Archive{}, b.convert(op, key, err, remote.Stale)
	}
	return archiveOf(a.header), nil
}

// archiveOf reads the headers of an object. Source: HeadObject in Amazon's reference of S3.
func archiveOf(h http.Header) remote.Archive {
	r := remote.Archive{Class: h.Get("X-Amz-Storage-Class")}
	if r.Class == "STANDARD" {
		r.Class = ""
	}
	r.Archived = archives[r.Class] || h.Get("X-Amz-Archive-Status") != "" // the latter in INTELLIGENT_TIERING
	// ongoing-request="false", expiry-date="Fri, 21 Dec 2012 00:00:00 GMT"
	restore := h.Get("X-Amz-Restore")
	if strings.Contains(restore, `ongoing-request="true"`) {
		r.Restoring = true
		return r
	}
	_, date, ok := strings.Cut(restore, `expiry-date="`)
	date, _, _ = strings.Cut(date, `"`)
	if until, err := http.ParseTime(date); ok && err == nil && r.Archived {
		r.Until = until.In(time.UTC)
		r.Archived = false
	}
	return r
}

// Restore is one request.
func (b *Bucket) Restore(ctx context.Context, key string, days int) error {
	const op = "restore object"
	name, err := b.begin(ctx, op, key)
	if err != nil {
		return err
	}
	var r minio.RestoreRequest
	if days > 0 {
		r.SetDays(days)
	}
	r.SetGlacierJobParameters(minio.GlacierJobParameters{Tier: minio.TierStandard})
	err = b.core.RestoreObject(ctx, b.bucket, name, "", r)
	switch {
	case isCode(err, "RestoreAlreadyInProgress"):
		return nil
	case isCode(err, "InvalidObjectState"):
		return remote.E(op, key, remote.Unsupported, errors.New("the store restores no object of its storage class"))
	}
	err = b.convert(op, key, err, remote.Other)
	if kind := remote.KindOf(err); kind == remote.Unsupported || kind == remote.Other && err != nil {
		return remote.E(op, key, remote.Unsupported, answerOf(err)).
			WithHint("this store cannot be asked through S3: restore the object with its own tools")
	}
	return err
}

// answerOf is what the store said.
func answerOf(err error) error {
	var e *remote.Error
	if errors.As(err, &e) && e.Err != nil {
		return e.Err
	}
	return err
}

// lock asks for Object Lock. Most stores know nothing of it, and many keys may not ask.
func (b *Bucket) lock(ctx context.Context) object.Lock {
	on, mode, validity, unit, err := b.core.GetObjectLockConfig(ctx, b.bucket)
	if err != nil || on != "Enabled" {
		return object.Lock{}
	}
	l := object.Lock{On: true}
	if mode != nil && validity != nil && unit != nil {
		l.Mode, l.Days = string(*mode), int(*validity)
		if *unit == minio.Years {
			l.Days *= 365
		}
	}
	return l
}
