package bucket

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"mediafs/remote"
	"mediafs/remote/object"
	"mediafs/remote/object/dir"
	"mediafs/remote/object/mem"
	"mediafs/remote/object/s3"
)

// openS3 is a prefix of the shared server.
func openS3(t *testing.T, prefix string) *s3.Bucket {
	t.Helper()
	srv, err := server()
	ok(t, err)
	b, err := s3.Open(
		t.Context(),
		s3.Options{Endpoint: srv.Endpoint, Region: srv.Region, Bucket: srv.Bucket, Prefix: prefix, AllowHTTP: true,
			AccessKey: srv.AccessKey, SecretKey: s3.Secret(srv.SecretKey)},
	)
	ok(t, err)
	t.Cleanup(func() { b.Close() })
	return b
}

// lay puts objects of one byte.
func lay(t *testing.T, b object.Bucket, keys ...string) {
	t.Helper()
	for _, key := range keys {
		_, err := b.Put(t.Context(), key, strings.NewReader("x"), 1, object.PutOptions{})
		ok(t, err)
	}
}

func foreignOf(t *testing.T, s *Store, prefix string) (names []string, all []ForeignObject) {
	t.Helper()
	for o, err := range s.ForeignObjects(t.Context(), prefix) {
		ok(t, err)
		names, all = append(names, o.Name), append(all, o)
	}
	return names, all
}

// Objects beside the library are found, and read under the keys that they are listed with; the
// library's own are not.
func TestForeignObjects(t *testing.T) {
	area := fmt.Sprintf("foreign %d", prefixes.Add(1))
	around := openS3(t, area)
	s, err := Create(t.Context(), openS3(t, area+"/lib"), quick(new(fakeBoot)))
	ok(t, err)
	ok(t, s.Append(t.Context(), 1, []byte("commit")))
	put(t, s, data(10, 1))
	lay(
		t, around, "lib/content/zz/foreign", "lib/log/notes", "lib/probe/x", "lib/checkpoint/x", "lib/format.json.bak",
		"lib/mine.jpg", "lib2/a.jpg", "a/b.jpg",
	)

	names, all := foreignOf(t, s, area+"/")
	if want := []string{
		area + "/a/b.jpg", area + "/lib/format.json.bak", area + "/lib/mine.jpg", area + "/lib2/a.jpg",
	}; !slices.Equal(
		names,
		want,
	) {
		t.Errorf("found %q, want %q", names, want)
	}
	for _, o := range all {
		inside := strings.HasPrefix(o.Name, area+"/lib/")
		if o.Err != nil || o.Folder || (o.Key == "/"+o.Name) == inside || inside && area+"/lib/"+o.Key != o.Name {
			t.Errorf("%+v", o)
		}
		id := External(o.Key, o.ETag)
		if got := content(t, s, id); string(got) != "x" {
			t.Errorf("%s reads %q", o.Name, got)
		}
		if size, err := s.StatContent(t.Context(), id); err != nil || size != 1 {
			t.Errorf("%s has %d bytes, %v", o.Name, size, err)
		}
		d, err := s.DescribeForeign(t.Context(), o.Key)
		if err != nil || d.Type != "application/octet-stream" {
			t.Errorf("%s is described as %+v, %v", o.Name, d, err)
		}
	}
	if names, _ := foreignOf(t, s, area+"/lib2/"); !slices.Equal(names, []string{area + "/lib2/a.jpg"}) {
		t.Errorf("below a prefix: %q", names)
	}

	// Side objects of what lies outside lie in the library.
	outside := External(all[0].Key, all[0].ETag)
	ok(t, s.PutSide(t.Context(), outside, SuffixFacts, []byte("facts")))
	if got, err := s.GetSide(t.Context(), outside, SuffixFacts); err != nil || string(got) != "facts" {
		t.Errorf("facts are %q, %v", got, err)
	}

	// Somebody replaces it.
	_, err = around.Put(t.Context(), "a/b.jpg", strings.NewReader("yy"), 2, object.PutOptions{})
	ok(t, err)
	_, err = s.OpenContent(t.Context(), outside, 0, -1)
	want(t, err, remote.Stale)
	if !strings.Contains(err.Error(), "the object was replaced in the bucket") {
		t.Errorf("says %v", err)
	}
	_, err = s.StatContent(t.Context(), outside)
	want(t, err, remote.Stale)
	ok(t, around.Delete(t.Context(), "a/b.jpg"))
	_, err = s.OpenContent(t.Context(), outside, 0, -1)
	want(t, err, remote.NotExist)
	_, err = s.DescribeForeign(t.Context(), outside.ID[len(externalPrefix):])
	want(t, err, remote.NotExist)
}

