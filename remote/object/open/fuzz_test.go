package open

import (
	"path/filepath"
	"strings"
	"testing"

	"mediafs/remote"
	"mediafs/remote/object/s3"
)

// A URL names an absolute folder, a bucket with a prefix, or nothing; a password in it is refused
// and never shown.
func FuzzURL(f *testing.F) {
	for _, s := range []string{
		"file:///a/b", "file://localhost/a", "file:a", "file:///a?b", "file:///%00", "s3://bucket/prefix?endpoint=http://127.0.0.1:1&path-style=true&region=x",
		"s3://user:hushhush@bucket", "s3://bucket?endpoint=http://user:hushhush@host", "s3://b/../../x", "s3://bucket/%2e%2e/x", "s3://bucket?secret=hushhush", "s3://bu cket", "S3://bucket",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, name string) {
		if path, err := filePath(name); err == nil && !filepath.IsAbs(path) {
			t.Errorf("%q is the folder %q", name, path)
		}
		o, err := s3.ParseURL(name)
		if err != nil {
			if remote.KindOf(err) != remote.Invalid {
				t.Errorf("%q: %v", name, err)
			}
			if strings.HasPrefix(name, "s3://") && strings.Contains(name, ":hushhush@") &&
				strings.Contains(err.Error(), "hushhush") {
				t.Errorf("%q is shown: %v", name, err)
			}
			return
		}
		if o.Bucket == "" || o.AccessKey != "" || o.SecretKey != "" || strings.HasPrefix(o.Prefix, "/") {
			t.Errorf("%q: %+v", name, o)
		}
		for part := range strings.SplitSeq(o.Prefix, "/") {
			if part == ".." || part == "." {
				t.Errorf("%q leads to the prefix %q", name, o.Prefix)
			}
		}
		if strings.HasPrefix(o.Endpoint, "http://") != o.AllowHTTP {
			t.Errorf("%q: endpoint %q, without encryption %v", name, o.Endpoint, o.AllowHTTP)
		}
	})
}
