package catalog

import (
	"context"
	"encoding/binary"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"mediafs/cache/catalog/index"
	"mediafs/remote/bucket/record"
	"mediafs/remote/storetest"
	"mediafs/remote/terms"
)

// wantIndex makes the index from scratch, the plain way: all postings of all records.
func wantIndex(tx *Tx) map[string]bool {
	want := make(map[string]bool)
	post := func(node uint64, source index.Source, list []index.Posting) {
		for _, p := range list {
			want[string(postingKey(p, node, source))] = true
		}
	}
	carriers := make(map[string][]uint64)
	facts := make(map[uint64]*record.Facts)
	for k, v := range tx.Records([]byte{record.KeyFacts}) {
		node, _, _ := record.NumberOf(k)
		facts[node] = read(v, new(record.Facts))
		post(node, index.FromFacts, index.OfFacts(facts[node]))
	}
	for k, v := range tx.Records([]byte{record.KeyNode}) {
		node, _, _ := record.NumberOf(k)
		n := read(v, new(record.Node))
		post(node, index.FromNode, index.OfNode(n))
		post(node, index.FromPending, index.OfPending(n, facts[node]))
		if media := index.Media(n); media != nil {
			carriers[string(media)] = append(carriers[string(media)], node)
			want[string(mediaNodeKey(media, node))] = true
		}
	}
	for k, v := range tx.Records([]byte{record.KeyDentry}) {
		folder, name, _ := record.NumberOf(k)
		d := read(v, new(record.Dentry))
		post(d.GetNode(), index.FromName(folder, string(name)), index.OfName(string(name), d))
	}
	for k, v := range tx.Records([]byte{record.KeyMedia}) {
		for _, node := range carriers[string(k[1:])] {
			post(node, index.FromMedia, index.OfMedia(read(v, new(record.Media))))
		}
	}
	for k, v := range tx.Records([]byte{record.KeyAttached}) {
		media, kind, which, _ := splitAttached(k)
		list, source := index.OfAttached(kind, which, v)
		for _, node := range carriers[string(media)] {
			post(node, source, list)
		}
	}
	return want
}

func haveIndex(tx *Tx) map[string]bool {
	have := make(map[string]bool)
	for _, letter := range []byte{index.PostingLetter, index.MediaLetter} {
		for k := range tx.scan([]byte{classDerived, letter}, []byte{classDerived, letter}, false) {
			have[string(k)] = true
		}
	}
	return have
}

// indexed waits until the index is whole, and compares it with one made from scratch.
func (b *box) indexed(t *testing.T) {
	t.Helper()
	for i := 0; ; i++ {
		var err error
		ready := false
		err = b.View(func(tx *Tx) error {
			if _, _, ready = tx.IndexReady(); ready {
				sameIndex(t, wantIndex(tx), haveIndex(tx))
			}
			return tx.Err()
		})
		if err != nil || ready {
			return // closed, or there is nothing to read
		}
		if i > 20000 {
			t.Fatalf("the index is never ready: %+v", b.Status())
		}
		time.Sleep(time.Millisecond)
	}
}

func sameIndex(t *testing.T, want, have map[string]bool) {
	t.Helper()
	for k := range want {
		if !have[k] {
			t.Errorf("index: %q is missing", k)
		}
	}
	for k := range have {
		if !want[k] {
			t.Errorf("index: %q is there too much", k)
		}
	}
}

// runMedia runs "media SEED", which makes some random changes of few media on the state that it
// finds, besides the words of runWord.
func runMedia(tx *Tx, intent []byte) error {
	word, ok := strings.CutPrefix(string(intent), "media ")
	if !ok {
		return runWord(tx, intent)
	}
	var seed uint64
	fmt.Sscan(word, &seed)
	rnd := rand.New(rand.NewPCG(seed, 7))
	for range 1 + rnd.IntN(4) {
		mediaChange(tx, rnd)
	}
	return nil
}

func mediaOf(rnd *rand.Rand) []byte {
	return binary.BigEndian.AppendUint64(make([]byte, 8), 1+uint64(rnd.IntN(5)))
}

