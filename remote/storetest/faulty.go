// Package storetest makes stores fail on purpose: Faulty wraps object storage so that a test
// decides which request fails, before or after its effect, which answer comes late, which bytes are
// cut or altered, and can count what was asked. It is for tests only and decides nothing by chance
// that a test has not seeded.
package storetest

import (
	"bytes"
	"context"
	"errors"
	"io"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"time"

	"mediafs/remote"
	"mediafs/remote/object"
)

// An Op names one method of object.Bucket or object.Mover.
type Op string

// The operations.
const (
	Put      Op = "Put"
	PutFile  Op = "PutFile"
	Get      Op = "Get"
	Head     Op = "Head"
	List     Op = "List"
	Delete   Op = "Delete"
	Create   Op = "CreateMultipart"
	PutPart  Op = "PutPart"
	CopyPart Op = "CopyPart"
	Parts    Op = "ListParts"
	Complete Op = "CompleteMultipart"
	Abort    Op = "AbortMultipart"
	Uploads  Op = "ListMultiparts"
)

// A Call is one request as the wrapper saw it.
type Call struct {
	N    int    // counted over all requests, from 1
	Op   Op     //
	Key  string // the key; for List and Uploads the prefix; for Delete the first key
	Keys int    // for Delete the number of keys, otherwise 0
}

// An Action is what a Fault does to a request.
type Action int

const (
	// FailBefore answers with the error and leaves the store alone.
	FailBefore Action = iota
	// FailAfter does what was asked and then answers with the error: the answer was lost.
	FailAfter
	// Hold keeps the request back until Release is closed or Wait is over and does it then, even
	// when the caller has gone away meanwhile. With Err set the caller is answered with it at once,
	// and the request still happens later.
	Hold
	// Cut lets the reader of a Get give At bytes and then fail with the error.
	Cut
	// Alter flips every bit of byte At of what a Get reads, and says nothing.
	Alter
)

// A Fault says which requests go wrong, and how. The zero value fails the next request, whatever it
// is.
type Fault struct {
	Op     Op     // only this operation; empty: any. Cut and Alter are for Get, whatever it says
	Prefix string // only keys that begin with it
	// the first request to hit, counted from 1 among those that match since the fault was added; 0
	// is 1
	Nth     int
	Times   int             // how many in a row; 0 is 1, negative is all from the Nth on
	Action  Action          //
	Err     error           // what the caller gets; nil: an error of kind Unavailable
	At      int64           // position in what is read, for Cut and Alter
	Release <-chan struct{} // for Hold
	Wait    time.Duration   // for Hold
}

// Faulty is an object.Bucket that does what another does, except where it was told otherwise. It is
// safe for concurrent use. It is an object.Mover too; over a bucket that is none, PutFile is
// Unsupported and not counted.
type Faulty struct {
	bucket object.Bucket
	ctx    context.Context // ends at Close: drops what is held
	cancel context.CancelFunc
	held   sync.WaitGroup

	mu struct {
		sync.Mutex
		calls   []Call
		counts  map[Op]map[string]int
		faults  []*fault
		hook    func(Call) error
		class   func(key string) string
		holes   func(object.Info) bool
		down    bool
		latency time.Duration
		closed  bool
	}
}

var (
	_ object.Bucket = (*Faulty)(nil)
	_ object.Mover  = (*Faulty)(nil)
)

type fault struct {
	Fault
	seen int // matching requests so far
}

// ErrInjected is the cause inside every error that the wrapper makes up itself.
var ErrInjected = errors.New("injected by the test")

// New wraps b. Until it is told otherwise it only counts.
func New(b object.Bucket) *Faulty {
	f := &Faulty{bucket: b}
	f.ctx, f.cancel = context.WithCancel(context.Background())
	f.mu.counts = map[Op]map[string]int{}
	f.mu.class = firstSegment
	return f
}

func firstSegment(key string) string {
	s, _, _ := strings.Cut(key, "/")
	return s
}

