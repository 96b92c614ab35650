package engine_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"testing"

	"mediafs/fs/vfs"
	"mediafs/fs/vfs/engine"
	"mediafs/remote/object/mem"
	"mediafs/remote/storetest"
)

func (s steps) openRW(name string) vfs.File {
	s.t.Helper()
	f, err := s.Open(bg, me, s.stat(name).ID, uint32(os.O_RDWR))
	s.ok(err)
	return f
}

// copyAll copies as the kernel does: until nothing comes any more.
func (s steps) copyAll(to, from vfs.File, fromOff, off, n int64) (done int64) {
	s.t.Helper()
	for done < n {
		m, err := to.CopyRange(bg, from, fromOff+done, off+done, n-done)
		s.ok(err)
		if m == 0 {
			break
		}
		done += m
	}
	return done
}

// A copy of a large media moves no bytes, and lives on when the first is edited or deleted.
func TestCopyMovesNoBytes(t *testing.T) {
	b := mem.New(mem.Options{})
	m := &meter{Bucket: b}
	s := openMachine(t, m, t.TempDir()).with(t)
	defer s.Close()
	film := noise(1, 5<<20)
	s.write("film", film)
	m.sent.Store(0)
	from, to := s.openRW("film"), s.create("copy", "")
	if n := s.copyAll(to, from, 0, 0, 1<<40); n != int64(len(film)) {
		t.Errorf("%d bytes were copied", n)
	}
	if s.readFile(to) != film {
		t.Error("the copy reads otherwise before its close")
	}
	s.close(to)
	part := s.create("part", "head")
	s.copyAll(part, from, 1<<20, 4, 2<<20)
	s.put(part, "tail", 4+2<<20)
	s.close(part)
	if sent := m.sent.Load(); sent > 10 {
		t.Errorf("%d bytes were sent", sent)
	}
	s.put(from, "edited", 2<<20)
	s.close(from)
	s.unlink("film")
	other := openMachine(t, b, t.TempDir()).with(t)
	defer other.Close()
	want := "head" + film[1<<20:3<<20]
	want = want[:4+2<<20] + "tail" + want[min(8+2<<20, len(want)):]
	for _, v := range []steps{s, other} {
		if v.read("copy") != film || v.read("part") != want {
			t.Errorf("copies read otherwise: %v %v", v.read("copy") == film, v.read("part") == want)
		}
	}
	_, n1 := s.node("copy")
	_, n2 := s.node("part")
	if string(n1.MediaId) == string(n2.MediaId) {
		t.Error("two media have one id")
	}
}

// Random copies between three files that are written to meanwhile, over deaths of the process.
func TestRandomCopies(t *testing.T) {
	seeds := uint64(4)
	if raceEnabled {
		seeds = 1
	}
	for seed := range seeds {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			rnd := rand.New(rand.NewPCG(seed, 3))
			b := mem.New(mem.Options{})
			d := t.TempDir()
			machine := []byte(d)
			line := storetest.New(b)
			small := func(o *engine.Options) { o.WholeBelow, o.Catalog.Machine = 1, machine }
			s := openMachine(t, line, d, small).with(t)
			var want [3][]byte
			var files [3]vfs.File
			for i := range files {
				want[i] = []byte(noise(seed*10+uint64(i), 3<<20))
				s.write(fmt.Sprint(i), string(want[i]))
				files[i] = s.openRW(fmt.Sprint(i))
			}
			grow := func(i int, size int) {
				if size > len(want[i]) {
					want[i] = append(want[i], make([]byte, size-len(want[i]))...)
				}
			}
			for step := range 40 {
				a, c := rnd.IntN(3), rnd.IntN(3)
				off, at := rnd.IntN(2<<20), rnd.IntN(3<<20)
				switch op := rnd.IntN(8); {
				case op < 3 && a != c:
					n := rnd.IntN(3 << 20)
					got := int(s.copyAll(files[c], files[a], int64(off), int64(at), int64(n)))
					if exp := max(min(n, len(want[a])-off), 0); got != exp {
						t.Fatalf("step %d: %d bytes were copied, want %d", step, got, exp)
					}
					if got > 0 {
						grow(c, at+got)
						copy(want[c][at:at+got], want[a][off:off+got])
					}
				case op < 6:
					p := noise(seed*100+uint64(step), 1+rnd.IntN(100_000))
					s.put(files[a], p, int64(at))
					grow(a, at+len(p))
					copy(want[a][at:], p)
				case op < 7:
					s.ok(files[a].Fsync(bg))
				default:
					dead := copyDir(t, d)
					line.SetDown(true)
					for _, f := range files {
						f.Release()
					}
					s.ok(s.Close())
					d, line = dead, storetest.New(b)
					s = openMachine(t, line, d, small).with(t)
					for i := range files {
						files[i] = s.openRW(fmt.Sprint(i))
					}
				}
				for i := range files {
					if got := s.readFile(files[i]); got != string(want[i]) {
						t.Fatalf(
							"step %d: file %d holds something else (%d bytes of %d)", step, i, len(got), len(want[i]),
						)
					}
				}
			}
			for _, f := range files {
				s.close(f)
			}
			s.ok(s.Flush(bg))
			s.ok(s.Close())
			other := openMachine(t, b, t.TempDir()).with(t)
			defer other.Close()
			for i := range files {
				if other.read(fmt.Sprint(i)) != string(want[i]) {
					t.Errorf("file %d reads otherwise on another machine", i)
				}
			}
		})
	}
}
