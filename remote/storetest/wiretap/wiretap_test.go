package wiretap

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// A rig is a client, a tap, and a server that answers with what it was asked.
type rig struct {
	*testing.T
	tap    *Tap
	client *http.Client
	seen   atomic.Int64 // requests that reached the server
	host   atomic.Value // of the last
	body   atomic.Int64 // bytes that reached the server
}

const answer = "0123456789"

func newRig(t *testing.T, opt Options) *rig {
	r := &rig{T: t}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		n, _ := io.Copy(io.Discard, req.Body)
		r.seen.Add(1)
		r.body.Add(n)
		r.host.Store(req.Host)
		w.Header().Set("X-Path", req.URL.EscapedPath()+"?"+req.URL.RawQuery)
		w.Header().Set("X-Agent", strings.Join(req.Header.Values("User-Agent"), ","))
		if req.Method == http.MethodDelete {
			w.WriteHeader(http.StatusNoContent)
			return
		}
		io.WriteString(w, answer)
	}))
	t.Cleanup(server.Close)
	opt.Target = server.URL
	var err error
	if r.tap, err = Open(opt); err != nil {
		t.Fatal(err)
	}
	r.client = &http.Client{Transport: &http.Transport{DisableCompression: true}}
	t.Cleanup(func() {
		r.client.CloseIdleConnections()
		if err := r.tap.Close(); err != nil {
			t.Error(err)
		}
	})
	return r
}

