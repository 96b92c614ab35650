package s3

import (
	"bytes"
	"context"
	"crypto/md5"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"hash/crc32"
	"strings"

	"mediafs/remote"
	"mediafs/remote/object"
)

var _ object.Learner = (*Bucket)(nil)

// SetHabits has the bucket keep to what was found out before.
func (b *Bucket) SetHabits(h object.Habits) { b.habits = h }

// Learn tries the checksums that a store may take, the better first, with a put and with uploads of
// one part, one of which is copied: the right one must be taken, and what the store does with a
// wrong one is noted. It takes a dozen small requests where the first will do.
func (b *Bucket) Learn(ctx context.Context, newKey func() string) (object.Habits, error) {
	before := b.habits
	t := &lesson{b: b, newKey: newKey}
	err := t.learn(ctx)
	if err == nil {
		return b.habits, nil
	}
	b.habits = before
	if refusal(err) {
		err = remote.E("try the store", b.url, remote.Unsupported, err).
			WithHint("use a store that takes puts and multipart uploads, or mount read-only")
	}
	return object.Habits{}, err
}

// A lesson is one Learn. No key is used twice: a bucket that locks objects may refuse to have one
// put again.
type lesson struct {
	b      *Bucket
	newKey func() string

	source string // key of an object that was put
	body   []byte // of it
	puts   string // its etag
	tags   bool   // the etags of parts and uploads are MD5s
	copies bool   // a part could be copied
}

func (t *lesson) learn(ctx context.Context) error {
	h := object.Habits{Known: true}
	var err error
	if h.Put, err = t.choose(ctx, t.put); err != nil {
		return err
	}
	h.Part, err = t.choose(ctx, func(ctx context.Context, sum string) (bool, error) {
		t.b.habits = object.Habits{Put: h.Put, Part: object.Checks{Sum: sum}}
		return t.parts(ctx)
	})
	if err != nil {
		return err
	}
	h.NoCopy = !t.copies
	h.Lock = t.b.lock(ctx)
	h.MD5Tags = t.tags && strings.EqualFold(t.puts, fmt.Sprintf("%x", md5.Sum(t.body)))
	t.b.habits = h
	return nil
}

// errUncopied is why a checksum is not the best: parts that are copied have others.
var errUncopied = errors.New("a part that was copied has another checksum")

// choose finds the best checksum with which try works: one that the store compares, else an MD5,
// which is compared with the etag, and with which parts can be copied if that is possible at all.
func (t *lesson) choose(
	ctx context.Context, try func(ctx context.Context, sum string) (verified bool, err error),
) (object.Checks, error) {
	var second *object.Checks
	var last error
	for _, sum := range []string{object.SumCRC32C, object.SumMD5, object.SumNone} {
		if sum == object.SumNone && second != nil {
			break
		}
		verified, err := try(ctx, sum)
		c := object.Checks{Sum: sum, Verified: verified}
		switch {
		case err == nil && (verified || sum != object.SumCRC32C):
			return c, nil
		case err == nil, errors.Is(err, errUncopied):
			if second == nil {
				second = &c
			}
		case !refusal(err):
			return c, err
		}
		last = err
	}
	if second != nil {
		return *second, nil
	}
	return object.Checks{}, last
}

// put tries a checksum with a put.
func (t *lesson) put(ctx context.Context, sum string) (verified bool, err error) {
	b, key := t.b, t.newKey()
	b.habits = object.Habits{Put: object.Checks{Sum: sum}, Known: true}
	body := []byte("what is put at " + key)
	info, err := b.Put(ctx, key, bytes.NewReader(body), int64(len(body)), object.PutOptions{})
	if err != nil {
		return false, err
	}
	t.source, t.body, t.puts = key, body, info.ETag
	spoilt := t.newKey()
	return t.verifies(ctx, spoilt, b.habits.Put, func(p *payload) error {
		_, err := b.put(ctx, b.prefix+spoilt, p, object.PutOptions{})
		return err
	})
}

