package wiretap

import (
	"context"
	"time"
)

// A Fault is something that goes wrong on the way. The zero value does nothing to every request.
type Fault struct {
	Match func(*Request) bool // which requests; nil: all. It must not block
	Times int                 // how many of them; 0: all until it is taken away

	Latency    time.Duration   // before the request is forwarded
	Status     int             // is answered with an empty body; the server never hears of the request
	BlackHole  bool            // the request is swallowed, and no answer comes until the client leaves
	CutRequest int64           // the connection is reset after so many bytes of the request's body
	CutAnswer  int64           // the same of the answer's body
	Hold       <-chan struct{} // the server's answer is held back until this is closed
}

// armed is a fault that waits for its requests.
type armed struct {
	Fault
	left int // how often it still strikes; meaningful with Times
}

// Fault has f happen from now on, until remove is called. Of several that match a request the one added first happens.
func (t *Tap) Fault(f Fault) (remove func()) {
	a := &armed{Fault: f, left: f.Times}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.mu.faults = append(t.mu.faults, a)
	return func() {
		t.mu.Lock()
		defer t.mu.Unlock()
		for i, b := range t.mu.faults {
			if a == b {
				t.mu.faults = append(t.mu.faults[:i:i], t.mu.faults[i+1:]...)
				return
			}
		}
	}
}

// strike gives the fault that happens to a request, the zero value for none.
func (t *Tap) strike(x *exchange) Fault {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, a := range t.mu.faults {
		if a.Times > 0 && a.left == 0 || a.Match != nil && !a.Match(&x.Request) {
			continue
		}
		a.left--
		return a.Fault
	}
	return Fault{}
}

func (f Fault) delay(ctx context.Context) error {
	if f.Latency == 0 {
		return nil
	}
	timer := time.NewTimer(f.Latency)
	defer timer.Stop()
	return wait(ctx, timer.C)
}

func (f Fault) hold(ctx context.Context) error {
	if f.Hold == nil {
		return nil
	}
	return wait(ctx, f.Hold)
}
