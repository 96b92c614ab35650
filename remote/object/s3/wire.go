package s3

import (
	"bytes"
	"context"
	"crypto/md5"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"hash/crc32"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"

	"mediafs/remote"
	"mediafs/remote/object"
)

// answer is what a request's answer had in its headers that minio-go does not pass on. It lies in
// the context of the request.
type answer struct {
	date      time.Time // the store's clock; zero when it did not say
	header    http.Header
	encrypted bool // with a key of its own: its etag is no MD5 then
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
		a.header = res.Header
		a.date, _ = http.ParseTime(res.Header.Get("Date"))
		a.encrypted = strings.HasPrefix(res.Header.Get("X-Amz-Server-Side-Encryption"), "aws:") ||
			res.Header.Get("X-Amz-Server-Side-Encryption-Customer-Algorithm") != ""
	}
	return res, err
}

// CloseIdleConnections is passed on.
func (k keeper) CloseIdleConnections() {
	if c, ok := k.next.(interface{ CloseIdleConnections() }); ok {
		c.CloseIdleConnections()
	}
}

// smallBody is up to which size a body is read into memory before it is sent. A longer one is read
// twice: for its checksums, then to be sent.
const smallBody = 1 << 20

// payload is the body of a write on its way.
//
// Its checksums are known before the first byte is sent, and the body is sent as it is: a body that
// is signed or summed while it is under way travels in a framing ("aws-chunked"), which some
// servers store as data.
type payload struct {
	io.Reader
	size   int64
	sha256 string // of the whole, in hexadecimal, which is signed; empty where TLS guards a long one
	crc32c string // base64; empty when it is not wanted
	md5    []byte // nil when it is not wanted
	sent   bool   // md5 goes with the request; otherwise it is only compared
	checks object.Checks
	long   *longBody
}

// newPayload prepares size bytes of body, read from its start. A body that changes meanwhile is
// refused by the store, whose checksum is another then.
func (b *Bucket) newPayload(
	ctx context.Context, op, key string, body io.ReadSeeker, size int64, checks object.Checks,
) (*payload, error) {
	p := &payload{size: size, sent: checks.Sum == "" || checks.Sum == object.SumMD5, checks: checks}
	var (
		sha, sum hash.Hash
		crc      hash.Hash32
		to       []io.Writer
	)
	if size <= smallBody || !b.secure {
		sha = sha256.New()
		to = append(to, sha)
	}
	if checks.Sum == object.SumCRC32C {
		crc = crc32.New(castagnoli)
		to = append(to, crc)
	}
	// Of what has a CRC-32C the etag is compared as well where that costs little.
	if p.sent || b.habits.MD5Tags && (crc == nil || size <= smallBody) {
		sum = md5.New()
		to = append(to, sum)
	}
	var buf bytes.Buffer
	if size <= smallBody {
		to = append(to, &buf)
	}
	if len(to) > 0 {
		if err := object.Copy(ctx, op, key, io.MultiWriter(to...), body, size); err != nil {
			return nil, readFailed(op, key, err)
		}
	}
	if sha != nil {
		p.sha256 = hex.EncodeToString(sha.Sum(nil))
	}
	if crc != nil {
		p.crc32c = base64.StdEncoding.EncodeToString(crc.Sum(nil))
	}
	if sum != nil {
		p.md5 = sum.Sum(nil)
	}
	if size <= smallBody {
		p.Reader = bytes.NewReader(buf.Bytes())
		return p, nil
	}
	if _, err := body.Seek(0, io.SeekStart); err != nil {
		return nil, readFailed(op, key, err)
	}
	p.long = &longBody{size: size}
	p.long.mu.r, p.long.mu.left = body, size
	p.Reader = p.long
	return p, nil
}

// spoil makes the checksums those of other bytes.
func (p *payload) spoil() {
	if p.md5 != nil {
		p.md5[0] ^= 1
	}
	if p.crc32c != "" {
		p.crc32c = base64.StdEncoding.EncodeToString(
			binary.BigEndian.AppendUint32(nil, crc32.Checksum([]byte(p.crc32c), castagnoli)),
		)
	}
}

// contentMD5 is the header of that name; empty: it is not sent.
func (p *payload) contentMD5() string {
	if !p.sent {
		return ""
	}
	return base64.StdEncoding.EncodeToString(p.md5)
}

// readFailed is for what goes wrong with the caller's body: the request is not in doubt then.
func readFailed(op, key string, err error) error {
	var e *remote.Error
	if errors.As(err, &e) {
		return err
	}
	return remote.E(op, key, remote.KindOf(err), fmt.Errorf("read the body: %w", err))
}

// finish takes the body back from the transport, which may go on reading after it answered, and
// says what was wrong with it.
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
		err = remote.E(
			"read the body", "", remote.Invalid, fmt.Errorf("it ended after %d of %d bytes", l.size-l.mu.left, l.size),
		)
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
		return 0, remote.E(
			op, r.key, remote.Unavailable, fmt.Errorf("the connection ended with %d bytes missing", r.left),
		)
	}
	return 0, r.b.convert(op, r.key, err, remote.Stale)
}

func (r *reader) Close() error { return r.body.Close() }