// Fail adds a fault; several may be in force, and the first that matches a request decides. remove
// takes it away again.
func (f *Faulty) Fail(ft Fault) (remove func()) {
	ft.Nth = max(ft.Nth, 1)
	if ft.Times == 0 {
		ft.Times = 1
	}
	if ft.Action == Cut || ft.Action == Alter {
		ft.Op = Get
	}
	e := &fault{Fault: ft}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.mu.faults = append(f.mu.faults, e)
	return func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		for i, x := range f.mu.faults {
			if x == e {
				f.mu.faults = append(f.mu.faults[:i:i], f.mu.faults[i+1:]...)
				return
			}
		}
	}
}

// Hook sets a function that sees every request before it is done and fails it by returning an
// error, or holds it up by not returning. It is called without a lock, concurrently. nil removes
// it.
func (f *Faulty) Hook(h func(Call) error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.mu.hook = h
}

// SetHoles sets which objects the listings leave out, as stores do with those that come while the
// listing is made; nil: none. The last object of a page that is not the last one stays: the listing
// goes on after it.
func (f *Faulty) SetHoles(holes func(object.Info) bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.mu.holes = holes
}

// RecentAtRandom is for SetHoles: every listing leaves out about half of the objects below the
// prefixes that are younger than age.
func RecentAtRandom(seed uint64, age time.Duration, prefixes ...string) func(object.Info) bool {
	var mu sync.Mutex
	chance := rand.New(rand.NewPCG(seed, 0))
	return func(i object.Info) bool {
		mu.Lock()
		defer mu.Unlock()
		below := slices.ContainsFunc(prefixes, func(p string) bool { return strings.HasPrefix(i.Key, p) })
		return below && time.Since(i.Modified) < age && chance.IntN(2) == 0
	}
}

// SetDown makes the store unreachable, or reachable again: while it is down every request, and
// every read of a body that was opened before, fails with Unavailable and has no effect. Requests
// that are held still happen.
func (f *Faulty) SetDown(down bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.mu.down = down
}

// SetLatency delays every request before it is done, or until its context ends.
func (f *Faulty) SetLatency(d time.Duration) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.mu.latency = d
}

// SetClass sets how keys are put into classes for counting; it begins with the first segment of the
// key.
func (f *Faulty) SetClass(class func(key string) string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.mu.class = class
}

// Calls returns every request since the start or the last Reset, in the order of arrival.
func (f *Faulty) Calls() []Call {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]Call(nil), f.mu.calls...)
}

// Count is how many requests of op there were on keys of class; an empty op or class counts all.
// Those that failed count.
func (f *Faulty) Count(op Op, class string) (n int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for o, classes := range f.mu.counts {
		for c, k := range classes {
			if (op == "" || op == o) && (class == "" || class == c) {
				n += k
			}
		}
	}
	return n
}

// Counts returns all counts, by operation and class.
func (f *Faulty) Counts() map[Op]map[string]int {
	f.mu.Lock()
	defer f.mu.Unlock()
	out := maps.Clone(f.mu.counts)
	for op := range out {
		out[op] = maps.Clone(out[op])
	}
	return out
}

// Reset forgets the counts and calls. Faults, hook, latency and state stay.
func (f *Faulty) Reset() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.mu.calls = nil
	f.mu.counts = map[Op]map[string]int{}
}

// Settle waits until every request that was held has happened.
func (f *Faulty) Settle() { f.held.Wait() }

// Unwrap returns the bucket behind, to look at or to change without faults.
func (f *Faulty) Unwrap() object.Bucket { return f.bucket }

// Facts are those of the bucket behind.
func (f *Faulty) Facts() object.Facts { return f.bucket.Facts() }

// Close drops what is still held, without its effect. It leaves the bucket behind open.
func (f *Faulty) Close() error {
	f.mu.Lock()
	f.mu.closed = true
	f.mu.Unlock()
	f.cancel()
	f.held.Wait()
	return nil
}

func unavailable(c Call) error {
	return remote.E(string(c.Op), c.Key, remote.Unavailable, ErrInjected)
}

