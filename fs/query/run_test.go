package query

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"
	"math/rand/v2"
	"slices"
	"sort"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	"mediafs/cache/catalog/index"
	"mediafs/fs/media"
	"mediafs/remote"
	"mediafs/remote/bucket/record"
	"mediafs/remote/terms"
)

// A posting is a term of a media in a library in memory.
type posting struct {
	index.Posting
	node uint64
}

func compare(a, b posting) int {
	return cmp.Or(cmp.Compare(a.Kind, b.Kind), strings.Compare(a.Term, b.Term), cmp.Compare(a.node, b.node))
}

// A library is media in memory, with the index that a catalog has of their records.
type library struct {
	media    map[uint64]*remote.Media
	nodes    []uint64
	postings []posting
	read     int // postings
	loads    int
}

func (l *library) add(p media.Parts) {
	m := media.Assemble(p)
	l.media[p.Node] = m
	l.nodes = append(l.nodes, p.Node)
	var all []index.Posting
	for _, n := range p.Names {
		all = append(all, index.OfName(n[strings.LastIndexByte(n, '/')+1:], &record.Dentry{Kind: 8})...)
	}
	all = slices.Concat(
		all, index.OfNode(p.Rec), index.OfPending(p.Rec, p.Facts), index.OfFacts(p.Facts), index.OfMedia(p.Edits),
	)
	if p.Attached != nil {
		p.Attached(func(kind byte, which, value []byte) bool {
			list, _ := index.OfAttached(kind, which, value)
			all = append(all, list...)
			return true
		})
	}
	for _, x := range all {
		l.postings = append(l.postings, posting{x, p.Node})
	}
}

func (l *library) ready() {
	slices.SortFunc(l.postings, compare)
	l.postings = slices.Compact(l.postings)
	slices.Sort(l.nodes)
}

func (l *library) Terms(kind terms.Kind, prefix string) iter.Seq[string] {
	return func(yield func(string) bool) {
		last := "\xff\xff"
		for _, p := range l.postings {
			if p.Kind == kind && strings.HasPrefix(p.Term, prefix) && p.Term != last {
				if last = p.Term; !yield(last) {
					return
				}
			}
		}
	}
}

func (l *library) between(kind terms.Kind, from, to string) []posting {
	i, _ := slices.BinarySearchFunc(l.postings, posting{index.Posting{Kind: kind, Term: from}, 0}, compare)
	j := sort.Search(len(l.postings), func(i int) bool {
		p := l.postings[i]
		return p.Kind > kind || p.Kind == kind && p.Term > to
	})
	return l.postings[i:max(i, j)]
}

func (l *library) Postings(kind terms.Kind, from, to string) iter.Seq2[string, uint64] {
	return func(yield func(string, uint64) bool) {
		for _, p := range l.between(kind, from, to) {
			l.read++
			if !yield(p.Term, p.node) {
				return
			}
		}
	}
}

func (l *library) PostingsDown(kind terms.Kind, from, to string) iter.Seq2[string, uint64] {
	return func(yield func(string, uint64) bool) {
		for _, p := range slices.Backward(l.between(kind, from, to)) {
			if !yield(p.Term, p.node) {
				return
			}
		}
	}
}

func (l *library) Cursor(kind terms.Kind, term string) func(at uint64) (uint64, bool) {
	list := l.between(kind, term, term)
	return func(at uint64) (uint64, bool) {
		l.read++
		i := sort.Search(len(list), func(i int) bool { return list[i].node >= at })
		if i == len(list) {
			return 0, false
		}
		return list[i].node, true
	}
}

func (l *library) Nodes(from uint64) iter.Seq[uint64] {
	return func(yield func(uint64) bool) {
		for _, n := range l.nodes {
			if n >= from && !yield(n) {
				return
			}
		}
	}
}

func (l *library) load(node uint64) (*remote.Media, bool) {
	l.loads++
	m := l.media[node]
	return m, m != nil
}

