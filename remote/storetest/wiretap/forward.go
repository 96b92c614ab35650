package wiretap

import (
	"bytes"
	"context"
	"io"
	"net"
	"net/http"
	"sync/atomic"
	"time"
)

// ServeHTTP passes one request on and its answer back.
func (t *Tap) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	x, ok := t.begin(r)
	if !ok {
		panic(http.ErrAbortHandler)
	}
	defer t.wg.Done()
	err := t.exchange(w, r, x)
	t.left(x)
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
		f.answer(w)
		return nil
	}
	forward := t.forward
	if f.Late > 0 {
		forward = t.forwardLate
	}
	answer, err := forward(r, x, f)
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
	return pass(r.Context(), w, answer.Body, x, f)
}

// left notes that one of those who pass bytes of an exchange has come to its end.
func (t *Tap) left(x *exchange) {
	t.mu.Lock()
	defer t.mu.Unlock()
	x.passing--
	x.Ended = x.passing == 0
}

func (t *Tap) forward(r *http.Request, x *exchange, f blow) (*http.Response, error) {
	return t.wire.RoundTrip(t.outgoing(r.Context(), r, x, f))
}

// forwardLate keeps the request for a while and then forwards it, as a network does whose packets
// were on their way when the client gave up.
func (t *Tap) forwardLate(r *http.Request, x *exchange, f blow) (*http.Response, error) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	out := t.outgoing(t.ctx, r, x, f)
	type result struct {
		answer *http.Response
		err    error
	}
	results := make(chan result)
	t.mu.Lock()
	x.passing++
	t.mu.Unlock()
	t.wg.Go(func() {
		defer t.left(x)
		timer := time.NewTimer(f.Late)
		defer timer.Stop()
		if wait(t.ctx, timer.C) != nil {
			return
		}
		answer, err := t.wire.RoundTrip(out)
		select {
		case results <- result{answer, err}:
			return
		case <-r.Context().Done():
		}
		if err != nil {
			return
		}
		answer.Body.Close()
		t.mu.Lock()
		x.Status = answer.StatusCode
		t.mu.Unlock()
	})
	select {
	case res := <-results:
		return res.answer, res.err
	case <-r.Context().Done():
		return nil, r.Context().Err()
	}
}

// outgoing is the request as the server gets it: the client's, and its host name with it.
func (t *Tap) outgoing(ctx context.Context, r *http.Request, x *exchange, f blow) *http.Request {
	out := r.Clone(ctx)
	out.RequestURI = ""
	out.URL.Scheme, out.URL.Host = t.target.Scheme, t.target.Host
	out.Header.Del("Connection")
	if len(out.Header.Values("User-Agent")) == 0 {
		out.Header["User-Agent"] = nil // or Go would add its own
	}
	if r.ContentLength == 0 {
		out.Body = http.NoBody
	} else {
		out.Body = &counted{ReadCloser: r.Body, ctx: ctx, n: &x.sent, f: f}
	}
	return out
}

// counted counts what is read of a request's body, slows it down, and breaks it off.
type counted struct {
	io.ReadCloser
	ctx context.Context
	n   *atomic.Int64
	f   blow
}

func (c *counted) Read(p []byte) (int, error) {
	if c.f.CutRequest > 0 {
		left := c.f.CutRequest - c.n.Load()
		if left <= 0 {
			return 0, errDropped
		}
		p = p[:min(int64(len(p)), left)]
	}
	n, err := c.ReadCloser.Read(c.f.piece(p))
	c.n.Add(int64(n))
	if perr := c.f.pace(c.ctx, n); err == nil {
		err = perr
	}
	return n, err
}

// pass copies the answer's body to the client.
func pass(ctx context.Context, w http.ResponseWriter, body io.Reader, x *exchange, f blow) error {
	flush := http.NewResponseController(w).Flush
	buf := make([]byte, 64<<10)
	for {
		p := f.piece(buf)
		if f.CutAnswer > 0 {
			left := f.CutAnswer - x.received.Load()
			if left <= 0 {
				flush() //nolint:errcheck // the connection is cut next
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
			if f.slow() {
				flush() //nolint:errcheck // a client that left is noticed at the next write
				if err := f.pace(ctx, n); err != nil {
					return err
				}
			}
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
