package dir

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"mediafs/remote"
	"mediafs/remote/object"
)

// What lies in the folder of an upload may be anything: the other uploads work, and nothing is made
// or removed outside of it.
func FuzzUpload(f *testing.F) {
	f.Add("7", []byte(`{"key":"log/1"}`), "part-00001")
	f.Add("7", []byte(`{"key":"../../escaped"}`), "part-99999999999999999999")
	f.Add("7", []byte(`{"key":`), "part--0001")
	f.Add("x.y", []byte("{\"key\":\"a\\u0000b\"}"), "about")
	base := f.TempDir()
	b, err := Open(filepath.Join(base, "store"), Options{Create: true})
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { b.Close() })
	f.Fuzz(func(t *testing.T, id string, note []byte, part string) {
		if id == "" || part == "" || strings.ContainsAny(id+part, "/\x00") || len(id) > 60 || len(part) > 200 ||
			part == ".." ||
			part == "." ||
			part == aboutFile {
			return
		}
		ctx := context.Background()
		folder := filepath.Join(base, "store", tempFolder, uploadPrefix+id)
		if err := os.MkdirAll(folder, 0o700); err != nil {
			t.Fatal(err)
		}
		defer os.RemoveAll(folder)
		if err := errors.Join(
			os.WriteFile(filepath.Join(folder, aboutFile), note, 0o600),
			os.WriteFile(filepath.Join(folder, part), []byte("abc"), 0o600),
		); err != nil {
			t.Fatal(err)
		}
		check := func(what string, err error) {
			var known *remote.Error
			if err != nil && !errors.As(err, &known) {
				t.Errorf("%s: %v", what, err)
			}
		}
		ups, err := b.ListMultiparts(ctx, "")
		check("list uploads", err)
		for _, u := range ups {
			check("list parts", func() error { _, err := b.ListParts(ctx, u.Key, u.ID); return err }())
		}
		parts, err := b.ListParts(ctx, "log/1", id)
		check("list parts", err)
		if err == nil && len(parts) > 0 {
			_, err := b.CompleteMultipart(ctx, "log/1", id, parts)
			check("complete", err)
			check("delete", b.Delete(ctx, "log/1"))
		}
		check("abort", b.AbortMultipart(ctx, "log/1", id))
		if names, err := os.ReadDir(base); err != nil || len(names) != 1 {
			t.Errorf("beside the store: %v, %v", names, err)
		}
		if _, err := b.Put(ctx, "good", strings.NewReader("x"), 1, object.PutOptions{}); err != nil {
			t.Error(err)
		}
	})
}