// enter counts a request and finds what shall happen to it: err fails it right away, ft (maybe nil)
// is the fault that hits.
func (f *Faulty) enter(ctx context.Context, c Call) (ft *Fault, err error) {
	f.mu.Lock()
	f.mu.calls = append(f.mu.calls, c)
	c.N = len(f.mu.calls)
	f.mu.calls[c.N-1].N = c.N
	class := f.mu.class(c.Key)
	if f.mu.counts[c.Op] == nil {
		f.mu.counts[c.Op] = map[string]int{}
	}
	f.mu.counts[c.Op][class]++
	for _, x := range f.mu.faults {
		if (x.Op != "" && x.Op != c.Op) || !strings.HasPrefix(c.Key, x.Prefix) {
			continue
		}
		x.seen++
		if ft == nil && x.seen >= x.Nth && (x.Times < 0 || x.seen < x.Nth+x.Times) {
			hit := x.Fault
			ft = &hit
		}
	}
	down, closed, latency, hook := f.mu.down, f.mu.closed, f.mu.latency, f.mu.hook
	f.mu.Unlock()

	if hook != nil {
		if err := hook(c); err != nil {
			return nil, err
		}
	}
	if latency > 0 {
		wait(ctx, nil, latency)
	}
	if err := object.CheckContext(ctx, string(c.Op), c.Key); err != nil {
		return nil, err
	}
	if down || closed {
		return nil, unavailable(c)
	}
	return ft, nil
}

// wait returns when release is closed, d is over or ctx ends; a nil release with d = 0 does not
// wait.
func wait(ctx context.Context, release <-chan struct{}, d time.Duration) {
	if release == nil && d == 0 {
		return
	}
	var after <-chan time.Time
	if d > 0 {
		t := time.NewTimer(d)
		defer t.Stop()
		after = t.C
	}
	select {
	case <-release:
	case <-after:
	case <-ctx.Done():
	}
}

// do carries one request through the faults. buffer, if there is one, makes request independent of
// the caller's memory before it is held.
func do[T any](
	f *Faulty, ctx context.Context, c Call, buffer func() error, request func(context.Context) (T, error),
) (T, error) {
	ft, err := f.enter(ctx, c)
	if err != nil {
		var zero T
		return zero, err
	}
	return carry(f, ctx, c, ft, buffer, request)
}

// carry does a request as the fault says that hits it; ft is nil when none does.
func carry[T any](
	f *Faulty, ctx context.Context, c Call, ft *Fault, buffer func() error, request func(context.Context) (T, error),
) (T, error) {
	var zero T
	if ft == nil || ft.Action == Cut || ft.Action == Alter {
		return request(ctx)
	}
	fail := ft.Err
	if fail == nil {
		fail = unavailable(c)
	}
	switch ft.Action {
	case FailAfter:
		v, err := request(ctx)
		if err != nil {
			return zero, err
		}
		drop(v)
		return zero, fail
	case Hold:
		if buffer != nil {
			if err := buffer(); err != nil {
				return zero, err
			}
		}
		return hold(f, ctx, c, ft, request)
	default:
		return zero, fail
	}
}

// hold does a request later, in a goroutine that Settle and Close wait for.
func hold[T any](
	f *Faulty, ctx context.Context, c Call, ft *Fault, request func(context.Context) (T, error),
) (T, error) {
	type answer struct {
		value T
		err   error
	}
	var zero T
	done := make(chan answer)
	f.held.Add(1)
	go func() {
		defer f.held.Done()
		wait(f.ctx, ft.Release, ft.Wait)
		var a answer
		if a.err = f.ctx.Err(); a.err == nil {
			a.value, a.err = request(f.ctx)
		}
		if ft.Err != nil {
			drop(a.value)
			return
		}
		select {
		case done <- a:
		case <-ctx.Done():
			drop(a.value)
		}
	}()
	if ft.Err != nil {
		return zero, ft.Err
	}
	select {
	case a := <-done:
		return a.value, a.err
	case <-ctx.Done():
		return zero, object.CheckContext(ctx, string(c.Op), c.Key)
	}
}

// drop frees an answer that nobody gets.
func drop(answer any) {
	if o, ok := answer.(opened); ok && o.r != nil {
		o.r.Close()
	}
}

// keep returns a function that replaces *body by a copy of its bytes.
func keep(body *io.ReadSeeker, size int64) func() error {
	return func() error {
		var buf bytes.Buffer
		if err := object.Copy(context.Background(), "hold the body", "", &buf, *body, size); err != nil {
			return err
		}
		*body = bytes.NewReader(buf.Bytes())
		return nil
	}
}
