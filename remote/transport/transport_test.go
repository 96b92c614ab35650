package transport_test

import (
	"bytes"
	"context"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sirupsen/logrus"

	"mediafs/remote"
	"mediafs/remote/transport"
)

func client(t *testing.T, opt transport.Options) *http.Client {
	t.Helper()
	rt, err := transport.New(opt)
	if err != nil {
		t.Fatal(err)
	}
	c := &http.Client{Transport: rt}
	t.Cleanup(c.CloseIdleConnections)
	return c
}

func serve(t *testing.T, h http.HandlerFunc) string {
	s := httptest.NewServer(h)
	t.Cleanup(func() { s.CloseClientConnections(); s.Close() })
	return s.URL
}

func TestPlainHTTPIsRefused(t *testing.T) {
	reached := false
	url := serve(t, func(http.ResponseWriter, *http.Request) { reached = true })
	_, err := client(t, transport.Options{}).Get(url)
	if !errors.Is(err, remote.Invalid) || reached {
		t.Errorf("got %v, reached: %v", err, reached)
	}
	res, err := client(t, transport.Options{AllowHTTP: true}).Get(url)
	if err != nil || !reached {
		t.Fatalf("allowed: %v", err)
	}
	res.Body.Close()
}

func TestUserAgent(t *testing.T) {
	var got string
	url := serve(t, func(w http.ResponseWriter, r *http.Request) { got = r.UserAgent() })
	for opt, want := range map[string]string{"": "mediafs", "mediafs/1.2": "mediafs/1.2"} {
		req, _ := http.NewRequest("GET", url, nil)
		req.Header.Set("User-Agent", "some library")
		res, err := client(t, transport.Options{AllowHTTP: true, UserAgent: opt}).Do(req)
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		if got != want || req.UserAgent() != "some library" {
			t.Errorf("agent %q, want %q; the caller's request now has %q", got, want, req.UserAgent())
		}
	}
}

func TestCounter(t *testing.T) {
	url := serve(t, func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		fmt.Fprint(w, "1234567")
	})
	var n transport.Counter
	c := client(
		t,
		transport.Options{AllowHTTP: true, Counter: &n, Classify: func(r *http.Request) string { return r.URL.Path }},
	)
	for range 2 {
		res, err := c.Post(url+"/a", "", strings.NewReader("12345"))
		if err != nil {
			t.Fatal(err)
		}
		io.Copy(io.Discard, res.Body)
		res.Body.Close()
	}
	if _, err := c.Get("http://127.0.0.1:1/b"); err == nil {
		t.Fatal("port 1 answers")
	}
	if got, want := n.Get("POST", "/a"), (transport.Count{Requests: 2, Sent: 10, Received: 14}); got != want {
		t.Errorf("POST: %+v, want %+v", got, want)
	}
	if got, want := n.Get("", "*"), (transport.Count{Requests: 3, Failed: 1, Sent: 10, Received: 14}); got != want {
		t.Errorf("all: %+v, want %+v", got, want)
	}
	if got := n.Get("GET", "/a"); got != (transport.Count{}) {
		t.Errorf("GET of /a: %+v", got)
	}
	seen := 0
	n.Each(func(method, class string, c transport.Count) { seen++ })
	if seen != 2 {
		t.Errorf("%d kinds of request, want 2", seen)
	}
}

func TestTraceShowsNoSecret(t *testing.T) {
	base := serve(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Set-Cookie", "session=SECRET")
		w.Header().Set("Etag", "tag")
	})
	var out bytes.Buffer
	l := logrus.New()
	l.SetOutput(&out)
	l.SetLevel(logrus.TraceLevel)
	c := client(t, transport.Options{AllowHTTP: true, Log: logrus.NewEntry(l)})
	u := strings.Replace(base, "http://", "http://user:SECRET@", 1)
	for _, where := range []string{u, "http://user:SECRET@127.0.0.1:1"} {
		req, _ := http.NewRequest(
			"GET",
			where+"/path?prefix=log%2F0&X-Amz-Signature=SECRET&token=SECRET&uploadId=SECRET&sig=SECRET&list-type=2",
			nil,
		)
		for _, h := range []string{"Authorization", "X-Amz-Security-Token", "X-Amz-Content-Sha256", "Cookie", "X-Api-Key", "Session-Token"} {
			req.Header.Set(h, "SECRET")
		}
		req.Header.Set("Range", "bytes=1-2")
		if res, err := c.Do(req); err == nil {
			res.Body.Close()
		}
	}
	lines := out.String()
	if strings.Contains(lines, "SECRET") {
		t.Errorf("a secret is in the log:\n%s", lines)
	}
	for _, want := range []string{"GET", "/path", "prefix=log%2F0", "token=***", "Range=bytes=1-2", "Etag=tag", "status=200", "request failed"} {
		if !strings.Contains(lines, want) {
			t.Errorf("the log lacks %q:\n%s", want, lines)
		}
	}
	out.Reset()
	l.SetLevel(logrus.DebugLevel)
	if res, err := c.Get(base); err == nil {
		res.Body.Close()
	}
	if out.Len() > 0 {
		t.Errorf("debug level logs %q", out.String())
	}
}

