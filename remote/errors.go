package remote

import (
	"context"
	"errors"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// A Kind says what sort of failure an error is. It is itself an error, so that
// errors.Is(err, remote.NotExist) works on any error of this project.
type Kind uint8

// The kinds of error. Every store maps what it gets to one of these in one function;
// fs/fuse maps each to one errno.
const (
	Other       Kind = iota // nothing more is known
	NotExist                // the store itself said that the thing is not there; never "not reached"
	Exist                   // the name or number is taken
	NotDir                  // a folder was needed
	IsDir                   // a folder is there and something else was needed
	NotEmpty                // the folder has entries
	Permission              // the credentials or the caller do not allow it
	ReadOnly                // the library, store or mount takes no writes
	Unsupported             // this store or node cannot do that
	Invalid                 // the request makes no sense: a bad name, offset, flag, value
	TooLarge                // over a limit of size
	TooLong                 // a name over the limit of its length
	Quota                   // the quota of the library or the account is used up
	NoSpace                 // a local disk is full, or this user's quota on it is used up
	Stale                   // what was named is no longer what it was (a validator differs, a horizon has passed)
	Conflict                // somebody else was first
	Throttled               // the store asks to slow down
	Unavailable             // the store was not reached or did not answer; trying later may work
	Corrupt                 // bytes are not what their checksum says
	Interrupted             // the caller was killed while waiting
	NoAttribute             // the extended attribute is not set
	Links                   // too many hard links, or a link that may not be
	Busy                    // in use: a mount point, a directory of another daemon
	Range                   // the caller's buffer is too small for the answer
	CrossDevice             // the two names are kept in different places: copy, then delete
	Archived                // the store keeps the bytes where they cannot be read until they are restored
	numKinds
)

var kindNames = [numKinds]string{
	"error", "does not exist", "already exists", "not a folder", "is a folder", "folder not empty",
	"permission denied", "read-only", "not supported", "invalid", "too large", "name too long",
	"quota exceeded", "no space left", "stale", "conflict", "throttled", "unavailable", "corrupt", "interrupted",
	"no such attribute", "link not possible", "busy", "buffer too small", "kept in different places", "archived",
}

func (k Kind) Error() string {
	if int(k) < len(kindNames) {
		return kindNames[k]
	}
	return "error"
}

// Kinds lists every kind, for tables that must be complete.
func Kinds() []Kind {
	ks := make([]Kind, numKinds)
	for i := range ks {
		ks[i] = Kind(i)
	}
	return ks
}

// An Error says what was being done (Op), to what (Path: a path, key or number), what sort of
// failure it was, why (Err) and what the user can do about it (Hint). Any field but Kind may be
// empty. Secrets never appear in it.
type Error struct {
	Op   string
	Path string
	Kind Kind
	Err  error
	Hint string
}

// E builds an Error; it is the only constructor, so that the argument order is the reading order.
func E(op, path string, kind Kind, err error) *Error {
	return &Error{Op: op, Path: path, Kind: kind, Err: err}
}

// WithHint returns a copy of e that tells the user what to do.
func (e *Error) WithHint(hint string) *Error {
	c := *e
	c.Hint = hint
	return &c
}

// Rehint gives the outermost Error in err another hint; an err without one stays as it is.
func Rehint(err error, hint string) error {
	var e *Error
	if errors.As(err, &e) {
		return e.WithHint(hint)
	}
	return err
}

func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString(e.Op)
	if e.Path != "" {
		if b.Len() > 0 {
			b.WriteByte(' ')
		}
		b.WriteString(shown(e.Path))
	}
	if b.Len() > 0 {
		b.WriteString(": ")
	}
	inner, isErr := e.Err.(*Error)
	if !isErr || inner.Kind != e.Kind {
		b.WriteString(e.Kind.Error())
		if e.Err != nil {
			b.WriteString(": ")
		}
	}
	if e.Err != nil {
		b.WriteString(e.Err.Error())
	}
	if e.Hint != "" {
		b.WriteString(" (")
		b.WriteString(e.Hint)
		b.WriteByte(')')
	}
	return b.String()
}

// shown returns path as it is, or quoted when a terminal or a log would not show it as text: a name
// of a file may hold control characters, or bytes that are not UTF-8.
func shown(path string) string {
	plain := utf8.ValidString(path) && !strings.ContainsFunc(path, func(r rune) bool {
		return r != ' ' && !unicode.IsGraphic(r)
	})
	if plain {
		return path
	}
	return strconv.Quote(path)
}

// Unwrap gives the cause.
func (e *Error) Unwrap() error { return e.Err }

// Is reports whether target is e's kind.
func (e *Error) Is(target error) bool {
	k, ok := target.(Kind)
	return ok && k == e.Kind
}

// KindOf returns the kind of err: the kind of the outermost Error in its chain, Interrupted for a
// cancelled context, Unavailable for one that ran out of time, Other when nothing is known.
func KindOf(err error) Kind {
	var e *Error
	if errors.As(err, &e) {
		return e.Kind
	}
	var k Kind
	switch {
	case errors.As(err, &k):
		return k
	case errors.Is(err, context.Canceled):
		return Interrupted
	case errors.Is(err, context.DeadlineExceeded):
		return Unavailable
	}
	return Other
}
