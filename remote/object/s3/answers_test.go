package s3_test

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"mediafs/remote"
	"mediafs/remote/object"
	"mediafs/remote/object/s3"
	"mediafs/remote/transport"
)

// pretend is a server that answers as the test says, and counts.
type pretend struct {
	*httptest.Server
	requests atomic.Int64
}

func serve(t *testing.T, h http.HandlerFunc) *pretend {
	p := &pretend{}
	p.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p.requests.Add(1)
		h(w, r)
	}))
	t.Cleanup(func() { p.CloseClientConnections(); p.Close() })
	return p
}

func (p *pretend) options() s3.Options {
	return s3.Options{
		Endpoint: p.URL, Bucket: "bucket", AllowHTTP: true, AccessKey: "id", SecretKey: "HUSH",
		Transport: transport.Options{Stall: 2 * time.Second, HeaderTimeout: 2 * time.Second},
	}
}

func xmlError(w http.ResponseWriter, status int, code, message string) {
	w.WriteHeader(status)
	fmt.Fprintf(w, `<?xml version="1.0"?><Error><Code>%s</Code><Message>%s</Message></Error>`, code, message)
}

func put(t *testing.T, b object.Bucket, opt object.PutOptions) error {
	_, err := b.Put(t.Context(), "log/1", strings.NewReader("x"), 1, opt)
	return err
}

func get(t *testing.T, b object.Bucket, opt object.GetOptions) ([]byte, object.Info, error) {
	r, info, err := b.Get(t.Context(), "log/1", opt)
	if err != nil {
		return nil, info, err
	}
	defer r.Close()
	data, err := io.ReadAll(r)
	return data, info, err
}

// Every answer has its kind, in one request: nothing is tried again.
func TestErrorAnswers(t *testing.T) {
	for _, c := range []struct {
		status int
		code   string
		kind   remote.Kind
		text   string
	}{
		{404, "NoSuchKey", remote.NotExist, ""},
		{404, "NoSuchBucket", remote.NotExist, `"bucket" (create the bucket first`},
		{404, "SomethingNew", remote.Other, "SomethingNew"},
		{403, "AccessDenied", remote.Permission, "policy"},
		{403, "InvalidAccessKeyId", remote.Permission, "access key"},
		{403, "SignatureDoesNotMatch", remote.Permission, "secret key is wrong"},
		{403, "RequestTimeTooSkewed", remote.Permission, "set the clock"},
		{400, "ExpiredToken", remote.Permission, "session token"},
		{400, "AuthorizationHeaderMalformed", remote.Invalid, "region"},
		{301, "PermanentRedirect", remote.Invalid, "region"},
		{403, "SomethingNew", remote.Permission, "SomethingNew"},
		{403, "InvalidObjectState", remote.Archived, "restore-archived"},
		{401, "SomethingNew", remote.Permission, ""},
		{409, "ConditionalRequestConflict", remote.Conflict, ""},
		{409, "OperationAborted", remote.Conflict, ""},
		{429, "TooManyRequests", remote.Throttled, ""},
		{503, "SlowDown", remote.Throttled, "fewer requests"},
		{503, "ServiceUnavailable", remote.Unavailable, "overloaded"},
		{403, "AllAccessDisabled", remote.Permission, "turned off"},
		{403, "MissingAuthenticationToken", remote.Permission, "AWS_ACCESS_KEY_ID"},
		{400, "KMS.DisabledException", remote.Permission, "encryption key"},
		{400, "KMS.NotFoundException", remote.Permission, "encryption key"},
		{400, "KMS.KMSInvalidStateException", remote.Permission, "encryption key"},
		{400, "KMS.ThrottlingException", remote.Throttled, "key service"},
		{400, "IllegalLocationConstraintException", remote.Invalid, "region"},
		{500, "InternalError", remote.Unavailable, ""},
		{502, "Whatever", remote.Unavailable, ""},
		{504, "Whatever", remote.Unavailable, ""},
		{507, "XMinioStorageFull", remote.NoSpace, "full"},
		{507, "Whatever", remote.NoSpace, ""},
		{403, "QuotaExceeded", remote.Quota, "quota"},
		{400, "XMinioAdminBucketQuotaExceeded", remote.Quota, "quota"},
		{400, "EntityTooLarge", remote.TooLarge, "raise its limit"},
		{400, "KeyTooLongError", remote.TooLong, "shorter prefix"},
		{400, "InvalidArgument", remote.Invalid, ""},
		{400, "BadDigest", remote.Unavailable, ""},
		{501, "NotImplemented", remote.Unsupported, "does not know this request"},
	} {
		t.Run(fmt.Sprintf("%d %s", c.status, c.code), func(t *testing.T) {
			t.Parallel()
			p := serve(
				t, func(w http.ResponseWriter, r *http.Request) { xmlError(w, c.status, c.code, "Said the server.") },
			)
			b := open(t, p.options())
			err := put(t, b, object.PutOptions{IfAbsent: true})
			check(t, "put", err, c.kind, c.text)
			if c.kind == remote.Conflict {
				c.kind = remote.Unavailable // only puts that are to be first have rivals
			}
			_, _, err = get(t, b, object.GetOptions{Length: -1})
			check(t, "get", err, c.kind, c.text)
			_, _, err = b.List(t.Context(), "log/", "", 0)
			if !errors.Is(err, c.kind) {
				t.Errorf("list: got %v, want %q", err, error(c.kind))
			}
			if n := p.requests.Load(); n != 3 {
				t.Errorf("%d requests for three operations", n)
			}
			if got := errors.Is(err, s3.ErrNoBucket); got != (c.code == "NoSuchBucket") {
				t.Errorf("the bucket is missing: %v", got)
			}
		})
	}
}

