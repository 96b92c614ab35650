package query

import (
	"context"
	"math"
	"slices"

	"mediafs/remote"
	"mediafs/remote/terms"
)

// lookEvery is how many media are looked at between two looks at the context.
const lookEvery = 64

// Run finds the media that q means, by ascending node from the first greater than after, each once,
// and yields each as it is found until yield says false. load reads a media; it is false for a node
// that is none, or is in the trash. An error is that of ctx.
//
// What the index can tell is asked of it, and each media that it names is loaded and looked at. A
// query with nothing in it that the index knows looks at all media.
func Run(
	ctx context.Context, x Index, load func(node uint64) (*remote.Media, bool), q *Query, after uint64,
	yield func(*remote.Media) bool,
) error {
	if after == math.MaxUint64 {
		return nil
	}
	n := 0
	var err error
	look := func(node uint64) (more bool) {
		if n++; n%lookEvery == 0 && ctx.Err() != nil {
			err = remote.E("search", q.String(), remote.KindOf(ctx.Err()), context.Cause(ctx))
			return false
		}
		m, ok := load(node)
		return !ok || !q.Match(m) || yield(m)
	}
	s := q.top.plan().open(x, never)
	if s == nil {
		for node := range x.Nodes(after + 1) {
			if !look(node) {
				break
			}
		}
		return err
	}
	for at := after + 1; ; {
		node, ok := s(at)
		if !ok || !look(node) || node == math.MaxUint64 {
			return err
		}
		at = node + 1
	}
}

func never() bool { return false }

// fewLatest is how many media are sorted by Latest; more are found in the order of the index. A
// variable: tests make it small.
var fewLatest = 5000

// Latest finds what Run finds, the media that came last into the library first; of those that came
// in the same second, the greatest node first.
func Latest(
	ctx context.Context, x Index, load func(node uint64) (*remote.Media, bool), q *Query,
	yield func(*remote.Media) bool,
) error {
	var few []uint64
	s := q.top.plan().open(x, never)
	if s != nil {
		few = []uint64{}
		for at := uint64(0); ; {
			node, ok := s(at)
			if !ok {
				break
			}
			if few = append(few, node); len(few) > fewLatest {
				few = nil
				break
			}
			at = node + 1
		}
	}
	n := 0
	var err error
	stopped := func() bool {
		if n++; n%lookEvery == 0 && ctx.Err() != nil {
			err = remote.E("search", q.String(), remote.KindOf(ctx.Err()), context.Cause(ctx))
		}
		return err != nil
	}
	if few == nil {
		for term, node := range x.PostingsDown(terms.Added, terms.Time(math.MinInt64), terms.Time(math.MaxInt64)) {
			if stopped() {
				return err
			}
			if s != nil { // asking the index is cheaper than a look
				if n, ok := s(node); !ok || n != node {
					continue
				}
			}
			m, ok := load(node)
			if ok && q.Match(m) && terms.Time(added(m)) == term && !yield(m) {
				return nil
			}
		}
		return nil
	}
	var found []*remote.Media
	for _, node := range few {
		if stopped() {
			return err
		}
		if m, ok := load(node); ok && q.Match(m) {
			found = append(found, m)
		}
	}
	slices.SortFunc(found, func(a, b *remote.Media) int {
		if x, y := added(a), added(b); x != y {
			if x > y {
				return -1
			}
			return 1
		}
		if a.Node > b.Node {
			return -1
		}
		return 1
	})
	for _, m := range found {
		if !yield(m) {
			return nil
		}
	}
	return nil
}

// added is when a media came, as the index has it: a media of which that is not known came in 1970.
func added(m *remote.Media) int64 {
	if m.Uploaded.IsZero() {
		return 0
	}
	return m.Uploaded.Unix()
}