func mediaChange(tx *Tx, rnd *rand.Rand) {
	pick := func(list ...string) string { return list[rnd.IntN(len(list))] }
	node := 100 + uint64(rnd.IntN(12))
	name := pick("a.jpg", "IMG_1.jpg", "sun set.png", "Äpfel.JPG", "b")
	media := mediaOf(rnd)
	switch rnd.IntN(9) {
	case 0, 1, 2:
		n := &record.Node{Mode: 0o100644, MediaId: media, Btime: &record.Time{Seconds: int64(rnd.IntN(3))}}
		if rnd.IntN(4) == 0 {
			n.Mode = 0o40755
		}
		if rnd.IntN(2) == 0 {
			n.Head = &record.Head{Size: 1 + uint64(rnd.IntN(2))}
		}
		tx.Store(record.NodeKey(node), n)
	case 3:
		tx.Store(record.DentryKey(1, name), &record.Dentry{Node: node, Kind: uint32(8 - 4*rnd.IntN(2))})
	case 4:
		if rnd.IntN(2) == 0 {
			tx.Delete(record.DentryKey(1, name))
		} else {
			tx.Delete(record.NodeKey(node))
		}
	case 5:
		f := &record.Facts{
			Head:     index.HeadSum(&record.Head{Size: uint64(rnd.IntN(3))}),
			Model:    pick("", "X100", "Leica M"),
			Keywords: []string{pick("sea", "sun")},
			Type:     "image/jpeg",
			Class:    "image",
			Taken:    &record.Date{Time: &record.Time{Seconds: int64(rnd.IntN(5))}},
		}
		tx.Store(record.FactsKey(node), f)
	case 6:
		m := &record.Media{
			Title:  pick("", "sun and sea", "Sea"),
			Hidden: rnd.IntN(3) == 0,
			Rating: proto.Uint32(uint32(rnd.IntN(3))),
			Tags:   &record.Tags{Tag: []string{pick("sea", "moon")}},
		}
		tx.Store(record.MediaKey(media), m)
	case 7:
		key := record.AttachedKey(media, record.AttachedFavorite, []byte(pick("ann", "bob"))...)
		if rnd.IntN(3) == 0 {
			key = record.AttachedKey(media, record.AttachedComment, 0, 0, 0, 0, 0, 0, 0, byte(rnd.IntN(2)))
		}
		if rnd.IntN(3) == 0 {
			tx.Delete(key)
		} else {
			tx.Store(key, &record.Comment{User: "ann", Text: pick("nice sea", "what a sun")})
		}
	case 8:
		switch rnd.IntN(3) {
		case 0:
			tx.Delete(record.FactsKey(node))
		case 1:
			tx.Delete(record.MediaKey(media))
		case 2:
			tx.Put(record.MediaKey(media), []byte{0xff, 0xff}) // nobody can read it
		}
	}
}

// runs is must for the operations of runMedia. One that changes nothing is none.
func (b *box) runs(format string, a ...any) {
	b.t.Helper()
	word := []byte(fmt.Sprintf(format, a...))
	if err := b.Update(b.t.Context(), word, func(tx *Tx) error { return runMedia(tx, word) }); err != nil {
		b.t.Fatalf("%s: %v", word, err)
	}
}

func medias(o *Options) { o.Run = runMedia }

