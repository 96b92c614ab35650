package bucket

import (
	"bytes"
	"context"
	"errors"
	"io"
	"strings"
	"time"

	"github.com/google/uuid"

	"mediafs/remote"
	"mediafs/remote/object"
)

// Open opens the library that lies in b, with one request. The Store takes b over when it succeeds:
// Close closes it.
//
// Errors: NotExist when b is empty: Create makes a library. Invalid when b holds objects but no
// library, Corrupt when it holds parts of a library and no readable format.json, Unsupported when a
// later version of the program made it.
func Open(ctx context.Context, b object.Bucket, opt Options) (*Store, error) {
	const op = "open library"
	opt, err := opt.withDefaults()
	if err != nil {
		return nil, err
	}
	s := &Store{bucket: b, opt: opt} // for its retries only
	f, info, err := s.readFormat(ctx)
	if errors.Is(err, remote.NotExist) {
		if err = s.vacant(ctx, op); err == nil {
			return nil, remote.E(op, b.Facts().URL, remote.NotExist, errors.New("the bucket is empty")).
				WithHint("give --create to make a library there")
		}
		if !errors.Is(err, remote.Exist) {
			return nil, err
		}
		f, info, err = s.readFormat(ctx) // it was made this very moment
	}
	if err != nil {
		return nil, during(op, formatKey, err)
	}
	s = newStore(b, opt, f)
	s.heard(info)
	return s, nil
}

// Create makes a new library in b and opens it. It takes b over as Open does.
//
// Errors: Exist when there is a library already, also when another machine made it just now;
// Invalid when b holds other objects and Options.CreateInForeign is not set; Corrupt when it holds
// parts of a library. Nothing is written then.
func Create(ctx context.Context, b object.Bucket, opt Options) (*Store, error) {
	const op = "create library"
	opt, err := opt.withDefaults()
	if err != nil {
		return nil, err
	}
	s := &Store{bucket: b, opt: opt}
	if err := s.writable(op, formatKey); err != nil {
		return nil, err
	}
	taken := remote.E(op, formatKey, remote.Exist, errors.New("there is a library already")).
		WithHint("open it without --create")
	switch _, exists, err := s.exists(ctx, formatKey); {
	case err != nil:
		return nil, during(op, formatKey, err)
	case exists:
		return nil, taken
	}
	if err := s.vacant(ctx, op); err != nil && (!opt.CreateInForeign || !errors.Is(err, remote.Invalid)) {
		return nil, err
	}
	file, err := encodeFormat(uuid.New(), time.Now(), opt.Note)
	if err != nil {
		return nil, during(op, formatKey, err)
	}
	err = s.retry(ctx, func() error {
		_, err := b.Put(
			ctx, formatKey, bytes.NewReader(file), int64(len(file)),
			object.PutOptions{IfAbsent: true, Type: "application/json"},
		)
		return err
	})
	if err != nil && !errors.Is(err, remote.Exist) {
		return nil, during(op, formatKey, err)
	}
	// What is there now may be ours although the answer said otherwise: an earlier attempt's answer
	// was lost.
	f, info, err := s.readFormat(ctx)
	if err != nil {
		return nil, during(op, formatKey, err)
	}
	if ours, err := decodeFormat(file); err != nil || ours.Library != f.Library {
		return nil, errors.Join(err, taken)
	}
	s = newStore(b, opt, f)
	s.heard(info)
	return s, nil
}

func (s *Store) readFormat(ctx context.Context) (format, object.Info, error) {
	b, info, err := s.get(ctx, formatKey, maxFormatFile)
	if err != nil {
		return format{}, info, err
	}
	f, err := decodeFormat(b)
	return f, info, err
}

// vacant fails unless the bucket, which had no format.json, is empty but for what probes left
// behind. Exist: another machine makes a library there at this moment.
func (s *Store) vacant(ctx context.Context, op string) error {
	for _, prefix := range []string{logPrefix, manifestPrefix} {
		page, _, err := s.list(ctx, prefix, "", 1)
		if err != nil {
			return during(op, prefix, err)
		}
		if len(page) > 0 {
			if err := s.appeared(ctx, op); err != nil {
				return err
			}
			return remote.E(op, page[0].Key, remote.Corrupt, errors.New("this is part of a library, but its format.json is missing")).
				WithHint("restore format.json from a backup or an earlier version of the object")
		}
	}
	for after := ""; ; {
		page, more, err := s.list(ctx, "", after, 0)
		if err != nil {
			return during(op, s.bucket.Facts().URL, err)
		}
		for _, i := range page {
			if !strings.HasPrefix(i.Key, probePrefix) {
				if err := s.appeared(ctx, op); err != nil {
					return err
				}
				return remote.E(op, s.bucket.Facts().URL, remote.Invalid, errors.New("it holds other objects, such as "+i.Key+", and no library")).
					WithHint("use another prefix, or confirm that a library shall be made beside them")
			}
			after = i.Key
		}
		if !more || len(page) == 0 {
			return nil
		}
	}
}

// appeared fails with Exist when there is a format.json by now.
func (s *Store) appeared(ctx context.Context, op string) error {
	_, ok, err := s.exists(ctx, formatKey)
	if err == nil && ok {
		err = remote.E(op, formatKey, remote.Exist, errors.New("another machine made a library just now")).
			WithHint("open it without --create")
	}
	return err
}

// get reads a whole object of at most limit bytes; a longer one is Corrupt. It retries.
func (s *Store) get(ctx context.Context, key string, limit int64) (b []byte, info object.Info, err error) {
	err = s.retry(ctx, func() error {
		var r io.ReadCloser
		r, info, err = s.bucket.Get(ctx, key, object.GetOptions{Length: limit + 1})
		if err != nil {
			return err
		}
		if info.Size <= limit { // else it is not read at all, let alone kept
			b, err = io.ReadAll(r)
		}
		if err := errors.Join(err, r.Close()); err != nil {
			kind := remote.KindOf(err)
			if kind == remote.Other {
				kind = remote.Unavailable
			}
			return remote.E("read object", key, kind, err)
		}
		return nil
	})
	if err != nil {
		return nil, info, err
	}
	s.heard(info)
	if int64(len(b)) > limit || info.Size > limit {
		return nil, info, corrupt("it has %d bytes, more than the %d that it may have", info.Size, limit)
	}
	return b, info, nil
}

// list is one page of a listing. It retries.
func (s *Store) list(ctx context.Context, prefix, after string, max int) (page []object.Info, more bool, err error) {
	err = s.retry(ctx, func() (err error) {
		page, more, err = s.bucket.List(ctx, prefix, after, max)
		return err
	})
	return page, more, err
}