func (l *library) run(t *testing.T, q *Query, after uint64, limit int) (nodes []uint64) {
	t.Helper()
	err := Run(t.Context(), l, l.load, q, after, func(m *remote.Media) bool {
		nodes = append(nodes, m.Node)
		return len(nodes) != limit
	})
	if err != nil {
		t.Fatal(err)
	}
	return nodes
}

// randomParts makes the records of a media out of few words, so that queries of the same words find
// some.
func randomParts(rnd *rand.Rand, node uint64) media.Parts {
	pick := func(list ...string) string { return list[rnd.IntN(len(list))] }
	maybe := func(list ...string) string {
		if rnd.IntN(2) == 0 {
			return ""
		}
		return pick(list...)
	}
	words := []string{"sea", "Sunset", "sun", "Été", "golden gate", "東京都", "b"}
	date := func() *record.Date {
		if rnd.IntN(2) == 0 {
			return nil
		}
		d := &record.Date{Time: &record.Time{Seconds: 1546300800 + rnd.Int64N(5*365*86400)}}
		if rnd.IntN(2) == 0 {
			d.Zone = proto.Int32(int32(rnd.IntN(24*60) - 720))
		}
		return d
	}
	place := func() *record.Place {
		if rnd.IntN(2) == 0 {
			return nil
		}
		return &record.Place{Latitude: int32(rnd.IntN(180e7) - 90e7), Longitude: int32(rnd.IntN(360e7) - 180e7)}
	}
	n := &record.Node{
		Mode:  0o100644,
		Btime: &record.Time{Seconds: 1.6e9 + rnd.Int64N(100)*3600},
		Uid:   uint32(rnd.IntN(3)),
		Head:  &record.Head{Size: rnd.Uint64N(1 << rnd.IntN(34))},
	}
	p := media.Parts{ID: append(make([]byte, 15), byte(node)), Node: node, Rec: n}
	for range 1 + rnd.IntN(2) {
		p.Names = append(
			p.Names, "/"+pick("a", "Photos", "2024")+"/"+pick(words...)+pick(".jpg", ".MP4", "", ".tar.gz"),
		)
	}
	if rnd.IntN(3) > 0 {
		p.Facts = &record.Facts{
			Head:     index.HeadSum(n.Head),
			Title:    maybe(words...),
			Type:     pick("image/jpeg", "video/mp4", "application/pdf"),
			Class:    pick("image", "video", ""),
			Model:    maybe("EOS R5", "X100"),
			Make:     maybe("Canon"),
			Taken:    date(),
			Place:    place(),
			Year:     int32(rnd.IntN(2) * 2020),
			Rating:   uint32(rnd.IntN(12)),
			Keywords: []string{pick(words...)},
			Duration: float64(rnd.IntN(200)),
			Width:    uint32(rnd.IntN(5000)),
			Comment:  maybe(words...),
			Genre:    maybe("Rock", "Jazz"),
			Album:    maybe(words...),
		}
	}
	if rnd.IntN(2) == 0 {
		p.Edits = &record.Media{
			Title:    maybe(words...),
			Taken:    date(),
			Place:    place(),
			Type:     maybe("audio/mpeg", "image/png"),
			Hidden:   rnd.IntN(5) == 0,
			Language: maybe("de", "en"),
			Privacy:  maybe("public"),
		}
		if rnd.IntN(2) == 0 {
			p.Edits.Tags = &record.Tags{Tag: []string{pick(words...), pick("❤", "Sea side")}}
			p.Edits.Rating, p.Edits.Status, p.Edits.Moderation = proto.Uint32(
				uint32(rnd.IntN(12)),
			), proto.Int32(
				int32(rnd.IntN(6)),
			), proto.Int32(
				int32(rnd.IntN(5)-1),
			)
		}
	}
	if rnd.IntN(3) == 0 {
		user, text := pick("ann", "Bob"), pick(words...)
		p.Attached = func(yield func(kind byte, which, value []byte) bool) {
			c, _ := proto.Marshal(&record.Comment{Text: text, User: user})
			_ = yield(record.AttachedComment, []byte{0, 0, 0, 0, 0, 0, 0, 1}, c) &&
				yield(record.AttachedFavorite, []byte(user), []byte{})
		}
	}
	return p
}

