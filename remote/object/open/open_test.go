package open_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"mediafs/remote"
	"mediafs/remote/object/dir"
	"mediafs/remote/object/open"
	"mediafs/remote/object/s3"
)

func TestURL(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a folder")
	if err := os.Mkdir(path, 0o700); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{path, "file://" + strings.ReplaceAll(path, " ", "%20"), "file://localhost" + path, "FILE:" + path} {
		b, err := open.URL(t.Context(), name, open.Options{})
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if _, ok := b.(*dir.Bucket); !ok || b.Facts().URL != "file://"+path {
			t.Errorf("%s: got %T of %s", name, b, b.Facts().URL)
		}
		b.Close()
	}
	b, err := open.URL(t.Context(), "s3://bucket/p?endpoint=http://127.0.0.1:1", open.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	if _, ok := b.(*s3.Bucket); !ok || b.Facts().URL != "s3://bucket/p/?endpoint=http://127.0.0.1:1" {
		t.Errorf("got %T of %s", b, b.Facts().URL)
	}
}

func TestCreate(t *testing.T) {
	path := filepath.Join(t.TempDir(), "new")
	b, err := open.URL(t.Context(), "file://"+path, open.Options{})
	if !errors.Is(err, remote.NotExist) || b != nil {
		t.Errorf("missing folder: %v, %v", b, err)
	}
	b, err = open.URL(t.Context(), "file://"+path, open.Options{Create: true})
	if err != nil {
		t.Fatal(err)
	}
	b.Close()
}

func TestRefused(t *testing.T) {
	for _, name := range []string{
		"", "folder", "./folder", "file:folder", "file://host/folder", "file:///folder?x=y", "file:///folder#x", "file://u:HUSH@/folder",
		"https://u:HUSH@host/", "s3://bucket?x=HUSH", "s3://u:HUSH@bucket", "u:HUSH",
	} {
		b, err := open.URL(t.Context(), name, open.Options{})
		if !errors.Is(err, remote.Invalid) || b != nil {
			t.Errorf("%q: got %v, %v, want Invalid", name, b, err)
		} else if strings.Contains(err.Error(), "HUSH") {
			t.Errorf("%q: the error shows the secret: %v", name, err)
		}
	}
}
