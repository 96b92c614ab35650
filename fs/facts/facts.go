package facts

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"mediafs/remote"
)

// Version is the number of the rules by which facts are read. It grows when the same bytes give
// other facts than before.
const Version = 1

// A Source is a media whose facts are wanted.
type Source struct {
	ReaderAt io.ReaderAt // its bytes; read by one goroutine at a time, but not always the caller's
	Size     int64       // bytes
	Name     string      // in its folder; only its extension is used, where the bytes leave a choice
}

// Limits bound what one extraction takes. The zero value means the defaults.
type Limits struct {
	Bytes    int64 // read from the source, in all; 64 MiB
	Picture  int   // largest embedded picture that goes into the document, in bytes; 8 MiB
	Document int   // largest document without the picture, in bytes of JSON; 256 KiB
}

func (l Limits) withDefaults() Limits {
	if l.Bytes <= 0 {
		l.Bytes = 64 << 20
	}
	if l.Picture <= 0 {
		l.Picture = 8 << 20
	}
	if l.Document <= 0 {
		l.Document = 256 << 10
	}
	return l
}

// Extract reads the facts of a media. The document is nil when there is nothing for it.
//
// An error means that the source could not be read, or that ctx ended: trying again later may give
// more. Bytes that make no sense are no error: what could be read is returned, with
// MediaFacts.Error. Extract panics for no bytes, but some may take it long, or much memory: it ends
// with ctx at the next read only.
func Extract(ctx context.Context, src Source, limits Limits) (remote.MediaFacts, *remote.FactsDocument, error) {
	limits = limits.withDefaults()
	x := &extraction{
		w:      newWindow(ctx, src, limits.Bytes),
		name:   src.Name,
		limits: limits,
	}
	x.facts.Version = Version
	x.facts.Read = now()

	x.attempt("its first bytes", x.sniff)
	if read := readers[x.facts.Type]; read != nil {
		x.attempt("the "+x.facts.Type, func() error { return read(x) })
	}
	if err := x.w.failure; err != nil {
		return remote.MediaFacts{}, nil, remote.E("read facts of", src.Name, remote.KindOf(err), err)
	}
	doc := x.finish()
	return x.facts, doc, nil
}

// An extraction is one run of Extract: what was found so far.
type extraction struct {
	w      *window
	name   string
	limits Limits
	head   []byte // the first bytes of the media
	facts  remote.MediaFacts
	doc    remote.FactsDocument
	wrong  []string // why not everything could be read
}

// errDamaged is what a reader returns for bytes that make no sense.
var errDamaged = errors.New("damaged")

// attempt runs one reader. Whatever it does about the bytes, what it found stays.
func (x *extraction) attempt(what string, f func() error) {
	defer func() {
		if r := recover(); r != nil {
			x.complain(what, fmt.Errorf("the reader panicked: %v", r))
		}
	}()
	if err := f(); err != nil {
		x.complain(what, err)
	}
}

func (x *extraction) complain(what string, err error) {
	switch {
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		err = errors.New("it ends early")
	case errors.Is(err, errBudget):
		err = fmt.Errorf("more than %d MiB would have to be read", x.limits.Bytes>>20)
	}
	if len(x.wrong) < 4 {
		x.wrong = append(x.wrong, what+": "+err.Error())
	}
}

// finish puts what was found into the bounds of the model.
func (x *extraction) finish() *remote.FactsDocument {
	x.facts.Error = strings.Join(x.wrong, "; ")
	return tidy(&x.facts, &x.doc, x.limits)
}

// readers are the functions that know a media type.
var readers map[string]func(*extraction) error

func init() {
	readers = map[string]func(*extraction) error{
		"image/jpeg":         (*extraction).jpeg,
		"image/png":          (*extraction).png,
		"image/apng":         (*extraction).png,
		"image/gif":          (*extraction).gif,
		"image/webp":         (*extraction).webp,
		"image/bmp":          (*extraction).bmp,
		"image/tiff":         (*extraction).tiff,
		"image/heic":         (*extraction).heif,
		"image/heif":         (*extraction).heif,
		"image/avif":         (*extraction).heif,
		"image/x-adobe-dng":  (*extraction).raw,
		"image/x-canon-cr2":  (*extraction).raw,
		"image/x-nikon-nef":  (*extraction).raw,
		"image/x-sony-arw":   (*extraction).raw,
		"image/x-pentax-pef": (*extraction).raw,
		"image/x-canon-cr3":  (*extraction).film,
		"video/mp4":          (*extraction).film,
		"video/x-m4v":        (*extraction).film,
		"video/quicktime":    (*extraction).film,
		"video/3gpp":         (*extraction).film,
		"video/3gpp2":        (*extraction).film,
		"audio/mp4":          (*extraction).film,
		"video/x-matroska":   (*extraction).matroska,
		"audio/x-matroska":   (*extraction).matroska,
		"video/webm":         (*extraction).matroska,
		"audio/webm":         (*extraction).matroska,
		"audio/mpeg":         (*extraction).mp3,
		"audio/flac":         (*extraction).flac,
		"audio/ogg":          (*extraction).ogg,
		"video/ogg":          (*extraction).ogg,
		"audio/wav":          (*extraction).wav,
		"application/pdf":    (*extraction).pdf,
	}
}
