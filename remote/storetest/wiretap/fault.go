package wiretap

import (
	"context"
	"fmt"
	"net/http"
	"strconv"
	"time"
)

// A Fault is something that goes wrong on the way. The zero value does nothing to every request.
type Fault struct {
	Match func(*Request) bool // which requests; nil: all. It must not block
	Times int                 // how many of them; 0: all until it is taken away

	Latency    time.Duration   // before the request is forwarded
	Late       time.Duration   // the server gets the request so much later, also when the client has left by then
	Rate       int             // bytes a second of either body, until the fault is taken away
	Status     int             // is answered instead of the server, which never hears of the request
	Code       string          // with Status: the error code that S3 would give; empty: an answer without a body
	RetryAfter time.Duration   // with Status: what the answer asks the client to wait, in whole seconds
	BlackHole  bool            // the request is swallowed, and no answer comes until the client leaves
	CutRequest int64           // the connection is reset after so many bytes of the request's body
	CutAnswer  int64           // the same of the answer's body
	Hold       <-chan struct{} // the server's answer is held back until this is closed
}

// armed is a fault that waits for its requests.
type armed struct {
	Fault
	left int           // how often it still strikes; meaningful with Times
	gone chan struct{} // closed when it is taken away
}

// A blow is a fault as it happens to one request. The zero value is none.
type blow struct {
	Fault
	gone <-chan struct{} // closed when the fault is taken away
}

// Fault has f happen from now on, until remove is called. Of several that match a request the one
// added first happens.
func (t *Tap) Fault(f Fault) (remove func()) {
	a := &armed{Fault: f, left: f.Times, gone: make(chan struct{})}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.mu.faults = append(t.mu.faults, a)
	return func() {
		t.mu.Lock()
		defer t.mu.Unlock()
		for i, b := range t.mu.faults {
			if a == b {
				t.mu.faults = append(t.mu.faults[:i:i], t.mu.faults[i+1:]...)
				close(a.gone)
				return
			}
		}
	}
}

// strike gives the fault that happens to a request.
func (t *Tap) strike(x *exchange) blow {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, a := range t.mu.faults {
		if a.Times > 0 && a.left == 0 || a.Match != nil && !a.Match(&x.Request) {
			continue
		}
		a.left--
		return blow{a.Fault, a.gone}
	}
	return blow{}
}

func (f blow) delay(ctx context.Context) error {
	if f.Latency == 0 {
		return nil
	}
	timer := time.NewTimer(f.Latency)
	defer timer.Stop()
	return wait(ctx, timer.C)
}

func (f blow) hold(ctx context.Context) error {
	if f.Hold == nil {
		return nil
	}
	return wait(ctx, f.Hold)
}

// answer gives the answer that comes instead of the server's.
func (f blow) answer(w http.ResponseWriter) {
	if f.RetryAfter > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(int(f.RetryAfter/time.Second)))
	}
	if f.Code == "" {
		w.WriteHeader(f.Status)
		return
	}
	w.Header().Set("Content-Type", "application/xml")
	w.WriteHeader(f.Status)
	fmt.Fprintf(
		w,
		"<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>%s</Code><Message>a fault of the test</Message></Error>",
		f.Code,
	)
}

// drops is how many pieces a second a slow body comes in.
const drops = 20

// slow tells whether Rate still holds.
func (f blow) slow() bool {
	select {
	case <-f.gone:
		return false
	default:
		return f.Rate > 0
	}
}

// piece is as much of p as passes at once.
func (f blow) piece(p []byte) []byte {
	if !f.slow() {
		return p
	}
	return p[:min(len(p), max(1, f.Rate/drops))]
}

// pace waits as long as n bytes take.
func (f blow) pace(ctx context.Context, n int) error {
	if n == 0 || !f.slow() {
		return nil
	}
	timer := time.NewTimer(time.Duration(n) * time.Second / time.Duration(f.Rate))
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-f.gone:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
