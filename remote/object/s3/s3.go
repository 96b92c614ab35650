// Package s3 is object storage on any server that speaks Amazon's S3, through minio-go: the
// transport below it is that of remote/transport, requests are signed with version 4, and
// put-if-absent is a PUT with If-None-Match: *.
//
// Every put and part carries a checksum, and what the store answers is compared with what was sent:
// see integrity.go.
//
// Nothing is retried: minio-go gets one attempt a request. (Its loop waits up to 200 ms after a
// failure that it would have retried.) Nothing is asked of the server before the first operation.
package s3

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"

	"github.com/minio/minio-go/v7"

	"mediafs/remote"
	"mediafs/remote/object"
	"mediafs/remote/transport"
)

const (
	mib = 1 << 20
	gib = 1 << 30

	// Amazon's limits, which all other servers keep too.
	minPart  = 5 * mib
	maxPart  = 5 * gib
	maxParts = 10000
	maxPut   = 5 * gib

	// pageSize is the most that one request lists. A List asks for one more than it gives, so that
	// a full page knows whether there are more without a second request.
	pageSize = 1000

	defaultType = "application/octet-stream"
)

// A Bucket is one bucket of a server, below one prefix.
type Bucket struct {
	core   *minio.Core
	wire   keeper
	url    string
	bucket string
	prefix string // empty or with a slash at its end
	secure bool   // requests are encrypted
	habits object.Habits
}

var _ object.Bucket = (*Bucket)(nil)

// Open makes a bucket of options. It sends nothing: whether the bucket is there shows at the first
// operation. Errors: Invalid, and those of the CA file.
func Open(ctx context.Context, opt Options) (*Bucket, error) {
	endpoint, err := opt.check()
	if err != nil {
		return nil, err
	}
	if err := object.CheckContext(ctx, "open bucket", opt.Bucket); err != nil {
		return nil, err
	}
	opt.Transport.CAFile, opt.Transport.AllowHTTP = opt.CAFile, opt.AllowHTTP
	rt, err := transport.New(opt.Transport)
	if err != nil {
		return nil, err
	}
	b := &Bucket{
		wire:   keeper{rt},
		url:    "s3://" + opt.Bucket + "/" + opt.Prefix,
		bucket: opt.Bucket,
		prefix: opt.Prefix,
		secure: endpoint.Scheme == "https",
	}
	if opt.Endpoint != defaultEndpoint {
		b.url += "?endpoint=" + opt.Endpoint
	}
	lookup := minio.BucketLookupAuto
	if opt.PathStyle {
		lookup = minio.BucketLookupPath
	}
	b.core, err = minio.NewCore(endpoint.Host, &minio.Options{
		Creds:        credentialsOf(&opt),
		Secure:       b.secure,
		Transport:    b.wire,
		Region:       opt.Region,
		BucketLookup: lookup,
		MaxRetries:   1,
	})
	if err != nil {
		return nil, remote.E("open bucket", opt.Bucket, remote.Invalid, err)
	}
	return b, nil
}

// begin checks what every method checks first and returns the key's full name.
func (b *Bucket) begin(ctx context.Context, op, key string) (name string, err error) {
	if err := object.CheckKey(op, key); err != nil {
		return "", err
	}
	name = b.prefix + key
	if len(name) > object.MaxKey {
		return "", remote.E(
			op,
			key,
			remote.TooLong,
			fmt.Errorf(
				"with the prefix of the store the key has %d bytes, at most %d are possible", len(name), object.MaxKey,
			),
		)
	}
	return name, object.CheckContext(ctx, op, key)
}

