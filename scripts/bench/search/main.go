// Command search measures what the index of media costs and gives, on a library that it makes up:
// how long searches take, how large the index is, and how much it slows down applying a log in
// which media are made; with -mount, what a first mount costs. It works on catalogs of its own in a
// temporary directory and on no store.
package main

import (
	"context"
	"encoding/binary"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"time"

	"mediafs/cache/catalog"
	"mediafs/fs/media"
	"mediafs/fs/query"
	"mediafs/remote"
	"mediafs/remote/bucket/record"
)

func sortBy(list []uint32, by func(uint32) uint64) {
	slices.SortFunc(list, func(a, b uint32) int {
		if x, y := by(a), by(b); x < y {
			return -1
		} else if x > y {
			return 1
		}
		return 0
	})
}

func main() {
	media := flag.Int("media", 1_000_000, "media in the library")
	made := flag.Int("made", 48_000, "media that are made in each run of the measurement of creates")
	rounds := flag.Int("rounds", 5, "runs of each; medians are told")
	dir := flag.String("dir", "", "where the catalogs lie; default TMPDIR")
	keep := flag.String("keep", "", "a catalog to search alone: made when it is not there, and kept")
	program := flag.String("mount", "", "measure the first mount instead, with this program")
	commits := flag.Int("commits", 33_000, "commits of the log whose first mount is measured")
	flag.Parse()
	var err error
	if *program != "" {
		err = mounts(*program, *dir, *media, *commits)
	} else if *keep != "" {
		err = kept(*keep, &library{media: *media}, *rounds)
	} else {
		err = run(*media, *made, *rounds, *dir)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench-search:", err)
		os.Exit(1)
	}
}

func run(count, made, rounds int, dir string) error {
	dir, err := os.MkdirTemp(dir, "bench-search-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	if err := creates(dir, made, rounds); err != nil {
		return err
	}
	fmt.Printf("\nA library of %d media:\n", count)
	l := &library{media: count}
	plain, loadPlain, err := load(filepath.Join(dir, "plain"), l, true)
	if err != nil {
		return err
	}
	if err := plain.Close(); err != nil {
		return err
	}
	without := size(filepath.Join(dir, "plain"))
	os.RemoveAll(filepath.Join(dir, "plain"))
	c, loadIndexed, err := load(filepath.Join(dir, "indexed"), l, false)
	if err != nil {
		return err
	}
	built, err := ready(c)
	if err != nil {
		return err
	}
	if err := c.Close(); err != nil { // and open again: as at any mount, nothing is in memory
		return err
	}
	with := size(filepath.Join(dir, "indexed"))
	began := time.Now()
	if c, err = open(filepath.Join(dir, "indexed"), l, false); err != nil {
		return err
	}
	opened := time.Since(began)
	fmt.Printf(
		"  load of the checkpoint       %8.1f s without, %.1f s with an index to be made behind\n", loadPlain.Seconds(),
		loadIndexed.Seconds(),
	)
	fmt.Printf("  index made behind            %8.1f s\n", built.Seconds())
	fmt.Printf(
		"  catalog                      %8.1f MiB without, %.1f MiB with index: %.0f bytes more a media\n",
		mib(without), mib(with), float64(with-without)/float64(count),
	)
	fmt.Printf("  open again                   %8.2f s\n\n", opened.Seconds())
	if err := searches(c, count, rounds); err != nil {
		return err
	}
	return c.Close()
}

// kept measures searches in a catalog that stays.
func kept(dir string, l *library, rounds int) error {
	c, opened, err := load(dir, l, false)
	if err != nil {
		return err
	}
	built, err := ready(c)
	if err != nil {
		return err
	}
	fmt.Printf(
		"A library of %d media, opened in %.1f s, indexed in %.1f s\n\n", l.media, opened.Seconds(), built.Seconds(),
	)
	if err := searches(c, l.media, rounds); err != nil {
		return err
	}
	return c.Close()
}

// ready waits for the index.
func ready(c *catalog.Catalog) (took time.Duration, err error) {
	began := time.Now()
	for {
		done, total, ready := c.IndexReady()
		if ready {
			return time.Since(began), nil
		}
		if time.Since(began) > time.Hour {
			return 0, fmt.Errorf("the index is not ready after an hour: %d of %d", done, total)
		}
		time.Sleep(50 * time.Millisecond)
	}
}

func open(dir string, l *library, noIndex bool) (*catalog.Catalog, error) {
	return catalog.Open(
		context.Background(),
		catalog.Options{Dir: dir, Store: l, ReadOnly: true, NoIndex: noIndex, PollInterval: time.Hour},
	)
}

func load(dir string, l *library, noIndex bool) (*catalog.Catalog, time.Duration, error) {
	began := time.Now()
	c, err := open(dir, l, noIndex)
	return c, time.Since(began), err
}