// Several callers on two machines change few media at random, with faults, callers who give up,
// checkpoints and other people's commits: at the end, and in between, each machine's index is what
// one made from scratch would be; so is that of a machine that reads the log, of one that loads a
// checkpoint, and of one that had no index.
func TestIndexOfRandomChanges(t *testing.T) {
	t.Parallel()
	for seed := range uint64(2) {
		w := newWorld(t)
		boxes := []*box{
			w.open(t.TempDir(), medias), w.open(t.TempDir(), medias),
			w.open(t.TempDir(), medias, func(o *Options) { o.NoIndex = true }),
		}
		var wg sync.WaitGroup
		for i, b := range boxes {
			for j := range 2 {
				wg.Go(func() {
					rnd := rand.New(rand.NewPCG(seed, uint64(i*10+j)))
					for range 30 {
						b.mediaScuffle(rnd)
						if rnd.IntN(20) == 0 && i < 2 {
							b.indexed(t)
						}
					}
				})
			}
		}
		wg.Wait()
		for _, b := range boxes {
			if err := b.Flush(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		read := w.open(t.TempDir())
		if err := read.Checkpoint(t.Context()); err != nil {
			t.Fatal(err)
		}
		for _, b := range boxes { // no log is trimmed that somebody may still read on
			b.catches(read.applied())
		}
		trim(t, w, read.applied())
		loaded := w.open(t.TempDir())
		boxes[2].Close()
		anew := w.open(boxes[2].dir)
		for _, b := range []*box{boxes[0], boxes[1], read, loaded, anew} {
			b.catches(read.Status().Newest)
			b.indexed(t)
		}
		some := 0
		loaded.view(func(tx *Tx) { some = len(haveIndex(tx)) })
		if some < 50 {
			t.Errorf("the test made only %d postings", some)
		}
	}
}

func (b *box) mediaScuffle(rnd *rand.Rand) {
	if rnd.IntN(4) == 0 {
		actions := []storetest.Action{storetest.FailBefore, storetest.FailAfter}
		b.bad.Fail(
			storetest.Fault{Prefix: "log/", Nth: 1 + rnd.IntN(4), Times: 1 + rnd.IntN(2), Action: actions[rnd.IntN(2)]},
		)
	}
	if rnd.IntN(40) == 0 {
		_ = b.Checkpoint(b.t.Context())
	}
	patience := time.Minute
	if rnd.IntN(2) == 0 {
		patience = time.Duration(rnd.IntN(3000)) * time.Microsecond
	}
	ctx, cancel := context.WithTimeout(b.t.Context(), patience)
	defer cancel()
	word := []byte(fmt.Sprintf("media %d", rnd.Uint64N(1e9)))
	_ = b.Update(ctx, word, func(tx *Tx) error { return runMedia(tx, word) })
}

// A crash at any step of settling a conflict, of a journal and of the builder leaves an index that
// becomes what one made from scratch would be.
func TestIndexAfterCrashes(t *testing.T) {
	t.Parallel()
	for _, point := range []string{"undo", "applied", "rerun", "appended", "postings", "indexed"} {
		t.Run(point, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			a := w.open(t.TempDir(), medias)
			for i := range 30 {
				a.runs("media %d", i)
			}
			dir := t.TempDir()
			step, there := stopAt(t, point, 1)
			on := make(chan struct{})
			leaky := &world{t: t, mem: w.mem, leaky: true}
			b, err := leaky.try(dir, medias, func(o *Options) {
				o.PollInterval = time.Hour
				o.NoIndex = point == "indexed"
				o.Step = func(p string) {
					select {
					case <-on:
						step(p)
					default:
					}
				}
			})
			if err != nil {
				t.Fatal(err)
			}
			b.runs("media 1000")
			a.runs("media 2000")
			if point == "postings" || point == "indexed" {
				a.write(func(tx *Tx) { // more than one step of the builder, and than a transaction
					for i := range uint64(900) {
						tx.Store(
							record.NodeKey(1000+i),
							&record.Node{
								Mode:    0o100644,
								MediaId: binary.BigEndian.AppendUint64(make([]byte, 8), 1000+i),
							},
						)
						if i < 70 {
							tx.Store(
								record.DentryKey(1, strings.Repeat("word", int(i%7))+manyWords(i)),
								&record.Dentry{Node: 1000 + i, Kind: 8},
							)
						}
					}
				})
			}
			close(on)
			if point == "indexed" {
				if err := b.catchUp(t.Context()); err != nil {
					t.Fatal(err)
				}
				b.Close()
				if _, err = leaky.try(dir, medias, func(o *Options) { o.Step = step }); err != nil {
					t.Fatal(err)
				}
			} else {
				go b.Update(
					t.Context(), []byte("media 3000"), func(tx *Tx) error { return runMedia(tx, []byte("media 3000")) },
				)
			}
			<-there
			again := w.open(image(t, dir), medias)
			for i := range 20 {
				again.runs("media %d", 4000+i)
			}
			again.indexed(t)
			a.catches(again.applied())
			a.indexed(t)
			var mine, others map[string]bool
			again.view(func(tx *Tx) { mine = haveIndex(tx) })
			a.view(func(tx *Tx) { others = haveIndex(tx) })
			if !maps.Equal(mine, others) {
				t.Error("the machines' indexes differ")
			}
		})
	}
}

// manyWords is a name of 63 words.
func manyWords(i uint64) string {
	var words []string
	for j := range 63 {
		words = append(words, string(rune('a'+j%26))+string(rune('a'+(j/26+int(i))%26)))
	}
	return strings.Join(words, " ")
}

// The commits from which most postings follow, set and taken away again: their postings go through
// the journal, and each transaction holds.
func TestIndexOfTheLargestCommits(t *testing.T) {
	t.Parallel()
	text := func(n int) string { // as many words as fit
		var b strings.Builder
		for i := 0; b.Len() < n-5; i++ {
			fmt.Fprintf(&b, "%c%c%c ", 'a'+i%26, 'a'+i/26%26, 'a'+i/676%26)
		}
		return b.String()
	}
	worst := map[string]func(i uint64) (key []byte, m proto.Message){
		"facts": func(i uint64) ([]byte, proto.Message) {
			return record.FactsKey(1000 + i), &record.Facts{Title: text(160)}
		},
		"nodes": func(i uint64) ([]byte, proto.Message) {
			return record.NodeKey(
					1000 + i,
				), &record.Node{
					Mode:    0o100644,
					MediaId: binary.BigEndian.AppendUint64(make([]byte, 8), 1+i),
					Head:    &record.Head{Size: i + 1},
				}
		},
	}
	for name, make := range worst {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			a := w.open(t.TempDir())
			a.must("add k 1")
			for _, gone := range []bool{false, true} {
				commit := &record.Commit{}
				for i, size := uint64(0), 0; i < record.MaxCommitWrites; i++ {
					key, m := make(i)
					v, err := proto.Marshal(m)
					if err != nil {
						t.Fatal(err)
					}
					if size += len(key) + len(v); size > record.MaxCommitBytes {
						break
					}
					wr := &record.Write{Key: key, Value: v}
					if gone {
						wr.Value, wr.Delete = nil, true
					}
					commit.Writes = append(commit.Writes, wr)
				}
				w.append(a, commit)
				a.catches(a.Status().Applied + 1)
				a.indexed(t)
				n := 0
				a.view(func(tx *Tx) {
					n = len(haveIndex(tx))
					for k := range tx.scan(localKey(journalMark), localKey(journalMark), false) {
						t.Errorf("left of the journal: %q", k)
					}
				})
				if !gone && n < 3*len(commit.Writes) || gone && n > 0 {
					t.Errorf("%d postings of %d writes, gone: %v", n, len(commit.Writes), gone)
				}
			}
		})
	}
}

