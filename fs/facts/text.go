package facts

import (
	"math"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"
)

// cleanText makes any bytes a text of the model: valid UTF-8, no control characters but tabs and
// line ends, no blanks around it, at most limit bytes, cut between characters.
func cleanText(s string, limit int) string {
	if len(s) > 4*limit {
		s = s[:4*limit] // what is dropped below is rarely that much
	}
	if !utf8.ValidString(s) {
		s = strings.ToValidUTF8(s, "\uFFFD")
	}
	s = strings.Map(func(r rune) rune {
		switch {
		case r == '\r':
			return '\n'
		case r == '\n', r == '\t':
			return r
		case unicode.IsControl(r), r == '\uFEFF', r >= 0x202A && r <= 0x202E, r >= 0x2066 && r <= 0x2069:
			return -1 // controls of direction included: they make one name look like another
		}
		return r
	}, strings.ReplaceAll(s, "\r\n", "\n"))
	s = strings.TrimSpace(s)
	if len(s) > limit {
		n := limit
		for n > 0 && !utf8.RuneStart(s[n]) {
			n--
		}
		s = strings.TrimSpace(s[:n])
	}
	return s
}

// line is a text on one line.
func line(s string, limit int) string {
	return strings.Join(
		strings.FieldsFunc(cleanText(s, limit), func(r rune) bool { return r == '\n' || r == '\t' }), " ",
	)
}

// latin1 decodes ISO 8859-1; bytes that are UTF-8 all the same stay that, as most writers do not
// know the difference.
func latin1(b []byte) string {
	if utf8.Valid(b) {
		return string(b)
	}
	r := make([]rune, len(b))
	for i, c := range b {
		r[i] = rune(c)
	}
	return string(r)
}

// decodeUTF16 decodes UTF-16 with a byte order mark, or in the order given without one.
func decodeUTF16(b []byte, bigEndian bool) string {
	if len(b) >= 2 {
		switch {
		case b[0] == 0xfe && b[1] == 0xff:
			b, bigEndian = b[2:], true
		case b[0] == 0xff && b[1] == 0xfe:
			b, bigEndian = b[2:], false
		}
	}
	u := make([]uint16, len(b)/2)
	for i := range u {
		if bigEndian {
			u[i] = uint16(b[2*i])<<8 | uint16(b[2*i+1])
		} else {
			u[i] = uint16(b[2*i+1])<<8 | uint16(b[2*i])
		}
	}
	return string(utf16.Decode(u))
}

// first is the first text that says something.
func first(texts ...string) string {
	for _, t := range texts {
		if strings.TrimSpace(t) != "" {
			return t
		}
	}
	return ""
}

// number is the integer that a text begins with; 0 without one.
func number(s string) int {
	s = strings.TrimSpace(s)
	n := 0
	for n < len(s) && s[n] >= '0' && s[n] <= '9' {
		n++
	}
	i, err := strconv.Atoi(s[:n])
	if err != nil || i > math.MaxInt32 {
		return 0
	}
	return i
}

// pair reads "3/12".
func pair(s string) (int, int) {
	a, b, _ := strings.Cut(s, "/")
	return number(a), number(b)
}

func finite(f float64) bool { return !math.IsNaN(f) && !math.IsInf(f, 0) }
