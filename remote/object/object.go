// Package object is object storage as mediafs needs it: keys, immutable values, put-if-absent,
// ranged reads, multipart uploads. Three implementations stand behind one interface: s3 (any
// S3-compatible server), dir (a local directory) and mem (tests). All pass the suite in objecttest.
//
// Nothing here knows what a library is, and nothing here retries: remote/bucket owns that.
package object

import (
	"context"
	"io"
	"time"

	"mediafs/remote"
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
	Sum    string // checksum of it that the store keeps, which the completion names; empty: none
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
	MaxPut   int64  // largest object in one Put
	Capacity int64  // bytes in all; 0 when the store does not say
	Free     int64  // bytes free now
	Device   uint64 // st_dev of the local file system that the objects are in; 0: of none
}

// Bucket is object storage under one prefix: keys are relative to it, slash-separated, without a
// leading slash, never empty. Keys x and x/y are never both used. All methods may be called
// concurrently; none retries; all honour ctx.
//
// Errors are *remote.Error with the key as Path (for a source that CopyPart does not find: the
// source). Kinds: NotExist (the store said so; for Get, Head, CopyPart's source, unknown uploads),
// Exist (IfAbsent), Conflict (a concurrent conditional put of the same key, S3's 409: try again),
// Stale (IfMatch), Permission, Throttled, Unavailable (not reached, 5xx, broken off: for a write,
// in doubt), Quota, NoSpace, Invalid, Archived (the bytes must be restored before they can be
// read), Corrupt (the store has other bytes than those that it was given, by its own answer: what
// is under the key must not be used). A write that returned nil is durable.
type Bucket interface {
	// Put stores size bytes of body under key, replacing what is there unless IfAbsent. body is
	// read from its start, maybe more than once. Readers never see part of it.
	Put(ctx context.Context, key string, body io.ReadSeeker, size int64, opt PutOptions) (Info, error)

	// Get opens an object or a range of it. A range that begins at or past the end gives no bytes
	// and no error; Info has the size of the whole object. The reader fails (Unavailable) rather
	// than end early.
	Get(ctx context.Context, key string, opt GetOptions) (io.ReadCloser, Info, error)

	// Head describes an object.
	Head(ctx context.Context, key string) (Info, error)

	// List returns up to max objects (0: the store's own page size) whose keys begin with prefix
	// and are greater than after, in ascending byte order, and whether there are more.
	List(ctx context.Context, prefix, after string, max int) (page []Info, more bool, err error)

	// Delete removes objects; one that is not there is no error. Any number of keys.
	Delete(ctx context.Context, keys ...string) error

	// CreateMultipart begins a multipart upload.
	CreateMultipart(ctx context.Context, key, mediaType string) (uploadID string, err error)

	// PutPart stores part number (1 to Facts.MaxParts) of an upload; again with the same number
	// replaces it.
	PutPart(ctx context.Context, key, uploadID string, number int, body io.ReadSeeker, size int64) (Part, error)

	// CopyPart makes a part out of a range of an existing object of this bucket.
	CopyPart(ctx context.Context, key, uploadID string, number int, source string, off, n int64) (Part, error)

	// ListParts returns the parts that an upload has, ascending.
	ListParts(ctx context.Context, key, uploadID string) ([]Part, error)

	// CompleteMultipart makes the object of the parts, in the order given. A completion that ended
	// in doubt is settled with Head: calling it again after it took effect returns success when the
	// object has the size of the parts. Info is of the object as the store has it; Corrupt when it
	// is not what the parts make.
	CompleteMultipart(ctx context.Context, key, uploadID string, parts []Part) (Info, error)

	// AbortMultipart drops an upload; one that is not known is no error.
	AbortMultipart(ctx context.Context, key, uploadID string) error

	// ListMultiparts returns unfinished uploads whose keys begin with prefix.
	ListMultiparts(ctx context.Context, prefix string) ([]MultipartUpload, error)

	Facts() Facts
	Close() error
}

// Mover is implemented by a bucket that can take a local file as an object without copying it (dir,
// when both are on one file system).
type Mover interface {
	// PutFile makes the file at path the object key, which must not exist, and syncs it. The file
	// must have been written and closed; it stays readable for whoever has it open. On an error of
	// kind Unsupported the file is untouched: use Put.
	PutFile(ctx context.Context, key, path string) (Info, error)
}

