package dir

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"mediafs/remote"
	"mediafs/remote/object"
)

// A multipart upload is a folder up-<id> in the private folder with the file about and one file
// part-<number> a part. It outlives the process; completing it copies the parts behind each other
// (the file system may share the blocks), names the copy, and removes the folder. An upload that
// was completed but whose folder a crash left is dropped by AbortMultipart.
const (
	aboutFile  = "about"
	partPrefix = "part-"
)

// about is what the file of that name holds, as JSON.
type about struct {
	Key string `json:"key"`
}

func (b *Bucket) CreateMultipart(ctx context.Context, key, mediaType string) (string, error) {
	const op = "begin multipart upload"
	if err := begin(ctx, op, key); err != nil {
		return "", err
	}
	t, err := b.newTemp(op, key)
	if err != nil {
		return "", err
	}
	defer t.discard()
	if err := json.NewEncoder(t.f).Encode(about{Key: key}); err != nil {
		return "", b.fail(op, key, err)
	}
	id := rand.Text()
	if err := b.place(op, key, t, path.Join(tempFolder, uploadPrefix+id, aboutFile)); err != nil {
		return "", err
	}
	return id, nil
}

// place syncs t and gives it a name inside the private folder.
func (b *Bucket) place(op, key string, t *temp, name string) error {
	if err := b.seal(t.f); err != nil {
		return b.fail(op, key, err)
	}
	if err := b.root.Mkdir(path.Dir(name), 0o700); err != nil {
		return b.fail(op, key, err)
	}
	if err := b.syncFolder(tempFolder); err != nil {
		return b.fail(op, key, err)
	}
	return b.placePart(op, key, t, name)
}

// placePart gives a synced file its name in the folder of an upload, which must be there: the
// folder is what the upload is.
func (b *Bucket) placePart(op, key string, t *temp, name string) error {
	if err := b.root.Rename(t.path, name); err != nil {
		return b.fail(op, key, err)
	}
	t.path = ""
	if err := b.syncFolder(path.Dir(name)); err != nil {
		return b.fail(op, key, err)
	}
	return nil
}

// findUpload returns the folder of an upload of key.
func (b *Bucket) findUpload(op, key, id string) (string, error) {
	unknown := remote.E(op, key, remote.NotExist, fmt.Errorf("there is no multipart upload %q", id))
	if id == "" || strings.ContainsAny(id, "/\x00") || len(id) > 64 {
		return "", unknown
	}
	folder := path.Join(tempFolder, uploadPrefix+id)
	a, err := b.readAbout(folder)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		if err := b.fail(op, key, err); remote.KindOf(err) != remote.NotExist {
			return "", err
		}
		return "", unknown
	case err != nil:
		return "", b.fail(op, key, err)
	case a.Key != key:
		return "", unknown
	}
	return folder, nil
}

func (b *Bucket) readAbout(folder string) (a about, err error) {
	data, err := b.root.ReadFile(path.Join(folder, aboutFile))
	if err != nil {
		return a, err
	}
	if err := json.Unmarshal(data, &a); err != nil {
		return a, remote.E("read upload", folder, remote.Corrupt, err).
			WithHint("remove that folder: the upload is lost, no object is")
	}
	return a, nil
}

func partFile(folder string, number int) string {
	return path.Join(folder, partPrefix+fmt.Sprintf("%05d", number))
}

func (b *Bucket) PutPart(
	ctx context.Context, key, uploadID string, number int, body io.ReadSeeker, size int64,
) (object.Part, error) {
	const op = "put part"
	return b.writePart(ctx, op, key, uploadID, number, size, func(f *os.File) error {
		if err := object.Copy(ctx, op, key, f, body, size); err != nil {
			return b.fail(op, key, err)
		}
		return nil
	})
}