// What the index tells: terms each once, the nodes of a term in order and once, forwards, backwards
// and from any place, and the nodes of a media.
func TestAskingTheIndex(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a := w.open(t.TempDir())
	id := func(n byte) []byte { return append(make([]byte, 15), n) }
	a.write(func(tx *Tx) {
		for i, name := range []string{"sun sea.jpg", "sun.jpg", "sea.png", "sunny.jpg"} {
			n := uint64(10 + i)
			tx.Store(
				record.NodeKey(n),
				&record.Node{Mode: 0o100644, MediaId: id(byte(i / 2)), Btime: &record.Time{Seconds: 100 - int64(i)}},
			)
			tx.Store(record.DentryKey(1, name), &record.Dentry{Node: n, Kind: 8})
			tx.Store(record.DentryKey(2, name), &record.Dentry{Node: n, Kind: 8}) // a second name
		}
		tx.Store(
			record.MediaKey(id(0)), &record.Media{Title: "Sun", Tags: &record.Tags{Tag: []string{"Sea", "Sea side"}}},
		)
	})
	if _, _, ready := w.open(t.TempDir()).IndexReady(); !ready {
		t.Error("a machine that read the whole log has its index to make")
	}
	a.view(func(tx *Tx) {
		equal := func(what string, got any, want string) {
			t.Helper()
			if s := fmt.Sprint(got); s != want {
				t.Errorf("%s: %s, want %s", what, s, want)
			}
		}
		list := func(pairs func(func(string, uint64) bool)) (all []string) {
			for term, node := range pairs {
				all = append(all, fmt.Sprintf("%s %d", term, node))
			}
			return all
		}
		equal("terms", slices.Collect(tx.Terms(terms.Word, "s")), "[sea side sun sunny]")
		equal("all terms", slices.Collect(tx.Terms(terms.Word, "")), "[jpg png sea side sun sunny]")
		equal("tags", slices.Collect(tx.Terms(terms.Tag, "")), "[Sea Sea side]")
		equal("no terms", slices.Collect(tx.Terms(terms.Album, "")), "[]")
		equal("fixed terms", len(slices.Collect(tx.Terms(terms.Added, ""))), "4")
		equal(
			"postings", list(tx.Postings(terms.Word, "sea", "sun")),
			"[sea 10 sea 11 sea 12 side 10 side 11 sun 10 sun 11]",
		)
		equal(
			"down", list(tx.PostingsDown(terms.Word, "sea", "sun")),
			"[sun 11 sun 10 side 11 side 10 sea 12 sea 11 sea 10]",
		)
		var newest []uint64
		for _, node := range tx.PostingsDown(terms.Added, terms.Time(0), terms.Time(99)) {
			newest = append(newest, node)
		}
		equal("newest", newest, "[11 12 13]")
		c := tx.Cursor(terms.Word, "sea")
		var found []uint64
		for _, at := range []uint64{0, 10, 11, 12, 13, 20, 11, 1, 12, 10, 13} {
			n, _ := c(at)
			found = append(found, n)
		}
		equal("cursor", found, "[10 10 11 12 0 0 11 10 12 10 0]")
		equal("all nodes", slices.Collect(tx.Nodes(11)), "[11 12 13]")
		if n, ok := tx.Cursor(terms.Word, "se")(0); ok {
			t.Errorf("a cursor of a term that is none finds %d", n)
		}
		equal("nodes", slices.Collect(tx.MediaNodes(id(1))), "[12 13]")
		equal("pending", list(tx.Postings(terms.Pending, "", "")), "[ 10  11  12  13]")
		equal("many cursors", len(tx.cursors), "2")
	})
}

