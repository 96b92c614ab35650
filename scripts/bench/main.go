// Command bench measures how fast one large file goes through a mount, beside what the same object
// store takes and gives without one.
//
// It copies a pseudo-random file to a mount (the close included), reads it back on a second machine
// that has nothing of the library, and sends and fetches the same bytes through remote/object
// alone: parts of 16 MiB, four at a time. Every copy is compared by SHA-256, outside of the time.
// It prints medians, and the most memory that a daemon held. Run scripts/bench-large, which builds
// what is measured. It is a measurement and no test: nothing fails because something is slow.
package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"text/tabwriter"
	"time"

	"golang.org/x/sys/unix"

	"mediafs/remote/object"
	"mediafs/remote/object/open"
	"mediafs/remote/object/s3/s3server"
)

// A bench is one run of the command.
type bench struct {
	program string   // bin/mediafs
	flags   []string // of mediafs mount
	size    int64
	repeats int
	dir     string // where everything lies while it runs
	source  string // the file that is copied
	sum     string // its SHA-256
}

// The four things that are measured, in the order of each round.
const (
	rawPut   = "put, no mount"
	mountPut = "cp to the mount"
	rawGet   = "get, no mount"
	mountGet = "cp from the mount"
)

// A result is one thing measured in all rounds.
type result struct {
	times  []time.Duration
	memory memory // the most of all rounds; zero without a daemon
}

func main() {
	var (
		b       bench
		mib     = flag.Int64("size", 2048, "size of the file in MiB")
		servers = flag.String("servers", s3server.VersityGW+","+s3server.MinIO, "object stores, comma-separated")
		dir     = flag.String("dir", os.TempDir(), "folder with room for five times the file")
	)
	flag.IntVar(&b.repeats, "repeats", 3, "rounds, of which the medians are printed")
	flag.StringVar(&b.program, "mediafs", "bin/mediafs", "the program that is measured")
	flag.Parse()
	b.size, b.flags = *mib<<20, flag.Args()
	if err := b.main(*dir, strings.Split(*servers, ",")); err != nil {
		fmt.Fprintf(os.Stderr, "bench: %v\n", err)
		os.Exit(1)
	}
}

func (b *bench) main(dir string, servers []string) (err error) {
	if b.size <= 0 || b.repeats <= 0 {
		return errors.New("-size and -repeats must be above 0")
	}
	if b.program, err = filepath.Abs(b.program); err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	if b.dir, err = os.MkdirTemp(dir, "mfs-bench-"); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(b.dir)) }()
	b.source = filepath.Join(b.dir, "source")
	if b.sum, err = pseudoRandom(b.source, b.size); err != nil {
		return err
	}
	for _, kind := range servers {
		results, err := b.server(ctx, kind)
		if err != nil {
			return fmt.Errorf("%s: %w", kind, err)
		}
		b.print(kind, results)
	}
	return nil
}

// pseudoRandom makes a file that no compression makes smaller.
func pseudoRandom(name string, size int64) (sum string, err error) {
	f, err := os.Create(name)
	if err != nil {
		return "", err
	}
	hash := sha256.New()
	_, err = io.CopyN(io.MultiWriter(f, hash), rand.NewChaCha8([32]byte{1}), size)
	return hex.EncodeToString(hash.Sum(nil)), errors.Join(err, f.Close())
}

// server measures on one object store, which lives for that long.
func (b *bench) server(ctx context.Context, kind string) (map[string]*result, error) {
	dir := filepath.Join(b.dir, kind)
	if err := os.Mkdir(dir, 0o700); err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	server, err := s3server.Open(s3server.Options{Kind: kind, Dir: dir})
	if err != nil {
		return nil, err
	}
	defer server.Close()
	for name, value := range map[string]string{"AWS_ACCESS_KEY_ID": server.AccessKey, "AWS_SECRET_ACCESS_KEY": server.SecretKey} {
		if err := os.Setenv(name, value); err != nil { // for this process and the daemons
			return nil, err
		}
	}
	bucket, err := open.URL(ctx, server.URL(""), open.Options{})
	if err != nil {
		return nil, err
	}
	defer bucket.Close()
	results := map[string]*result{rawPut: {}, mountPut: {}, rawGet: {}, mountGet: {}}
	for i := range b.repeats {
		if err := b.round(ctx, fmt.Sprint("round-", i), server, bucket, results); err != nil {
			return nil, err
		}
		if err := empty(ctx, bucket); err != nil {
			return nil, err
		}
	}
	return results, nil
}