// Where there never was an upload some servers say that there is no such upload.
func TestUploadsThatNeverWere(t *testing.T) {
	for code, kind := range map[string]remote.Kind{"NoSuchUpload": remote.Other, "NoSuchBucket": remote.NotExist, "NotImplemented": remote.Unsupported} {
		status := map[bool]int{true: 501, false: 404}[code == "NotImplemented"]
		p := serve(t, func(w http.ResponseWriter, r *http.Request) { xmlError(w, status, code, "Said the server.") })
		ups, err := open(t, p.options()).ListMultiparts(t.Context(), "content/")
		if remote.KindOf(err) != kind || (err == nil) != (code == "NoSuchUpload") || len(ups) != 0 {
			t.Errorf("%s: %v, %v", code, ups, err)
		}
	}
}

func check(t *testing.T, what string, err error, kind remote.Kind, text string) {
	t.Helper()
	var e *remote.Error
	if !errors.Is(err, kind) || !errors.As(err, &e) || e.Path != "log/1" || !strings.Contains(err.Error(), text) {
		t.Errorf("%s: got %v, want %q for log/1 with %q", what, err, error(kind), text)
	}
	if err != nil && strings.Contains(err.Error(), "HUSH") {
		t.Errorf("%s: a secret is in %v", what, err)
	}
}

// One status, two meanings.
func TestPrecondition(t *testing.T) {
	p := serve(t, func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.Method == "PUT" && r.Header.Get("If-None-Match") != "*":
			t.Errorf("put-if-absent has If-None-Match %q", r.Header.Get("If-None-Match"))
		case r.Method != "PUT" && r.Header.Get("If-Match") != `"tag"`:
			t.Errorf("%s has If-Match %q", r.Method, r.Header.Get("If-Match"))
		}
		w.WriteHeader(412)
	})
	b := open(t, p.options())
	check(t, "put", put(t, b, object.PutOptions{IfAbsent: true}), remote.Exist, "")
	for _, opt := range []object.GetOptions{{Length: -1}, {Length: 5, Offset: 5}, {Length: 0}} {
		opt.IfMatch = "tag"
		_, _, err := get(t, b, opt)
		check(t, "get", err, remote.Stale, "")
	}
}

