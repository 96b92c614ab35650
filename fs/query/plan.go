package query

import (
	"iter"
	"slices"
	"strings"

	"mediafs/remote/terms"
)

// An Index tells under which terms media are found (package terms). It may tell of media that do
// not have a term, and must not leave out one that has it. What it gives is in use until the search
// ends. The transactions of cache/catalog are one.
type Index interface {
	// Terms yields the terms of a kind that begin with prefix, ascending.
	Terms(kind terms.Kind, prefix string) iter.Seq[string]
	// Postings yields terms from one to another, both included, and their nodes; ascending by term,
	// then by node.
	Postings(kind terms.Kind, from, to string) iter.Seq2[string, uint64]
	// PostingsDown is Postings backwards.
	PostingsDown(kind terms.Kind, from, to string) iter.Seq2[string, uint64]
	// Cursor gives a function that finds the least node of a term from at on.
	Cursor(kind terms.Kind, term string) func(at uint64) (node uint64, ok bool)
	// Nodes yields all nodes that may be media from one on, ascending.
	Nodes(from uint64) iter.Seq[uint64]
}

// A plan says which media a part of a query can mean at all. A stream of it gives them ascending.
type plan interface {
	// open gives nil when everything is meant. few tells whether others leave so few media that it
	// is better to look at these than to read much of the index: then it may give nil as well. It
	// costs something and is asked only before much is read.
	open(x Index, few func() bool) stream
}

// A stream finds the least node from at on; it is fastest in ascending order.
type stream func(at uint64) (node uint64, ok bool)

type (
	everything struct{}
	allOf      []plan
	anyOf      []plan
	leaf       []terms.Span // any of them
	chosen     struct {     // the terms of a kind that takes tells of, and other spans
		kind  terms.Kind
		takes func(term string) bool
		also  []terms.Span
	}
)

// How much a search reads of the index before it looks at media. A step through the index takes
// about half a microsecond, opening a cursor ten, a seek three, a look at a media twenty and more.
const (
	maxCursors = 16   // for the terms of one leaf; more are read whole
	maxFew     = 2000 // media that are looked at rather than a span of the index is read whole
	maxChosen  = 1000 // terms of a kind of few terms
)

// plan of parts.
func (e both) plan() plan {
	var all allOf
	for _, x := range e {
		all = append(all, x.plan())
	}
	return all
}

func (e either) plan() plan {
	var any anyOf
	for _, x := range e {
		any = append(any, x.plan())
	}
	return any
}

func (e negated) plan() plan { return everything{} }

// beginning is all terms that begin with prefix. No byte of UTF-8 is 0xff.
func beginning(kind terms.Kind, prefix string) plan {
	return leaf{{Kind: kind, From: prefix, To: prefix + "\xff"}}
}

// isBeginning tells that a span is one of beginning.
func isBeginning(s terms.Span) bool { return s.To == s.From+"\xff" }

func (everything) open(Index, func() bool) stream { return nil }

// open of all opens first what costs least: it may leave few.
func (p allOf) open(x Index, few func() bool) stream {
	parts := p.flat(nil)
	slices.SortStableFunc(parts, func(a, b plan) int { return cost(a) - cost(b) })
	var list []stream
	for _, q := range parts {
		s := q.open(x, func() bool { return few() || leavesFew(common(list)) })
		if s != nil {
			list = append(list, s)
		}
	}
	return common(list)
}

// flat is all parts, also those of parts.
func (p allOf) flat(parts []plan) []plan {
	for _, q := range p {
		if inner, ok := q.(allOf); ok {
			parts = inner.flat(parts)
		} else {
			parts = append(parts, q)
		}
	}
	return parts
}

// cost orders plans: single terms, then what looks for terms first, then what reads many.
func cost(p plan) int {
	l, ok := p.(leaf)
	switch {
	case !ok:
		return 1
	case slices.ContainsFunc(l, func(s terms.Span) bool { return s.From != s.To && !isBeginning(s) }):
		return 2
	case slices.ContainsFunc(l, func(s terms.Span) bool { return s.From != s.To }):
		return 1
	}
	return 0
}