// A library whose place is the whole bucket has nothing beside it, and one in a local directory
// cannot look there.
func TestForeignObjectsInside(t *testing.T) {
	local, err := dir.Open(t.TempDir(), dir.Options{})
	ok(t, err)
	t.Cleanup(func() { local.Close() })
	for name, b := range map[string]object.Bucket{"dir": local, "mem": mem.New(mem.Options{})} {
		s, err := Create(t.Context(), b, quick(new(fakeBoot)))
		ok(t, err)
		put(t, s, data(10, 1))
		lay(t, b, "album/a.jpg", "zoo.jpg", "content.jpg")
		names, all := foreignOf(t, s, "")
		if !slices.Equal(names, []string{"album/a.jpg", "content.jpg", "zoo.jpg"}) || all[0].Key != "album/a.jpg" {
			t.Errorf("%s: found %q", name, names)
		}
		if prefix, beside := s.Place(); prefix != "" || beside {
			t.Errorf("%s: lies at %q, %v", name, prefix, beside)
		}
		if d, err := s.DescribeForeign(t.Context(), "zoo.jpg"); err != nil || d.Type != "" {
			t.Errorf("%s: %+v, %v", name, d, err)
		}
		_, err = s.OpenContent(t.Context(), External("/album/a.jpg", all[0].ETag), 0, -1)
		want(t, err, remote.Invalid)
		_, err = s.StatContent(t.Context(), External("/album/a.jpg", all[0].ETag))
		want(t, err, remote.Invalid)
	}
}

// What a listing gives becomes what an import is told: markers of folders, and keys that no library
// can refer to.
func TestForeignObjectForms(t *testing.T) {
	s := &Store{prefix: "lib/"}
	for _, c := range []struct {
		key, etag string
		size      int64
		want      ForeignObject
		kind      error
	}{
		{key: "a/b", etag: "e", size: 1, want: ForeignObject{Name: "a/b", Key: "/a/b"}},
		{key: "lib/a", etag: "e", want: ForeignObject{Name: "lib/a", Key: "a"}},
		{key: "a/b/", etag: "e", want: ForeignObject{Name: "a/b", Folder: true}},
		{key: "a/b/", etag: "e", size: 5, want: ForeignObject{Name: "a/b/"}, kind: remote.Invalid},
		{key: "a//b", etag: "e", want: ForeignObject{Name: "a//b"}, kind: remote.Invalid},
		{key: "/a", etag: "e", want: ForeignObject{Name: "/a"}, kind: remote.Invalid},
		{key: "a/../b", etag: "e", want: ForeignObject{Name: "a/../b"}, kind: remote.Invalid},
		{key: strings.Repeat("x", 256), etag: "e", want: ForeignObject{Name: strings.Repeat("x", 256)}, kind: remote.TooLong},
		{key: "a", want: ForeignObject{Name: "a"}, kind: remote.Unsupported},
	} {
		o := s.foreign(object.Info{Key: c.key, ETag: c.etag, Size: c.size})
		if o.Name != c.want.Name || o.Key != c.want.Key || o.Folder != c.want.Folder ||
			(o.Err == nil) != (c.kind == nil) ||
			o.Err != nil && remote.KindOf(o.Err) != c.kind {
			t.Errorf("%q becomes %+v", c.key, o)
		}
	}
	for name, behind := range map[string]string{
		"lib/content/x": "lib/content/" + lastRune, "lib/log/0/x": "lib/log/" + lastRune, "lib/format.json": "", "lib/checkpoint/": "lib/checkpoint/" + lastRune,
	} {
		if b, own := s.ownPlace(name); !own || b != behind {
			t.Errorf("%s: %q, %v", name, b, own)
		}
	}
	for _, name := range []string{"content/x", "lib/contents", "lib/format.jsonx", "library/log/x"} {
		if _, own := s.ownPlace(name); own {
			t.Errorf("%s is taken for the library's", name)
		}
	}
}
