package query

import (
	"slices"
	"strings"

	"mediafs/remote"
	"mediafs/remote/terms"
)

// A subject is a media that is looked at, with what was worked out of it.
type subject struct {
	*remote.Media
	texts [][]string // words of everything that a plain word looks at
	plain []string   // the same texts, folded; made when a text without words is looked for
}

func (s *subject) facts() *remote.MediaFacts {
	if s.Facts == nil {
		return new(remote.MediaFacts)
	}
	return s.Facts
}

// names are the names of a media in its folders.
func (s *subject) names() []string {
	all := []string{s.Name}
	for _, p := range s.Paths {
		if n := p[strings.LastIndexByte(p, '/')+1:]; !slices.Contains(all, n) {
			all = append(all, n)
		}
	}
	return all
}

// short and long are the texts that a plain word looks at: exactly those whose words the index has.
func (s *subject) short() []string {
	f := s.facts()
	return slices.Concat(
		s.names(),
		s.Tags,
		[]string{
			s.Title, s.Creator, s.OriginalName, f.Album, f.AlbumArtist, f.Composer, f.Genre, f.Make, f.Model, f.Lens,
			f.City, f.Country, f.Label,
		},
	)
}

func (s *subject) long() []string { return []string{s.Description, s.facts().Comment} }

func (s *subject) allWords() [][]string {
	if s.texts == nil {
		s.texts = [][]string{}
		for _, t := range s.short() {
			s.texts = append(s.texts, terms.Words(t, terms.MaxWords))
		}
		for _, t := range s.long() {
			s.texts = append(s.texts, terms.Words(t, terms.LongWords))
		}
	}
	return s.texts
}

func (s *subject) allPlain() []string {
	if s.plain == nil {
		for _, t := range slices.Concat(s.short(), s.long()) {
			s.plain = append(s.plain, terms.Fold(t))
		}
	}
	return s.plain
}

// A text is what is looked for in texts: words that follow each other. Of one that is not quoted
// the last may go on. A text without words (!!!) is looked for sign by sign.
type text struct {
	written string
	quoted  bool
	words   []string
	signs   string // without words: folded
}

func makeText(s string, quoted bool) text {
	t := text{written: s, quoted: quoted, words: terms.Words(s, terms.LongWords)}
	if len(t.words) == 0 {
		t.signs = terms.Fold(s)
	}
	return t
}

// goesOn tells that word i stands for all that begin with it.
func (t text) goesOn(i int) bool {
	return i == len(t.words)-1 && (!t.quoted || terms.Open(t.words[i]))
}

func (t text) in(words []string) bool {
	for start := 0; start+len(t.words) <= len(words); start++ {
		all := true
		for i, w := range t.words {
			have := words[start+i]
			if all = have == w || t.goesOn(i) && strings.HasPrefix(have, w); !all {
				break
			}
		}
		if all {
			return true
		}
	}
	return false
}

// inAny tells whether it is in one of some texts.
func (t text) inAny(limit int, texts ...string) bool {
	return slices.ContainsFunc(texts, func(s string) bool {
		if len(t.words) == 0 {
			return s != "" && strings.Contains(terms.Fold(s), t.signs)
		}
		return s != "" && t.in(terms.Words(s, limit))
	})
}

func (e anyText) match(s *subject) bool {
	if len(e.words) == 0 {
		return slices.ContainsFunc(s.allPlain(), func(t string) bool { return strings.Contains(t, e.signs) })
	}
	return slices.ContainsFunc(s.allWords(), e.in)
}

func (e anyText) plan() plan { return e.planIn(terms.Word) }

// planIn asks for all of the words.
func (t text) planIn(kind terms.Kind) plan {
	var all allOf
	for i, w := range t.words {
		if t.goesOn(i) {
			all = append(all, beginning(kind, w))
		} else {
			all = append(all, leaf{{Kind: kind, From: w, To: w}})
		}
	}
	if len(all) == 0 {
		return everything{}
	}
	return all
}

// textValue asks a field of running text.
type textValue struct {
	text
	kind  terms.Kind // where its words are; 0: nowhere
	limit int
	of    func(*subject) []string
}

func (v textValue) match(s *subject) bool {
	if v.written == "" {
		return !slices.ContainsFunc(v.of(s), func(t string) bool { return t != "" })
	}
	return v.inAny(v.limit, v.of(s)...)
}

func (v textValue) plan() plan {
	if v.kind == 0 || v.written == "" {
		return everything{}
	}
	return v.planIn(v.kind)
}

// nameValue asks a field whose values are names: the whole value is compared, folded, or, with a
// star at the end, its beginning.
type nameValue struct {
	want   string // folded
	begins bool
	of     func(*subject) []string
	asks   func(v nameValue) plan
}

func makeName(s string, quoted bool) (v nameValue) {
	if cut, ok := strings.CutSuffix(s, "*"); ok && !quoted {
		s, v.begins = cut, true
	}
	v.want = terms.Fold(s)
	return v
}

func (v nameValue) is(s string) bool {
	s = terms.Fold(s)
	return s == v.want || v.begins && strings.HasPrefix(s, v.want)
}

func (v nameValue) match(s *subject) bool {
	if v.want == "" && !v.begins {
		return !slices.ContainsFunc(v.of(s), func(t string) bool { return t != "" })
	}
	return slices.ContainsFunc(v.of(s), func(t string) bool { return t != "" && v.is(t) })
}

func (v nameValue) plan() plan {
	if v.asks == nil || v.want == "" {
		return everything{}
	}
	return v.asks(v)
}

// byWords asks for the words of a name. A beginning may end in the middle of a word, and, in a
// script without spaces, of a pair.
func byWords(v nameValue) plan {
	t := makeText(v.want, !v.begins)
	t.words = t.words[:min(len(t.words), terms.MaxWords)]
	return t.planIn(terms.Word)
}

// byTerms asks for the terms of a kind that are meant, one after the other: for kinds of few terms.
// With them go spans where anything may be.
func byTerms(kind terms.Kind, also ...terms.Span) func(v nameValue) plan {
	return func(v nameValue) plan {
		return chosen{kind: kind, also: also, takes: v.is}
	}
}