// What is no answer of an object store says nothing about the object.
func TestNotAnObjectStore(t *testing.T) {
	for what, h := range map[string]http.HandlerFunc{
		"a page of a proxy": func(w http.ResponseWriter, r *http.Request) {
			w.WriteHeader(502)
			io.WriteString(w, "<html>HUSH</html>")
		},
		"a broken answer":    func(w http.ResponseWriter, r *http.Request) { panic(http.ErrAbortHandler) },
		"list without a key": func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "hello") },
	} {
		p := serve(t, h)
		b := open(t, p.options())
		_, _, err := b.List(t.Context(), "", "", 0)
		if !errors.Is(err, remote.Unavailable) || strings.Contains(err.Error(), "HUSH") {
			t.Errorf("%s: got %v, want Unavailable", what, err)
		}
	}
}

func TestNotReached(t *testing.T) {
	p := serve(t, func(w http.ResponseWriter, r *http.Request) {})
	opt := p.options()
	p.Close()
	check(t, "closed port", put(t, open(t, opt), object.PutOptions{}), remote.Unavailable, "nothing listens")
	opt.Endpoint = "http://no-such-host.invalid"
	check(t, "no such host", put(t, open(t, opt), object.PutOptions{}), remote.Unavailable, "check the endpoint")

	plain := serve(t, func(w http.ResponseWriter, r *http.Request) {})
	opt.Endpoint = strings.Replace(plain.URL, "http:", "https:", 1)
	check(t, "plain server", put(t, open(t, opt), object.PutOptions{}), remote.Unavailable, "http://")
	tls := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {}))
	defer tls.Close()
	tls.Config.ErrorLog = discard
	opt.Endpoint = tls.URL
	check(t, "unknown authority", put(t, open(t, opt), object.PutOptions{}), remote.Unavailable, "(ca)")
}

func TestSilentServer(t *testing.T) {
	block := make(chan struct{})
	p := serve(t, func(w http.ResponseWriter, r *http.Request) { <-block })
	t.Cleanup(func() { close(block) })
	opt := p.options()
	opt.Transport.HeaderTimeout = 20 * time.Millisecond
	check(t, "put", put(t, open(t, opt), object.PutOptions{}), remote.Unavailable, "did not begin")
}

// A body that ends early is an error, whether the connection breaks or the headers lie.
func TestShortBodies(t *testing.T) {
	object10 := func(h http.Header) {
		h.Set("Etag", `"tag"`)
		h.Set("Last-Modified", time.Now().UTC().Format(http.TimeFormat))
	}
	for what, c := range map[string]struct {
		h   http.HandlerFunc
		opt object.GetOptions
		n   int
	}{
		"broken off": {func(w http.ResponseWriter, r *http.Request) {
			object10(w.Header())
			w.Header().Set("Content-Length", "10")
			io.WriteString(w, "12345")
			w.(http.Flusher).Flush()
			panic(http.ErrAbortHandler)
		}, object.GetOptions{Length: -1}, 5},
		"no length": {func(w http.ResponseWriter, r *http.Request) {
			object10(w.Header())
			w.(http.Flusher).Flush()
			io.WriteString(w, "12345")
		}, object.GetOptions{Length: -1}, 0},
		"another range": {func(w http.ResponseWriter, r *http.Request) {
			object10(w.Header())
			w.Header().Set("Content-Range", "bytes 3-7/10")
			w.Header().Set("Content-Length", "5")
			w.WriteHeader(206)
			io.WriteString(w, "12345")
		}, object.GetOptions{Offset: 2, Length: 5}, 0},
		"shorter range": {func(w http.ResponseWriter, r *http.Request) {
			object10(w.Header())
			w.Header().Set("Content-Range", "bytes 2-4/10")
			w.Header().Set("Content-Length", "3")
			w.WriteHeader(206)
			io.WriteString(w, "123")
		}, object.GetOptions{Offset: 2, Length: 5}, 0},
		"range that does not fit": {func(w http.ResponseWriter, r *http.Request) {
			object10(w.Header())
			w.Header().Set("Content-Range", "bytes 2-9/10")
			w.Header().Set("Content-Length", "5")
			w.WriteHeader(206)
			io.WriteString(w, "23456")
		}, object.GetOptions{Offset: 2, Length: 5}, 0},
		"range ignored": {func(w http.ResponseWriter, r *http.Request) {
			object10(w.Header())
			io.WriteString(w, "0123456789")
		}, object.GetOptions{Offset: 2, Length: 5}, 0},
	} {
		kind := remote.Unavailable
		if what == "range ignored" {
			kind = remote.Unsupported // asking again would not help
		}
		data, _, err := get(t, open(t, serve(t, c.h).options()), c.opt)
		if !errors.Is(err, kind) || len(data) != c.n {
			t.Errorf("%s: got %q, %v; want %d bytes and %q", what, data, err, c.n, error(kind))
		}
	}
}

