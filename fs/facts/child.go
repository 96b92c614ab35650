package facts

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"os"
	"runtime/debug"
	"strconv"
	"time"

	"mediafs/remote"
)

// ServeWorker is what a Worker's child does with its standard input and output: it extracts facts
// of one media after another, until in ends. It never opens a file. An error means that the two did
// not understand each other.
//
// It exits the process by itself when one media took it twice the time that its parent would have
// killed it after.
func ServeWorker(in io.Reader, out io.Writer) error {
	if err := writeFrame(out, frameHello, []byte(strconv.Itoa(Version))); err != nil {
		return remote.E("serve facts", "", remote.Other, err)
	}
	for {
		kind, b, err := readFrame(in, func(byte) int { return maxMedia })
		if err == io.EOF {
			return nil
		}
		var m wireMedia
		if err == nil && kind != frameMedia {
			err = errProtocol
		}
		if err == nil {
			err = json.Unmarshal(b, &m)
		}
		if err == nil {
			err = serveOne(in, out, m)
		}
		if err != nil {
			return remote.E("serve facts", "", remote.Other, err)
		}
	}
}

func serveOne(in io.Reader, out io.Writer, m wireMedia) error {
	patience := time.Duration(m.Seconds * float64(time.Second))
	orphan := time.AfterFunc(2*patience+time.Second, func() { os.Exit(3) })
	defer orphan.Stop()

	var a wireAnswer
	var err error
	a.Facts, a.Document, err = Extract(
		context.Background(), Source{ReaderAt: wireSource{in, out}, Size: m.Size, Name: m.Name}, m.Limits,
	)
	if err != nil {
		if !errors.Is(err, errElsewhere) {
			return err
		}
		return writeFrame(out, frameAnswer, marshal(wireAnswer{Failed: true}))
	}
	if a.Document != nil && a.Document.Picture != nil {
		if err := writeFrame(out, framePicture, a.Document.Picture); err != nil {
			return err
		}
		a.Document.Picture = nil
	}
	err = writeFrame(out, frameAnswer, marshal(a))
	if a.Facts.PictureSize > 1<<20 {
		a = wireAnswer{}
		debug.FreeOSMemory() // what is kept counts against the limit of the next media
	}
	return err
}
