package facts

import (
	"bytes"
	"encoding/hex"
	"strconv"
)

// Values of PDF. Numbers are float64, arrays []any, what else there is is nil.
type (
	pdfName   string
	pdfString string
	pdfDict   map[pdfName]any
	pdfRef    int    // to an object, by its number
	pdfWord   string // an operator or keyword, such as obj and stream
)

// A pdfLexer reads values from bytes. At their end, and of what makes no sense, it gives nil.
type pdfLexer struct {
	b     []byte
	at    int
	depth int
	steps int // values that were read
}

const (
	maxPDFDepth = 32
	maxPDFSteps = 200_000 // values in one object
)

func (l *pdfLexer) blank() {
	for l.at < len(l.b) {
		switch c := l.b[l.at]; {
		case c == '%':
			for l.at < len(l.b) && l.b[l.at] != '\n' && l.b[l.at] != '\r' {
				l.at++
			}
		case c == 0 || c == '\t' || c == '\n' || c == '\f' || c == '\r' || c == ' ':
			l.at++
		default:
			return
		}
	}
}

func delimiter(c byte) bool {
	return bytes.IndexByte([]byte("\x00\t\n\f\r ()<>[]{}/%"), c) >= 0
}

// value reads the next value; a reference is one.
func (l *pdfLexer) value() any {
	l.blank()
	if l.steps++; l.at >= len(l.b) || l.steps > maxPDFSteps || l.depth > maxPDFDepth {
		l.at = len(l.b)
		return nil
	}
	switch c := l.b[l.at]; {
	case c == '/':
		l.at++
		return l.name()
	case c == '(':
		return l.literal()
	case c == '[':
		l.at++
		l.depth++
		defer func() { l.depth-- }()
		var out []any
		for l.at < len(l.b) {
			l.blank()
			if l.at < len(l.b) && l.b[l.at] == ']' {
				l.at++
				break
			}
			out = append(out, l.value())
		}
		return out
	case c == '<' && l.at+1 < len(l.b) && l.b[l.at+1] == '<':
		l.at += 2
		return l.dict()
	case c == '<':
		end := bytes.IndexByte(l.b[l.at:], '>')
		if end < 0 {
			l.at = len(l.b)
			return nil
		}
		digits := bytes.Map(func(r rune) rune {
			if r <= ' ' {
				return -1
			}
			return r
		}, l.b[l.at+1:l.at+end])
		l.at += end + 1
		if len(digits)%2 == 1 {
			digits = append(digits, '0')
		}
		s := make([]byte, len(digits)/2)
		if _, err := hex.Decode(s, digits); err != nil {
			return nil
		}
		return pdfString(s)
	case delimiter(c):
		l.at++ // a stray bracket
		return nil
	}
	return l.wordOrNumber()
}

func (l *pdfLexer) word() string {
	from := l.at
	for l.at < len(l.b) && !delimiter(l.b[l.at]) {
		l.at++
	}
	return string(l.b[from:l.at])
}

func (l *pdfLexer) name() pdfName {
	w := l.word()
	for i := 0; i+2 < len(w); i++ {
		if w[i] == '#' {
			if c, err := strconv.ParseUint(w[i+1:i+3], 16, 8); err == nil {
				w = w[:i] + string([]byte{byte(c)}) + w[i+3:]
			}
		}
	}
	return pdfName(w)
}

func (l *pdfLexer) wordOrNumber() any {
	w := l.word()
	f, err := strconv.ParseFloat(w, 64)
	if err != nil || !finite(f) {
		switch w {
		case "true":
			return true
		case "false":
			return false
		case "null":
			return nil
		}
		return pdfWord(w)
	}
	// "12 0 R" is a reference.
	if n := int(f); f == float64(n) && n > 0 && n < 1<<31 {
		before := l.at
		l.blank()
		if gen := l.word(); gen != "" && len(gen) <= 5 && number(gen) >= 0 && gen[0] >= '0' && gen[0] <= '9' {
			l.blank()
			if l.at < len(l.b) && l.b[l.at] == 'R' && (l.at+1 == len(l.b) || delimiter(l.b[l.at+1])) {
				l.at++
				return pdfRef(n)
			}
		}
		l.at = before
	}
	return f
}

func (l *pdfLexer) dict() pdfDict {
	l.depth++
	defer func() { l.depth-- }()
	d := pdfDict{}
	for l.at < len(l.b) {
		l.blank()
		if bytes.HasPrefix(l.b[l.at:], []byte(">>")) {
			l.at += 2
			break
		}
		key, ok := l.value().(pdfName)
		if !ok {
			continue
		}
		l.blank()
		if bytes.HasPrefix(l.b[l.at:], []byte(">>")) {
			continue
		}
		if v := l.value(); len(d) < 10_000 {
			d[key] = v
		}
	}
	return d
}

func (l *pdfLexer) literal() pdfString {
	var out []byte
	open := 0
	for ; l.at < len(l.b); l.at++ {
		switch c := l.b[l.at]; c {
		case '(':
			if open++; open > 1 {
				out = append(out, c)
			}
		case ')':
			if open--; open == 0 {
				l.at++
				return pdfString(out)
			}
			out = append(out, c)
		case '\\':
			l.at++
			if l.at >= len(l.b) {
				return pdfString(out)
			}
			switch c := l.b[l.at]; c {
			case 'n':
				out = append(out, '\n')
			case 'r':
				out = append(out, '\r')
			case 't':
				out = append(out, '\t')
			case 'b', 'f', '\n':
			case '\r':
				if l.at+1 < len(l.b) && l.b[l.at+1] == '\n' {
					l.at++
				}
			case '0', '1', '2', '3', '4', '5', '6', '7':
				n := 0
				for i := 0; i < 3 && l.at < len(l.b) && l.b[l.at] >= '0' && l.b[l.at] <= '7'; i++ {
					n = n*8 + int(l.b[l.at]-'0')
					l.at++
				}
				l.at--
				out = append(out, byte(n))
			default:
				out = append(out, c)
			}
		default:
			out = append(out, c)
		}
	}
	return pdfString(out)
}

// text decodes a text: UTF-16 or UTF-8 by its mark, else PDF's own encoding, which is as good as
// ISO 8859-1.
func (s pdfString) text() string {
	b := []byte(s)
	switch {
	case bytes.HasPrefix(b, []byte{0xfe, 0xff}), bytes.HasPrefix(b, []byte{0xff, 0xfe}):
		return decodeUTF16(b, true)
	case bytes.HasPrefix(b, []byte{0xef, 0xbb, 0xbf}):
		return string(b[3:])
	}
	return latin1(b)
}