const short = 30 * time.Millisecond

// stalled wants an error that the watchdog made.
func stalled(t *testing.T, err error) {
	t.Helper()
	var e *remote.Error
	if !errors.Is(err, remote.Unavailable) || !errors.As(err, &e) || errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want Unavailable from the watchdog", err)
	}
}

func TestNoAnswer(t *testing.T) {
	block := make(chan struct{})
	url := serve(t, func(w http.ResponseWriter, r *http.Request) { <-block })
	t.Cleanup(func() { close(block) })
	c := client(t, transport.Options{AllowHTTP: true, HeaderTimeout: short, Stall: -1})
	_, err := c.Get(url)
	stalled(t, err)
	_, err = c.Post(url, "", strings.NewReader("body"))
	stalled(t, err)
}

func TestReceivingStalls(t *testing.T) {
	block := make(chan struct{})
	url := serve(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", "100")
		io.WriteString(w, "first")
		w.(http.Flusher).Flush()
		<-block
	})
	t.Cleanup(func() { close(block) })
	res, err := client(t, transport.Options{AllowHTTP: true, Stall: short}).Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	data, err := io.ReadAll(res.Body)
	stalled(t, err)
	if string(data) != "first" {
		t.Errorf("got %q", data)
	}
}

// endless is a body that never ends.
type endless struct{}

func (endless) Read(p []byte) (int, error) { return len(p), nil }

func TestSendingStalls(t *testing.T) {
	block := make(chan struct{})
	url := serve(t, func(w http.ResponseWriter, r *http.Request) { <-block })
	t.Cleanup(func() { close(block) })
	req, _ := http.NewRequest("PUT", url, endless{})
	_, err := client(t, transport.Options{AllowHTTP: true, Stall: short, HeaderTimeout: -1}).Do(req)
	stalled(t, err)
}

// callerTakes is longer than the watchdog of TestSlowCaller waits for the other side, which is long
// enough for a busy machine.
const (
	callerTakes   = 600 * time.Millisecond
	othersMayTake = 400 * time.Millisecond
)

// slow gives a few bytes after a while, again and again.
type slow struct{ n int }

func (s *slow) Read(p []byte) (int, error) {
	if s.n == 0 {
		return 0, io.EOF
	}
	s.n--
	time.Sleep(callerTakes)
	return copy(p, "slow"), nil
}

// Time that the caller takes, to give bytes or to take them, is no stall.
func TestSlowCaller(t *testing.T) {
	large := bytes.Repeat([]byte("x"), 8<<20)
	url := serve(t, func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		w.Write(large)
	})
	req, _ := http.NewRequest("PUT", url, &slow{n: 1})
	res, err := client(t, transport.Options{AllowHTTP: true, Stall: othersMayTake}).Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	time.Sleep(callerTakes)
	n, err := io.Copy(io.Discard, res.Body)
	if err != nil || n != int64(len(large)) {
		t.Errorf("read %d bytes: %v", n, err)
	}
}

func TestCallersContextWins(t *testing.T) {
	block := make(chan struct{})
	url := serve(t, func(w http.ResponseWriter, r *http.Request) { <-block })
	t.Cleanup(func() { close(block) })
	ctx, cancel := context.WithCancel(t.Context())
	req, _ := http.NewRequestWithContext(ctx, "GET", url, nil)
	time.AfterFunc(short, cancel)
	_, err := client(t, transport.Options{AllowHTTP: true}).Do(req)
	if !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want that of the context", err)
	}
}

func TestCAFile(t *testing.T) {
	s := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {}))
	defer s.Close()
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	if _, err := client(t, transport.Options{}).Get(s.URL); err == nil {
		t.Error("an unknown authority is trusted")
	}
	file := filepath.Join(t.TempDir(), "ca.pem")
	cert := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw})
	if err := os.WriteFile(file, cert, 0o600); err != nil {
		t.Fatal(err)
	}
	res, err := client(t, transport.Options{CAFile: file}).Get(s.URL)
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()

	_, err = transport.New(transport.Options{CAFile: file + ".missing"})
	if !errors.Is(err, remote.NotExist) {
		t.Errorf("missing file: %v", err)
	}
	os.WriteFile(file, []byte("no certificate"), 0o600)
	if _, err = transport.New(transport.Options{CAFile: file}); !errors.Is(err, remote.Invalid) {
		t.Errorf("a file without certificates: %v", err)
	}
}

func TestRedactURL(t *testing.T) {
	for in, want := range map[string]string{
		"https://u:p@host/a%20b/c":                  "https://host/a%20b/c",
		"https://host/x?uploads=&b=secret&prefix=p": "https://host/x?b=***&prefix=p&uploads=",
	} {
		u, err := url.Parse(in)
		if err != nil {
			t.Fatal(err)
		}
		if got := transport.RedactURL(u); got != want {
			t.Errorf("%s: got %s, want %s", in, got, want)
		}
	}
}
