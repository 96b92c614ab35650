package dir

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strconv"

	"golang.org/x/sys/unix"

	"mediafs/remote"
	"mediafs/remote/object"
)

// etag tells one state of a file from another: the file itself (inode), its size and its
// modification time in nanoseconds. Every object that this package writes is a new file with a time
// of its own; who writes into a file by other means changes its time.
func etag(st *unix.Stat_t) string {
	return strconv.FormatUint(st.Ino, 36) + "-" + strconv.FormatInt(
		st.Size, 36,
	) + "-" + strconv.FormatInt(st.Mtim.Nano(), 36)
}

// errNoFile is why there is no object although something has its name.
var errNoFile = errors.New("what has this name is no regular file")

// statFile describes an open regular file; what is no regular file is NotExist: a folder or a
// socket is no object.
func (b *Bucket) statFile(op, key string, f *os.File) (object.Info, error) {
	var st unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &st); err != nil {
		return object.Info{}, b.fail(op, key, err)
	}
	return b.describe(op, key, &st)
}

func (b *Bucket) describe(op, key string, st *unix.Stat_t) (object.Info, error) {
	if st.Mode&unix.S_IFMT != unix.S_IFREG {
		return object.Info{}, remote.E(op, key, remote.NotExist, errNoFile)
	}
	return object.Info{Key: key, Size: st.Size, ETag: etag(st), Modified: timeOf(st.Mtim), Date: b.now()}, nil
}

// open opens an object for reading. O_NONBLOCK: a fifo of that name must not hold us up.
func (b *Bucket) open(op, key string) (*os.File, object.Info, error) {
	f, err := b.root.OpenFile(key, os.O_RDONLY|unix.O_NONBLOCK, 0)
	if errors.Is(err, unix.ENXIO) { // a socket
		return nil, object.Info{}, remote.E(op, key, remote.NotExist, errNoFile)
	}
	if err != nil {
		return nil, object.Info{}, b.fail(op, key, err)
	}
	info, err := b.statFile(op, key, f)
	if err != nil {
		f.Close()
		return nil, object.Info{}, err
	}
	return f, info, nil
}

func (b *Bucket) Head(ctx context.Context, key string) (object.Info, error) {
	const op = "head object"
	if err := begin(ctx, op, key); err != nil {
		return object.Info{}, err
	}
	fi, err := b.root.Stat(key)
	if err != nil {
		return object.Info{}, b.fail(op, key, err)
	}
	st, err := statOf(fi)
	if err != nil {
		return object.Info{}, b.fail(op, key, err)
	}
	return b.describe(op, key, st)
}

// Get reads the file in place. The bytes are those of the object that had the key when Get was
// called, whatever happens to the key.
func (b *Bucket) Get(ctx context.Context, key string, opt object.GetOptions) (io.ReadCloser, object.Info, error) {
	const op = "get object"
	if err := begin(ctx, op, key); err != nil {
		return nil, object.Info{}, err
	}
	if opt.Offset < 0 {
		return nil, object.Info{}, remote.E(op, key, remote.Invalid, fmt.Errorf("offset %d is negative", opt.Offset))
	}
	f, info, err := b.open(op, key)
	if err != nil {
		return nil, object.Info{}, err
	}
	if opt.IfMatch != "" && opt.IfMatch != info.ETag {
		f.Close()
		return nil, object.Info{}, remote.E(
			op, key, remote.Stale, fmt.Errorf("its etag is %s, not %s", info.ETag, opt.IfMatch),
		)
	}
	left := max(info.Size-opt.Offset, 0)
	if opt.Length >= 0 {
		left = min(left, opt.Length)
	}
	return &reader{ctx: ctx, key: key, f: f, off: opt.Offset, left: left}, info, nil
}

// reader reads a range of a file. It has its own position, so that nothing moves it.
type reader struct {
	ctx  context.Context
	key  string
	f    *os.File
	off  int64
	left int64
}

func (r *reader) Read(p []byte) (int, error) {
	const op = "read object"
	if err := object.CheckContext(r.ctx, op, r.key); err != nil {
		return 0, err
	}
	if r.left == 0 {
		return 0, io.EOF
	}
	n, err := r.f.ReadAt(p[:min(int64(len(p)), r.left)], r.off)
	r.off += int64(n)
	r.left -= int64(n)
	switch {
	case n > 0 || err == nil:
		return n, nil
	case errors.Is(err, io.EOF):
		return 0, remote.E(op, r.key, remote.Unavailable, fmt.Errorf("the file was cut: %d bytes are missing", r.left))
	case errors.Is(err, fs.ErrClosed):
		return 0, remote.E(op, r.key, remote.Invalid, err)
	}
	return 0, convert(op, r.key, err)
}

func (r *reader) Close() error { return r.f.Close() }