var atoms = []string{
	"sea", "su", "sun", "sunset", `"sun"`, "été", `"golden gate"`, "gate", "東", "京都", `"京"`, "b", "❤", "jpg", "tar.gz",
	"canon", "title:sun", `title:""`, "tag:sea", "tag:s*", `tag:"❤"`, `tag:"Sea side"`, "name:sun", "album:sea",
	"comment:sun", "camera:eos", "type:image", "type:jpeg", "type:video/mp4", "type:p*", "class:image", "class:video",
	"class:audio", "ext:jpg", "ext:gz", "taken:2021", "taken:2019-06..2020-02", "taken:>2022", "taken:<2020",
	"year:2020", "year:2019..2021", "added:2020-09-13", "added:>2020-09-15T12", "size:>1M", "size:<10k", "size:1k..1G",
	"duration:>100s", "duration:<30s", "rating:0", "rating:5", "rating:>=9", "rating:<3", "width:>2500", "user:1",
	"favorite:ann", "favorite:B*", "language:de", "privacy:public", "status:5", "status:>2", "moderation:-1",
	"moderation:>=0", "hidden:yes", "hidden:no", "near:0,0,4000", "near:80,170,900", "near:-45,-179.9,1500",
	"near:0,0,19000", "in:photos", "in:/2024", "genre:rock",
}

func randomQuery(rnd *rand.Rand, depth int) string {
	switch k := rnd.IntN(8); {
	case depth == 0 || k < 3:
		return atoms[rnd.IntN(len(atoms))]
	case k < 6:
		return randomQuery(rnd, depth-1) + " " + randomQuery(rnd, depth-1)
	case k == 6:
		return "(" + randomQuery(rnd, depth-1) + " or " + randomQuery(rnd, depth-1) + ")"
	}
	return "-" + "(" + randomQuery(rnd, depth-1) + ")"
}

// Whatever is asked of whatever library, a search finds what looking at all media finds, in order;
// from any place, and the latest first.
func TestRunFindsWhatMatches(t *testing.T) { // not parallel: it changes fewLatest
	defer func(n int) { fewLatest = n }(fewLatest)
	rnd := rand.New(rand.NewPCG(1, 2))
	found := 0
	for range 12 {
		l := &library{media: map[uint64]*remote.Media{}}
		for i := range 60 {
			l.add(randomParts(rnd, 10+uint64(i)))
		}
		l.ready()
		delete(l.media, 20) // in the trash
		queries := slices.Clone(atoms)
		for range 150 {
			queries = append(queries, randomQuery(rnd, 3))
		}
		for _, text := range append(queries, "") {
			q := must(t, text)
			var want []uint64
			for _, n := range l.nodes {
				if m := l.media[n]; m != nil && q.Match(m) {
					want = append(want, n)
				}
			}
			found += len(want)
			if got := l.run(t, q, 0, 0); !slices.Equal(got, want) {
				t.Fatalf("%s: finds %v, want %v", q, got, want)
			}
			after := 10 + rnd.Uint64N(60)
			i, _ := slices.BinarySearch(want, after+1)
			if got := l.run(t, q, after, 0); !slices.Equal(got, want[i:]) {
				t.Fatalf("%s: finds %v after %d, want %v", q, got, after, want[i:])
			}
			if len(want) > 2 {
				if got := l.run(t, q, 0, 2); !slices.Equal(got, want[:2]) {
					t.Fatalf("%s: finds %v, told to stop after two of %v", q, got, want)
				}
			}
			slices.SortFunc(want, func(a, b uint64) int {
				return cmp.Or(l.media[b].Uploaded.Compare(l.media[a].Uploaded), cmp.Compare(b, a))
			})
			var latest []uint64
			fewLatest = rnd.IntN(2) * 5000
			err := Latest(t.Context(), l, l.load, q, func(m *remote.Media) bool {
				latest = append(latest, m.Node)
				return true
			})
			if err != nil || !slices.Equal(latest, want) {
				t.Fatalf("%s: latest %v, want %v: %v", q, latest, want, err)
			}
		}
	}
	if found < 5000 {
		t.Errorf("only %d media were ever found", found)
	}
}

