package wiretap

import (
	"context"
	"io"
	"net"
	"net/http"
	"sync/atomic"
)

// ServeHTTP passes one request on and its answer back.
func (t *Tap) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	x, ok := t.begin(r)
	if !ok {
		panic(http.ErrAbortHandler)
	}
	defer t.wg.Done()
	err := t.exchange(w, r, x)
	t.mu.Lock()
	x.Ended = true
	t.mu.Unlock()
	if err != nil {
		if c, ok := r.Context().Value(connKey{}).(*net.TCPConn); ok {
			c.SetLinger(0) //nolint:errcheck // then it is closed in the common way
			c.Close()
		}
		panic(http.ErrAbortHandler)
	}
}

// exchange returns an error when the client's connection is to be cut.
func (t *Tap) exchange(w http.ResponseWriter, r *http.Request, x *exchange) error {
	if t.hook(x, &t.mu.before) {
		return errDropped
	}
	f := t.strike(x)
	if err := f.delay(r.Context()); err != nil {
		return err
	}
	switch {
	case f.BlackHole:
		io.Copy(io.Discard, r.Body) //nolint:errcheck // a client that leaves is noticed only when its body is read
		<-r.Context().Done()
		return errDropped
	case f.Status != 0:
		if _, err := io.Copy(io.Discard, r.Body); err != nil {
			return err
		}
		w.WriteHeader(f.Status)
		return nil
	}
	answer, err := t.wire.RoundTrip(t.outgoing(r, x, f))
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	t.mu.Lock()
	x.Status = answer.StatusCode
	t.mu.Unlock()
	if t.hook(x, &t.mu.after) {
		return errDropped
	}
	if err := f.hold(r.Context()); err != nil {
		return err
	}
	header := w.Header()
	for name, values := range answer.Header {
		header[name] = values
	}
	header.Del("Connection")
	w.WriteHeader(answer.StatusCode)
	return pass(w, answer.Body, x, f)
}

// outgoing is the request as the server gets it: the client's, and its host name with it.
func (t *Tap) outgoing(r *http.Request, x *exchange, f Fault) *http.Request {
	out := r.Clone(r.Context())
	out.RequestURI = ""
	out.URL.Scheme, out.URL.Host = t.target.Scheme, t.target.Host
	out.Header.Del("Connection")
	if len(out.Header.Values("User-Agent")) == 0 {
		out.Header["User-Agent"] = nil // or Go would add its own
	}
	if r.ContentLength == 0 {
		out.Body = http.NoBody
	} else {
		out.Body = &counted{ReadCloser: r.Body, n: &x.sent, most: f.CutRequest}
	}
	return out
}

// counted counts what is read of a body, and breaks it off after most bytes (0: never).
type counted struct {
	io.ReadCloser
	n    *atomic.Int64
	most int64
}

func (c *counted) Read(p []byte) (int, error) {
	if c.most > 0 {
		left := c.most - c.n.Load()
		if left <= 0 {
			return 0, errDropped
		}
		p = p[:min(int64(len(p)), left)]
	}
	n, err := c.ReadCloser.Read(p)
	c.n.Add(int64(n))
	return n, err
}

// pass copies the answer's body to the client.
func pass(w http.ResponseWriter, body io.Reader, x *exchange, f Fault) error {
	buf := make([]byte, 64<<10)
	for {
		p := buf
		if f.CutAnswer > 0 {
			left := f.CutAnswer - x.received.Load()
			if left <= 0 {
				http.NewResponseController(w).Flush() //nolint:errcheck // the connection is cut next
				return errDropped
			}
			p = p[:min(int64(len(p)), left)]
		}
		n, err := body.Read(p)
		if n > 0 {
			if _, werr := w.Write(p[:n]); werr != nil {
				return werr
			}
			x.received.Add(int64(n))
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// wait returns when c is closed, or with an error when the client or the tap is gone.
func wait[T any](ctx context.Context, c <-chan T) error {
	select {
	case <-c:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
