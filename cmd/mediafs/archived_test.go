package main

import (
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"mediafs/fs/vfs"
	"mediafs/remote/storetest/fakes3"
)

// failingOn answers requests about one object, with one method, with an error of S3.
func failingOn(method, key string, status int, code string) func(h *fakes3.Habits) {
	return func(h *fakes3.Habits) {
		h.Answer = func(w http.ResponseWriter, r *http.Request) bool {
			if r.Method != method || !strings.Contains(r.URL.Path, key) || r.URL.Query().Has("restore") {
				return false
			}
			fakes3.Fail(w, status, code, "said the test")
			return true
		}
	}
}

// asked counts the requests about an object since the last call.
func asked(srv *fakes3.Server, method, key string) (n int) {
	for _, r := range srv.Requests() {
		if r.Method == method && strings.Contains(r.Key, key) {
			n++
		}
	}
	return n
}

func mediaError(t *testing.T, name string) string {
	t.Helper()
	buf := make([]byte, 4096)
	n, err := unix.Getxattr(name, "user.media.error", buf)
	if err == unix.ENODATA {
		return ""
	}
	if err != nil {
		t.Fatal(err)
	}
	return string(buf[:n])
}

// What no retry mends fails at once, with its reason in the attribute user.media.error and in
// status, until it works.
func TestFailuresThatNoRetryMends(t *testing.T) {
	srv := fakes3.Start(t, fakes3.Habits{})
	m := fakeMachine(t)
	m.env = append(m.env, testLimits+"="+faultLimits)
	store := srv.Store("library")
	m.mount(store)
	source := t.TempDir()
	pseudoRandom(t, filepath.Join(source, "photo"), 100_000)
	name := filepath.Join(m.mnt, "folder", "photo")
	if err := os.Mkdir(filepath.Dir(name), 0o755); err != nil {
		t.Fatal(err)
	}
	before := srv.Keys()
	m.sh(`cp "$1/photo" folder/photo`, source)
	key := ""
	for _, k := range srv.Keys() {
		if strings.Contains(k, "/content/") && !slices.Contains(before, k) {
			key = k
		}
	}
	if key == "" {
		t.Fatalf("no content among %q", srv.Keys())
	}
	m.umount()
	reasons := []struct {
		status      int
		code, errno string
		says        string
	}{
		{403, "InvalidObjectState", "EIO", "restore-archived"},
		{400, "InvalidRequest", "EINVAL", "said the test"},
		{403, "AccessDenied", "EPERM", "policy of the bucket"},
		{403, "KMS.DisabledException", "EPERM", "encryption key"},
	}
	m.again(store)
	for _, r := range reasons {
		srv.Change(failingOn("GET", key, r.status, r.code))
		srv.Requests()
		o := m.operate(runAsOperator, "read", name)
		if e := o.errno(); e != r.errno && !(r.errno == "EINVAL" && strings.Contains(o.failed, "invalid argument")) {
			t.Errorf("%s: read fails with %q, want %s", r.code, o.failed, r.errno)
		}
		// A page may be asked for again by itself, but no request is tried again.
		if n := asked(srv, "GET", key); n < 1 || n > 3 {
			t.Errorf("%s: %d requests", r.code, n)
		}
		if text := mediaError(t, name); !strings.Contains(text, r.code) || !strings.Contains(text, r.says) {
			t.Errorf("%s: user.media.error is %q", r.code, text)
		}
		_, out, _ := m.mediafs("status", m.mnt)
		if !strings.Contains(out, "read of /folder/photo") || !strings.Contains(out, r.code) {
			t.Errorf("%s: status says\n%s", r.code, out)
		}
		if s := m.status(); len(s.Troubles) != 1 || s.Troubles[0].What != "read" {
			t.Errorf("%s: troubles %+v", r.code, s.Troubles)
		}
		srv.Change(func(h *fakes3.Habits) { h.Answer = nil })
		m.sh(`cmp folder/photo "$1/photo"`, source)
		if text, s := mediaError(t, name), m.status(); text != "" || len(s.Troubles) != 0 {
			t.Errorf("%s: once it works: %q, %+v", r.code, text, s.Troubles)
		}
		m.umount()
		if err := os.RemoveAll(filepath.Join(m.home, "second", "cache")); err != nil {
			t.Fatal(err)
		}
		m.again(store)
	}
	for i, r := range reasons[1:] {
		srv.Change(failingOn("PUT", "/content/", r.status, r.code))
		srv.Requests()
		up := filepath.Join(m.mnt, "folder", r.code)
		o := m.operate(runAsOperator, "create", up, filepath.Join(source, "photo"))
		if e := o.errno(); e != r.errno && !(r.errno == "EINVAL" && strings.Contains(o.failed, "invalid argument")) ||
			!strings.Contains(o.output, "written") {
			t.Errorf("%s: close fails with %q, want %s", r.code, o.failed, r.errno)
		}
		// One for the close, and maybe one when the file is let go of.
		if n := asked(srv, "PUT", "/content/"); n < 1 || n > 3 {
			t.Errorf("%s: %d puts", r.code, n)
		}
		if text := mediaError(t, up); !strings.Contains(text, r.code) || !strings.Contains(text, r.says) {
			t.Errorf("%s: user.media.error is %q", r.code, text)
		}
		if s := m.status(); s.Pending.Files != 1 || !slices.ContainsFunc(s.Troubles, troubleOf("/folder/"+r.code)) {
			t.Errorf("%s: %d: status %+v, %+v", r.code, i, s.Pending, s.Troubles)
		}
		srv.Change(func(h *fakes3.Habits) { h.Answer = nil })
		m.do("flush", m.mnt)
		if text, s := mediaError(t, up), m.status(); text != "" || len(s.Troubles) != 0 || s.Pending.Files != 0 {
			t.Errorf("%s: once it works: %q, %+v", r.code, text, s.Troubles)
		}
	}
	m.umount()
}

