// Package object is object storage as mediafs needs it: keys, immutable values, put-if-absent, ranged reads,
// multipart uploads. Three implementations stand behind one interface: s3 (any S3-compatible server), dir (a local
// directory) and mem (tests). All pass the suite in objecttest.
//
// Nothing here knows what a library is, and nothing here retries: remote/bucket owns that.
package object

import (
	"context"
	"io"
	"time"
)

// Info describes an object.
type Info struct {
	Key      string
	Size     int64
	ETag     string    // opaque, without quotes; changes whenever the bytes do
	Modified time.Time // store's clock
	Date     time.Time // the store's clock when it answered; zero where it does not say (List fills it for no entry)
}

// PutOptions refine Put.
type PutOptions struct {
	IfAbsent bool   // fail with Exist when the key is taken: atomic among all clients
	Type     string // media type; empty: application/octet-stream
}

// GetOptions refine Get.
type GetOptions struct {
	Offset  int64
	Length  int64  // < 0 reads to the end
	IfMatch string // fail with Stale unless the object has this ETag
}

// Part is one finished part of a multipart upload.
type Part struct {
	Number int // from 1
	ETag   string
	Size   int64
}

// MultipartUpload is one that was begun and neither completed nor aborted.
type MultipartUpload struct {
	Key       string
	ID        string
	Initiated time.Time
}

// Facts tell what a bucket is and can do.
type Facts struct {
	URL      string // for people, without secrets
	Local    bool   // objects are files on a local disk
	MinPart  int64  // smallest part of a multipart upload but the last
	MaxPart  int64
	MaxParts int
	MaxPut   int64 // largest object in one Put
	Capacity int64 // bytes in all; 0 when the store does not say
	Free     int64 // bytes free now
}

// Bucket is object storage under one prefix: keys are relative to it, slash-separated, without a leading slash, never
// empty. Keys x and x/y are never both used. All methods may be called concurrently; none retries; all honour ctx.
//
// Errors are *remote.Error with the key as Path (for a source that CopyPart does not find: the source). Kinds: NotExist (the store said so; for Get, Head, CopyPart's source,
// unknown uploads), Exist (IfAbsent), Conflict (a concurrent conditional put of the same key, S3's 409: try again),
// Stale (IfMatch), Permission, Throttled, Unavailable (not reached, 5xx, broken off: for a write, in doubt), Quota,
// NoSpace, Invalid. A write that returned nil is durable.
type Bucket interface {
	// Put stores size bytes of body under key, replacing what is there unless IfAbsent. body is read from its start,
	// maybe more than once. Readers never see part of it.
	Put(ctx context.Context, key string, body io.ReadSeeker, size int64, opt PutOptions) (Info, error)

	// Get opens an object or a range of it. A range that begins at or past the end gives no bytes and no error; Info has the size
	// of the whole object. The reader fails (Unavailable) rather than end early.
	Get(ctx context.Context, key string, opt GetOptions) (io.ReadCloser, Info, error)

	// Head describes an object.
	Head(ctx context.Context, key string) (Info, error)

	// List returns up to max objects (0: the store's own page size) whose keys begin with prefix and are greater than
	// after, in ascending byte order, and whether there are more.
	List(ctx context.Context, prefix, after string, max int) (page []Info, more bool, err error)

	// Delete removes objects; one that is not there is no error. Any number of keys.
	Delete(ctx context.Context, keys ...string) error

	// CreateMultipart begins a multipart upload.
	CreateMultipart(ctx context.Context, key, mediaType string) (uploadID string, err error)

	// PutPart stores part number (1 to Facts.MaxParts) of an upload; again with the same number replaces it.
	PutPart(ctx context.Context, key, uploadID string, number int, body io.ReadSeeker, size int64) (Part, error)

	// CopyPart makes a part out of a range of an existing object of this bucket.
	CopyPart(ctx context.Context, key, uploadID string, number int, source string, off, n int64) (Part, error)

	// ListParts returns the parts that an upload has, ascending.
	ListParts(ctx context.Context, key, uploadID string) ([]Part, error)

	// CompleteMultipart makes the object of the parts, in the order given. A completion that ended in doubt is settled with Head:
	// calling it again after it took effect returns success when the object has the size of the parts.
	CompleteMultipart(ctx context.Context, key, uploadID string, parts []Part) (Info, error)

	// AbortMultipart drops an upload; one that is not known is no error.
	AbortMultipart(ctx context.Context, key, uploadID string) error

	// ListMultiparts returns unfinished uploads whose keys begin with prefix.
	ListMultiparts(ctx context.Context, prefix string) ([]MultipartUpload, error)

	Facts() Facts
	Close() error
}

// Mover is implemented by a bucket that can take a local file as an object without copying it (dir, when both are on one file system).
type Mover interface {
	// PutFile makes the file at path the object key, which must not exist, and syncs it. The file must have been written and closed;
	// it stays readable for whoever has it open. On an error of kind Unsupported the file is untouched: use Put.
	PutFile(ctx context.Context, key, path string) (Info, error)
}

// Rooted is implemented by a bucket that is the part of a larger one below a prefix (s3), so that what others keep beside it can be read.
type Rooted interface {
	// Root is the larger bucket and the prefix that this one has in it: empty, or with a slash at its end. It is closed with this one.
	Root() (whole Whole, prefix string)
}

// Whole is a bucket with all that is in it, whoever wrote it. It can only be read. Errors are as those of Bucket.
type Whole interface {
	Get(ctx context.Context, key string, opt GetOptions) (io.ReadCloser, Info, error)
	Head(ctx context.Context, key string) (Info, error)
	// Describe is Head with what Head leaves out.
	Describe(ctx context.Context, key string) (Description, error)
	// ListAll is List that leaves nothing out: keys that CheckKey refuses, as markers of folders (photos/) have them, are listed too. No other method
	// takes such a key.
	ListAll(ctx context.Context, prefix, after string, max int) (page []Info, more bool, err error)
}

// A Description is what a store keeps about an object that somebody else wrote.
type Description struct {
	Info
	Type string            // media type; empty when the store does not say
	Meta map[string]string // what the writer noted, by name in lower case, without the store's own prefix (x-amz-meta-)
}
