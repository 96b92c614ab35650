package query

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// A span is all numbers from low to below high.
type span struct{ low, high float64 }

func (in span) has(x float64) bool { return in.low <= x && x < in.high }

const most = 1 << 62 // what a float of this size becomes is still an int64

// first and last are the least and the greatest whole number of it.
func (in span) first() int64 { return int64(math.Ceil(math.Max(in.low, -most))) }

func (in span) last() int64 { return int64(math.Ceil(math.Min(in.high, most))) - 1 }

// A rangeValue asks whether a number lies in a span.
type rangeValue struct {
	in   span
	of   func(*subject) (x float64, known bool)
	asks func(span) plan // nil: the index does not know
}

func (v rangeValue) match(s *subject) bool {
	x, known := v.of(s)
	return known && v.in.has(x)
}

func (v rangeValue) plan() plan {
	if v.asks == nil {
		return everything{}
	}
	return v.asks(v.in)
}

// readSpan reads a point, or what lies before, after or between points. A point is a span itself: a
// year has many days.
func readSpan(s string, point func(string) (span, error)) (span, error) {
	if s == "" {
		return span{}, errEmpty
	}
	inf := math.Inf(1)
	for _, op := range []string{">=", "<=", ">", "<"} {
		rest, ok := strings.CutPrefix(s, op)
		if !ok {
			continue
		}
		p, err := point(rest)
		switch op {
		case ">=":
			return span{p.low, inf}, err
		case "<=":
			return span{-inf, p.high}, err
		case ">":
			return span{p.high, inf}, err
		}
		return span{-inf, p.low}, err
	}
	from, to, ok := strings.Cut(s, "..")
	if !ok {
		return point(s)
	}
	in := span{-inf, inf}
	if from != "" {
		p, err := point(from)
		if err != nil {
			return span{}, err
		}
		in.low = p.low
	}
	if to != "" {
		p, err := point(to)
		if err != nil {
			return span{}, err
		}
		in.high = p.high
	}
	if from == "" && to == "" || in.low >= in.high {
		return span{}, fmt.Errorf("%q has nothing in it", s)
	}
	return in, nil
}

func readWhole(s string) (span, error) {
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil || n > 1<<53 || n < -1<<53 {
		return span{}, fmt.Errorf("%q is not a whole number", s)
	}
	return span{float64(n), float64(n) + 1}, nil
}

// plainNumber reads digits with at most one point; step is the worth of its last digit.
func plainNumber(s string) (n, step float64, ok bool) {
	digits := strings.Replace(s, ".", "", 1)
	if digits == "" || strings.Trim(digits, "0123456789") != "" || len(s) > 18 {
		return 0, 0, false
	}
	n, err := strconv.ParseFloat(s, 64)
	if dot := strings.IndexByte(s, '.'); dot >= 0 {
		return n, math.Pow10(dot + 1 - len(s)), err == nil
	}
	return n, 1, err == nil
}

// readDecimal reads a number that is meant as exactly as it is written: 2.8 is all that begins like
// that.
func readDecimal(s string) (span, error) {
	n, step, ok := plainNumber(s)
	if !ok {
		return span{}, fmt.Errorf("%q is not a number", s)
	}
	return span{n - 1e-9, n + step - 1e-9}, nil
}

// readBytes reads a size. 10M is one size, not what rounds to it: >10M is larger by a byte or more.
func readBytes(s string) (span, error) {
	unit := 1.0
	rest := strings.TrimSuffix(strings.TrimSuffix(strings.ToLower(s), "b"), "i")
	if i := strings.IndexAny(rest, "kmgt"); i >= 0 && i == len(rest)-1 {
		unit = math.Pow(1024, float64(strings.IndexByte("kmgt", rest[i])+1))
		rest = rest[:i]
	}
	n, _, ok := plainNumber(rest)
	if n = math.Round(n * unit); !ok || n > 1<<53 {
		return span{}, fmt.Errorf("%q is not a size", s)
	}
	return span{n, n + 1}, nil
}

// readLength reads a length of time: a second from there on is equal to it.
func readLength(s string) (span, error) {
	bad := fmt.Errorf("%q is not a length of time", s)
	if parts := strings.Split(s, ":"); len(parts) == 2 || len(parts) == 3 {
		total := 0.0
		for i, p := range parts {
			n, st, ok := plainNumber(p)
			if !ok || i > 0 && n >= 60 || i < len(parts)-1 && st != 1 {
				return span{}, bad
			}
			total = total*60 + n
		}
		return span{total, total + 1}, nil
	}
	unit, rest := 1.0, s
	for _, u := range []struct {
		letter string
		worth  float64
	}{{"s", 1}, {"m", 60}, {"h", 3600}} {
		if r, ok := strings.CutSuffix(strings.ToLower(s), u.letter); ok {
			unit, rest = u.worth, r
		}
	}
	n, _, ok := plainNumber(rest)
	if !ok {
		return span{}, bad
	}
	return span{n * unit, n*unit + 1}, nil
}

// readTime reads a year, month, day or time of day: all of its seconds.
func readTime(s string) (span, error) {
	for _, f := range []struct {
		layout string
		next   func(time.Time) time.Time
	}{
		{"2006", func(t time.Time) time.Time { return t.AddDate(1, 0, 0) }},
		{"2006-01", func(t time.Time) time.Time { return t.AddDate(0, 1, 0) }},
		{"2006-01-02", func(t time.Time) time.Time { return t.AddDate(0, 0, 1) }},
		{"2006-01-02T15", func(t time.Time) time.Time { return t.Add(time.Hour) }},
		{"2006-01-02T15:04", func(t time.Time) time.Time { return t.Add(time.Minute) }},
		{"2006-01-02T15:04:05", func(t time.Time) time.Time { return t.Add(time.Second) }},
	} {
		if t, err := time.Parse(f.layout, s); err == nil && len(s) == len(f.layout) {
			return span{float64(t.Unix()), float64(f.next(t).Unix())}, nil
		}
	}
	return span{}, fmt.Errorf("%q is not a time", s)
}