// Put is one request; two where the answer to the first proves nothing of what was kept.
// Info.Modified is when the store answered; its own record may be a moment earlier.
func (b *Bucket) Put(
	ctx context.Context, key string, body io.ReadSeeker, size int64, opt object.PutOptions,
) (object.Info, error) {
	const op = "put object"
	name, err := b.begin(ctx, op, key)
	if err != nil {
		return object.Info{}, err
	}
	if size > maxPut {
		return object.Info{}, remote.E(
			op, key, remote.TooLarge, fmt.Errorf("%d bytes are more than one request takes (%d)", size, int64(maxPut)),
		)
	}
	p, err := b.newPayload(ctx, op, key, body, size, b.habits.Put)
	if err != nil {
		return object.Info{}, err
	}
	actx, a := withAnswer(ctx)
	up, err := b.put(actx, name, p, opt)
	if err = p.finish(op, key, err); err != nil {
		if opt.IfAbsent && isLocked(err) {
			// VersityGW looks at the lock of an object that is there before it looks at the
			// condition.
			if _, herr := b.stat(ctx, op, key, name, ""); herr == nil {
				return object.Info{}, remote.E(op, key, remote.Exist, errors.New(err.Error()))
			}
		}
		return object.Info{}, b.convert(op, key, err, remote.Exist)
	}
	proven, err := b.kept(op, key, p, a, up.ETag, up.ChecksumCRC32C)
	if err != nil {
		return object.Info{}, err
	}
	if !proven && b.habits.Known {
		there, err := b.stat(ctx, op, key, name, "")
		if err != nil {
			return object.Info{}, err
		}
		if there.Size != size {
			return object.Info{}, otherSize(op, key, there.Size, size)
		}
	}
	return object.Info{Key: key, Size: size, ETag: up.ETag, Modified: a.date, Date: a.date}, nil
}

// put sends the request of Put.
func (b *Bucket) put(ctx context.Context, name string, p *payload, opt object.PutOptions) (minio.UploadInfo, error) {
	put := minio.PutObjectOptions{ContentType: opt.Type, DisableContentSha256: p.sha256 != ""}
	if put.ContentType == "" {
		put.ContentType = defaultType
	}
	if opt.IfAbsent {
		put.SetMatchETagExcept("*")
	}
	if p.crc32c != "" {
		put.UserMetadata = map[string]string{headerCRC32C: p.crc32c}
	}
	return b.core.PutObject(ctx, b.bucket, name, p, p.size, p.contentMD5(), p.sha256, put)
}

// Get is one request; a range of no bytes, or one past the end, is a Head, after the request that
// found it out.
func (b *Bucket) Get(ctx context.Context, key string, opt object.GetOptions) (io.ReadCloser, object.Info, error) {
	const op = "get object"
	name, err := b.begin(ctx, op, key)
	if err != nil {
		return nil, object.Info{}, err
	}
	if opt.Offset < 0 {
		return nil, object.Info{}, remote.E(op, key, remote.Invalid, fmt.Errorf("offset %d is negative", opt.Offset))
	}
	if opt.Length == 0 {
		return b.getNothing(ctx, op, key, name, opt)
	}
	get, ranged, err := getOptions(opt)
	if err != nil {
		return nil, object.Info{}, remote.E(op, key, remote.Invalid, err)
	}
	actx, a := withAnswer(ctx)
	body, oi, header, err := b.core.GetObject(actx, b.bucket, name, get)
	if ranged && (isCode(err, "InvalidRange") || hasStatus(err, http.StatusRequestedRangeNotSatisfiable)) {
		return b.getNothing(ctx, op, key, name, opt)
	}
	if err != nil {
		return nil, object.Info{}, b.convert(op, key, err, remote.Stale)
	}
	if err := sameTag(op, key, oi.ETag, opt.IfMatch); err != nil {
		body.Close()
		return nil, object.Info{}, err
	}
	total, n, err := extent(header, oi.Size, opt)
	switch {
	case errors.Is(err, errNoRanges):
		body.Close()
		return nil, object.Info{}, remote.E(op, key, remote.Unsupported, err).
			WithHint("use a store, or a proxy before it, that gives ranges of objects")
	case err != nil:
		body.Close()
		return nil, object.Info{}, remote.E(op, key, remote.Unavailable, err)
	}
	info := object.Info{Key: key, Size: total, ETag: oi.ETag, Modified: oi.LastModified, Date: a.date}
	return &reader{b: b, ctx: ctx, key: key, body: body, left: n}, info, nil
}

