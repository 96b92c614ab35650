package main

import (
	"encoding"
	"errors"
	"fmt"
	"math"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/sirupsen/logrus"

	"mediafs/fs/local"
)

// Each kind of setting is a type that parses itself, so that a flag, an environment variable and a
// line of the configuration file take the same spellings and give the same complaints.

// A size is a number of bytes: 10GiB, 500MB, 1.5T, 4096.
type size int64

var sizeUnits = map[string]float64{
	"": 1, "b": 1,
	"k": 1 << 10, "kib": 1 << 10, "kb": 1e3,
	"m": 1 << 20, "mib": 1 << 20, "mb": 1e6,
	"g": 1 << 30, "gib": 1 << 30, "gb": 1e9,
	"t": 1 << 40, "tib": 1 << 40, "tb": 1e12,
}

func (s *size) UnmarshalText(b []byte) error {
	text := strings.TrimSpace(string(b))
	digits := strings.TrimRight(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ ")
	unit, known := sizeUnits[strings.ToLower(strings.TrimSpace(text[len(digits):]))]
	n, err := strconv.ParseFloat(digits, 64)
	if err != nil || !known || n < 0 || math.IsNaN(n) || n*unit > math.MaxInt64/2 {
		return fmt.Errorf("%q is not a size such as 10GiB or 500MB", text)
	}
	*s = size(n * unit)
	return nil
}

func (s size) String() string {
	for _, u := range []struct {
		name string
		n    size
	}{{"TiB", 1 << 40}, {"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10}} {
		if s >= u.n && s%u.n == 0 {
			return strconv.FormatInt(int64(s/u.n), 10) + u.name
		}
	}
	return strconv.FormatInt(int64(s), 10)
}

// A span is a length of time: 30s, 5m, 12h. Never negative.
type span time.Duration

func (s *span) UnmarshalText(b []byte) error {
	d, err := time.ParseDuration(strings.TrimSpace(string(b)))
	if err != nil || d < 0 {
		return fmt.Errorf("%q is not a length of time such as 30s or 5m", b)
	}
	*s = span(d)
	return nil
}

// String leaves out the zeros of time.Duration: 5m, not 5m0s.
func (s span) String() string {
	text := time.Duration(s).String()
	for _, zero := range []string{"m0s", "h0m"} {
		if strings.HasSuffix(text, zero) {
			text = text[:len(text)-2]
		}
	}
	return text
}

// A keep is how long something deleted is kept: a number of days, or a length of time. 0 keeps
// nothing.
type keep time.Duration

func (k *keep) UnmarshalText(b []byte) error {
	text := strings.TrimSpace(string(b))
	if days, err := strconv.ParseUint(strings.TrimSuffix(text, "d"), 10, 16); err == nil { // 65,535 days is 179 years
		*k = keep(time.Duration(days) * 24 * time.Hour)
		return nil
	}
	d, err := time.ParseDuration(text)
	if err != nil || d < 0 {
		return fmt.Errorf("%q is neither a number of days nor a length of time such as 12h", text)
	}
	*k = keep(d)
	return nil
}

func (k keep) String() string {
	if d := time.Duration(k); d%(24*time.Hour) == 0 {
		return strconv.Itoa(int(d/(24*time.Hour))) + "d"
	}
	return span(k).String()
}

// A toggle is on or off.
type toggle bool

func (t *toggle) UnmarshalText(b []byte) error {
	switch strings.ToLower(string(b)) {
	case "true", "yes", "on", "1":
		*t = true
	case "false", "no", "off", "0":
		*t = false
	default:
		return fmt.Errorf("%q is neither true nor false", b)
	}
	return nil
}

func (t toggle) String() string { return strconv.FormatBool(bool(t)) }

// A path is a file or folder; ~/ is the user's home folder. It is made absolute where the home and
// working folders are known.
type path string

func (f *path) UnmarshalText(b []byte) error {
	if len(b) == 0 {
		return errors.New("the path is empty")
	}
	*f = path(b)
	return nil
}

func (f path) String() string { return string(f) }

// absolute resolves f; an empty path stays empty.
func (f path) absolute(home string) (string, error) {
	switch s := string(f); {
	case s == "":
		return "", nil
	case s == "~", strings.HasPrefix(s, "~/"):
		return filepath.Join(home, s[1:]), nil
	default:
		return filepath.Abs(s)
	}
}

// An upload says what a close waits for.
type upload string

func (u *upload) UnmarshalText(b []byte) error {
	switch string(b) {
	case "close", "background":
		*u = upload(b)
		return nil
	}
	return fmt.Errorf("%q is not a way to upload: use close or background", b)
}

func (u upload) String() string { return string(u) }

// A level is how much the log says.
type level string

func (l *level) UnmarshalText(b []byte) error {
	if _, err := logrus.ParseLevel(string(b)); err != nil {
		return fmt.Errorf("%q is not a level: use error, warning, info, debug or trace", b)
	}
	*l = level(b)
	return nil
}

func (l level) String() string { return string(l) }

// A format is what a line of the log looks like.
type format string

func (f *format) UnmarshalText(b []byte) error {
	if !slices.Contains([]string{"text", "json"}, string(b)) {
		return fmt.Errorf("%q is not a log format: use text or json", b)
	}
	*f = format(b)
	return nil
}

func (f format) String() string { return string(f) }

// A nameList is names of files between slashes, which no name has: ._*/.DS_Store. The word none is
// the empty list.
type nameList string

const noNames = "none"

func (l *nameList) UnmarshalText(b []byte) error {
	list := strings.FieldsFunc(string(b), func(r rune) bool { return r == '/' })
	if len(list) == 0 || len(list) == 1 && list[0] == noNames {
		*l = noNames
		return nil
	}
	if err := local.CheckNames(list); err != nil {
		return err
	}
	*l = nameList(strings.Join(list, "/"))
	return nil
}

func (l nameList) String() string { return string(l) }

// defaultNames is the list that a daemon takes when it is given none.
var defaultNames = nameList(strings.Join(local.DefaultNames(), "/"))

// names is nil for the default: the daemon then mounts also where the local disk cannot keep such
// files.
func (l nameList) names() []string {
	switch l {
	case noNames:
		return []string{}
	case defaultNames:
		return nil
	}
	return strings.Split(string(l), "/")
}

// A word is any text.
type word string

func (w *word) UnmarshalText(b []byte) error { *w = word(b); return nil }
func (w word) String() string                { return string(w) }

// A setting is a value of one of these types.
type setting interface {
	encoding.TextUnmarshaler
	fmt.Stringer
}

// flagValue makes a setting a flag.
type flagValue struct {
	setting
	kind string // what help calls it
}

func (v flagValue) Set(s string) error { return v.UnmarshalText([]byte(s)) }
func (v flagValue) Type() string       { return v.kind }
