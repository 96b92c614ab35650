package facts

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"sync"
	"time"

	"github.com/sirupsen/logrus"

	"mediafs/remote"
)

// Options of a Worker. The zero value works where the program is mediafs.
type Options struct {
	Command []string      // the child, which runs ServeWorker; {this program, "facts-worker"}
	Timeout time.Duration // of one media, the time its source takes to be read not counted; 20 s
	Memory  int64         // bytes a child may have beyond those it starts with; 512 MiB
	Limits  Limits
	Probe   string        // ffprobe, for films and sounds that nothing here knows; the one on PATH; "none": not used
	Log     *logrus.Entry // gets a line when a child dies, at level debug; nobody
}

// A Worker extracts facts in a child process, one media at a time, in the order of the calls. The
// child is started by the first call, lives on, and is started again after it died or was killed.
// It runs at nice 10, with limited memory, an empty environment, and nothing but three pipes.
//
// It keeps what the bytes of a media may do away from this process: they cost it no more than one
// child, Options.Timeout, and the bytes that Limits allow.
type Worker struct {
	opt    Options
	turn   chan struct{} // holds one value while somebody has the child; those who wait are served in order
	closed context.Context
	close  context.CancelFunc

	child *child // by who has the turn
}

// NewWorker makes a Worker. It starts nothing yet.
func NewWorker(opt Options) *Worker {
	if len(opt.Command) == 0 {
		opt.Command = []string{"/proc/self/exe", "facts-worker"}
		if exe, err := os.Executable(); err == nil {
			opt.Command[0] = exe
		}
	}
	if opt.Timeout <= 0 {
		opt.Timeout = 20 * time.Second
	}
	if opt.Memory <= 0 {
		opt.Memory = 512 << 20
	}
	opt.Limits = opt.Limits.withDefaults()
	w := &Worker{opt: opt, turn: make(chan struct{}, 1)}
	w.closed, w.close = context.WithCancel(context.Background())
	return w
}

// Close ends the child and what is under way, which fails. It waits until the child is gone. It may
// be called again.
func (w *Worker) Close() error {
	w.close()
	w.turn <- struct{}{}
	w.drop()
	<-w.turn
	return nil
}

// drop ends the child, if there is one. The caller has the turn.
func (w *Worker) drop() {
	if w.child != nil {
		w.child.end()
		w.child = nil
	}
}

// Extract does what the function of that name does, except that a media that is too much for the
// child has no more than its type, its class, and an Error that says how the child ended.
//
// Errors: of the source, of ctx, and Unavailable when no child can be started or the worker is
// closed. None of them says anything about the media. The source is read from this goroutine; if it
// can hang, it should end with ctx.
func (w *Worker) Extract(ctx context.Context, src Source) (remote.MediaFacts, *remote.FactsDocument, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	defer context.AfterFunc(w.closed, func() { cancel(errClosed) })()
	fail := func(err error) (remote.MediaFacts, *remote.FactsDocument, error) {
		if cause := context.Cause(ctx); cause != nil {
			err = cause
		}
		kind := remote.KindOf(err)
		if errors.Is(err, errClosed) {
			kind = remote.Unavailable
		}
		return remote.MediaFacts{}, nil, remote.E("read facts of", src.Name, kind, err)
	}
	select {
	case w.turn <- struct{}{}:
	case <-ctx.Done():
		return fail(ctx.Err())
	}
	defer func() { <-w.turn }()

	for {
		if ctx.Err() != nil {
			return fail(ctx.Err())
		}
		if w.child == nil {
			c, err := startChild(ctx, w.opt)
			if err != nil {
				return fail(err)
			}
			w.child = c
		}
		served := w.child.served
		s := &session{child: w.child, src: src, opt: w.opt, left: w.opt.Timeout}
		facts, doc, err := s.run(ctx)
		if err == nil {
			w.child.served++
			return w.probe(ctx, src, facts, doc)
		}
		words := w.child.words()
		w.drop()
		switch {
		case ctx.Err() != nil:
			return fail(ctx.Err())
		case s.failure != nil:
			return fail(s.failure)
		case served > 0 && !errors.Is(err, os.ErrDeadlineExceeded):
			continue // it may have died of what it had before: once more, with a new one
		}
		if w.opt.Log != nil {
			w.opt.Log.WithField("media", src.Name).
				WithError(err).
				WithField("stderr", words).
				Debug("the child that reads facts died")
		}
		return w.unread(ctx, src, err, words)
	}
}

var errClosed = errors.New("the worker is closed")

// unread makes the facts of a media that the child could not deal with: what the first bytes say,
// which is a search for known numbers in them.
func (w *Worker) unread(
	ctx context.Context, src Source, err error, words string,
) (remote.MediaFacts, *remote.FactsDocument, error) {
	f := remote.MediaFacts{Version: Version, Read: now()}
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		f.Error = fmt.Sprintf("reading it took more than %v and was stopped", w.opt.Timeout)
	case errors.Is(err, errProtocol):
		f.Error = "reading it ended in nonsense, and was stopped"
	case words != "":
		f.Error = "reading it ended the process that did: " + words
	default:
		f.Error = "reading it ended the process that did"
	}
	head := make([]byte, min(sniffed, max(src.Size, 0)))
	n, err := src.ReaderAt.ReadAt(head, 0)
	if err != nil && err != io.EOF {
		return remote.MediaFacts{}, nil, remote.E("read facts of", src.Name, remote.KindOf(err), err)
	}
	f.Type = typeOf(head[:n], src.Name)
	f.Class = classOf(f.Type, src.Name)
	tidy(&f, nil, w.opt.Limits)
	return w.probe(ctx, src, f, nil)
}

