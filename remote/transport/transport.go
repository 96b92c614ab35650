// Package transport is the chain of http.RoundTrippers that every store with an HTTP API sends its
// requests through. From the outside in: plain HTTP is refused unless allowed, the user agent is
// set, requests and bytes are counted, requests are traced without their secrets, and a watchdog
// ends what makes no progress.
//
// It never retries, never changes a body, and knows nothing of any service.
package transport

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"net/http"
	"os"
	"time"

	"github.com/sirupsen/logrus"

	"mediafs/remote"
)

const (
	// defaultStall is twice what TCP needs to notice a lost path and try again several times.
	defaultStall = time.Minute

	// defaultHeader is longer, because a server that copies a part of 5 GiB says nothing until it
	// is done.
	defaultHeader = 2 * time.Minute

	// dialTimeout and tlsTimeout bound the phases before the watchdog has anything to see.
	dialTimeout = 15 * time.Second
	tlsTimeout  = 15 * time.Second

	// idleConnections is how many connections to one host are kept for the next request: as many as
	// transfers run at a time at most.
	idleConnections = 64
)

// Options of a chain; the zero value speaks HTTPS only and counts and traces nothing.
type Options struct {
	UserAgent string // replaces what the caller set; empty: mediafs
	AllowHTTP bool   // requests may go out without encryption
	CAFile    string // PEM certificates that are trusted beside those of the system

	// Stall is how long a transfer may make no progress, in either direction, before it is
	// cancelled; 0: a minute, negative: for ever. Time in which the caller does not read, or does
	// not give bytes to send, does not count.
	Stall time.Duration

	// HeaderTimeout is how long the answer may take to begin after the request was sent; 0: two
	// minutes, negative: for ever.
	HeaderTimeout time.Duration

	Counter  *Counter                   // counts requests; nil: nobody does
	Classify func(*http.Request) string // puts requests into classes for Counter; nil: all are in ""
	Log      *logrus.Entry              // gets a line a request at trace level; nil: none
	Base     http.RoundTripper          // sends the requests; nil: an http.Transport of its own. CAFile is not for it
}

// New makes a chain. Errors: NotExist, Permission or Invalid for the CA file. The chain has a
// method CloseIdleConnections, as http.Client expects.
func New(opt Options) (http.RoundTripper, error) {
	base := opt.Base
	if base == nil {
		t, err := newBase(opt.CAFile)
		if err != nil {
			return nil, err
		}
		base = t
	}
	if opt.UserAgent == "" {
		opt.UserAgent = "mediafs"
	}
	next := http.RoundTripper(&watchdog{
		next:   base,
		stall:  orDefault(opt.Stall, defaultStall),
		header: orDefault(opt.HeaderTimeout, defaultHeader),
	})
	if opt.Log != nil {
		next = &tracer{next: next, log: opt.Log}
	}
	if opt.Counter != nil {
		next = &counting{next: next, counter: opt.Counter, classify: opt.Classify}
	}
	return &front{next: next, base: base, agent: opt.UserAgent, allowHTTP: opt.AllowHTTP}, nil
}

// orDefault gives the time of an option: 0 means the default and a negative one no limit, which is
// 0 from here on.
func orDefault(d, def time.Duration) time.Duration {
	switch {
	case d == 0:
		return def
	case d < 0:
		return 0
	}
	return d
}

func newBase(caFile string) (*http.Transport, error) {
	conf := &tls.Config{MinVersion: tls.VersionTLS12}
	if caFile != "" {
		pool, err := loadCA(caFile)
		if err != nil {
			return nil, err
		}
		conf.RootCAs = pool
	}
	return &http.Transport{
		Proxy:               http.ProxyFromEnvironment,
		DialContext:         (&net.Dialer{Timeout: dialTimeout, KeepAlive: 30 * time.Second}).DialContext,
		TLSClientConfig:     conf, // one of our own keeps it at HTTP/1.1: parallel transfers get a connection each
		TLSHandshakeTimeout: tlsTimeout,
		MaxIdleConns:        2 * idleConnections,
		MaxIdleConnsPerHost: idleConnections,
		IdleConnTimeout:     time.Minute,
		DisableCompression:  true, // bytes arrive as they are stored
	}, nil
}

func loadCA(file string) (*x509.CertPool, error) {
	const op = "read CA file"
	pem, err := os.ReadFile(file)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return nil, remote.E(op, file, remote.NotExist, nil)
	case errors.Is(err, os.ErrPermission):
		return nil, remote.E(op, file, remote.Permission, nil)
	case err != nil:
		return nil, remote.E(op, file, remote.Invalid, err)
	}
	pool, err := x509.SystemCertPool()
	if err != nil {
		pool = x509.NewCertPool() // a system without certificates still has those of the file
	}
	if !pool.AppendCertsFromPEM(pem) {
		return nil, remote.E(op, file, remote.Invalid, errors.New("there is no PEM certificate in it"))
	}
	return pool, nil
}

// front is the outermost link.
type front struct {
	next, base http.RoundTripper
	agent      string
	allowHTTP  bool
}

func (f *front) RoundTrip(req *http.Request) (*http.Response, error) {
	if req.URL.Scheme != "https" && !f.allowHTTP {
		closeBody(req)
		return nil, remote.E("send request", req.URL.Scheme+"://"+req.URL.Host, remote.Invalid, errors.New("the connection would not be encrypted")).
			WithHint("use https, or allow plain HTTP to this host")
	}
	req = req.Clone(req.Context())
	req.Header.Set("User-Agent", f.agent)
	return f.next.RoundTrip(req)
}

// closeBody keeps the promise that a RoundTripper closes the body of a request that it does not
// send.
func closeBody(req *http.Request) {
	if req.Body != nil {
		req.Body.Close()
	}
}

// CloseIdleConnections closes the connections that no request is using.
func (f *front) CloseIdleConnections() {
	if c, ok := f.base.(interface{ CloseIdleConnections() }); ok {
		c.CloseIdleConnections()
	}
}