func getOptions(opt object.GetOptions) (get minio.GetObjectOptions, ranged bool, err error) {
	if opt.IfMatch != "" {
		if err := get.SetMatchETag(opt.IfMatch); err != nil {
			return get, false, err
		}
	}
	switch {
	case opt.Length > 0:
		return get, true, get.SetRange(opt.Offset, opt.Offset+opt.Length-1)
	case opt.Offset > 0:
		return get, true, get.SetRange(opt.Offset, 0) // 0: to the end
	}
	return get, false, nil
}

// sameTag fails with Stale when a store gave an object although it does not have the etag that was
// asked for.
func sameTag(op, key, etag, wanted string) error {
	if wanted == "" || etag == wanted {
		return nil
	}
	return remote.E(op, key, remote.Stale, fmt.Errorf("its etag is %q, not %q", etag, wanted))
}

var errNoRanges = errors.New("the store ignores ranges: it answered with the whole object")

// extent tells from the headers of an answer how large the object is and how many bytes of the body
// are wanted.
func extent(h http.Header, length int64, opt object.GetOptions) (total, n int64, err error) {
	if length < 0 {
		return 0, 0, errors.New("the answer does not say how long it is")
	}
	want := func(total int64) int64 {
		rest := max(total-opt.Offset, 0)
		if opt.Length > 0 {
			return min(rest, opt.Length)
		}
		return rest
	}
	cr := h.Get("Content-Range") // bytes 5-9/100
	if cr == "" {
		// The whole object, because it was asked for or because the server takes a range for
		// advice.
		if opt.Offset > 0 && opt.Offset < length {
			return 0, 0, errNoRanges
		}
		return length, want(length), nil
	}
	span, size, ok := strings.Cut(strings.TrimPrefix(cr, "bytes "), "/")
	from, to, _ := strings.Cut(span, "-")
	first, err1 := strconv.ParseInt(from, 10, 64)
	last, err2 := strconv.ParseInt(to, 10, 64)
	total, err3 := strconv.ParseInt(size, 10, 64)
	if !ok || err1 != nil || err2 != nil || err3 != nil || first != opt.Offset {
		return 0, 0, fmt.Errorf("the answer has the range %q, asked for was one from %d", cr, opt.Offset)
	}
	if n = want(total); n != length || last != first+length-1 {
		return 0, 0, fmt.Errorf("the answer has %d bytes and the range %q, which should be %d", length, cr, n)
	}
	return total, n, nil
}

// getNothing answers a Get that gives no bytes.
func (b *Bucket) getNothing(
	ctx context.Context, op, key, name string, opt object.GetOptions,
) (io.ReadCloser, object.Info, error) {
	info, err := b.stat(ctx, op, key, name, opt.IfMatch)
	if err != nil {
		return nil, object.Info{}, err
	}
	if opt.Length != 0 && opt.Offset < info.Size {
		return nil, object.Info{}, remote.E(
			op, key, remote.Unavailable, errors.New("the object grew while it was looked at"),
		)
	}
	return io.NopCloser(strings.NewReader("")), info, nil
}

func (b *Bucket) Head(ctx context.Context, key string) (object.Info, error) {
	const op = "head object"
	name, err := b.begin(ctx, op, key)
	if err != nil {
		return object.Info{}, err
	}
	return b.stat(ctx, op, key, name, "")
}

func (b *Bucket) stat(ctx context.Context, op, key, name, ifMatch string) (object.Info, error) {
	var opt minio.StatObjectOptions
	if ifMatch != "" {
		if err := opt.SetMatchETag(ifMatch); err != nil {
			return object.Info{}, remote.E(op, key, remote.Invalid, err)
		}
	}
	ctx, a := withAnswer(ctx)
	oi, err := b.core.StatObject(ctx, b.bucket, name, opt)
	if err != nil {
		return object.Info{}, b.convert(op, key, err, remote.Stale)
	}
	if err := sameTag(op, key, oi.ETag, ifMatch); err != nil {
		return object.Info{}, err
	}
	return object.Info{Key: key, Size: oi.Size, ETag: oi.ETag, Modified: oi.LastModified, Date: a.date}, nil
}