func now() time.Time { return time.Now().UTC().Truncate(time.Millisecond) }

// A session is one media and a child that reads it. Nothing that the child sends is believed:
// ranges lie in the media and are bounded in number and bytes, frames in length, facts by the rules
// that the child should have kept.
type session struct {
	child   *child
	src     Source
	opt     Options
	left    time.Duration // for the child
	failure error         // of the source
}

func (s *session) run(ctx context.Context) (remote.MediaFacts, *remote.FactsDocument, error) {
	defer context.AfterFunc(ctx, s.child.kill)()
	m := wireMedia{
		Name:    line(s.src.Name, 1024),
		Size:    max(s.src.Size, 0),
		Limits:  s.opt.Limits,
		Seconds: s.opt.Timeout.Seconds(),
	}
	if err := s.send(frameMedia, marshal(m)); err != nil {
		return remote.MediaFacts{}, nil, err
	}
	// A window asks for whole blocks, of which the last may be asked for more than once.
	bytes, ranges := s.opt.Limits.Bytes+maxRange, s.opt.Limits.Bytes/blockSize+64
	var picture []byte
	for {
		kind, b, err := s.receive()
		if err != nil {
			return remote.MediaFacts{}, nil, err
		}
		switch kind {
		case frameRange:
			if len(b) != 12 {
				return remote.MediaFacts{}, nil, errProtocol
			}
			off, n := binary.BigEndian.Uint64(b), int64(binary.BigEndian.Uint32(b[8:]))
			ranges--
			bytes -= n
			if off > math.MaxInt64 || n > maxRange || bytes < 0 || ranges < 0 {
				return remote.MediaFacts{}, nil, errProtocol
			}
			if err := s.serve(int64(off), n); err != nil {
				return remote.MediaFacts{}, nil, err
			}
		case framePicture:
			if picture != nil {
				return remote.MediaFacts{}, nil, errProtocol
			}
			picture = b
		case frameAnswer:
			return s.answer(b, picture)
		default:
			return remote.MediaFacts{}, nil, errProtocol
		}
	}
}

// serve answers one range.
func (s *session) serve(off, n int64) error {
	n = max(0, min(n, s.src.Size-off))
	p := make([]byte, n)
	got, err := s.src.ReaderAt.ReadAt(p, off)
	if err != nil && err != io.EOF {
		s.failure = err
		return s.send(frameFailed, nil)
	}
	return s.send(frameBytes, p[:got])
}

func (s *session) answer(b, picture []byte) (remote.MediaFacts, *remote.FactsDocument, error) {
	var a wireAnswer
	if err := json.Unmarshal(b, &a); err != nil {
		return remote.MediaFacts{}, nil, fmt.Errorf("%w: %w", errProtocol, err)
	}
	if s.failure != nil || a.Failed {
		return remote.MediaFacts{}, nil, errElsewhere // the caller has s.failure
	}
	a.Facts.PictureType = ""
	if picture != nil {
		if a.Document == nil {
			a.Document = &remote.FactsDocument{}
		}
		x := &extraction{limits: s.opt.Limits}
		x.picture(picture)
		a.Document.Picture, a.Facts.PictureType = x.doc.Picture, x.facts.PictureType
	}
	a.Facts.Read = now()
	doc := tidy(&a.Facts, a.Document, s.opt.Limits)
	return a.Facts, doc, nil
}

// timed runs f, which waits for the child, and takes the time from what the child has left.
func (s *session) timed(f func(deadline time.Time) error) error {
	start := time.Now()
	err := f(start.Add(s.left))
	s.left -= time.Since(start)
	return err
}

func (s *session) send(kind byte, payload []byte) error {
	return s.timed(func(deadline time.Time) error {
		if err := s.child.stdin.SetWriteDeadline(deadline); err != nil {
			return err
		}
		return writeFrame(s.child.stdin, kind, payload)
	})
}

func (s *session) receive() (kind byte, payload []byte, err error) {
	err = s.timed(func(deadline time.Time) error {
		if err := s.child.stdout.SetReadDeadline(deadline); err != nil {
			return err
		}
		kind, payload, err = readFrame(s.child.stdout, func(kind byte) int {
			switch kind {
			case frameRange:
				return 12
			case framePicture:
				return s.opt.Limits.Picture
			case frameAnswer:
				return maxAnswer
			}
			return 0
		})
		return err
	})
	return kind, payload, err
}

// An excerpt keeps the beginning of what is written to it, and lets the rest go.
type excerpt struct {
	mu   sync.Mutex
	b    []byte
	room int
}

func (e *excerpt) Write(p []byte) (int, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.b = append(e.b, p[:min(len(p), e.room-len(e.b))]...)
	return len(p), nil
}

func (e *excerpt) String() string {
	e.mu.Lock()
	defer e.mu.Unlock()
	return string(e.b)
}
