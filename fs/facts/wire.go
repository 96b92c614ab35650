package facts

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"mediafs/remote"
)

// Parent and child speak in frames: a byte that says what it is, four bytes of length, big-endian,
// and that many bytes.
//
//	child:  hello (the version of its rules)
//	parent: media
//	child:  range   parent: bytes, or failed    any number of times
//	child:  picture, if there is one
//	child:  answer
//
// and again from media on. The end of its input is the child's end.
const (
	frameHello   = 'H' // child: Version as text
	frameMedia   = 'M' // parent: a wireMedia in JSON
	frameRange   = 'R' // child: offset, 8 bytes, and length, 4 bytes
	frameBytes   = 'B' // parent: what is there of a range
	frameFailed  = 'F' // parent: the range could not be read; empty
	framePicture = 'P' // child: the embedded picture
	frameAnswer  = 'A' // child: a wireAnswer in JSON
)

// Longest frames. A child that sends a longer one is not ours any more.
const (
	maxRange  = maxReadHead
	maxMedia  = 64 << 10
	maxAnswer = 1 << 20
)

type wireMedia struct {
	Name    string
	Size    int64
	Limits  Limits
	Seconds float64 // after which the child ends by itself, should its parent be gone
}

type wireAnswer struct {
	Facts    remote.MediaFacts
	Document *remote.FactsDocument // without the picture
	Failed   bool                  // the source could not be read: the parent knows why
}

func writeFrame(w io.Writer, kind byte, payload []byte) error {
	b := make([]byte, 5, 5+len(payload))
	b[0] = kind
	binary.BigEndian.PutUint32(b[1:], uint32(len(payload)))
	_, err := w.Write(append(b, payload...))
	return err
}

// readFrame reads a frame whose length limit allows by its kind.
func readFrame(r io.Reader, limit func(kind byte) int) (kind byte, payload []byte, err error) {
	var head [5]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return 0, nil, err
	}
	n := binary.BigEndian.Uint32(head[1:])
	if int64(n) > int64(limit(head[0])) {
		return 0, nil, fmt.Errorf("%w: %d bytes of %q", errProtocol, n, head[0])
	}
	payload = make([]byte, n)
	if _, err = io.ReadFull(r, payload); err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	return head[0], payload, err
}

// errProtocol is what the other side gets wrong.
var errProtocol = errors.New("nonsense on the wire")

// A wireSource reads a media from the parent.
type wireSource struct {
	in  io.Reader
	out io.Writer
}

// errElsewhere stands for an error that the parent has.
var errElsewhere = errors.New("the parent could not read the source")

func (s wireSource) ReadAt(p []byte, off int64) (int, error) {
	n := 0
	for n < len(p) {
		want := min(len(p)-n, maxRange)
		ask := binary.BigEndian.AppendUint64(nil, uint64(off)+uint64(n))
		ask = binary.BigEndian.AppendUint32(ask, uint32(want))
		if err := writeFrame(s.out, frameRange, ask); err != nil {
			return n, err
		}
		kind, b, err := readFrame(s.in, func(byte) int { return want })
		switch {
		case err != nil:
			return n, err
		case kind == frameFailed:
			return n, errElsewhere
		case kind != frameBytes:
			return n, errProtocol
		}
		n += copy(p[n:], b)
		if len(b) < want {
			return n, io.EOF
		}
	}
	return n, nil
}

func marshal(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil { // of our own types, tidied
		panic(err)
	}
	return b
}
