package s3

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"
	"time"

	"mediafs/remote"
	"mediafs/remote/object"
)

// answer is what a request's answer had in its headers that minio-go does not pass on. It lies in the context of the
// request.
type answer struct {
	date time.Time // the store's clock; zero when it did not say
}

type answerKey struct{}

// withAnswer returns a context whose requests leave the headers of their last answer in a.
func withAnswer(ctx context.Context) (_ context.Context, a *answer) {
	a = new(answer)
	return context.WithValue(ctx, answerKey{}, a), a
}

// keeper is the link of the transport that fills in answers.
type keeper struct{ next http.RoundTripper }

func (k keeper) RoundTrip(req *http.Request) (*http.Response, error) {
	res, err := k.next.RoundTrip(req)
	if a, ok := req.Context().Value(answerKey{}).(*answer); ok && err == nil {
		a.date, _ = http.ParseTime(res.Header.Get("Date"))
	}
	return res, err
}

// CloseIdleConnections is passed on.
func (k keeper) CloseIdleConnections() {
	if c, ok := k.next.(interface{ CloseIdleConnections() }); ok {
		c.CloseIdleConnections()
	}
}

// smallBody is up to which size a body is read into memory before it is sent. It is then signed with its checksum, which the store
// compares, also where the connection is encrypted; longer ones are signed chunk by chunk without encryption and rely on
// TLS with it.
const smallBody = 1 << 20

// payload is the body of a write on its way.
type payload struct {
	io.Reader
	sha256 string // of the whole, in hexadecimal; empty for a long one
	long   *longBody
}

// newPayload prepares size bytes of body, read from its start.
func newPayload(ctx context.Context, op, key string, body io.ReadSeeker, size int64) (*payload, error) {
	if size <= smallBody {
		var buf bytes.Buffer
		if err := object.Copy(ctx, op, key, &buf, body, size); err != nil {
			return nil, readFailed(op, key, err)
		}
		sum := sha256.Sum256(buf.Bytes())
		return &payload{Reader: bytes.NewReader(buf.Bytes()), sha256: hex.EncodeToString(sum[:])}, nil
	}
	if _, err := body.Seek(0, io.SeekStart); err != nil {
		return nil, readFailed(op, key, err)
	}
	long := &longBody{}
	long.mu.r, long.mu.left, long.size = body, size, size
	return &payload{Reader: long, long: long}, nil
}

// readFailed is for what goes wrong with the caller's body: the request is not in doubt then.
func readFailed(op, key string, err error) error {
	var e *remote.Error
	if errors.As(err, &e) {
		return err
	}
	return remote.E(op, key, remote.KindOf(err), fmt.Errorf("read the body: %w", err))
}

// finish takes the body back from the transport, which may go on reading after it answered, and says what was wrong with it.
func (p *payload) finish(op, key string, err error) error {
	if p.long == nil {
		return err
	}
	if own := p.long.finish(); own != nil && err != nil {
		return readFailed(op, key, own)
	}
	return err
}

// longBody reads exactly size bytes, and nothing any more once it is finished.
type longBody struct {
	size int64
	mu   struct {
		sync.Mutex
		r    io.Reader // nil when finished
		left int64
		err  error // what was wrong with r
	}
}

func (l *longBody) Read(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.mu.err != nil:
		return 0, l.mu.err
	case l.mu.left == 0:
		return 0, io.EOF
	case l.mu.r == nil:
		return 0, errors.New("the request is over")
	}
	n, err := l.mu.r.Read(p[:min(int64(len(p)), l.mu.left)])
	l.mu.left -= int64(n)
	switch {
	case err == nil || l.mu.left == 0:
		return n, nil
	case errors.Is(err, io.EOF):
		err = remote.E("read the body", "", remote.Invalid, fmt.Errorf("it ended after %d of %d bytes", l.size-l.mu.left, l.size))
	}
	l.mu.err = err
	return n, err
}

func (l *longBody) finish() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.mu.r = nil
	return l.mu.err
}

// reader is the body of a Get: exactly left bytes, or an error.
type reader struct {
	b    *Bucket
	ctx  context.Context
	key  string
	body io.ReadCloser
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
	n, err := r.body.Read(p[:min(int64(len(p)), r.left)])
	r.left -= int64(n)
	switch {
	case n > 0 || err == nil:
		return n, nil
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return 0, remote.E(op, r.key, remote.Unavailable, fmt.Errorf("the connection ended with %d bytes missing", r.left))
	}
	return 0, r.b.convert(op, r.key, err, remote.Stale)
}

func (r *reader) Close() error { return r.body.Close() }
