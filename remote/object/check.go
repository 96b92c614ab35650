package object

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	"mediafs/remote"
)

// MaxKey is the longest key, in bytes, prefix of the bucket included: S3's own limit.
const MaxKey = 1024

// maxSegment is the longest part of a key between two slashes: what Linux file systems take as a
// file name.
const maxSegment = 255

// CheckKey refuses, with Invalid or TooLong, a key that one of the implementations could not hold:
// it must be valid UTF-8 of at most MaxKey bytes, without NUL, and none of its segments may be
// empty, "." or "..", or over 255 bytes. Every implementation calls it first, so that a key means
// the same everywhere.
func CheckKey(op, key string) error {
	bad := func(kind remote.Kind, why string) error {
		return remote.E(op, key, kind, errors.New(why))
	}
	switch {
	case key == "":
		return bad(remote.Invalid, "the key is empty")
	case len(key) > MaxKey:
		return bad(remote.TooLong, fmt.Sprintf("the key has %d bytes, at most %d are possible", len(key), MaxKey))
	case !utf8.ValidString(key):
		return bad(remote.Invalid, "the key is not valid UTF-8")
	case strings.IndexByte(key, 0) >= 0:
		return bad(remote.Invalid, "the key has a NUL byte")
	}
	for seg := range strings.SplitSeq(key, "/") {
		switch {
		case seg == "":
			return bad(remote.Invalid, "the key has an empty segment")
		case seg == "." || seg == "..":
			return bad(remote.Invalid, "the key has a segment "+seg)
		case len(seg) > maxSegment:
			return bad(
				remote.TooLong,
				fmt.Sprintf("a segment of the key has %d bytes, at most %d are possible", len(seg), maxSegment),
			)
		}
	}
	return nil
}

// NoKeyBegins reports that no key can begin with prefix, because of one of its whole segments: a
// list of it is empty.
func NoKeyBegins(prefix string) bool {
	i := strings.LastIndexByte(prefix, '/')
	return i >= 0 && CheckKey("", prefix[:i]) != nil || len(prefix) > MaxKey || !utf8.ValidString(prefix) ||
		strings.IndexByte(prefix, 0) >= 0
}

// CheckPart refuses, with Invalid or TooLarge, a part of a multipart upload that is outside of what
// f allows.
func CheckPart(op, key string, number int, size int64, f Facts) error {
	switch {
	case number < 1 || number > f.MaxParts:
		return remote.E(op, key, remote.Invalid, fmt.Errorf("part number %d is not from 1 to %d", number, f.MaxParts))
	case size < 0:
		return remote.E(op, key, remote.Invalid, fmt.Errorf("size %d of part %d is negative", size, number))
	case size > f.MaxPart:
		return remote.E(
			op, key, remote.TooLarge,
			fmt.Errorf("part %d has %d bytes, at most %d are possible", number, size, f.MaxPart),
		)
	}
	return nil
}

// CheckParts refuses, with Invalid, a list of parts that no upload can be completed with: it must
// not be empty and its numbers must ascend. It returns the size of the object that they make.
func CheckParts(op, key string, parts []Part) (size int64, err error) {
	if len(parts) == 0 {
		return 0, remote.E(op, key, remote.Invalid, errors.New("an upload needs at least one part"))
	}
	last := 0
	for _, p := range parts {
		if p.Number <= last {
			return 0, remote.E(
				op, key, remote.Invalid,
				fmt.Errorf("part %d comes after part %d: the numbers must ascend", p.Number, last),
			)
		}
		last = p.Number
		size += p.Size
	}
	return size, nil
}

// CheckContext turns the end of ctx into an error of ours: Interrupted when it was cancelled,
// Unavailable when its time is up. It returns nil while ctx goes on.
func CheckContext(ctx context.Context, op, key string) error {
	if err := ctx.Err(); err != nil {
		return remote.E(op, key, remote.KindOf(err), err)
	}
	return nil
}

// Copy writes exactly size bytes of body, read from its start, to w, and looks at ctx every few
// megabytes. A body that has fewer bytes is Invalid; what is wrong with body or w is returned as it
// is.
func Copy(ctx context.Context, op, key string, w io.Writer, body io.ReadSeeker, size int64) error {
	if size < 0 {
		return remote.E(op, key, remote.Invalid, fmt.Errorf("size %d is negative", size))
	}
	if size > 0 {
		if _, err := body.Seek(0, io.SeekStart); err != nil {
			return remote.E(op, key, remote.KindOf(err), fmt.Errorf("rewind the body: %w", err))
		}
	}
	const step = 4 << 20
	for done := int64(0); ; {
		if err := CheckContext(ctx, op, key); err != nil {
			return err
		}
		if done == size {
			return nil
		}
		n, err := io.CopyN(w, body, min(step, size-done))
		done += n
		switch {
		case errors.Is(err, io.EOF):
			return remote.E(op, key, remote.Invalid, fmt.Errorf("the body ended after %d of %d bytes", done, size))
		case err != nil:
			return err
		}
	}
}

// CompareUploads orders uploads as ListMultiparts returns them: by key, then by id.
func CompareUploads(a, b MultipartUpload) int {
	return cmp.Or(strings.Compare(a.Key, b.Key), strings.Compare(a.ID, b.ID))
}
