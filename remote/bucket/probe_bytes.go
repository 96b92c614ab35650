package bucket

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"

	"mediafs/remote"
	"mediafs/remote/object"
)

const (
	// tailPart is the last part of a probe's upload, in bytes: no multiple of anything that a store
	// may count in.
	tailPart = 70_001
	// leastPart is the first where the store takes parts of any size.
	leastPart = 64 << 10

	bytesHint = "the store, or a proxy before it, changes what it stores or gives: use another one, or mount read-only"
)

// bytes sends two uploads round and compares: one of two parts, and one whose first part is copied
// out of the other.
func (t *trial) bytes(ctx context.Context) error {
	first := max(t.s.bucket.Facts().MinPart, leastPart)
	body := make([]byte, first+tailPart)
	rand.Read(body) // bytes that nothing can compress
	copy(body, "GET / HTTP/1.1\r\n\r\n\x1f\x8b<html>")
	source := t.newKey()
	err := t.upload(ctx, source, body, first, func(ctx context.Context, id string) (object.Part, error) {
		return t.put(ctx, source, id, 1, body[:first])
	})
	if err != nil {
		return err
	}
	const shift = tailPart / 2
	moved := append(body[shift:shift+first:shift+first], body[:tailPart]...)
	key := t.newKey()
	err = t.upload(ctx, key, moved, first, func(ctx context.Context, id string) (p object.Part, err error) {
		err = t.s.retry(ctx, func() (err error) {
			p, err = t.s.bucket.CopyPart(ctx, key, id, 1, source, shift, first)
			return err
		})
		switch remote.KindOf(err) {
		case remote.Unsupported,
			remote.Invalid,
			remote.Other: // a store that does not know copies has many words for that
			if err != nil {
				err = errNoCopy
			}
		}
		return p, err
	})
	if errors.Is(err, errNoCopy) { // Compose sends the bytes instead
		h := t.s.habits
		h.NoCopy = true
		t.s.SetHabits(h)
		return nil
	}
	return err
}

// errNoCopy is why an upload with a copied part is not tried.
var errNoCopy = errors.New("the store copies no parts")

// upload makes key of two parts, the first of which has n bytes and is made by makeFirst, and reads
// it back.
func (t *trial) upload(
	ctx context.Context, key string, body []byte, n int64,
	makeFirst func(ctx context.Context, id string) (object.Part, error),
) error {
	const op = "probe uploads"
	s := t.s
	no := func(format string, args ...any) error {
		return remote.E(op, key, remote.Unsupported, fmt.Errorf(format, args...)).WithHint(bytesHint)
	}
	fail := func(what string, err error) error {
		if errors.Is(err, errNoCopy) {
			return err
		}
		switch remote.KindOf(err) {
		case remote.Unsupported, remote.Invalid, remote.NotExist, remote.Corrupt, remote.Stale:
			return no("%s: %w", what, err)
		}
		return during(op, key, err)
	}
	var id string
	err := s.retry(ctx, func() (err error) {
		id, err = s.bucket.CreateMultipart(ctx, key, "")
		return err
	})
	if err != nil {
		return fail("an upload cannot be begun", err)
	}
	defer func() {
		if id != "" {
			// one that stays is swept like any that was abandoned
			_ = s.bucket.AbortMultipart(context.WithoutCancel(ctx), key, id)
		}
	}()
	p1, err := makeFirst(ctx, id)
	if err != nil {
		return fail("its first part", err)
	}
	p2, err := t.put(ctx, key, id, 2, body[n:])
	if err != nil {
		return fail("its last part", err)
	}
	var listed []object.Part
	err = s.retry(ctx, func() (err error) {
		listed, err = s.bucket.ListParts(ctx, key, id)
		return err
	})
	if err != nil {
		return fail("its parts are not listed", err)
	}
	if len(listed) != 2 || listed[0].Size != n || listed[1].Size != int64(len(body))-n {
		return no("its parts of %d and %d bytes are listed as %s", n, int64(len(body))-n, sizesOf(listed))
	}
	var info object.Info
	err = s.retry(ctx, func() (err error) {
		info, err = s.bucket.CompleteMultipart(ctx, key, id, []object.Part{p1, p2})
		return err
	})
	if err != nil {
		return fail("it cannot be completed", err)
	}
	id = ""
	if info.Size != int64(len(body)) {
		return no("it has %d bytes, %d were sent", info.Size, len(body))
	}
	page, err := t.list(ctx, key)
	if err != nil {
		return fail("it is not listed", err)
	}
	if len(page) != 1 || page[0].Key != key || page[0].Size != int64(len(body)) {
		return no("it has %d bytes and is listed as %s", len(body), listing(page))
	}
	// Over the boundary of the parts, then all of it.
	const around = 1000
	for _, r := range []struct{ off, n int64 }{{n - around, 2 * around}, {0, int64(len(body))}, {int64(len(body)) - 7, 100}} {
		got, err := t.read(ctx, key, r.off, r.n)
		if err != nil {
			return fail(fmt.Sprintf("%d bytes of it at %d cannot be read", r.n, r.off), err)
		}
		want := body[r.off:min(r.off+r.n, int64(len(body)))]
		if i := difference(got, want); i >= 0 {
			return no(
				"of its %d bytes at %d, of which %d came, that at %d is not what was sent", len(want), r.off, len(got),
				r.off+int64(i),
			)
		}
	}
	return nil
}

func (t *trial) put(ctx context.Context, key, id string, number int, body []byte) (p object.Part, err error) {
	err = t.s.retry(ctx, func() (err error) {
		p, err = t.s.bucket.PutPart(ctx, key, id, number, bytes.NewReader(body), int64(len(body)))
		return err
	})
	return p, err
}

func (t *trial) read(ctx context.Context, key string, off, n int64) (b []byte, err error) {
	err = t.s.retry(ctx, func() error {
		r, _, err := t.s.bucket.Get(ctx, key, object.GetOptions{Offset: off, Length: n})
		if err != nil {
			return err
		}
		b, err = io.ReadAll(io.LimitReader(r, n+1))
		return errors.Join(err, r.Close())
	})
	return b, err
}

// difference is the first place where a and b differ; -1: none.
func difference(a, b []byte) int {
	for i := range min(len(a), len(b)) {
		if a[i] != b[i] {
			return i
		}
	}
	if len(a) != len(b) {
		return min(len(a), len(b))
	}
	return -1
}

func sizesOf(parts []object.Part) string {
	var sizes []int64
	for _, p := range parts {
		sizes = append(sizes, p.Size)
	}
	return fmt.Sprint(sizes)
}

func listing(page []object.Info) string {
	if len(page) == 0 {
		return "nothing"
	}
	return fmt.Sprintf("%s of %d bytes", page[0].Key, page[0].Size)
}
