package storetest

import (
	"context"
	"io"

	"mediafs/remote"
	"mediafs/remote/object"
)

// none is the answer of requests that only succeed or fail.
type none = struct{}

func (f *Faulty) Put(
	ctx context.Context, key string, body io.ReadSeeker, size int64, opt object.PutOptions,
) (object.Info, error) {
	return do(f, ctx, Call{Op: Put, Key: key}, keep(&body, size), func(ctx context.Context) (object.Info, error) {
		return f.bucket.Put(ctx, key, body, size, opt)
	})
}

func (f *Faulty) PutFile(ctx context.Context, key, path string) (object.Info, error) {
	m, ok := f.bucket.(object.Mover)
	if !ok {
		return object.Info{}, remote.E(string(PutFile), key, remote.Unsupported, nil)
	}
	return do(f, ctx, Call{Op: PutFile, Key: key}, nil, func(ctx context.Context) (object.Info, error) {
		return m.PutFile(ctx, key, path)
	})
}

// opened is the answer of a Get.
type opened struct {
	r    io.ReadCloser
	info object.Info
}

func (f *Faulty) Get(ctx context.Context, key string, opt object.GetOptions) (io.ReadCloser, object.Info, error) {
	c := Call{Op: Get, Key: key}
	hit, err := f.enter(ctx, c)
	if err != nil {
		return nil, object.Info{}, err
	}
	a, err := carry(f, ctx, c, hit, nil, func(ctx context.Context) (a opened, err error) {
		a.r, a.info, err = f.bucket.Get(ctx, key, opt)
		return a, err
	})
	if err != nil {
		return nil, object.Info{}, err
	}
	return &reader{f: f, call: c, fault: hit, r: a.r}, a.info, nil
}

func (f *Faulty) Head(ctx context.Context, key string) (object.Info, error) {
	return do(f, ctx, Call{Op: Head, Key: key}, nil, func(ctx context.Context) (object.Info, error) {
		return f.bucket.Head(ctx, key)
	})
}

// listed is the answer of a List.
type listed struct {
	page []object.Info
	more bool
}

func (f *Faulty) List(ctx context.Context, prefix, after string, max int) ([]object.Info, bool, error) {
	a, err := do(f, ctx, Call{Op: List, Key: prefix}, nil, func(ctx context.Context) (a listed, err error) {
		a.page, a.more, err = f.bucket.List(ctx, prefix, after, max)
		a.page = f.leaveOut(a.page, a.more)
		return a, err
	})
	return a.page, a.more, err
}

func (f *Faulty) leaveOut(page []object.Info, more bool) []object.Info {
	f.mu.Lock()
	holes := f.mu.holes
	f.mu.Unlock()
	if holes == nil {
		return page
	}
	var left []object.Info
	for n, i := range page {
		if more && n == len(page)-1 || !holes(i) {
			left = append(left, i)
		}
	}
	return left
}

func (f *Faulty) Delete(ctx context.Context, keys ...string) error {
	if len(keys) == 0 {
		return nil
	}
	keys = append([]string(nil), keys...)
	_, err := do(f, ctx, Call{Op: Delete, Key: keys[0], Keys: len(keys)}, nil, func(ctx context.Context) (none, error) {
		return none{}, f.bucket.Delete(ctx, keys...)
	})
	return err
}

func (f *Faulty) CreateMultipart(ctx context.Context, key, mediaType string) (string, error) {
	return do(f, ctx, Call{Op: Create, Key: key}, nil, func(ctx context.Context) (string, error) {
		return f.bucket.CreateMultipart(ctx, key, mediaType)
	})
}

func (f *Faulty) PutPart(
	ctx context.Context, key, uploadID string, number int, body io.ReadSeeker, size int64,
) (object.Part, error) {
	return do(f, ctx, Call{Op: PutPart, Key: key}, keep(&body, size), func(ctx context.Context) (object.Part, error) {
		return f.bucket.PutPart(ctx, key, uploadID, number, body, size)
	})
}

func (f *Faulty) CopyPart(
	ctx context.Context, key, uploadID string, number int, source string, off, n int64,
) (object.Part, error) {
	return do(f, ctx, Call{Op: CopyPart, Key: key}, nil, func(ctx context.Context) (object.Part, error) {
		return f.bucket.CopyPart(ctx, key, uploadID, number, source, off, n)
	})
}

func (f *Faulty) ListParts(ctx context.Context, key, uploadID string) ([]object.Part, error) {
	return do(f, ctx, Call{Op: Parts, Key: key}, nil, func(ctx context.Context) ([]object.Part, error) {
		return f.bucket.ListParts(ctx, key, uploadID)
	})
}

func (f *Faulty) CompleteMultipart(
	ctx context.Context, key, uploadID string, parts []object.Part,
) (object.Info, error) {
	parts = append([]object.Part(nil), parts...)
	return do(f, ctx, Call{Op: Complete, Key: key}, nil, func(ctx context.Context) (object.Info, error) {
		return f.bucket.CompleteMultipart(ctx, key, uploadID, parts)
	})
}

func (f *Faulty) AbortMultipart(ctx context.Context, key, uploadID string) error {
	_, err := do(f, ctx, Call{Op: Abort, Key: key}, nil, func(ctx context.Context) (none, error) {
		return none{}, f.bucket.AbortMultipart(ctx, key, uploadID)
	})
	return err
}

func (f *Faulty) ListMultiparts(ctx context.Context, prefix string) ([]object.MultipartUpload, error) {
	return do(f, ctx, Call{Op: Uploads, Key: prefix}, nil, func(ctx context.Context) ([]object.MultipartUpload, error) {
		return f.bucket.ListMultiparts(ctx, prefix)
	})
}

// reader is the body of a Get.
type reader struct {
	f     *Faulty
	call  Call
	fault *Fault // Cut or Alter, or nil
	r     io.ReadCloser
	pos   int64
}

func (r *reader) Read(p []byte) (int, error) {
	r.f.mu.Lock()
	down := r.f.mu.down
	r.f.mu.Unlock()
	if down {
		return 0, unavailable(r.call)
	}
	ft := r.fault
	if ft != nil && ft.Action == Cut {
		left := ft.At - r.pos
		if left <= 0 {
			if ft.Err != nil {
				return 0, ft.Err
			}
			return 0, unavailable(r.call)
		}
		p = p[:min(int64(len(p)), left)]
	}
	n, err := r.r.Read(p)
	if ft != nil && ft.Action == Alter && ft.At >= r.pos && ft.At < r.pos+int64(n) {
		p[ft.At-r.pos] ^= 0xff
	}
	r.pos += int64(n)
	return n, err
}

func (r *reader) Close() error { return r.r.Close() }
