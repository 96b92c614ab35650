package transport

import (
	"io"
	"net/http"
	"sync"
)

// A Count is what went over the wire for one method and class.
type Count struct {
	Requests int64 // sent, whatever became of them
	Failed   int64 // of those: without an answer
	Sent     int64 // bytes of request bodies
	Received int64 // bytes of answers' bodies
}

func (c *Count) add(d Count) {
	c.Requests += d.Requests
	c.Failed += d.Failed
	c.Sent += d.Sent
	c.Received += d.Received
}

// A Counter counts requests by method and class. Its zero value is ready; several chains may share
// one.
type Counter struct {
	mu struct {
		sync.Mutex
		counts map[countKey]Count
	}
}

type countKey struct{ method, class string }

// Get returns what was counted for a method and class; an empty method, and the class "*", stand
// for all.
func (c *Counter) Get(method, class string) (sum Count) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for k, n := range c.mu.counts {
		if (method == "" || k.method == method) && (class == "*" || k.class == class) {
			sum.add(n)
		}
	}
	return sum
}

// Each calls f for every method and class with requests, in no order.
func (c *Counter) Each(f func(method, class string, n Count)) {
	c.mu.Lock()
	all := make(map[countKey]Count, len(c.mu.counts))
	for k, n := range c.mu.counts {
		all[k] = n
	}
	c.mu.Unlock()
	for k, n := range all {
		f(k.method, k.class, n)
	}
}

func (c *Counter) add(k countKey, d Count) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.mu.counts == nil {
		c.mu.counts = map[countKey]Count{}
	}
	n := c.mu.counts[k]
	n.add(d)
	c.mu.counts[k] = n
}

// counting is the link that feeds a Counter.
type counting struct {
	next     http.RoundTripper
	counter  *Counter
	classify func(*http.Request) string
}

func (c *counting) RoundTrip(req *http.Request) (*http.Response, error) {
	k := countKey{method: req.Method}
	if c.classify != nil {
		k.class = c.classify(req)
	}
	c.counter.add(k, Count{Requests: 1})
	if req.Body != nil && req.Body != http.NoBody {
		req = req.WithContext(req.Context())
		req.Body = &countedBody{ReadCloser: req.Body, add: func(n int64) { c.counter.add(k, Count{Sent: n}) }}
	}
	res, err := c.next.RoundTrip(req)
	if err != nil {
		c.counter.add(k, Count{Failed: 1})
		return nil, err
	}
	res.Body = &countedBody{ReadCloser: res.Body, add: func(n int64) { c.counter.add(k, Count{Received: n}) }}
	return res, nil
}

// countedBody tells of every byte that is read through it.
type countedBody struct {
	io.ReadCloser
	add func(int64)
}

func (b *countedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if n > 0 {
		b.add(int64(n))
	}
	return n, err
}