func (b *Bucket) CopyPart(
	ctx context.Context, key, uploadID string, number int, source string, off, n int64,
) (object.Part, error) {
	const op = "copy part"
	if err := checkKey(op, source); err != nil {
		return object.Part{}, err
	}
	return b.writePart(ctx, op, key, uploadID, number, n, func(f *os.File) error {
		src, info, err := b.open(op, source)
		if err != nil {
			return err
		}
		defer src.Close()
		if off < 0 || n < 1 || off > info.Size-n {
			return remote.E(
				op, key, remote.Invalid,
				fmt.Errorf("%d bytes at %d do not lie in %s, which has %d", n, off, source, info.Size),
			)
		}
		if err := copyFile(ctx, op, key, f, src, off, n); err != nil {
			return b.fail(op, key, err)
		}
		return nil
	})
}

// copyFile appends n bytes of src to dst; files of one file system are copied by the kernel.
func copyFile(ctx context.Context, op, key string, dst, src *os.File, off, n int64) error {
	if _, err := src.Seek(off, io.SeekStart); err != nil {
		return err
	}
	return object.Copy(ctx, op, key, dst, here{src}, n)
}

// here is a file that stays where it is when object.Copy rewinds it.
type here struct{ *os.File }

func (here) Seek(int64, int) (int64, error) { return 0, nil }

// writePart makes a part of what write puts into a file; the errors of write are in our form.
func (b *Bucket) writePart(
	ctx context.Context, op, key, id string, number int, size int64, write func(*os.File) error,
) (object.Part, error) {
	if err := begin(ctx, op, key); err != nil {
		return object.Part{}, err
	}
	if err := object.CheckPart(op, key, number, size, object.Facts{MaxParts: 10000, MaxPart: unlimited}); err != nil {
		return object.Part{}, err
	}
	folder, err := b.findUpload(op, key, id)
	if err != nil {
		return object.Part{}, err
	}
	t, err := b.newTemp(op, key)
	if err != nil {
		return object.Part{}, err
	}
	defer t.discard()
	if err := write(t.f); err != nil {
		return object.Part{}, err
	}
	if err := b.seal(t.f); err != nil {
		return object.Part{}, b.fail(op, key, err)
	}
	info, err := b.statFile(op, key, t.f)
	if err != nil {
		return object.Part{}, err
	}
	if err := b.placePart(op, key, t, partFile(folder, number)); err != nil {
		return object.Part{}, err
	}
	return object.Part{Number: number, ETag: info.ETag, Size: info.Size}, nil
}

func (b *Bucket) ListParts(ctx context.Context, key, uploadID string) ([]object.Part, error) {
	const op = "list parts"
	if err := begin(ctx, op, key); err != nil {
		return nil, err
	}
	folder, err := b.findUpload(op, key, uploadID)
	if err != nil {
		return nil, err
	}
	parts := []object.Part{}
	entries, err := b.readFolder(folder)
	if err != nil {
		return nil, b.fail(op, key, err)
	}
	for _, e := range entries {
		digits, isPart := strings.CutPrefix(e.Name(), partPrefix)
		number, err := strconv.Atoi(digits)
		if !isPart || err != nil {
			continue
		}
		fi, err := e.Info()
		if err != nil {
			return nil, b.fail(op, key, err)
		}
		st, err := statOf(fi)
		if err != nil {
			return nil, b.fail(op, key, err)
		}
		parts = append(parts, object.Part{Number: number, ETag: etag(st), Size: st.Size})
	}
	slices.SortFunc(parts, func(a, b object.Part) int { return a.Number - b.Number })
	return parts, nil
}

func (b *Bucket) readFolder(name string) ([]fs.DirEntry, error) {
	d, err := b.openDir(name)
	if err != nil {
		return nil, err
	}
	defer d.Close()
	return d.ReadDir(-1)
}

