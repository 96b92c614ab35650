package block

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"os/exec"
	"runtime"
	"testing"

	"golang.org/x/sys/unix"

	"mediafs/remote"
)

// What a catalog says of a size decides no more than whether it can be read.
func TestAbsurdSizes(t *testing.T) {
	s := newFake()
	c := open(t, options(t, s))
	for _, size := range []int64{-1, math.MinInt64, maxContent + 1, math.MaxInt64} {
		r := c.NewReader(Content{ID: remote.ContentID{ID: "absurd"}, Size: size})
		if n, err := r.ReadAt(context.Background(), make([]byte, 10), 0); n != 0 || !errors.Is(err, remote.Corrupt) {
			t.Errorf("size %d: %d, %v", size, n, err)
		}
		r.Close()
	}
	// The largest that may be, of which nobody has sums: they are read and take no room.
	src := synthetic{seed: 1, size: maxContent}
	s.contents["huge"] = src
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for i := range 20 {
		id := fmt.Sprint("huge-", i)
		s.contents[id] = src
		r := c.NewReader(Content{ID: remote.ContentID{ID: id}, Size: maxContent})
		check(t, r, src, maxContent-5000, 5000)
		check(t, r, src, 1<<40, 5000)
		r.Close()
	}
	runtime.ReadMemStats(&after)
	if took := after.TotalAlloc - before.TotalAlloc; took > 100<<20 {
		t.Errorf("%d MiB were taken for 20 contents", took>>20)
	}
	if st := c.Stats(); st.Bytes != 0 {
		t.Errorf("%d bytes on disk without checksums", st.Bytes)
	}
}

const fewFiles = "MEDIAFS_TEST_FEW_FILES"

// When no file can be opened any more, nothing is forgotten that is on disk, and idle files are
// given up for others.
func TestNoDescriptors(t *testing.T) {
	if os.Getenv(fewFiles) == "" {
		// The limit is the process's.
		self, err := os.Executable()
		if err != nil {
			t.Fatal(err)
		}
		cmd := exec.Command(self, "-test.run=^TestNoDescriptors$", "-test.v")
		cmd.Env = append(os.Environ(), fewFiles+"=1")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		return
	}
	const many = 40
	s := newFake()
	o := options(t, s)
	o.MaxOpen = many
	c := open(t, o)
	var contents []Content
	for i := range many {
		contents = append(contents, s.add(fmt.Sprint("c", i), uint64(i), 3*BlockSize))
	}
	read := func(i int) error {
		r := c.NewReader(contents[i])
		defer r.Close()
		n, err := r.ReadAt(context.Background(), make([]byte, 3*BlockSize), 0)
		if err == nil && n != 3*BlockSize {
			err = fmt.Errorf("%d bytes", n)
		}
		return err
	}
	for i := range many {
		if err := read(i); err != nil {
			t.Fatal(err)
		}
	}
	quiet(t, c)
	before := c.Stats()
	requests, _ := s.counts()

	// Half of the files are idle and open: those of the others can be opened in their place.
	for range many / 2 {
		c.lock()
		c.shut(c.mu.idle.Back().Value.(*data))
		c.unlock()
	}
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	var taken []*os.File
	defer func() {
		for _, f := range taken {
			f.Close()
		}
	}()
	low := limit
	low.Cur = 100
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &low); err != nil {
		t.Fatal(err)
	}
	exhaust := func() {
		for {
			f, err := os.Open("/dev/null")
			if err != nil {
				return
			}
			taken = append(taken, f)
		}
	}
	exhaust()
	for i := range many {
		if err := read(i); err != nil {
			t.Errorf("content %d: %v", i, err)
		}
	}
	if n, _ := s.counts(); n != requests {
		t.Errorf("%d requests although everything is on disk", n-requests)
	}
	// Not one is left: what was verified through a file that is closed comes from the store.
	c.shutIdle()
	exhaust()
	for i := range many {
		if err := read(i); err != nil {
			t.Errorf("content %d without files: %v", i, err)
		}
	}
	c.flush()
	for _, f := range taken {
		f.Close()
	}
	taken = nil
	after := c.Stats()
	if after.Bytes != before.Bytes || after.Damaged != 0 {
		t.Errorf("before %+v, after %+v", before, after)
	}
	requests, _ = s.counts()
	for i := range many {
		if err := read(i); err != nil {
			t.Errorf("content %d afterwards: %v", i, err)
		}
	}
	if n, _ := s.counts(); n != requests {
		t.Errorf("%d requests afterwards", n-requests)
	}
}