// leavesFew tells whether a stream (nil: everything) has at most maxFew nodes.
func leavesFew(s stream) bool {
	if s == nil {
		return false
	}
	at := uint64(0)
	for range maxFew {
		node, ok := s(at)
		if !ok {
			return true
		}
		at = node + 1
	}
	return false
}

// common is what all streams have; nil for none.
func common(list []stream) stream {
	switch len(list) {
	case 0:
		return nil
	case 1:
		return list[0]
	}
	return func(at uint64) (uint64, bool) {
		for i := 0; i < len(list); {
			n, ok := list[i](at)
			if !ok {
				return 0, false
			}
			if n > at && i > 0 {
				at, i = n, 0
				continue
			}
			at = n
			i++
		}
		return at, true
	}
}

func (p anyOf) open(x Index, few func() bool) stream {
	var list []stream
	for _, q := range p {
		s := q.open(x, few)
		if s == nil {
			return nil
		}
		list = append(list, s)
	}
	return least(list)
}

// least joins streams.
func least(list []stream) stream {
	if len(list) == 1 {
		return list[0]
	}
	return func(at uint64) (node uint64, ok bool) {
		for _, s := range list {
			if n, found := s(at); found && (!ok || n < node) {
				node, ok = n, true
			}
		}
		return node, ok
	}
}

func (p chosen) open(x Index, few func() bool) stream {
	spans := leaf(slices.Clone(p.also))
	n := 0
	for t := range x.Terms(p.kind, "") {
		if n++; n > maxChosen {
			return nil
		}
		if len(t) == terms.MaxText || p.takes(t) { // one that was cut may be meant
			spans = append(spans, terms.Span{Kind: p.kind, From: t, To: t})
		}
	}
	return spans.open(x, few)
}

func (p leaf) open(x Index, few func() bool) stream {
	var single, wide []terms.Span
	for _, s := range p {
		if s.From == s.To {
			single = append(single, s)
			continue
		}
		list := fewTerms(x, s, maxCursors-len(single))
		if list == nil {
			wide = append(wide, s)
		}
		for _, t := range list {
			single = append(single, terms.Span{Kind: s.Kind, From: t, To: t})
		}
	}
	if len(single) > maxCursors {
		single, wide = nil, append(wide, single...)
	}
	if len(wide) > 0 && few() {
		return nil
	}
	var nodes []uint64
	for _, s := range wide {
		for _, n := range x.Postings(s.Kind, s.From, s.To) {
			nodes = append(nodes, n)
		}
	}
	list := []stream{sorted(nodes)}
	for _, s := range single {
		list = append(list, x.Cursor(s.Kind, s.From))
	}
	return least(list)
}

// fewTerms lists the terms of a span when they are at most limit; else nil. Only texts may be few:
// the terms of others are as many as there are values.
func fewTerms(x Index, s terms.Span, limit int) []string {
	prefix := s.From
	if limit <= 0 || !isBeginning(s) {
		return nil
	}
	list := []string{}
	for t := range x.Terms(s.Kind, prefix) {
		if len(list) == limit {
			return nil
		}
		list = append(list, strings.Clone(t))
	}
	return list
}

// sorted is a stream of a list.
func sorted(nodes []uint64) stream {
	slices.Sort(nodes)
	i, asked := 0, uint64(0)
	return func(at uint64) (uint64, bool) {
		if at < asked {
			i = 0
		}
		asked = at
		for step := 1; i < len(nodes) && nodes[i] < at; {
			// Steps that double, then a search in between.
			if i+step < len(nodes) && nodes[i+step] < at {
				i += step
				step *= 2
				continue
			}
			j, _ := slices.BinarySearch(nodes[i:min(i+step+1, len(nodes))], at)
			i += max(j, 1)
			step = 1
		}
		if i == len(nodes) {
			return 0, false
		}
		return nodes[i], true
	}
}