// What is archived is told as such, asked for, and read when it is there.
func TestRestoreArchived(t *testing.T) {
	srv := fakes3.Start(t, fakes3.Habits{})
	m := fakeMachine(t)
	store := srv.Store("library")
	m.mount(store)
	m.sh(`mkdir -p d/e; echo one >d/one; echo two >d/e/two; echo usual >d/usual; ln -s one d/link`)
	m.umount()
	m.again(store)
	var contents []string
	for _, k := range srv.Keys() {
		if strings.Contains(k, "/content/") {
			contents = append(contents, k)
		}
	}
	if len(contents) != 3 {
		t.Fatalf("contents %q", contents)
	}
	one := filepath.Join(m.mnt, "d/one")
	info := func(name string) string {
		t.Helper()
		_, out, _ := m.mediafs("info", name)
		return out
	}
	if text := info(one); strings.Contains(text, "archive") {
		t.Errorf("what is as usual: %s", text)
	}
	archived := map[string]bool{}
	for _, k := range contents {
		srv.SetHeader(k, "X-Amz-Storage-Class", "DEEP_ARCHIVE")
		if !strings.Contains(info(filepath.Join(m.mnt, "d/usual")), "archived (DEEP_ARCHIVE)") {
			archived[k] = true
			continue
		}
		srv.SetHeader(k, "X-Amz-Storage-Class", "")
	}
	if len(archived) != 2 || !strings.Contains(info(one), "archived (DEEP_ARCHIVE): it cannot be read before") {
		t.Fatalf("archived are %v; %s", archived, info(one))
	}
	_, out, _ := m.mediafs("info", "--json", "--archive", one)
	if !strings.Contains(out, `"archived": true`) {
		t.Errorf("as JSON: %s", out)
	}
	// A store that cannot be asked.
	code, _, stderr := m.mediafs("restore-archived", one)
	if code != exitFailed || !strings.Contains(stderr, "own tools") {
		t.Errorf("a store that cannot: exit code %d, %s", code, stderr)
	}
	var days []string
	srv.Change(func(h *fakes3.Habits) {
		h.Answer = func(w http.ResponseWriter, r *http.Request) bool {
			if r.Method != "POST" || !r.URL.Query().Has("restore") {
				return false
			}
			days = append(days, r.URL.Path)
			w.WriteHeader(http.StatusAccepted)
			return true
		}
	})
	code, out, stderr = m.mediafs("restore-archived", "--days=3", filepath.Join(m.mnt, "d"))
	if code != exitOK || len(days) != 2 ||
		!strings.Contains(out, "2 media asked for; 0 can be read for now, 1 are in no archive") ||
		!strings.Contains(out, m.mnt+"/d/e/two: archived (DEEP_ARCHIVE): the store is getting it back") {
		t.Errorf("exit code %d, asked for %q\n%s%s", code, days, out, stderr)
	}
	for k := range archived {
		srv.SetHeader(k, "X-Amz-Restore", `ongoing-request="true"`)
	}
	if code, out, _ := m.mediafs("restore-archived", one); code != exitOK || len(days) != 2 ||
		!strings.Contains(out, "1 media asked for") {
		t.Errorf("asked for again: exit code %d, %q, %s", code, days, out)
	}
	if text := info(one); !strings.Contains(text, "the store is getting it back") {
		t.Errorf("on its way: %s", text)
	}
	for k := range archived {
		srv.SetHeader(k, "X-Amz-Restore", `ongoing-request="false", expiry-date="Fri, 21 Dec 2035 00:00:00 GMT"`)
	}
	if text := info(one); !strings.Contains(text, "can be read until 2035-12-2") {
		t.Errorf("there: %s", text)
	}
	if code, _, stderr := m.mediafs("restore-archived", "--days=0", one); code != exitUsage {
		t.Errorf("no days: exit code %d, %s", code, stderr)
	}
	m.umount()
}

// Where the bucket has Object Lock, mount and status say what that means.
func TestObjectLockIsTold(t *testing.T) {
	srv := fakes3.Start(t, fakes3.Habits{LockDays: 30})
	m := fakeMachine(t)
	said := m.mount(srv.Store("library"))
	_, status, _ := m.mediafs("status", m.mnt)
	for _, text := range []string{said, status} {
		if !strings.Contains(text, "Object Lock (GOVERNANCE, 30 days)") || !strings.Contains(text, "keeps its room") {
			t.Errorf("said is %q", text)
		}
	}
	m.umount()
	// What was found out is kept.
	if said := m.mount(srv.Store("library")); !strings.Contains(said, "Object Lock") {
		t.Errorf("the second time: %q", said)
	}
	m.umount()
	m.mount(srv.Store("library"), "--read-only")
	m.umount()
}

func troubleOf(path string) func(vfs.Trouble) bool {
	return func(t vfs.Trouble) bool { return t.Path == path && t.What == "upload" }
}