// List is one request (more when the server gives less than it was asked for) for at most 999
// objects.
func (b *Bucket) List(ctx context.Context, prefix, after string, max int) (page []object.Info, more bool, err error) {
	if object.NoKeyBegins(prefix) {
		return nil, false, object.CheckContext(ctx, "list objects", prefix)
	}
	return b.list(ctx, prefix, after, max, false)
}

// list gives one page; with all, keys that are none of ours too.
func (b *Bucket) list(
	ctx context.Context, prefix, after string, max int, all bool,
) (page []object.Info, more bool, err error) {
	const op = "list objects"
	if err := object.CheckContext(ctx, op, prefix); err != nil {
		return nil, false, err
	}
	if max <= 0 || max >= pageSize {
		max = pageSize - 1
	}
	owner := false
	opt := minio.ListObjectsOptions{Prefix: b.prefix + prefix, Recursive: true, MaxKeys: max + 1, FetchOwner: &owner}
	if after != "" {
		opt.StartAfter = b.prefix + after
	}
	for oi := range b.core.ListObjectsIter(ctx, b.bucket, opt) {
		if oi.Err != nil {
			return nil, false, b.convert(op, prefix, oi.Err, remote.Other)
		}
		key, ok := strings.CutPrefix(oi.Key, b.prefix)
		if !ok || !all && object.CheckKey(op, key) != nil {
			continue // a folder marker of another tool, or a name that is no key
		}
		if len(page) == max {
			return page, true, nil
		}
		page = append(page, object.Info{Key: key, Size: oi.Size, ETag: oi.ETag, Modified: oi.LastModified})
	}
	// The iterator ends silently with its context.
	if err := object.CheckContext(ctx, op, prefix); err != nil {
		return nil, false, err
	}
	return page, false, nil
}

// Delete is one request for up to 1,000 keys.
func (b *Bucket) Delete(ctx context.Context, keys ...string) error {
	const op = "delete object"
	names := make([]string, len(keys))
	for i, key := range keys {
		var err error
		if names[i], err = b.begin(ctx, op, key); err != nil {
			return err
		}
	}
	if len(keys) == 1 {
		err := b.core.RemoveObject(ctx, b.bucket, names[0], minio.RemoveObjectOptions{})
		if isCode(err, minio.NoSuchKey) {
			return nil
		}
		return b.convert(op, keys[0], err, remote.Other)
	}
	if len(keys) == 0 {
		return nil
	}
	objects := make(chan minio.ObjectInfo, len(names))
	for _, name := range names {
		objects <- minio.ObjectInfo{Key: name}
	}
	close(objects)
	// The goroutine behind the results ends when all of them were taken.
	var first error
	for r := range b.core.RemoveObjectsWithResult(ctx, b.bucket, objects, minio.RemoveObjectsOptions{}) {
		if r.Err != nil && first == nil && !isCode(r.Err, minio.NoSuchKey) {
			first = b.convert(op, strings.TrimPrefix(r.ObjectName, b.prefix), r.Err, remote.Other)
		}
	}
	return first
}

// Facts are Amazon's limits. S3 does not tell how much room there is.
func (b *Bucket) Facts() object.Facts {
	return object.Facts{URL: b.url, MinPart: minPart, MaxPart: maxPart, MaxParts: maxParts, MaxPut: maxPut}
}

// Close drops idle connections.
func (b *Bucket) Close() error {
	b.wire.CloseIdleConnections()
	return nil
}

func hasStatus(err error, status int) bool {
	var answer minio.ErrorResponse
	return errors.As(err, &answer) && answer.StatusCode == status
}
