// Package mem is object storage in the memory of the process: the reference that tests run on. It
// keeps the contract of object.Bucket to the letter and nothing else; it writes no file, starts no
// goroutine and survives nothing.
package mem

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"mediafs/remote"
	"mediafs/remote/object"
)

// pageSize is what List gives when it is not told how many: as S3 does.
const pageSize = 1000

// Options of a Bucket; the zero value works.
type Options struct {
	Now     func() time.Time // the store's clock; nil: time.Now. Called with no lock held
	MinPart int64            // smallest part but the last; 0: 1 byte
	NoDate  bool             // answers carry no date, as from a store that does not say
}

// A Bucket holds objects in memory. Its zero value is not usable: see New.
type Bucket struct {
	opt Options

	mu struct {
		sync.Mutex
		objects map[string]*entry
		keys    []string // sorted; the keys of objects
		uploads map[string]*upload
		lastID  uint64
	}
}

var _ object.Bucket = (*Bucket)(nil)

// entry is one object; it never changes once it is in the map.
type entry struct {
	data     []byte
	etag     string
	modified time.Time
}

type upload struct {
	key       string
	initiated time.Time
	parts     map[int]*entry
}

// New makes an empty bucket.
func New(opt Options) *Bucket {
	if opt.Now == nil {
		opt.Now = time.Now
	}
	opt.MinPart = max(opt.MinPart, 1)
	b := &Bucket{opt: opt}
	b.mu.objects = map[string]*entry{}
	b.mu.uploads = map[string]*upload{}
	return b
}

// begin checks what every method checks first.
func begin(ctx context.Context, op, key string) error {
	if err := object.CheckKey(op, key); err != nil {
		return err
	}
	return object.CheckContext(ctx, op, key)
}

func etag(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:16])
}

func (b *Bucket) info(key string, e *entry) object.Info {
	i := object.Info{Key: key, Size: int64(len(e.data)), ETag: e.etag, Modified: e.modified}
	if !b.opt.NoDate {
		i.Date = b.opt.Now()
	}
	return i
}

// readAll takes size bytes of body into memory.
func (b *Bucket) readAll(ctx context.Context, op, key string, body io.ReadSeeker, size int64) (*entry, error) {
	var buf bytes.Buffer
	if err := object.Copy(ctx, op, key, &buf, body, size); err != nil {
		return nil, wrap(op, key, err)
	}
	return &entry{data: buf.Bytes(), etag: etag(buf.Bytes()), modified: b.opt.Now()}, nil
}

// wrap gives an error from a caller's body our form.
func wrap(op, key string, err error) error {
	var e *remote.Error
	if errors.As(err, &e) {
		return err
	}
	return remote.E(op, key, remote.KindOf(err), err)
}

func (b *Bucket) Put(
	ctx context.Context, key string, body io.ReadSeeker, size int64, opt object.PutOptions,
) (object.Info, error) {
	const op = "put object"
	if err := begin(ctx, op, key); err != nil {
		return object.Info{}, err
	}
	e, err := b.readAll(ctx, op, key, body, size)
	if err != nil {
		return object.Info{}, err
	}
	if !b.store(key, e, opt.IfAbsent) {
		return object.Info{}, remote.E(op, key, remote.Exist, nil)
	}
	return b.info(key, e), nil
}

// store makes e the object key, and reports false when the key is taken and must not be.
func (b *Bucket) store(key string, e *entry, ifAbsent bool) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	_, taken := b.mu.objects[key]
	if taken && ifAbsent {
		return false
	}
	b.mu.objects[key] = e
	if !taken {
		i, _ := slices.BinarySearch(b.mu.keys, key)
		b.mu.keys = slices.Insert(b.mu.keys, i, key)
	}
	return true
}

func (b *Bucket) find(op, key string) (*entry, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	e := b.mu.objects[key]
	if e == nil {
		return nil, remote.E(op, key, remote.NotExist, nil)
	}
	return e, nil
}

func (b *Bucket) Get(ctx context.Context, key string, opt object.GetOptions) (io.ReadCloser, object.Info, error) {
	const op = "get object"
	if err := begin(ctx, op, key); err != nil {
		return nil, object.Info{}, err
	}
	if opt.Offset < 0 {
		return nil, object.Info{}, remote.E(op, key, remote.Invalid, fmt.Errorf("offset %d is negative", opt.Offset))
	}
	e, err := b.find(op, key)
	if err != nil {
		return nil, object.Info{}, err
	}
	if opt.IfMatch != "" && opt.IfMatch != e.etag {
		return nil, object.Info{}, remote.E(
			op, key, remote.Stale, fmt.Errorf("its etag is %s, not %s", e.etag, opt.IfMatch),
		)
	}
	data := e.data[min(opt.Offset, int64(len(e.data))):]
	if opt.Length >= 0 {
		data = data[:min(opt.Length, int64(len(data)))]
	}
	return &reader{ctx: ctx, key: key, r: bytes.NewReader(data)}, b.info(key, e), nil
}

// reader reads one object until its end or that of the context.
type reader struct {
	ctx context.Context
	key string
	r   *bytes.Reader
}

func (r *reader) Read(p []byte) (int, error) {
	if err := object.CheckContext(r.ctx, "read object", r.key); err != nil {
		return 0, err
	}
	return r.r.Read(p)
}

func (r *reader) Close() error { return nil }

func (b *Bucket) Head(ctx context.Context, key string) (object.Info, error) {
	const op = "head object"
	if err := begin(ctx, op, key); err != nil {
		return object.Info{}, err
	}
	e, err := b.find(op, key)
	if err != nil {
		return object.Info{}, err
	}
	return b.info(key, e), nil
}

func (b *Bucket) List(ctx context.Context, prefix, after string, max int) (page []object.Info, more bool, err error) {
	if err := object.CheckContext(ctx, "list objects", prefix); err != nil {
		return nil, false, err
	}
	if max <= 0 {
		max = pageSize
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	i, _ := slices.BinarySearch(b.mu.keys, prefix)
	if after >= prefix {
		var found bool
		if i, found = slices.BinarySearch(b.mu.keys, after); found {
			i++
		}
	}
	for _, key := range b.mu.keys[i:] {
		if !strings.HasPrefix(key, prefix) {
			break
		}
		if len(page) == max {
			return page, true, nil
		}
		e := b.mu.objects[key]
		page = append(page, object.Info{Key: key, Size: int64(len(e.data)), ETag: e.etag, Modified: e.modified})
	}
	return page, false, nil
}

func (b *Bucket) Delete(ctx context.Context, keys ...string) error {
	const op = "delete object"
	for _, key := range keys {
		if err := begin(ctx, op, key); err != nil {
			return err
		}
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, key := range keys {
		if _, ok := b.mu.objects[key]; ok {
			delete(b.mu.objects, key)
			i, _ := slices.BinarySearch(b.mu.keys, key)
			b.mu.keys = slices.Delete(b.mu.keys, i, i+1)
		}
	}
	return nil
}

// Facts are those of a bucket without limits.
func (b *Bucket) Facts() object.Facts {
	return object.Facts{URL: "mem:", MinPart: b.opt.MinPart, MaxPart: 1 << 40, MaxParts: 10000, MaxPut: 1 << 40}
}

// Close does nothing: what the bucket holds lives as long as the Bucket.
func (b *Bucket) Close() error { return nil }

// newID names an upload.
func (b *Bucket) newID() string {
	b.mu.lastID++
	return "upload-" + strconv.FormatUint(b.mu.lastID, 10)
}
