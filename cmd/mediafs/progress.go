package main

import (
	"fmt"
	"io"
	"strings"
	"time"

	"mediafs/fs/control"
)

// A progress shows how a flush stands: a bar that is drawn over itself on a terminal, else a line
// every few seconds, so that a log stays short.
type progress struct {
	out      io.Writer
	terminal bool
	now      func() time.Time

	most  int64     // most bytes seen pending: the whole of the bar
	last  time.Time // when something was shown
	drawn bool      // a bar is on the line

	seen  control.Pending
	began bool
}

// lineEvery is the time between two lines when there is no terminal.
const lineEvery = 3 * time.Second

const barWidth = 30

func newProgress(out io.Writer) *progress {
	return &progress{out: out, terminal: isTerminal(out), now: time.Now}
}

// show takes what is pending now and tells whether that is another state than before.
func (g *progress) show(p control.Pending) (moved bool) {
	now := g.now()
	moved = !g.began || p != g.seen
	g.seen = p
	if !g.began {
		// The first line comes after a while: most flushes have ended by then and say nothing.
		g.began, g.last = true, now
	}
	g.most = max(g.most, p.Bytes)
	switch {
	case p.None():
	case g.terminal:
		done := int64(barWidth)
		if g.most > 0 {
			done = barWidth * (g.most - p.Bytes) / g.most
		}
		fmt.Fprintf(
			g.out, "\r\x1b[K[%s%s] %s left", strings.Repeat("#", int(done)), strings.Repeat(".", barWidth-int(done)),
			pendingText(p),
		)
		g.drawn = true
	case now.Sub(g.last) >= lineEvery:
		fmt.Fprintf(g.out, "%s left\n", pendingText(p))
		g.last = now
	}
	return moved
}

// end takes the bar away.
func (g *progress) end() {
	if g.drawn {
		fmt.Fprint(g.out, "\r\x1b[K")
		g.drawn = false
	}
}
