package query

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"mediafs/remote"
)

// A Query says which media are meant. It does not change and may be used by several goroutines.
type Query struct {
	top        expr
	hidden     bool // it says something of hidden
	incomplete bool // it says something of status
}

// An expr is a part of a query.
type expr interface {
	match(s *subject) bool
	// print writes it so that it is read again as the same within an and.
	print(b *strings.Builder)
	plan() plan
}

type (
	both    []expr // all of them; none: everything
	either  []expr // one of them, at least
	negated struct{ expr }
	anyText struct{ text } // a word or phrase in any text
	about   struct {       // field:value
		field  *field
		value  string
		quoted bool
		is     value
	}
)

// A value is what a field is asked for.
type value interface {
	match(s *subject) bool
	plan() plan
}

const (
	maxQuery = 4096 // bytes: as long as a path
	maxDepth = 50   // parentheses and nots in each other
)

// Parse reads a query. The error says where it makes no sense, and what would.
func Parse(text string) (*Query, error) {
	if len(text) > maxQuery {
		return nil, remote.E("read query", "", remote.TooLong, fmt.Errorf("%d bytes, at most %d", len(text), maxQuery))
	}
	p := &parser{text: text}
	top, err := p.either()
	if err == nil && p.at < len(text) {
		err = p.wrong(p.at, "a closing parenthesis that closes nothing")
	}
	if err != nil {
		return nil, err
	}
	q := &Query{top: top}
	q.look(top)
	return q, nil
}

// look finds out of what the query speaks.
func (q *Query) look(e expr) {
	switch e := e.(type) {
	case both:
		for _, x := range e {
			q.look(x)
		}
	case either:
		for _, x := range e {
			q.look(x)
		}
	case negated:
		q.look(e.expr)
	case about:
		q.hidden = q.hidden || e.field.name == "hidden"
		q.incomplete = q.incomplete || e.field.name == "status"
	}
}

// String is the query in its plainest form: Parse reads it as the same query.
func (q *Query) String() string {
	var b strings.Builder
	q.top.print(&b)
	s := b.String()
	if _, ok := q.top.(either); ok {
		s = s[1 : len(s)-1]
	}
	return s
}

// Match tells whether a media is meant. Hidden and incomplete media are not, unless the query
// speaks of hidden or status.
func (q *Query) Match(m *remote.Media) bool {
	if m.Hidden && !q.hidden || m.Status == remote.StatusIncomplete && !q.incomplete {
		return false
	}
	return q.top.match(&subject{Media: m})
}

func (e both) match(s *subject) bool {
	return !slices.ContainsFunc(e, func(x expr) bool { return !x.match(s) })
}

func (e either) match(s *subject) bool {
	return slices.ContainsFunc(e, func(x expr) bool { return x.match(s) })
}

func (e negated) match(s *subject) bool { return !e.expr.match(s) }

func (e about) match(s *subject) bool { return e.is.match(s) }
func (e about) plan() plan            { return e.is.plan() }

func (e both) print(b *strings.Builder) {
	for i, x := range e {
		if i > 0 {
			b.WriteByte(' ')
		}
		x.print(b)
	}
}

func (e either) print(b *strings.Builder) {
	b.WriteByte('(')
	for i, x := range e {
		if i > 0 {
			b.WriteString(" or ")
		}
		if x, ok := x.(both); ok && len(x) == 0 {
			b.WriteString("()") // everything
		}
		x.print(b)
	}
	b.WriteByte(')')
}

func (e negated) print(b *strings.Builder) {
	b.WriteString("not ")
	if several, ok := e.expr.(both); ok {
		b.WriteByte('(')
		several.print(b)
		b.WriteByte(')')
		return
	}
	e.expr.print(b)
}

func (e anyText) print(b *strings.Builder) { printValue(b, e.written, e.quoted) }

func (e about) print(b *strings.Builder) {
	b.WriteString(e.field.name)
	b.WriteByte(':')
	printValue(b, e.value, e.quoted)
}

func printValue(b *strings.Builder, s string, quoted bool) {
	if !quoted {
		b.WriteString(s)
		return
	}
	b.WriteByte('"')
	for i := range len(s) {
		if s[i] == '"' || s[i] == '\\' {
			b.WriteByte('\\')
		}
		b.WriteByte(s[i])
	}
	b.WriteByte('"')
}

// A parser reads a text from at on.
type parser struct {
	text  string
	at    int
	depth int
}

func (p *parser) wrong(at int, format string, a ...any) error {
	return remote.E(
		"read query", fmt.Sprintf("%q", p.text), remote.Invalid,
		fmt.Errorf("at sign %d: %s", utf8.RuneCountInString(p.text[:at])+1, fmt.Sprintf(format, a...)),
	)
}

func isSpace(c byte) bool { return c == ' ' || c == '\t' || c == '\n' || c == '\r' }

// raw is the text from at on up to a space, a parenthesis or a quotation mark.
func (p *parser) raw() string {
	end := p.at
	for end < len(p.text) && !isSpace(p.text[end]) && !strings.ContainsRune(`()"`, rune(p.text[end])) {
		end++
	}
	return p.text[p.at:end]
}

