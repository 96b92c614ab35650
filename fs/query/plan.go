package query

import (
	"iter"
	"slices"
	"strings"

	"mediafs/remote/terms"
)

// An Index tells under which terms media are found (package terms). It may tell of media that do not have a term, and must not leave out one that has it. What it gives is in
// use until the search ends. The transactions of cache/catalog are one.
type Index interface {
	// Terms yields the terms of a kind that begin with prefix, ascending.
	Terms(kind terms.Kind, prefix string) iter.Seq[string]
	// Postings yields terms from one to another, both included, and their nodes; ascending by term, then by node.
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
	// open gives nil when everything is meant, or, where others narrows it down anyway, when more than a search should read would be.
	open(x Index, others bool) stream
}

// A stream finds the least node from at on; it is asked in ascending order.
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

// How much a search reads of the index before it looks at media. A step through the index takes about half a microsecond, opening a cursor ten, a seek three, a look at a media
// twenty and more.
const (
	maxCursors = 16      // for the terms of one leaf; more are read whole
	maxAside   = 300_000 // postings that are read whole where something else narrows the search down as well
	maxChosen  = 1000    // terms of a kind of few terms
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

func (everything) open(Index, bool) stream { return nil }

// open of all opens what is cheap first: then the others need not be opened at any cost.
func (p allOf) open(x Index, others bool) stream {
	var list []stream
	for _, cheap := range []bool{true, false} {
		for _, q := range p {
			if isCheap(q) != cheap {
				continue
			}
			if s := q.open(x, others || len(list) > 0); s != nil {
				list = append(list, s)
			}
		}
	}
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

func isCheap(p plan) bool {
	l, ok := p.(leaf)
	return ok && !slices.ContainsFunc(l, func(s terms.Span) bool { return s.From != s.To })
}

func (p anyOf) open(x Index, _ bool) stream {
	var list []stream
	for _, q := range p {
		s := q.open(x, false)
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

func (p chosen) open(x Index, others bool) stream {
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
	return spans.open(x, others)
}

func (p leaf) open(x Index, others bool) stream {
	var single, wide []terms.Span
	for _, s := range p {
		if s.From == s.To {
			single = append(single, s)
			continue
		}
		few := fewTerms(x, s, maxCursors-len(single))
		if few == nil {
			wide = append(wide, s)
		}
		for _, t := range few {
			single = append(single, terms.Span{Kind: s.Kind, From: t, To: t})
		}
	}
	if len(single) > maxCursors {
		single, wide = nil, append(wide, single...)
	}
	var nodes []uint64
	for _, s := range wide {
		for _, n := range x.Postings(s.Kind, s.From, s.To) {
			if nodes = append(nodes, n); others && len(nodes) > maxAside {
				return nil
			}
		}
	}
	list := []stream{sorted(nodes)}
	for _, s := range single {
		list = append(list, x.Cursor(s.Kind, s.From))
	}
	return least(list)
}

// fewTerms lists the terms of a span when they are at most limit; else nil. Only texts may be few: the terms of others are as many as there are values.
func fewTerms(x Index, s terms.Span, limit int) []string {
	prefix := s.From
	if limit <= 0 || s.To != prefix+"\xff" {
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
	i := 0
	return func(at uint64) (uint64, bool) {
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