// What is rare decides: a search reads and loads little, however much the rest of the query would
// find.
func TestRareDecides(t *testing.T) {
	t.Parallel()
	l := &library{media: map[uint64]*remote.Media{}}
	for i := range uint64(3000) {
		p := media.Parts{
			ID:   []byte{1},
			Node: 10 + i,
			Rec: &record.Node{
				Mode:  0o100644,
				Btime: &record.Time{Seconds: int64(1e9 + i)},
				Head:  &record.Head{Size: 5},
			},
			Names: []string{fmt.Sprintf("/IMG %04d common.jpg", i)},
		}
		if i%300 == 7 {
			p.Edits = &record.Media{Tags: &record.Tags{Tag: []string{"rare"}}}
		}
		p.Facts = &record.Facts{
			Head:  index.HeadSum(p.Rec.Head),
			Type:  "image/jpeg",
			Taken: &record.Date{Time: &record.Time{Seconds: int64(1e9 + i*86400)}},
		}
		l.add(p)
	}
	l.ready()
	for text, most := range map[string][2]int{ // postings, media
		"common tag:rare":                    {60, 10},
		"tag:rare common jpg img type:image": {160, 10},
		"common rare year:2002":              {500, 10},
		"0007":                               {10, 1},
		"img -common":                        {3001, 3000},
		"tag:rare or 0007":                   {60, 10},
		"(rare or 0007) common":              {100, 10},
		"taken:2002-02-03":                   {10, 1},
		"taken:2002-02-03 common":            {2100, 1},
		"tag:rare width:>5":                  {30, 10},
		"common tag:nothing":                 {10, 0},
	} {
		l.read, l.loads = 0, 0
		l.run(t, must(t, text), 0, 0)
		if l.read > most[0] || l.loads > most[1] {
			t.Errorf("%s: %d postings and %d media, at most %v", text, l.read, l.loads, most)
		}
	}
	l.read, l.loads = 0, 0
	if got := l.run(t, must(t, "common jpg"), 0, 100); len(got) != 100 || l.loads != 100 || l.read > 500 {
		t.Errorf("the first hundred of all: %d media, %d postings, %d loads", len(got), l.read, l.loads)
	}
}

func TestRunEnds(t *testing.T) {
	t.Parallel()
	l := &library{media: map[uint64]*remote.Media{}}
	for i := range uint64(1000) {
		l.add(randomParts(rand.New(rand.NewPCG(i, 1)), 1+i))
	}
	l.ready()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for _, text := range []string{"", "sea or sun", "width:<1"} {
		l.loads = 0
		never := func(*remote.Media) bool { return true }
		for name, err := range map[string]error{"Run": Run(ctx, l, l.load, must(t, text), 0, never), "Latest": Latest(ctx, l, l.load, must(t, text), never)} {
			if !errors.Is(err, remote.Interrupted) || l.loads > 2*lookEvery {
				t.Errorf("%s of %q: %v after %d loads", name, text, err, l.loads)
			}
		}
	}
}

func TestSorted(t *testing.T) {
	t.Parallel()
	rnd := rand.New(rand.NewPCG(3, 4))
	for range 300 {
		var nodes []uint64
		for range rnd.IntN(40) {
			nodes = append(nodes, rnd.Uint64N(60))
		}
		s := sorted(slices.Clone(nodes))
		slices.Sort(nodes)
		for at := uint64(0); at < 70; at = at/uint64(1+rnd.IntN(8)/7) + 1 + rnd.Uint64N(20) { // sometimes back
			i, _ := slices.BinarySearch(nodes, at)
			n, ok := s(at)
			if ok != (i < len(nodes)) || ok && n != nodes[i] {
				t.Fatalf("%v from %d: %d, %v", nodes, at, n, ok)
			}
		}
	}
}
