package s3_test

import (
	"io"
	"slices"
	"strings"
	"testing"

	"mediafs/remote"
	"mediafs/remote/object"
)

// What other tools keep beside the prefix is read through the whole bucket, and the bucket itself
// does not see it.
func TestWhole(t *testing.T) {
	opt := options(t)
	area := opt.Prefix
	opt.Prefix += "/library"
	b := open(t, opt)
	whole, prefix := b.Root()
	if prefix != area+"/library/" {
		t.Errorf("the prefix is %q", prefix)
	}
	srv, err := server()
	if err != nil {
		t.Fatal(err)
	}
	put := func(key, body string) {
		t.Helper()
		if err := srv.Put(
			t.Context(), area+"/"+key, body, "image/jpeg", map[string]string{"Mtime": "1700000000.25"},
		); err != nil {
			t.Fatal(err)
		}
	}
	put("photos/2019/a.jpg", "a")
	put("photos/2020/", "")
	put("photos/b.jpg", "bb")
	put("library/mine", "mine")

	keys := func(after string, max int) (names []string, more bool) {
		t.Helper()
		page, more, err := whole.ListAll(t.Context(), area+"/", after, max)
		if err != nil {
			t.Fatal(err)
		}
		for _, i := range page {
			names = append(names, strings.TrimPrefix(i.Key, area+"/"))
		}
		return names, more
	}
	all := []string{"library/mine", "photos/2019/a.jpg", "photos/2020/", "photos/b.jpg"}
	if got, more := keys("", 0); !slices.Equal(got, all) || more {
		t.Errorf("listed %q, more: %v", got, more)
	}
	if got, more := keys(area+"/library/mine", 2); !slices.Equal(got, all[1:3]) || !more {
		t.Errorf("a page of two is %q, more: %v", got, more)
	}
	if page, _, err := b.List(t.Context(), "", "", 0); err != nil || len(page) != 1 || page[0].Key != "mine" {
		t.Errorf("the bucket lists %v, %v", page, err)
	}

	d, err := whole.Describe(t.Context(), area+"/photos/b.jpg")
	if err != nil || d.Type != "image/jpeg" || d.Size != 2 || d.Meta["mtime"] != "1700000000.25" || d.ETag == "" ||
		d.Modified.IsZero() {
		t.Errorf("described as %+v, %v", d, err)
	}
	if _, err := whole.Describe(t.Context(), area+"/photos/none"); remote.KindOf(err) != remote.NotExist {
		t.Errorf("what is not there: %v", err)
	}
	if _, err := whole.Describe(t.Context(), "/leading"); remote.KindOf(err) != remote.Invalid {
		t.Errorf("what is no key: %v", err)
	}
	r, info, err := whole.Get(t.Context(), d.Key, object.GetOptions{Length: -1, IfMatch: d.ETag})
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(r)
	r.Close()
	if string(body) != "bb" || err != nil || info.Key != d.Key {
		t.Errorf("read %q of %+v, %v", body, info, err)
	}
}
