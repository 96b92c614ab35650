package engine

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"testing"

	"mediafs/cache/spool"
	"mediafs/remote/bucket/record"
)

// A model is a media as its head, with nothing but the sizes of what is sent for it.
type model struct {
	head    *record.Head
	content uint64
	written int64
	sent    int64
	most    int64 // at once
}

// write is a write and its close.
func (m *model) write(off, n int64) []piece {
	size := max(int64(m.head.Size), off+n)
	from := min(off, int64(m.head.Size))
	var dirty spool.Ranges
	dirty.Add(from, off+n-from)
	return m.close(&dirty, size)
}

func (m *model) close(dirty *spool.Ranges, size int64) []piece {
	ps := layPieces(m.head, dirty, []spool.Segment{{Length: size}}, size)
	ps = fit(ps, m.head, size)
	for _, s := range dirty.In(0, size) {
		m.written += s.Length
	}
	_, sent := sentRuns(ps)
	m.sent += sent
	m.most = max(m.most, sent)
	m.content++
	m.head = headOf(ps, size, binary.BigEndian.AppendUint64(nil, m.content))
	return ps
}

func (m *model) forget() { m.written, m.sent, m.most = 0, 0, 0 }

// n appends send at most four times their bytes, whatever their sizes, and whatever the file had
// before. Where many scattered edits leave few places it is at most eight times.
func TestAppendsSendLittle(t *testing.T) {
	var rnd *rand.Rand
	always := func(n int64) func() int64 { return func() int64 { return n } }
	n := 2000
	if testing.Short() {
		n = 400
	}
	for _, base := range []int64{0, 50, 1 << 20, 5 << 30} {
		for name, size := range map[string]func() int64{
			"1 B": always(1), "25 B": always(25), "4 KiB": always(4 << 10), "100 KiB": always(100 << 10), "1 MiB": always(1 << 20), "100 MiB": always(100 << 20),
			"lines of text": func() int64 { return 1 + rnd.Int64N(200) },
			"1 B to 1 MiB":  func() int64 { return 1 << rnd.IntN(20) },
			"rarely much": func() int64 {
				if rnd.IntN(50) == 0 {
					return 1 << 20
				}
				return 25
			},
		} {
			for _, edits := range []int{0, 10, 60} {
				if edits > 0 && base < 5<<30 {
					continue
				}
				rnd = rand.New(rand.NewPCG(1, 2)) // anew for each, whatever their order
				m := model{head: new(record.Head)}
				if base > 0 {
					m.write(0, base)
				}
				for range edits {
					m.write(rnd.Int64N(base-4096), 4096)
				}
				m.forget()
				for range n {
					m.write(int64(m.head.Size), size())
				}
				limit := 4 * m.written
				if edits > 10 {
					limit = 8*m.written + 1<<20
				}
				what := fmt.Sprintf("%d appends of %s to %d bytes with %d edits", n, name, base, edits)
				if m.sent > limit {
					t.Errorf("%s: %.2f times their bytes were sent", what, float64(m.sent)/float64(m.written))
				}
				if most := max(mergeUpTo, int64(m.head.Size)/mergeUpToPart) + 100<<20; edits <= 10 && m.most > most {
					t.Errorf("%s: %d bytes were sent at once", what, m.most)
				}
			}
		}
	}
}

// Many more appends cost little more each.
func TestManyMoreAppends(t *testing.T) {
	n := 20_000
	if testing.Short() {
		n = 4000
	}
	m := model{head: new(record.Head)}
	for range n {
		m.write(int64(m.head.Size), 25)
	}
	if m.sent > 4*m.written {
		t.Errorf("%.2f times their bytes were sent", float64(m.sent)/float64(m.written))
	}
}

// Edits all over a file send no multiple of the file, and never much more than a single one must.
func TestEditsOfALargeMedia(t *testing.T) {
	const size = 1 << 30
	rnd := rand.New(rand.NewPCG(3, 4))
	m := model{head: new(record.Head)}
	m.write(0, size)
	m.forget()
	for range 500 {
		m.write(rnd.Int64N(size-4096), 4096)
	}
	if m.most > 64<<20 {
		t.Errorf("%d bytes were sent for one edit of 4 KiB", m.most)
	}
}

