// Package wiretap is a proxy for tests: it stands on 127.0.0.1 between a program and an S3 server,
// writes down every request with the bytes that really passed, stops the world at a named request,
// and breaks connections on purpose.
//
// What is counted here is what a network would have carried, whatever the program believes. It
// forwards each request as it came, with the host name that the client has signed; it never
// retries, and never answers on its own unless a Fault says so. It is never used outside of tests.
package wiretap

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// Options of a Tap. Target is needed.
type Options struct {
	Target string // the server: http://127.0.0.1:port
	Prefix string // bucket and prefix, such as bucket/family/photos: it is taken off the keys

	// Before is called when the head of a request is here and nothing of it was forwarded; After
	// when the server has answered it and the client has nothing of that yet. They run on the
	// request's own goroutine, may block, and may Drop the request.
	Before, After func(*Request)
}

// A Request is what passed of one request. Those that a Tap returns are copies.
type Request struct {
	Number      int // from 0, in the order of arrival
	Method      string
	Key         string     // without bucket and prefix; empty for a request of the bucket, such as a listing
	Query       url.Values // its parameters; prefix and start-after without the prefix
	Range       string
	IfMatch     string
	IfNoneMatch string
	Status      int   // the server's answer; 0: none came
	Sent        int64 // bytes of the request's body that went to the server
	Received    int64 // bytes of the answer's body that went to the client
	Ended       bool  // nothing more will pass

	dropped bool
}

// Drop cuts the connection, without an answer. In Before, the server never hears of the request.
func (r *Request) Drop() { r.dropped = true }

// Kind names what is asked by the parameters that choose it: "" for the plain methods, "uploads"
// (begin or list multipart uploads), "partNumber" (put a part), "uploadId" (complete, abort or list
// parts), "list" (of objects), "delete" (of many).
func (r *Request) Kind() string {
	for _, k := range []string{"partNumber", "uploadId", "uploads", "delete"} {
		if r.Query.Has(k) {
			return k
		}
	}
	if r.Key == "" && r.Method == http.MethodGet && (r.Query.Has("list-type") || r.Query.Has("prefix")) {
		return "list"
	}
	return ""
}

// A Tap is a running proxy. All methods may be called concurrently.
type Tap struct {
	opt    Options
	target *url.URL
	server *http.Server
	wire   *http.Transport
	addr   string

	ctx    context.Context // ends at Close
	cancel context.CancelFunc
	wg     sync.WaitGroup // the accepting goroutine and the requests

	mu struct {
		sync.Mutex
		exchanges []*exchange
		faults    []*armed
		before    func(*Request)
		after     func(*Request)
		closed    bool
	}
}

// exchange is a request under way. Its counters move while it lasts.
type exchange struct {
	sent, received atomic.Int64
	Request            // guarded by Tap.mu, but for its constant part
	passing        int // goroutines that may still pass bytes of it; guarded by Tap.mu
}

type connKey struct{}

// Open starts a proxy on a free port.
func Open(opt Options) (*Tap, error) {
	target, err := url.Parse(opt.Target)
	if err != nil || target.Scheme != "http" || target.Host == "" {
		return nil, fmt.Errorf("tap %q: not the URL of a plain http server (%v)", opt.Target, err)
	}
	opt.Prefix = strings.Trim(opt.Prefix, "/")
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	t := &Tap{opt: opt, target: target, addr: l.Addr().String()}
	t.mu.before, t.mu.after = opt.Before, opt.After
	t.ctx, t.cancel = context.WithCancel(context.Background())
	t.wire = &http.Transport{DisableCompression: true, MaxIdleConnsPerHost: 64, IdleConnTimeout: time.Minute}
	t.server = &http.Server{
		Handler:     t,
		BaseContext: func(net.Listener) context.Context { return t.ctx },
		ConnContext: func(ctx context.Context, c net.Conn) context.Context { return context.WithValue(ctx, connKey{}, c) },
	}
	t.wg.Go(func() { t.server.Serve(l) }) //nolint:errcheck // it ends with ErrServerClosed
	return t, nil
}

// Close cuts all connections and returns when no hook runs any more.
func (t *Tap) Close() error {
	t.mu.Lock()
	t.mu.closed = true
	t.mu.Unlock()
	t.cancel()
	err := t.server.Close()
	t.wg.Wait()
	t.wire.CloseIdleConnections()
	return err
}

// Endpoint is the URL that clients use in place of the server's.
func (t *Tap) Endpoint() string { return "http://" + t.addr }

// Before replaces the hook of Options; nil takes it away.
func (t *Tap) Before(hook func(*Request)) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.mu.before = hook
}

// After replaces the hook of Options; nil takes it away.
func (t *Tap) After(hook func(*Request)) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.mu.after = hook
}

// Count is how many requests have arrived: the number of the next one.
func (t *Tap) Count() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.mu.exchanges)
}

// Since lists the requests from a number on, as far as they have got.
func (t *Tap) Since(number int) []Request {
	t.mu.Lock()
	defer t.mu.Unlock()
	var list []Request
	for _, x := range t.mu.exchanges[min(number, len(t.mu.exchanges)):] {
		r := x.Request
		r.Sent, r.Received = x.sent.Load(), x.received.Load()
		list = append(list, r)
	}
	return list
}

// Quiet tells whether every request has ended.
func (t *Tap) Quiet() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return !slices.ContainsFunc(t.mu.exchanges, func(x *exchange) bool { return !x.Ended })
}

// begin writes a request down. false: the tap is being closed.
func (t *Tap) begin(r *http.Request) (*exchange, bool) {
	x := &exchange{Request: Request{
		Method: r.Method, Query: r.URL.Query(),
		Range: r.Header.Get("Range"), IfMatch: r.Header.Get("If-Match"), IfNoneMatch: r.Header.Get("If-None-Match"),
	}}
	x.Key = t.key(strings.TrimPrefix(r.URL.Path, "/"))
	bucket, prefix, _ := strings.Cut(t.opt.Prefix, "/")
	if x.Key == bucket {
		x.Key = ""
	}
	for _, name := range []string{"prefix", "start-after"} {
		if v := x.Query.Get(name); v != "" {
			x.Query.Set(name, strings.TrimPrefix(strings.TrimPrefix(v, prefix), "/"))
		}
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.mu.closed {
		return nil, false
	}
	t.wg.Add(1)
	x.Number, x.passing = len(t.mu.exchanges), 1
	t.mu.exchanges = append(t.mu.exchanges, x)
	return x, true
}

// key takes bucket and prefix off a path.
func (t *Tap) key(path string) string {
	path = strings.TrimSuffix(path, "/")
	if rest, ok := strings.CutPrefix(path, t.opt.Prefix); ok && t.opt.Prefix != "" && (rest == "" || rest[0] == '/') {
		return strings.TrimPrefix(rest, "/")
	}
	return path
}

// hook calls one of the hooks with a copy, and tells whether the request is to be dropped.
func (t *Tap) hook(x *exchange, which *func(*Request)) (dropped bool) {
	t.mu.Lock()
	call, r := *which, x.Request
	t.mu.Unlock()
	if call == nil {
		return false
	}
	r.Sent, r.Received = x.sent.Load(), x.received.Load()
	call(&r)
	return r.dropped
}

// errDropped is why a request got no answer.
var errDropped = errors.New("dropped")
