package transport

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"
	"time"

	"mediafs/remote"
)

// A watchdog ends requests that make no progress. Each request has one timer, which runs only while
// it is the other side's turn:
//
//	sending ──body sent──▶ waiting ──headers──▶ (stopped) ⇄ reading
//
// It is stopped while the transport waits for our bytes, and between two reads of the answer.
type watchdog struct {
	next          http.RoundTripper
	stall, header time.Duration // 0: no limit
}

func (w *watchdog) RoundTrip(req *http.Request) (*http.Response, error) {
	ctx, cancel := context.WithCancelCause(req.Context())
	d := &dog{cancel: cancel, what: req.Method + " " + req.URL.Host + req.URL.Path}
	req = req.WithContext(ctx)
	if req.Body == nil || req.Body == http.NoBody {
		d.start("the answer did not begin", w.header)
	} else {
		req.Body = &sentBody{ReadCloser: req.Body, dog: d, w: w, left: req.ContentLength}
		d.start("nothing could be sent", w.stall)
	}
	res, err := w.next.RoundTrip(req)
	d.answered()
	if err != nil {
		err = d.explain(ctx, err)
		cancel(nil)
		return nil, err
	}
	res.Body = &receivedBody{ReadCloser: res.Body, dog: d, stall: w.stall, ctx: ctx}
	return res, nil
}

// dog is the timer of one request.
type dog struct {
	cancel context.CancelCauseFunc
	what   string // method, host and path

	mu struct {
		sync.Mutex
		timer *time.Timer
		begun bool // the answer has begun: what is still being sent no longer counts
		turn  int  // counts starts and stops, so that a timer that fires late is told from the present one
	}
}

// start gives the other side the time from now on; 0 is no limit.
func (d *dog) start(why string, limit time.Duration) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.startLocked(why, limit)
}

func (d *dog) startLocked(why string, limit time.Duration) {
	d.halt()
	if limit == 0 {
		return
	}
	turn := d.mu.turn
	d.mu.timer = time.AfterFunc(limit, func() {
		d.mu.Lock()
		late := d.mu.turn != turn
		d.mu.Unlock()
		if !late {
			d.cancel(remote.E("transfer", d.what, remote.Unavailable, fmt.Errorf("%s for %v", why, limit)))
		}
	})
}

// answered ends the turns of sending and waiting for good.
func (d *dog) answered() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.mu.begun = true
	d.halt()
}

// sending is start while the answer has not begun.
func (d *dog) sending(why string, limit time.Duration) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if !d.mu.begun {
		d.startLocked(why, limit)
	}
}

// stop ends the other side's turn.
func (d *dog) stop() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.halt()
}

func (d *dog) halt() {
	d.mu.turn++
	if d.mu.timer != nil {
		d.mu.timer.Stop()
		d.mu.timer = nil
	}
}

// explain gives the watchdog's reason where err is only that of the cancelled context.
func (d *dog) explain(ctx context.Context, err error) error {
	var e *remote.Error
	if ctx.Err() != nil && errors.As(context.Cause(ctx), &e) && e.Path == d.what {
		return e
	}
	return err
}

// sentBody is the body of a request as the transport reads it.
type sentBody struct {
	io.ReadCloser
	dog  *dog
	w    *watchdog
	left int64 // bytes to be sent; negative when not known
}

func (b *sentBody) Read(p []byte) (int, error) {
	b.dog.sending("", 0) // our turn
	n, err := b.ReadCloser.Read(p)
	b.left -= int64(n)
	if err != nil || b.left == 0 {
		b.dog.sending("the answer did not begin", b.w.header)
	} else {
		b.dog.sending("nothing could be sent", b.w.stall)
	}
	return n, err
}

// receivedBody is the body of an answer.
type receivedBody struct {
	io.ReadCloser
	dog   *dog
	stall time.Duration
	ctx   context.Context
}

func (b *receivedBody) Read(p []byte) (int, error) {
	b.dog.start("nothing was received", b.stall)
	n, err := b.ReadCloser.Read(p)
	b.dog.stop()
	if err != nil && err != io.EOF {
		err = b.dog.explain(b.ctx, err)
	}
	return n, err
}

func (b *receivedBody) Close() error {
	b.dog.stop()
	b.dog.cancel(nil)
	return b.ReadCloser.Close()
}