// creates applies the same log with and without an index, in turns.
func creates(dir string, made, rounds int) error {
	l := &library{log: true, length: made / perCommit}
	var took [2][]time.Duration
	var cpu [2][]time.Duration
	for n := range 2 * rounds {
		at := filepath.Join(dir, fmt.Sprint("made", n))
		began, busy := time.Now(), processor()
		c, err := open(at, l, n%2 == 0)
		if err != nil {
			return err
		}
		took[n%2] = append(took[n%2], time.Since(began))
		if err := c.Close(); err != nil {
			return err
		}
		cpu[n%2] = append(cpu[n%2], processor()-busy)
		os.RemoveAll(at)
	}
	each := func(d time.Duration) float64 { return float64(d.Microseconds()) / float64(l.length*perCommit) }
	fmt.Printf(
		"Making %d media by applying a log, medians of %d: %.1f µs each without, %.1f µs with an index (processor: %.1f and %.1f µs)\n",
		l.length*perCommit, rounds, each(median(took[0])), each(median(took[1])), each(median(cpu[0])),
		each(median(cpu[1])),
	)
	return nil
}

func processor() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func median(list []time.Duration) time.Duration {
	slices.Sort(list)
	return list[len(list)/2]
}

func size(dir string) (n int64) {
	filepath.WalkDir(
		dir,
		func(path string, d fs.DirEntry, err error) error { //nolint:errcheck // what cannot be read counts as nothing
			if err == nil && d.Type().IsRegular() && (filepath.Ext(path) == ".sst" || filepath.Ext(path) == ".vlog") {
				if info, err := d.Info(); err == nil {
					n += info.Size()
				}
			}
			return nil
		},
	)
	return n
}

func mib(n int64) float64 { return float64(n) / (1 << 20) }

// searches times queries, each in a look of its own, up to 100 media.
func searches(c *catalog.Catalog, count, rounds int) error {
	mid := time.Unix(taken(count/2), 0).UTC()
	day, month := mid.Format("2006-01-02"), mid.Format("2006-01")
	fmt.Printf(
		"  %-40s %9s %9s %9s %7s %7s\n", "query (100 media at most)", "median ms", "worst ms", "busy ms", "found",
		"read",
	)
	for _, text := range []string{
		"bakeba selkeba",
		"baba* or kebaba",
		"bakeba sel canon",
		"tag:bakeba",
		`tag:"zanliba"`,
		"taken:" + day,
		"taken:" + month,
		"taken:" + month + " reykjavik",
		"img " + fmt.Sprint(mid.Year()),
		"img taken:>" + day,
		"rating:10 type:image",
		"near:48.85,2.35,50",
		`camera:"EOS R5" -jpg`,
		"size:>40M",
		"nosuchword",
		"",
	} {
		if err := search(c, text, rounds, false); err != nil {
			return err
		}
	}
	fmt.Printf("\n  what the index does not know, once:\n")
	for _, text := range []string{"width:>20000 paris", "width:>20000 canon", "width:>20000"} {
		if err := search(c, text, 1, false); err != nil {
			return err
		}
	}
	fmt.Printf("\n  the latest 100 of:\n")
	for _, text := range []string{"", "bakeba", "canon reykjavik"} {
		if err := search(c, text, rounds, true); err != nil {
			return err
		}
	}
	return nil
}

func search(c *catalog.Catalog, text string, rounds int, latest bool) error {
	q, err := query.Parse(text)
	if err != nil {
		return err
	}
	var took, busy []time.Duration
	found, read := 0, 0
	for range rounds {
		found, read = 0, 0
		began, before := time.Now(), processor()
		err := c.View(func(tx *catalog.Tx) error {
			load := func(node uint64) (*remote.Media, bool) {
				read++
				return assemble(tx, node)
			}
			yield := func(*remote.Media) bool {
				found++
				return found < 100
			}
			if latest {
				return query.Latest(context.Background(), tx, load, q, yield)
			}
			return query.Run(context.Background(), tx, load, q, 0, yield)
		})
		if err != nil {
			return err
		}
		took, busy = append(took, time.Since(began)), append(busy, processor()-before)
	}
	ms := func(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
	worst := slices.Max(took)
	fmt.Printf("  %-40s %9.1f %9.1f %9.1f %7d %7d\n", text, ms(median(took)), ms(worst), ms(median(busy)), found, read)
	return nil
}

// assemble reads all records of a media, as a mount does.
func assemble(tx *catalog.Tx, id uint64) (*remote.Media, bool) {
	n := tx.Node(id)
	if n == nil || n.Mode>>12 != 8 {
		return nil, false
	}
	p := media.Parts{ID: n.MediaId, Node: id, Rec: n}
	for name := range tx.Names(id) {
		path := "/" + name.Name
		for at := name.Folder; at != record.Root; {
			up := catalog.Name{}
			for up = range tx.Names(at) {
				break
			}
			if up.Folder == 0 {
				break
			}
			path, at = "/"+up.Name+path, up.Folder
		}
		p.Names = append(p.Names, path)
	}
	if len(p.Names) == 0 {
		return nil, false
	}
	var f record.Facts
	if tx.Load(record.FactsKey(id), &f) && string(f.Head) == string(media.HeadHash(n.Head)) {
		p.Facts = &f
	}
	var e record.Media
	if tx.Load(record.MediaKey(n.MediaId), &e) {
		p.Edits = &e
	}
	p.Attached = func(yield func(kind byte, which, value []byte) bool) {
		for k, v := range tx.Records(record.AttachedKey(n.MediaId, 0)) {
			if len(k) < 18 || !yield(k[17], k[18:], v) {
				return
			}
		}
	}
	if v, _ := tx.Last(record.VersionPrefix(n.MediaId)); len(v) >= 8 {
		p.LastVersion = binary.BigEndian.Uint64(v[len(v)-8:])
	}
	return media.Assemble(p), true
}
