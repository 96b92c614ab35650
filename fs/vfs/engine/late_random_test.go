package engine_test

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"

	"mediafs/fs/media"
	"mediafs/fs/vfs"
	"mediafs/fs/vfs/engine"
	"mediafs/remote"
)

// reachable has what each media of the tree holds, and each of its versions.
func (s tree) reachable() map[string]bool {
	s.t.Helper()
	all := make(map[string]bool)
	s.walk(vfs.Root, "", func(p string, e vfs.DirEntry) {
		if e.Mode&0o170000 != 0o100000 {
			return
		}
		f, err := s.Open(bg, me, e.ID, uint32(os.O_RDONLY))
		s.ok(err)
		all[s.readFile(f)] = true
		f.Release()
		for _, old := range s.olds(p) {
			all[old] = true
		}
	})
	return all
}

// anything picks a change at random, of names that meet often. data is what it writes.
func anything(r *rand.Rand, data string) do {
	folders := []string{"", "d/", "e/", "d/e/"}
	file := func() string { return folders[r.IntN(len(folders))] + string("fghi"[r.IntN(4)]) }
	folder := func() string { return strings.TrimSuffix(folders[1+r.IntN(3)], "/") }
	switch r.IntN(18) {
	case 0, 1, 2, 3, 4:
		return put(file(), data)
	case 5, 6, 7:
		return rm(file())
	case 8, 9:
		return mv(file(), file())
	case 10:
		return mv(file(), file(), []uint32{vfs.RenameExchange, vfs.RenameNoReplace}[r.IntN(2)])
	case 11:
		return mv(folder(), folder())
	case 12:
		return toTrash([]string{file(), folder()}[r.IntN(2)])
	case 13:
		return mkdir(folder())
	case 14:
		deleted := string("fghide"[r.IntN(6)])
		return []do{rmdir(folder()), purge(deleted), restore(deleted, file())}[r.IntN(3)]
	case 15:
		return ln(file(), file())
	case 16:
		f, mode := file(), 0o600+uint32(r.IntN(64))
		return []do{setx(f, "user.a", data), title(f, data), edit(f, "tags", media.Add, data), chmod(f, mode)}[r.IntN(4)]
	default:
		f := file()
		return []do{cutTo(f, int64(r.IntN(4))), oldest(f), mv(f, f+"~")}[r.IntN(3)]
	}
}

// Whatever a machine does that is cut off, what another one was told is in the store meanwhile is
// found afterwards by who walks the tree and looks at versions, on both; and both have the same.
func TestLateAtRandom(t *testing.T) {
	seeds := 12
	if testing.Short() {
		seeds = 3
	}
	for seed := range seeds {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			r := rand.New(rand.NewPCG(uint64(seed), 1))
			p := newPair(t, func(o *engine.Options) {
				if seed%2 == 0 {
					trashing(o)
				}
			})
			p.restarts = seed%3 == 1
			for _, d := range []do{mkdir("d"), mkdir("e"), mkdir("d/e")} {
				p.other.ok(d(p.other))
			}
			for i := range 8 {
				name := []string{"", "d/", "e/", "d/e/"}[i%4] + string("fghi"[i/2])
				p.other.ok(put(name, fmt.Sprint("first ", i))(p.other))
			}
			for round := range 4 {
				p.meet()
				var late, online []do
				tried := func(d do) do { // it may well be impossible
					return func(s tree) error {
						err := d(s)
						if errors.Is(err, remote.Corrupt) {
							t.Error(err)
						}
						return err
					}
				}
				for i := range 10 {
					late = append(late, tried(anything(r, fmt.Sprintf("mine %d %d", round, i))))
					online = append(online, tried(anything(r, fmt.Sprintf("confirmed %d %d", round, i))))
				}
				var sure map[string]bool
				p.mixed(late, online, func() { sure = p.other.reachable() })
				for who, s := range map[string]tree{"that was cut off": p.cut, "that was not": p.other} {
					have := s.reachable()
					for data := range sure {
						if strings.HasPrefix(data, fmt.Sprintf("confirmed %d", round)) && !have[data] {
							t.Errorf("round %d: the machine %s has %q nowhere: %v", round, who, data,
								slices.Sorted(maps.Keys(have)))
						}
					}
				}
				if c, o := p.cut.state(), p.other.state(); !maps.Equal(c, o) {
					t.Errorf("round %d: the machines have %v and %v", round, c, o)
				}
				if t.Failed() {
					t.Logf("status: %q", p.cut.Status().Catalog.Conflicts)
					return
				}
			}
		})
	}
}
