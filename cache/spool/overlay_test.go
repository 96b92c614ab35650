package spool

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

func TestRanges(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	for round := range 200 {
		var r Ranges
		var want [300]bool
		for range 60 {
			off, n := rnd.Int64N(250), rnd.Int64N(50)
			switch rnd.IntN(6) {
			case 0:
				r.Cut(off)
				clear(want[off:])
			case 1:
				r.Remove(off, n)
				clear(want[off : off+n])
			default:
				r.Add(off, n)
				for i := off; i < off+n; i++ {
					want[i] = true
				}
			}
			last := int64(-1)
			for _, s := range r.runs {
				if s.Offset <= last || s.Length <= 0 {
					t.Fatalf("round %d: runs %v", round, r.runs)
				}
				last = s.End()
			}
			from, m := rnd.Int64N(250), rnd.Int64N(50)
			var got [300]int
			for _, s := range r.In(from, m) {
				for i := s.Offset; i < s.End(); i++ {
					got[i]++
				}
			}
			for _, s := range r.Out(from, m) {
				for i := s.Offset; i < s.End(); i++ {
					got[i] += 10
				}
			}
			all := true
			for i := range got {
				inside := int64(i) >= from && int64(i) < from+m
				exp := 0
				if inside {
					exp = map[bool]int{true: 1, false: 10}[want[i]]
					all = all && want[i]
				}
				if got[i] != exp {
					t.Fatalf("round %d: byte %d of [%d,+%d): %d, want %d; %v", round, i, from, m, got[i], exp, r.runs)
				}
			}
			if r.Covers(from, m) != all {
				t.Fatalf("round %d: covers [%d,+%d) of %v: %v", round, from, m, r.runs, !all)
			}
		}
	}
}

const under = 'u'

// holds reads a whole overlay over a content of the letter under.
func holds(t *testing.T, f *File) []byte {
	t.Helper()
	p := bytes.Repeat([]byte{under}, int(f.Size()))
	if n, missing, err := f.ReadOwn(p, 0); err != nil || n != len(p) {
		t.Fatalf("%d of %d bytes, missing %v: %v", n, len(p), missing, err)
	}
	return p
}

func recoverOne(t *testing.T, dir string) *File {
	t.Helper()
	s, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	files, _, err := s.Recover()
	if err != nil || len(files) != 1 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	return files[0]
}

// Killed between any two steps of a change, each byte is what it was or what it was being made.
func TestOverlaySurvivesKills(t *testing.T) {
	for seed := range uint64(20) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			rnd := rand.New(rand.NewPCG(seed, 7))
			dir := t.TempDir()
			s, err := Open(dir)
			if err != nil {
				t.Fatal(err)
			}
			f, err := s.CreateOver(Description{Node: 1, Dirty: true}, 20_000)
			if err != nil {
				t.Fatal(err)
			}
			want := bytes.Repeat([]byte{under}, 20_000)
			for i := range 40 {
				off, n := rnd.IntN(len(want)+3000), 1+rnd.IntN(5000)
				was := bytes.Clone(want)
				data, journalWas := snapshot(t, f.Path()), snapshot(t, f.path+mapSuffix)
				var err error
				extends := false // the journal comes first
				switch op := rnd.IntN(5); {
				case op < 3:
					p := bytes.Repeat([]byte{byte('A' + i%26)}, n)
					extends = off+n > len(want)
					_, err = f.WriteAt(p, int64(off))
					if extends {
						want = append(want, make([]byte, off+n-len(want))...)
					}
					copy(want[off:], p)
				case op == 3:
					extends = off > len(want)
					err = f.Truncate(int64(off))
					want = append(
						want[:min(off, len(want)):min(off, len(want))],
						make([]byte, max(off-len(want), 0))...)
				default:
					err = f.Allocate(unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE, int64(off), int64(n))
					if off < len(want) {
						clear(want[off:min(off+n, len(want))])
					}
				}
				if err != nil {
					t.Fatal(err)
				}
				if got := holds(t, f); !bytes.Equal(got, want) {
					t.Fatalf("step %d: it holds something else", i)
				}
				// After the change, between two of its steps, and with a record that is not whole.
				journal := snapshot(t, f.path+mapSuffix)
				check(t, f, nil, journal, want, want)
				check(t, f, nil, append(bytes.Clone(journal), journal[:min(len(journal), 11)]...), want, want)
				switch {
				case extends:
					check(t, f, data, journal[:min(len(journal), len(journalWas)+mapRecord)], was, was)
				case len(want) < len(was):
					check(t, f, nil, journalWas, want, want)
				default:
					check(t, f, nil, journalWas, was, want)
				}
			}
		})
	}
}