// do sends a request and returns what came of the answer.
func (r *rig) do(ctx context.Context, method, path, body string, header ...string) (*http.Response, string, error) {
	r.Helper()
	req, err := http.NewRequestWithContext(ctx, method, r.tap.Endpoint()+path, strings.NewReader(body))
	if err != nil {
		r.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := r.client.Do(req)
	if err != nil {
		return nil, "", err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	return resp, string(b), err
}

func (r *rig) last() Request {
	r.Helper()
	all := r.tap.Since(0)
	if len(all) == 0 {
		r.Fatal("nothing was written down")
	}
	return all[len(all)-1]
}

func TestForwarding(t *testing.T) {
	r := newRig(t, Options{Prefix: "/bucket/family/photos/"})
	tests := []struct {
		method, path, body string
		header             []string
		want               Request
		kind               string
	}{
		{
			"GET", "/bucket/family/photos/log/0/7", "", []string{"Range", "bytes=0-3"},
			Request{Method: "GET", Key: "log/0/7", Range: "bytes=0-3"}, "",
		},
		{
			"PUT", "/bucket/family/photos/a%20b+c", "bytes", []string{"If-None-Match", "*"},
			Request{Method: "PUT", Key: "a b+c", IfNoneMatch: "*", Sent: 5}, "",
		},
		{
			"PUT", "/bucket/family/photos/x?partNumber=2&uploadId=u", "part", nil,
			Request{Method: "PUT", Key: "x", Sent: 4}, "partNumber",
		},
		{"POST", "/bucket/family/photos/x?uploads=", "", nil, Request{Method: "POST", Key: "x"}, "uploads"},
		{
			"POST", "/bucket/family/photos/x?uploadId=u", "<xml>", nil, Request{Method: "POST", Key: "x", Sent: 5},
			"uploadId",
		},
		{"POST", "/bucket/?delete=", "<xml>", nil, Request{Method: "POST", Sent: 5}, "delete"},
		{"GET", "/bucket/?list-type=2&prefix=family%2Fphotos%2Flog%2F", "", nil, Request{Method: "GET"}, "list"},
		{
			"GET", "/bucket/elsewhere", "", []string{"If-Match", "etag"},
			Request{Method: "GET", Key: "bucket/elsewhere", IfMatch: "etag"}, "",
		},
		{"HEAD", "/bucket/family/photosnot/x", "", nil, Request{Method: "HEAD", Key: "bucket/family/photosnot/x"}, ""},
		{"DELETE", "/bucket/family/photos/x", "", nil, Request{Method: "DELETE", Key: "x"}, ""},
	}
	for i, tt := range tests {
		resp, body, err := r.do(t.Context(), tt.method, tt.path, tt.body, tt.header...)
		if err != nil {
			t.Fatalf("%s %s: %v", tt.method, tt.path, err)
		}
		want := map[string]string{"HEAD": "", "DELETE": ""}
		if text, ok := want[tt.method]; ok != (body == "") || !ok && body != answer {
			t.Errorf("%s %s: answered %q, want %q", tt.method, tt.path, body, text)
		}
		path := tt.path
		if !strings.Contains(path, "?") {
			path += "?"
		}
		if got := resp.Header.Get("X-Path"); got != path {
			t.Errorf("%s %s reached the server as %s", tt.method, tt.path, got)
		}
		if host := r.host.Load(); "http://"+host.(string) != r.tap.Endpoint() {
			t.Errorf("the server was addressed as %s, the client said %s", host, r.tap.Endpoint())
		}
		if !eventually(r.tap.Quiet) {
			t.Fatal("never quiet")
		}
		got, w := r.last(), tt.want
		if got.Number != i || got.Method != w.Method || got.Key != w.Key || got.Range != w.Range || got.IfMatch != w.IfMatch || got.IfNoneMatch != w.IfNoneMatch ||
			got.Sent != w.Sent || got.Received != int64(len(body)) || got.Status != resp.StatusCode ||
			got.Kind() != tt.kind ||
			!got.Ended {
			t.Errorf("%s %s: written down as %+v (%s)", tt.method, tt.path, got, got.Kind())
		}
		if tt.kind == "list" && got.Query.Get("prefix") != "log/" {
			t.Errorf("prefix %q", got.Query.Get("prefix"))
		}
	}
	if n := r.tap.Count(); n != len(tests) || len(r.tap.Since(n-2)) != 2 || len(r.tap.Since(n+5)) != 0 {
		t.Errorf("%d requests, want %d", n, len(tests))
	}
}

func TestHooks(t *testing.T) {
	r := newRig(t, Options{})
	var order []string
	r.tap.Before(func(q *Request) {
		order = append(order, "before")
		if r.seen.Load() != 0 || q.Status != 0 {
			t.Error("Before came after the server had the request")
		}
	})
	r.tap.After(func(q *Request) {
		order = append(order, "after")
		if r.seen.Load() != 1 || q.Status != 200 || q.Sent != 4 || q.Received != 0 {
			t.Errorf("After: %d requests at the server, %+v", r.seen.Load(), q)
		}
	})
	if _, body, err := r.do(t.Context(), "PUT", "/x", "body"); err != nil || body != answer {
		t.Fatalf("%q, %v", body, err)
	}
	if strings.Join(order, " ") != "before after" {
		t.Errorf("hooks called: %q", order)
	}

	r.tap.After(func(q *Request) { q.Drop() })
	r.tap.Before(nil)
	if _, _, err := r.do(t.Context(), "PUT", "/x", "body"); err == nil || r.seen.Load() != 2 {
		t.Errorf("dropped after the answer: %v, %d requests at the server", err, r.seen.Load())
	}
	r.tap.After(nil)
	r.tap.Before(func(q *Request) { q.Drop() })
	if _, _, err := r.do(t.Context(), "PUT", "/x", "body"); err == nil || r.seen.Load() != 2 {
		t.Errorf("dropped before: %v, %d requests at the server", err, r.seen.Load())
	}
	if got := r.last(); got.Status != 0 || got.Sent != 0 || got.Received != 0 {
		t.Errorf("a dropped request: %+v", got)
	}
}

func TestFaults(t *testing.T) {
	r := newRig(t, Options{})
	once := func(f Fault) (string, int, error) {
		t.Helper()
		f.Times = 1
		defer r.tap.Fault(f)()
		resp, body, err := r.do(t.Context(), "PUT", "/x", strings.Repeat("b", 1<<20))
		if resp == nil {
			return body, 0, err
		}
		return body, resp.StatusCode, err
	}
	if _, status, err := once(Fault{Status: 503}); err != nil || status != 503 || r.seen.Load() != 0 {
		t.Errorf("status instead of an answer: %d, %v, %d requests at the server", status, err, r.seen.Load())
	}
	if body, _, err := once(Fault{CutAnswer: 3}); err == nil || len(body) > 3 {
		t.Errorf("an answer that was cut: %q, %v", body, err)
	}
	if got := r.last(); got.Received != 3 || got.Status != 200 {
		t.Errorf("an answer that was cut: %+v", got)
	}
	before := r.body.Load()
	if _, _, err := once(Fault{CutRequest: 1000}); err == nil {
		t.Error("a request that was cut got an answer")
	}
	if got := r.last(); got.Sent != 1000 || got.Status != 0 {
		t.Errorf("a request that was cut: %+v", got)
	}
	if n := r.body.Load() - before; n > 1000 {
		t.Errorf("a request that was cut brought %d bytes", n)
	}
	if _, status, err := once(Fault{Latency: time.Millisecond}); err != nil || status != 200 {
		t.Errorf("a late request: %d, %v", status, err)
	}

	// Of two faults the first happens; of many requests those that match, so often.
	remove := r.tap.Fault(Fault{Status: 429, Times: 2, Match: func(q *Request) bool { return q.Key == "slow" }})
	defer r.tap.Fault(Fault{Status: 500, Match: func(q *Request) bool { return q.Key == "slow" }})()
	for i, want := range []int{429, 429, 500} {
		if resp, _, err := r.do(t.Context(), "GET", "/slow", ""); err != nil || resp.StatusCode != want {
			t.Errorf("request %d: %v, want %d", i, resp, want)
		}
	}
	remove()
	if resp, _, err := r.do(t.Context(), "GET", "/quick", ""); err != nil || resp.StatusCode != 200 {
		t.Errorf("a request that does not match: %v, %v", resp, err)
	}
}

// An answer that the tap gives itself is one that S3 could have given.
func TestOwnAnswer(t *testing.T) {
	r := newRig(t, Options{})
	r.tap.Fault(Fault{Status: 507, Code: "QuotaExceeded", RetryAfter: 2 * time.Second})
	resp, body, err := r.do(t.Context(), "PUT", "/x", "body")
	if err != nil || resp.StatusCode != 507 || resp.Header.Get("Retry-After") != "2" ||
		!strings.Contains(body, "<Code>QuotaExceeded</Code>") ||
		r.seen.Load() != 0 {
		t.Errorf("%v, %q, %v", resp, body, err)
	}
}

// Bytes that drip arrive all, and at once when the fault is taken away.
func TestRate(t *testing.T) {
	r := newRig(t, Options{})
	remove := r.tap.Fault(Fault{Rate: 20})
	done := make(chan string, 1)
	go func() {
		_, body, err := r.do(t.Context(), "PUT", "/x", strings.Repeat("b", 100_000))
		if err != nil {
			t.Error(err)
		}
		done <- body
	}()
	if !eventually(func() bool { all := r.tap.Since(0); return len(all) == 1 && all[0].Sent > 1 }) {
		t.Fatal("nothing passes")
	}
	if got := r.last(); got.Sent > 1000 {
		t.Errorf("%d bytes have passed already", got.Sent)
	}
	remove()
	if body := <-done; body != answer || r.body.Load() != 100_000 {
		t.Errorf("%q after %d bytes", body, r.body.Load())
	}
	r.tap.Fault(Fault{Rate: 200})
	if _, body, err := r.do(t.Context(), "GET", "/x", ""); err != nil || body != answer {
		t.Errorf("%q, %v", body, err)
	}
}

// A late request has its effect although the client has left, and one that waits gets its answer.
func TestLate(t *testing.T) {
	r := newRig(t, Options{})
	remove := r.tap.Fault(Fault{Late: 30 * time.Millisecond})
	if _, body, err := r.do(t.Context(), "PUT", "/x", "body"); err != nil || body != answer || r.body.Load() != 4 {
		t.Errorf("who waits: %q, %v, %d bytes", body, err, r.body.Load())
	}
	remove()
	r.tap.Fault(Fault{Late: time.Second}) // in which the client leaves
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		eventually(func() bool { return r.tap.Count() == 2 })
		cancel()
	}()
	if _, _, err := r.do(ctx, "PUT", "/x", "late"); !errors.Is(err, context.Canceled) {
		t.Errorf("who left: %v", err)
	}
	if !eventually(r.tap.Quiet) || r.seen.Load() != 2 || r.body.Load() != 8 {
		t.Errorf("%d requests and %d bytes at the server", r.seen.Load(), r.body.Load())
	}
	if got := r.last(); got.Status != 200 || got.Received != 0 || got.Sent != 4 {
		t.Errorf("written down as %+v", got)
	}
}

func TestBlackHole(t *testing.T) {
	r := newRig(t, Options{})
	defer r.tap.Fault(Fault{BlackHole: true})()
	ctx, cancel := context.WithCancel(t.Context())
	answered := make(chan error, 1)
	go func() {
		_, _, err := r.do(ctx, "PUT", "/x", "body")
		answered <- err
	}()
	if !eventually(func() bool { return r.tap.Count() == 1 }) {
		t.Fatal("no request arrived")
	}
	select {
	case err := <-answered:
		t.Errorf("a black hole answered: %v", err)
	case <-time.After(20 * time.Millisecond):
	}
	cancel()
	if err := <-answered; !errors.Is(err, context.Canceled) || r.seen.Load() != 0 {
		t.Errorf("%v, %d requests at the server", err, r.seen.Load())
	}
	if !eventually(r.tap.Quiet) {
		t.Error("the request of a client that left goes on")
	}
}

func TestHeldAnswer(t *testing.T) {
	r := newRig(t, Options{})
	release := make(chan struct{})
	defer r.tap.Fault(Fault{Hold: release})()
	answered := make(chan string, 1)
	go func() {
		_, body, _ := r.do(t.Context(), "GET", "/x", "")
		answered <- body
	}()
	if !eventually(func() bool { return r.seen.Load() == 1 }) {
		t.Fatal("the server never got it")
	}
	select {
	case body := <-answered:
		t.Errorf("%q came although it is held back", body)
	case <-time.After(20 * time.Millisecond):
	}
	close(release)
	if body := <-answered; body != answer {
		t.Errorf("released: %q", body)
	}
}

// A server that is gone gives no answer, and Close frees who waits.
func TestGoneAndClosed(t *testing.T) {
	gone := httptest.NewServer(http.NotFoundHandler())
	gone.Close()
	tap, err := Open(Options{Target: gone.URL})
	if err != nil {
		t.Fatal(err)
	}
	if resp, err := http.Get(tap.Endpoint()); err == nil {
		t.Errorf("a server that is gone answered %s", resp.Status)
	}
	tap.Fault(Fault{BlackHole: true})
	failed := make(chan error, 1)
	go func() {
		_, err := http.Post(tap.Endpoint(), "", bytes.NewReader([]byte("x")))
		failed <- err
	}()
	if !eventually(func() bool { return tap.Count() == 2 }) {
		t.Fatal("no request arrived")
	}
	if err := tap.Close(); err != nil {
		t.Error(err)
	}
	if err := <-failed; err == nil {
		t.Error("who waited got an answer")
	}
	for _, target := range []string{"", "https://x", "127.0.0.1:9"} {
		if _, err := Open(Options{Target: target}); err == nil {
			t.Errorf("%q was taken for a server", target)
		}
	}
}

// eventually waits for something that will happen; no verdict hangs on when.
func eventually(happened func() bool) bool {
	for range 1000 {
		if happened() {
			return true
		}
		time.Sleep(5 * time.Millisecond)
	}
	return false
}