// An index of another version is dropped and made anew; meanwhile the catalog tells how far it is.
func TestIndexOfAnotherVersion(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	dir := t.TempDir()
	a := w.open(dir, medias)
	a.write(func(tx *Tx) {
		for i := range uint64(900) {
			tx.Store(
				record.NodeKey(1000+i),
				&record.Node{Mode: 0o100644, MediaId: binary.BigEndian.AppendUint64(make([]byte, 8), 1000+i)},
			)
		}
	})
	a.indexed(t)
	err := a.updateLocal(func(tx *Tx) error {
		old := a.st.index.encode()
		old[0]++
		tx.raw(indexKey, old)
		tx.raw(postingKey(index.Posting{Kind: terms.Word, Term: "old"}, 1000, index.FromMedia), []byte{})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	a.Close()
	there, goOn := make(chan struct{}), make(chan struct{})
	var once sync.Once
	b := w.open(dir, medias, func(o *Options) {
		o.Step = func(point string) {
			if point == "indexed" {
				once.Do(func() {
					close(there)
					<-goOn
				})
			}
		}
	})
	<-there
	done, total, ready := b.IndexReady()
	if s := b.Status(); ready || done == 0 || done >= total || s.Indexed != done || s.ToIndex != total {
		t.Errorf("after one step: %d of %d, ready: %v, status %+v", done, total, ready, s)
	}
	close(goOn)
	b.indexed(t)
	if s := b.Status(); s.ToIndex != 0 {
		t.Errorf("when it is ready: %+v", s)
	}
}