// A store that does not look at If-Match gives nothing that was not asked for.
func TestMatchIgnored(t *testing.T) {
	p := serve(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Etag", `"other"`)
		w.Header().Set("Last-Modified", time.Now().UTC().Format(http.TimeFormat))
		w.Header().Set("Content-Length", "10")
		if r.Method == "GET" {
			io.WriteString(w, "0123456789")
		}
	})
	b := open(t, p.options())
	for _, opt := range []object.GetOptions{{Length: -1}, {Length: 0}} {
		opt.IfMatch = "tag"
		_, _, err := get(t, b, opt)
		check(t, "get", err, remote.Stale, `"other"`)
	}
}

func TestDateAndEtag(t *testing.T) {
	then := time.Date(2001, 2, 3, 4, 5, 6, 0, time.UTC)
	p := serve(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Date", then.Format(http.TimeFormat))
		w.Header().Set("Etag", `"tag"`)
		w.Header().Set("Last-Modified", then.Add(-time.Hour).Format(http.TimeFormat))
		if r.Method == "GET" {
			io.WriteString(w, "body")
		}
	})
	b := open(t, p.options())
	info, err := b.Put(t.Context(), "log/1", strings.NewReader("body"), 4, object.PutOptions{})
	if err != nil || !info.Date.Equal(then) || info.ETag != "tag" {
		t.Errorf("put: %+v, %v", info, err)
	}
	data, info, err := get(t, b, object.GetOptions{Length: -1})
	if err != nil || !info.Date.Equal(then) || !info.Modified.Equal(then.Add(-time.Hour)) || info.ETag != "tag" ||
		string(data) != "body" {
		t.Errorf("get: %q, %+v, %v", data, info, err)
	}
	info, err = b.Head(t.Context(), "log/1")
	if err != nil || !info.Date.Equal(then) || info.ETag != "tag" {
		t.Errorf("head: %+v, %v", info, err)
	}
}

