package main

import (
	"fmt"
	"io"
	"sync"
	"time"

	"mediafs/fs/daemon"
)

// When a mount tells how far it is: first after openingDelay, then every openingEvery, of which
// without a terminal only what comes after quietEvery is shown. Tests set them.
var (
	openingDelay = 2 * time.Second
	openingEvery = time.Second
	quietEvery   = 10 * time.Second
)

// An opening tells, in the daemon's process, how far the opening of a library is, when it takes
// long.
type opening struct {
	tell  func(text string)
	began time.Time
	timer *time.Timer // nil: not started

	mu    sync.Mutex
	told  time.Time // zero: nothing yet; guarded by mu
	ended bool      // guarded by mu
}

// newOpening makes one. tell is called by one goroutine at a time, and not after end.
func newOpening(tell func(text string)) *opening { return &opening{tell: tell} }

// start begins with a text for a store that does not answer.
func (o *opening) start(text string) {
	o.began = time.Now()
	o.timer = time.AfterFunc(openingDelay, func() { o.say(text) })
}

// progress takes how far it is.
func (o *opening) progress(p daemon.Opening) { o.say(openingText(p)) }

func (o *opening) say(text string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	now := time.Now()
	if o.ended || now.Sub(o.began) < openingDelay || !o.told.IsZero() && now.Sub(o.told) < openingEvery {
		return
	}
	o.told = now
	o.tell(text)
}

func (o *opening) end() {
	if o.timer != nil {
		o.timer.Stop()
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.ended = true
}

func openingText(p daemon.Opening) string {
	switch {
	case p.AllBytes > 0:
		return fmt.Sprintf("reading the catalog: %s of %s", bytesText(p.Bytes), bytesText(p.AllBytes))
	case p.AllCommits > 0:
		return fmt.Sprintf("reading changes: %d of about %d", p.Commits, p.AllCommits)
	}
	return fmt.Sprintf("reading changes: %d", p.Commits)
}

// An openingLine shows what an opening tells: on a terminal in one line that is drawn over, else in
// lines that are few.
type openingLine struct {
	out      io.Writer
	terminal bool
	shown    time.Time
}

func newOpeningLine(out io.Writer) *openingLine {
	return &openingLine{out: out, terminal: isTerminal(out)}
}

func (l *openingLine) show(text string) {
	now := time.Now()
	switch {
	case l.terminal:
		fmt.Fprintf(l.out, "\r\x1b[Kmediafs: %s", printable(text))
	case l.shown.IsZero() || now.Sub(l.shown) >= quietEvery:
		fmt.Fprintf(l.out, "mediafs: %s\n", printable(text))
	default:
		return
	}
	l.shown = now
}

// clear makes room for other lines.
func (l *openingLine) clear() {
	if l.terminal && !l.shown.IsZero() {
		fmt.Fprint(l.out, "\r\x1b[K")
	}
}