// round measures everything once.
func (b *bench) round(
	ctx context.Context, name string, server *s3server.Server, bucket object.Bucket, results map[string]*result,
) error {
	key, copied := name+"/raw", filepath.Join(b.dir, "copied")
	measure := func(what string, do func() error) error {
		unix.Sync() // what was written before is not on this one's account
		begin := time.Now()
		if err := do(); err != nil {
			return fmt.Errorf("%s: %w", what, err)
		}
		took := time.Since(begin)
		results[what].times = append(results[what].times, took)
		fmt.Fprintf(os.Stderr, "%s, %s: %s in %.2f s\n", server.Kind, name, what, took.Seconds())
		return nil
	}
	mounted := func(machine, what, from, to string) error {
		m, err := b.mount(ctx, machine, server.URL(name+"/library"))
		if err != nil {
			return err
		}
		err = measure(what, func() error { return b.cp(ctx, m.path(from), m.path(to)) })
		used, uerr := m.umount()
		results[what].memory = results[what].memory.most(used)
		return errors.Join(err, uerr)
	}
	compare := func() error {
		sum, err := sumOf(copied)
		if err == nil && sum != b.sum {
			err = fmt.Errorf("what came back differs: SHA-256 %s, sent was %s", sum, b.sum)
		}
		return errors.Join(err, os.Remove(copied))
	}
	for _, step := range []func() error{
		func() error { return measure(rawPut, func() error { return put(ctx, bucket, key, b.source) }) },
		func() error { return mounted("first", mountPut, b.source, "mnt/file") },
		func() error { return measure(rawGet, func() error { return get(ctx, bucket, key, copied) }) },
		compare,
		func() error { return mounted("second", mountGet, "mnt/file", copied) },
		compare,
	} {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

func (b *bench) cp(ctx context.Context, from, to string) error {
	out, err := exec.CommandContext(ctx, "cp", "--", from, to).CombinedOutput()
	if err != nil {
		err = fmt.Errorf("cp %s %s: %w: %s", from, to, err, strings.TrimSpace(string(out)))
	}
	return err
}

func sumOf(name string) (string, error) {
	f, err := os.Open(name)
	if err != nil {
		return "", err
	}
	defer f.Close()
	hash := sha256.New()
	_, err = io.Copy(hash, f)
	return hex.EncodeToString(hash.Sum(nil)), err
}

func median(times []time.Duration) time.Duration {
	sorted := slices.Sorted(slices.Values(times))
	return sorted[len(sorted)/2]
}

// print writes one server's table; "of no mount" is the time as a multiple of that without a mount.
func (b *bench) print(kind string, results map[string]*result) {
	fmt.Printf("%s, %d MiB, medians of %d\n", kind, b.size>>20, b.repeats)
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "what\ttime s\tMB/s\tof no mount\tRssAnon peak MiB\tVmHWM MiB\t")
	for _, row := range [][2]string{{rawPut, ""}, {mountPut, rawPut}, {rawGet, ""}, {mountGet, rawGet}} {
		r := results[row[0]]
		took := median(r.times)
		fmt.Fprintf(w, "%s\t%.2f\t%.0f\t", row[0], took.Seconds(), float64(b.size)/1e6/took.Seconds())
		if row[1] == "" {
			fmt.Fprintln(w, "\t\t\t")
			continue
		}
		fmt.Fprintf(
			w, "%.2f\t%d\t%d\t\n", took.Seconds()/median(results[row[1]].times).Seconds(), r.memory.anon>>10,
			r.memory.peak>>10,
		)
	}
	w.Flush()
	fmt.Println()
}
