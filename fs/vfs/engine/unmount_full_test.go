package engine_test

import (
	"os"
	"path/filepath"
	"testing"

	"mediafs/remote/object/mem"
)

// Unmounting while another program has filled the disk of the catalog loses nothing and ends in
// order.
func TestUnmountOnAFullDisk(t *testing.T) {
	b := mem.New(mem.Options{})
	disk := smallDisk(t, smallest)
	cache := cacheElsewhere(t)
	s := openMachine(t, b, disk, cache).with(t)
	s.write("f", noise(1, 100_000))
	filler := filepath.Join(disk, "filler")
	fillDisk(t, filler)
	fillDisk(t, filler)
	if err := s.Close(); err != nil {
		t.Log(err)
	}
	s.ok(os.Remove(filler))
	s = openMachine(t, b, disk, cache).with(t)
	defer s.Close()
	if s.read("f") != noise(1, 100_000) {
		t.Error("it reads otherwise")
	}
}