func snapshot(t *testing.T, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// check recovers a copy of f, with other bytes and another journal, and wants each byte to be one
// of two.
func check(t *testing.T, f *File, data, journal, a, b []byte) {
	t.Helper()
	dir := t.TempDir()
	if data == nil {
		data = snapshot(t, f.Path())
	}
	base := filepath.Join(dir, filepath.Base(f.path))
	for name, c := range map[string][]byte{dataSuffix: data, mapSuffix: journal, metaSuffix: snapshot(t, f.path+metaSuffix)} {
		if err := os.WriteFile(base+name, c, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	r := recoverOne(t, dir)
	defer r.Close()
	got := holds(t, r)
	if len(got) != len(a) && len(got) != len(b) {
		t.Fatalf("%d bytes, want %d or %d", len(got), len(a), len(b))
	}
	for i := range got {
		if (i >= len(a) || got[i] != a[i]) && (i >= len(b) || got[i] != b[i]) {
			t.Fatalf("byte %d is %q, want %q or %q", i, got[i], a[min(i, len(a)-1)], b[min(i, len(b)-1)])
		}
	}
	// And it goes on from there, through another death.
	if _, err := r.WriteAt([]byte("more"), 10); err != nil {
		t.Fatal(err)
	}
	want := holds(t, r)
	if again := recoverOne(t, dir); !bytes.Equal(holds(t, again), want) {
		t.Fatal("what was written after the first recovery is lost in the second")
	}
}

// A file that leaves its bytes to the store takes no room, and lies over the new content from then
// on.
func TestHollow(t *testing.T) {
	for _, over := range []bool{false, true} {
		t.Run(fmt.Sprintf("overlay %v", over), func(t *testing.T) {
			dir := t.TempDir()
			s, err := Open(dir)
			if err != nil {
				t.Fatal(err)
			}
			d := Description{Node: 1, Dirty: true}
			var f *File
			if over {
				f, err = s.CreateOver(d, 100_000)
			} else {
				f, err = s.Create(d)
			}
			if err == nil {
				_, err = f.WriteAt(bytes.Repeat([]byte("x"), 100_000), 0)
			}
			d.Under = []byte("the head")
			if err == nil {
				err = f.Hollow(d)
			}
			if err != nil {
				t.Fatal(err)
			}
			if st, err := f.Stat(); err != nil || st.Blocks != 0 || st.Size != 100_000 {
				t.Errorf("%d blocks, %d bytes, %v", st.Blocks, st.Size, err)
			}
			if _, err := f.WriteAt([]byte("new"), 50); err != nil {
				t.Fatal(err)
			}
			want := bytes.Repeat([]byte{under}, 100_000)
			copy(want[50:], "new")
			r := recoverOne(t, dir)
			if !bytes.Equal(holds(t, f), want) || !bytes.Equal(holds(t, r), want) ||
				string(r.Description().Under) != "the head" {
				t.Errorf("it holds something else, over %q", r.Description().Under)
			}
			if err := r.Remove(); err != nil {
				t.Fatal(err)
			}
			if left, _ := os.ReadDir(dir); len(left) != 0 {
				t.Errorf("left over: %v", left)
			}
		})
	}
}

// The journal does not grow for ever.
func TestJournalIsRewritten(t *testing.T) {
	s, err := Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	f, err := s.CreateOver(Description{Node: 1, Dirty: true}, 1<<30)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 2*rewriteRecords + 100 {
		if _, err := f.WriteAt([]byte("x"), int64(i)); err != nil {
			t.Fatal(err)
		}
	}
	st, err := os.Stat(f.path + mapSuffix)
	if err != nil || st.Size() > (rewriteRecords+100)*mapRecord {
		t.Errorf("%d bytes, %v", st.Size(), err)
	}
	if !f.over.runs.Covers(0, 2*rewriteRecords+100) || f.Runs() != 1 {
		t.Errorf("%d runs", f.Runs())
	}
	f.Close()
	r := recoverOne(t, f.spool.dir)
	if !r.over.runs.Covers(0, 2*rewriteRecords+100) || r.Runs() != 1 {
		t.Errorf("%d runs after a recovery", r.Runs())
	}
}

func FuzzMap(f *testing.F) {
	f.Add(appendRecord(appendRecord(nil, 5, 10), 8, cutAll), int64(100))
	f.Add(appendRecord(nil, 1<<62, 1<<62), int64(1<<40))
	f.Fuzz(func(t *testing.T, b []byte, size int64) {
		if size < 0 {
			return
		}
		runs, records := decodeMap(b, size)
		if records*mapRecord > len(b) {
			t.Fatalf("%d records in %d bytes", records, len(b))
		}
		last := int64(-1)
		for _, s := range runs.runs {
			if s.Offset <= last || s.Length <= 0 || s.End() > size {
				t.Fatalf("runs %v of %d bytes", runs.runs, size)
			}
			last = s.End()
		}
	})
}