// operator takes and, or or not if it comes next, in any case.
func (p *parser) operator(name string) bool {
	p.space()
	if w := p.raw(); strings.EqualFold(w, name) {
		p.at += len(w)
		return true
	}
	return false
}

func (p *parser) space() {
	for p.at < len(p.text) && isSpace(p.text[p.at]) {
		p.at++
	}
}

func (p *parser) ended() bool {
	p.space()
	return p.at == len(p.text) || p.text[p.at] == ')'
}

func (p *parser) either() (expr, error) {
	var list either
	for {
		p.space()
		start := p.at
		e, err := p.both()
		if err != nil {
			return nil, err
		}
		nothing := p.at == start
		more := p.operator("or")
		if nothing && (more || len(list) > 0) {
			return nil, p.wrong(start, "or stands between two things")
		}
		if inner, ok := e.(either); ok {
			list = append(list, inner...)
		} else {
			list = append(list, e)
		}
		if !more {
			break
		}
	}
	if len(list) == 1 {
		return list[0], nil
	}
	return list, nil
}

func (p *parser) both() (expr, error) {
	list := both{}
	for !p.ended() {
		at := p.at
		if p.operator("or") {
			p.at = at
			break
		}
		if p.operator("and") && (len(list) == 0 || p.ended()) {
			return nil, p.wrong(at, "and stands between two things")
		}
		e, err := p.one()
		if err != nil {
			return nil, err
		}
		if inner, ok := e.(both); ok {
			list = append(list, inner...)
		} else {
			list = append(list, e)
		}
	}
	if len(list) == 1 {
		return list[0], nil
	}
	return list, nil
}

func (p *parser) one() (expr, error) {
	if p.depth++; p.depth > maxDepth {
		return nil, p.wrong(p.at, "more than %d parentheses and nots in each other", maxDepth)
	}
	defer func() { p.depth-- }()
	p.space()
	at := p.at
	minus := strings.HasPrefix(p.raw(), "-") && len(p.raw()) > 1 || strings.HasPrefix(p.text[at:], `-"`) ||
		strings.HasPrefix(p.text[at:], "-(")
	switch {
	case minus:
		p.at++
	case !p.operator("not"):
		return p.term()
	}
	if p.ended() {
		return nil, p.wrong(at, "not stands before something")
	}
	e, err := p.one()
	if err != nil {
		return nil, err
	}
	return negated{e}, nil
}

func (p *parser) term() (expr, error) {
	p.space()
	at := p.at
	switch p.text[at] {
	case '(':
		p.at++
		e, err := p.either()
		if err != nil {
			return nil, err
		}
		if p.at == len(p.text) {
			return nil, p.wrong(at, "a parenthesis that is not closed")
		}
		p.at++
		return e, nil
	case '"':
		s, err := p.quote()
		if err != nil {
			return nil, err
		}
		if s == "" {
			return nil, p.wrong(at, "nothing between quotation marks")
		}
		return anyText{makeText(s, true)}, nil
	}
	w := p.raw()
	for _, op := range []string{"and", "or", "not"} {
		if strings.EqualFold(w, op) {
			return nil, p.wrong(
				at, "%s stands between or before things; put the word %q in quotation marks to look for it", op, w,
			)
		}
	}
	name, _, ok := strings.Cut(w, ":")
	if !ok {
		p.at += len(w)
		return anyText{makeText(w, false)}, nil
	}
	f := fieldOf(name)
	if f == nil {
		return nil, p.wrong(
			at, "there is no field %q; put it in quotation marks to look for the text, or use one of %s", name,
			strings.Join(Fields(), ", "),
		)
	}
	p.at += len(name) + 1
	e := about{field: f, value: p.raw()}
	var err error
	switch {
	case e.value != "":
		p.at += len(e.value)
	case p.at < len(p.text) && p.text[p.at] == '"':
		e.quoted = true
		if e.value, err = p.quote(); err != nil {
			return nil, err
		}
	default:
		return nil, p.wrong(at, "%s: says no value; %s", f.name, f.takes())
	}
	if e.is, err = f.read(e.value, e.quoted); err != nil {
		return nil, p.wrong(at, "%s: %v; %s", f.name, err, f.takes())
	}
	return e, nil
}

// quote reads what is between quotation marks; a backslash takes away the meaning of the next sign.
func (p *parser) quote() (string, error) {
	start := p.at
	var b strings.Builder
	for p.at++; p.at < len(p.text); p.at++ {
		switch c := p.text[p.at]; c {
		case '"':
			p.at++
			return b.String(), nil
		case '\\':
			if p.at++; p.at == len(p.text) {
				return "", p.wrong(start, "a quotation mark without its other one")
			}
			b.WriteByte(p.text[p.at])
		default:
			b.WriteByte(c)
		}
	}
	return "", p.wrong(start, "a quotation mark without its other one")
}

var errEmpty = errors.New("an empty value")