// A plan has each byte once, either as it is sent or where the store has it; nothing else shows,
// and holes stay holes but between what is merged.
func TestPlansKeepTheBytes(t *testing.T) {
	for seed := range uint64(20) {
		rnd := rand.New(rand.NewPCG(seed, 5))
		contents := map[string][]byte{}
		m := model{head: new(record.Head)}
		var want []byte
		for step := range 300 {
			var dirty spool.Ranges
			for range 1 + rnd.IntN(3) {
				off, n := rnd.IntN(len(want)+1), 1+rnd.IntN(1000)
				switch rnd.IntN(8) {
				case 0: // cut
					dirty.Cut(int64(off))
					want = want[:off:off]
				case 1: // extended, or written beyond the end
					dirty.Add(int64(len(want)), int64(n))
					want = append(want, make([]byte, n)...)
				case 2, 3, 4:
					off = len(want)
					fallthrough
				default:
					want = append(want, make([]byte, max(off+n-len(want), 0))...)
					for i := off; i < off+n; i++ {
						want[i] = byte(rnd.Uint32())
					}
					dirty.Add(int64(off), int64(n))
				}
			}
			size := int64(len(want))
			ps := m.close(&dirty, size)
			if len(ps) > record.MaxExtents {
				t.Fatalf("step %d: %d extents", step, len(ps))
			}
			var content []byte
			runs, _ := sentRuns(ps)
			for _, s := range runs {
				content = append(content, want[s.Offset:s.End()]...)
			}
			contents[string(binary.BigEndian.AppendUint64(nil, m.content))] = content
			got := make([]byte, size)
			end := uint64(0)
			for _, e := range m.head.Extents {
				c := contents[string(e.Content)]
				if e.Offset < end || e.Length == 0 || e.Offset+e.Length > m.head.Size ||
					e.ContentOffset+e.Length > uint64(len(c)) {
					t.Fatalf("step %d: extents %v", step, m.head.Extents)
				}
				copy(got[e.Offset:], c[e.ContentOffset:][:e.Length])
				end = e.Offset + e.Length
			}
			if string(got) != string(want) {
				t.Fatalf("seed %d, step %d: it holds other bytes", seed, step)
			}
		}
	}
}

// What a small media sends: an edit all of it, so that it stays one content; what is appended to
// it, cut off it or punched out of it no more than that.
func TestPlansOfSmallMedia(t *testing.T) {
	whole := func(n int64) *record.Head {
		return &record.Head{Size: uint64(n), Extents: []*record.Extent{{Length: uint64(n), Content: []byte("a")}}}
	}
	parts := &record.Head{
		Size: 1000,
		Extents: []*record.Extent{
			{Length: 500, Content: []byte("a")},
			{Offset: 500, Length: 500, Content: []byte("b")},
		},
	}
	for name, c := range map[string]struct {
		head   *record.Head
		dirty  []spool.Segment
		size   int64
		wholly bool
	}{
		"edit":                  {whole(1000), []spool.Segment{{Offset: 10, Length: 20}}, 1000, true},
		"edit of parts":         {parts, []spool.Segment{{Offset: 10, Length: 20}}, 1000, false},
		"append":                {whole(1000), []spool.Segment{{Offset: 1000, Length: 20}}, 1020, false},
		"append of much":        {whole(1000), []spool.Segment{{Offset: 1000, Length: 16000}}, 17000, true},
		"end replaced":          {whole(1000), []spool.Segment{{Offset: 990, Length: 30}}, 1020, false},
		"cut":                   {whole(1000), nil, 900, false},
		"cut to little":         {whole(1000), nil, 400, true},
		"all but little edited": {parts, []spool.Segment{{Offset: 0, Length: 950}}, 1000, true},
	} {
		var dirty spool.Ranges
		for _, s := range c.dirty {
			dirty.Add(s.Offset, s.Length)
		}
		ps := layPieces(c.head, &dirty, []spool.Segment{{Length: c.size}}, c.size)
		if got := wholePays(ps, c.head, c.size); got != c.wholly {
			t.Errorf("%s: sent as a whole: %v", name, got)
		}
	}
}