// A completion is settled by looking at the object when its own answer does not say.
func TestCompleteInDoubt(t *testing.T) {
	const size = 100
	for what, c := range map[string]struct {
		post   func(http.ResponseWriter)
		length int // of the object; negative: there is none
		kind   remote.Kind
		done   bool
	}{
		"broken, done":           {func(w http.ResponseWriter) { panic(http.ErrAbortHandler) }, size, 0, true},
		"broken, not done":       {func(w http.ResponseWriter) { panic(http.ErrAbortHandler) }, -1, remote.Unavailable, false},
		"broken, another object": {func(w http.ResponseWriter) { panic(http.ErrAbortHandler) }, 7, remote.Unavailable, false},
		"gone, done":             {func(w http.ResponseWriter) { xmlError(w, 404, "NoSuchUpload", "") }, size, 0, true},
		"gone, not done":         {func(w http.ResponseWriter) { xmlError(w, 404, "NoSuchUpload", "") }, -1, remote.NotExist, false},
		"error under 200":        {func(w http.ResponseWriter) { xmlError(w, 200, "InternalError", "We are sorry.") }, -1, remote.Unavailable, false},
		"denied":                 {func(w http.ResponseWriter) { xmlError(w, 403, "AccessDenied", "") }, size, remote.Permission, false},
	} {
		p := serve(t, func(w http.ResponseWriter, r *http.Request) {
			switch {
			case r.Method == "POST":
				c.post(w)
			case c.length < 0:
				w.WriteHeader(404)
			default:
				w.Header().Set("Etag", `"tag"`)
				w.Header().Set("Last-Modified", time.Now().UTC().Format(http.TimeFormat))
				w.Header().Set("Content-Length", fmt.Sprint(c.length))
			}
		})
		info, err := open(
			t, p.options(),
		).CompleteMultipart(t.Context(), "log/1", "id", []object.Part{{Number: 1, ETag: "a", Size: size}})
		if c.done {
			if err != nil || info.Size != size || info.ETag != "tag" {
				t.Errorf("%s: got %+v, %v", what, info, err)
			}
			continue
		}
		check(t, what, err, c.kind, "")
	}
}

// A copy that fails after its answer began is an error under status 200.
func TestCopyPartFailsLate(t *testing.T) {
	p := serve(t, func(w http.ResponseWriter, r *http.Request) { xmlError(w, 200, "InternalError", "We are sorry.") })
	_, err := open(t, p.options()).CopyPart(t.Context(), "log/1", "id", 1, "source", 0, 10)
	check(t, "copy", err, remote.Unavailable, "")
}

// The transport may hold on to a body after the answer; the caller's is out of its reach by then.
func TestBodyIsGivenBack(t *testing.T) {
	p := serve(t, func(w http.ResponseWriter, r *http.Request) {
		io.CopyN(io.Discard, r.Body, 100<<10)
		w.WriteHeader(412)
	})
	b := open(t, p.options())
	for range 5 {
		body := &watched{}
		_, err := b.Put(t.Context(), "log/1", body, 64<<20, object.PutOptions{IfAbsent: true})
		body.over = true // a data race when it is still read
		if !errors.Is(err, remote.Exist) && !errors.Is(err, remote.Unavailable) {
			t.Errorf("got %v", err)
		}
	}
}

// watched is a body that must not be read once it is over.
type watched struct{ over bool }

func (w *watched) Read(p []byte) (int, error) {
	if w.over {
		return 0, errors.New("read too late")
	}
	return len(p), nil
}

func (w *watched) Seek(int64, int) (int64, error) { return 0, nil }

func TestShortLongBody(t *testing.T) {
	p := serve(t, func(w http.ResponseWriter, r *http.Request) { io.Copy(io.Discard, r.Body) })
	_, err := open(
		t, p.options(),
	).Put(t.Context(), "log/1", strings.NewReader(strings.Repeat("x", 2<<20)), 3<<20, object.PutOptions{})
	check(t, "put", err, remote.Invalid, "ended after 2097152 of 3145728 bytes")
}

// Deleting many is one answer with a verdict for each key.
func TestDeleteSomeRefused(t *testing.T) {
	p := serve(t, func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, `<DeleteResult><Deleted><Key>a</Key></Deleted>`+
			`<Error><Key>gone</Key><Code>NoSuchKey</Code><Message>x</Message></Error>`+
			`<Error><Key>log/1</Key><Code>AccessDenied</Code><Message>x</Message></Error></DeleteResult>`)
	})
	check(t, "delete", open(t, p.options()).Delete(t.Context(), "a", "gone", "log/1"), remote.Permission, "policy")
}