func (b *Bucket) CompleteMultipart(
	ctx context.Context, key, uploadID string, parts []object.Part,
) (object.Info, error) {
	const op = "complete multipart upload"
	if err := begin(ctx, op, key); err != nil {
		return object.Info{}, err
	}
	size, err := object.CheckParts(op, key, parts)
	if err != nil {
		return object.Info{}, err
	}
	info, err := b.complete(ctx, op, key, uploadID, parts)
	if remote.KindOf(err) == remote.NotExist {
		// It may have been completed before, by us or by a call that goes on at the same time.
		if done, herr := b.Head(ctx, key); herr == nil && done.Size == size {
			return done, nil
		}
	}
	return info, err
}

func (b *Bucket) complete(ctx context.Context, op, key, id string, parts []object.Part) (object.Info, error) {
	folder, err := b.findUpload(op, key, id)
	if err != nil {
		return object.Info{}, err
	}
	t, err := b.newTemp(op, key)
	if err != nil {
		return object.Info{}, err
	}
	defer t.discard()
	for _, p := range parts {
		if err := b.appendPart(ctx, op, key, t.f, folder, p); err != nil {
			return object.Info{}, err
		}
	}
	info, err := b.publish(op, key, t, false)
	if err != nil {
		return object.Info{}, err
	}
	// The object is there. What cannot be removed now, AbortMultipart removes later.
	b.removeUpload(folder)
	return info, nil
}

func (b *Bucket) appendPart(ctx context.Context, op, key string, dst *os.File, folder string, p object.Part) error {
	notPut := remote.E(op, key, remote.Invalid, fmt.Errorf("part %d with etag %s was not put", p.Number, p.ETag))
	f, err := b.root.Open(partFile(folder, p.Number))
	if errors.Is(err, fs.ErrNotExist) {
		if _, err := b.findUpload(op, key, strings.TrimPrefix(path.Base(folder), uploadPrefix)); err != nil {
			return err // it was completed or aborted meanwhile
		}
		return notPut
	}
	if err != nil {
		return b.fail(op, key, err)
	}
	defer f.Close()
	info, err := b.statFile(op, key, f)
	if err != nil {
		return err
	}
	if info.ETag != p.ETag {
		return notPut
	}
	if err := copyFile(ctx, op, key, dst, f, 0, info.Size); err != nil {
		return b.fail(op, key, err)
	}
	return nil
}

// removeUpload removes the folder of an upload: its file about first, because without that there is
// no upload.
func (b *Bucket) removeUpload(folder string) error {
	if err := b.root.Remove(path.Join(folder, aboutFile)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := b.root.RemoveAll(folder); err != nil && !errors.Is(err, unix.ENOTEMPTY) {
		return err
	}
	return b.syncFolder(tempFolder)
}

func (b *Bucket) AbortMultipart(ctx context.Context, key, uploadID string) error {
	const op = "abort multipart upload"
	if err := begin(ctx, op, key); err != nil {
		return err
	}
	folder, err := b.findUpload(op, key, uploadID)
	if remote.KindOf(err) == remote.NotExist {
		return nil
	}
	if err != nil {
		return err
	}
	if err := b.removeUpload(folder); err != nil {
		return b.fail(op, key, err)
	}
	return nil
}

func (b *Bucket) ListMultiparts(ctx context.Context, prefix string) ([]object.MultipartUpload, error) {
	const op = "list multipart uploads"
	if err := object.CheckContext(ctx, op, prefix); err != nil {
		return nil, err
	}
	entries, err := b.readFolder(tempFolder)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, b.fail(op, prefix, err)
	}
	var ups []object.MultipartUpload
	for _, e := range entries {
		id, ok := strings.CutPrefix(e.Name(), uploadPrefix)
		if !ok {
			continue
		}
		folder := path.Join(tempFolder, e.Name())
		a, err := b.readAbout(folder)
		if err != nil || !strings.HasPrefix(a.Key, prefix) {
			continue // ended meanwhile, or another's
		}
		fi, err := b.root.Stat(path.Join(folder, aboutFile))
		if err != nil {
			continue
		}
		ups = append(ups, object.MultipartUpload{Key: a.Key, ID: id, Initiated: fi.ModTime()})
	}
	slices.SortFunc(ups, object.CompareUploads)
	return ups, nil
}