// verifies reports whether the store refuses bytes that have another checksum than that which comes
// with them.
func (t *lesson) verifies(ctx context.Context, key string, c object.Checks, send func(p *payload) error) (bool, error) {
	const op = "try a wrong checksum"
	if c.Sum == object.SumNone {
		return false, nil
	}
	p, err := t.b.newPayload(ctx, op, key, bytes.NewReader(t.body), int64(len(t.body)), c)
	if err != nil {
		return false, err
	}
	p.spoil()
	answer := send(p)
	switch err = t.b.convert(op, key, answer, remote.Other); {
	case err == nil:
		return false, nil
	case refusal(err), isCode(answer, "BadDigest"), isCode(answer, "XAmzContentChecksumMismatch"):
		return true, nil
	}
	return false, err
}

// parts tries the checksum that the bucket is set to with an upload, and then with one that has a
// part of each object copied.
func (t *lesson) parts(ctx context.Context) (verified bool, err error) {
	b, key := t.b, t.newKey()
	info, tags, verified, err := t.upload(ctx, key, func(id string) (object.Part, error) {
		return b.PutPart(ctx, key, id, 1, bytes.NewReader(t.body), int64(len(t.body)))
	}, true)
	if err != nil {
		return verified, err
	}
	whole, _ := hex.DecodeString(tags)
	t.tags = strings.EqualFold(tags, fmt.Sprintf("%x", md5.Sum(t.body))) &&
		strings.EqualFold(info.ETag, fmt.Sprintf("%x-1", md5.Sum(whole)))
	t.copies = true
	for _, source := range []string{t.source, key} {
		const from = 3
		n := int64(len(t.body)) - 2*from
		copied, noCopies := t.newKey(), false
		_, _, _, err := t.upload(ctx, copied, func(id string) (object.Part, error) {
			p, err := b.CopyPart(ctx, copied, id, 1, source, from, n)
			// A store that does not know copies has many words for that.
			noCopies = err != nil && (refusal(err) || errors.Is(err, remote.Other))
			crc := binary.BigEndian.AppendUint32(nil, crc32.Checksum(t.body[from:from+n], castagnoli))
			if err == nil && p.Sum != "" && p.Sum != base64.StdEncoding.EncodeToString(crc) {
				err = errUncopied // VersityGW 1.8 takes over that of the whole source
			}
			return p, err
		}, false)
		switch {
		case err == nil:
		case noCopies:
			t.copies = false
			return verified, nil
		case errors.Is(err, errUncopied), refusal(err):
			t.copies = false
			return verified, errUncopied
		default:
			return verified, err
		}
	}
	return verified, nil
}

// upload makes an object of one part, and with spoil tries a wrong checksum on the way. etag is
// that of the part.
func (t *lesson) upload(
	ctx context.Context, key string, part func(id string) (object.Part, error), spoil bool,
) (_ object.Info, etag string, verified bool, err error) {
	b := t.b
	id, err := b.CreateMultipart(ctx, key, "")
	if err != nil {
		return object.Info{}, "", false, err
	}
	abort := func(err error) (object.Info, string, bool, error) {
		_ = b.AbortMultipart(context.WithoutCancel(ctx), key, id) // one that stays is swept like any that was abandoned
		return object.Info{}, "", false, err
	}
	p, err := part(id)
	if err != nil {
		return abort(err)
	}
	if spoil {
		verified, err = t.verifies(ctx, key, b.habits.Part, func(p *payload) error {
			_, err := b.putPart(ctx, b.prefix+key, id, 2, p)
			return err
		})
		if err != nil {
			return abort(err)
		}
	}
	info, err := b.CompleteMultipart(ctx, key, id, []object.Part{p})
	if err != nil {
		return abort(err)
	}
	return info, p.ETag, verified, nil
}

// refusal reports whether a store said that it does not take a request of that form.
func refusal(err error) bool {
	return errors.Is(err, remote.Invalid) || errors.Is(err, remote.Unsupported)
}