// Rooted is implemented by a bucket that is the part of a larger one below a prefix (s3), so that
// what others keep beside it can be read.
type Rooted interface {
	// Root is the larger bucket and the prefix that this one has in it: empty, or with a slash at
	// its end. It is closed with this one.
	Root() (whole Whole, prefix string)
}

// Whole is a bucket with all that is in it, whoever wrote it. It can only be read. Errors are as
// those of Bucket.
type Whole interface {
	Get(ctx context.Context, key string, opt GetOptions) (io.ReadCloser, Info, error)
	Head(ctx context.Context, key string) (Info, error)
	// Describe is Head with what Head leaves out.
	Describe(ctx context.Context, key string) (Description, error)
	AllLister
}

// AllLister is implemented by a bucket that can hold what CheckKey refuses (s3, dir).
type AllLister interface {
	// ListAll is List that leaves nothing out: keys that CheckKey refuses, as markers of folders
	// (photos/) have them, are listed too. No other method takes such a key.
	ListAll(ctx context.Context, prefix, after string, max int) (page []Info, more bool, err error)
}

// A Description is what a store keeps about an object that somebody else wrote.
type Description struct {
	Info
	Type string            // media type; empty when the store does not say
	Meta map[string]string // what the writer noted, by name in lower case, without the store's own prefix (x-amz-meta-)
}

// Habits are what has to be found out of a store by trying: which checksum it takes with what is
// put, and what its answers prove. The zero value is what every store takes.
type Habits struct {
	Put  Checks `json:"put"`
	Part Checks `json:"part"` // of uploads
	// MD5Tags: the etag of a put and of a part is the MD5 of its bytes, and that of a completed
	// upload the MD5 of those of its parts. Stores that encrypt with keys of their own have other
	// etags.
	MD5Tags bool `json:"md5_tags"`
	// Lock is what the store does against deletion.
	Lock Lock `json:"lock,omitzero"`
	// NoCopy: the store cannot make a part out of another object.
	NoCopy bool `json:"no_copy,omitempty"`
	// Known: the rest was found out. Until then answers prove nothing, and nothing is asked beside
	// them.
	Known bool `json:"known"`
}

// Checks are how bytes are guarded on their way into a store.
type Checks struct {
	// Sum is the checksum that goes with them: SumCRC32C, SumMD5 or SumNone. A bucket with Object
	// Lock refuses what has none.
	Sum string `json:"sum"`
	// Verified: bytes whose checksum is another are refused, so that success proves what was kept.
	Verified bool `json:"verified"`
}

// The checksums of Checks.
const (
	SumCRC32C = "crc32c" // x-amz-checksum-crc32c
	SumMD5    = "md5"    // Content-MD5; also what an empty text stands for
	SumNone   = "none"
)

// Learner is implemented by a bucket that has habits to be found out (s3).
type Learner interface {
	// Learn finds the habits out with objects of some bytes, keeps to them from then on, and
	// returns them. Each key that newKey gives is used once; what is under them afterwards is the
	// caller's to delete. Unsupported: nothing can be written to the store. Corrupt: it keeps other
	// bytes than it is given. Any other error says nothing about it.
	Learn(ctx context.Context, newKey func() string) (Habits, error)
	// SetHabits has the bucket keep to what was found out before. It must not be called while
	// others use it.
	SetHabits(h Habits)
}

// A Lock is Object Lock of a bucket as it is set. The zero value is none.
type Lock struct {
	On bool `json:"on,omitempty"`
	// of what is put, unless it says otherwise: GOVERNANCE or COMPLIANCE; empty: it is not locked
	Mode string `json:"mode,omitempty"`
	Days int    `json:"days,omitempty"` // for how long, with Mode
}

// Archiver is implemented by a bucket whose objects may lie in an archive (s3).
type Archiver interface {
	// Archive says how an object is kept: one request, with the errors of Head.
	Archive(ctx context.Context, key string) (remote.Archive, error)
	// Restore asks for a copy of an archived object that can be read, for so many days; 0: as the
	// store has it. To ask again is no error. Unsupported: the store cannot be asked.
	Restore(ctx context.Context, key string, days int) error
}
