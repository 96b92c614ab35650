package transfer

import (
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"
)

// Two copies of one tree into one folder at the same time: all files are there, and neither takes
// what the other has under way for a leftover.
func TestImportTreeTwice(t *testing.T) {
	from, to := t.TempDir(), filepath.Join(t.TempDir(), "to")
	for i := range 300 {
		if err := os.WriteFile(filepath.Join(from, fmt.Sprint(i)), fmt.Appendf(nil, "file %d", i), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	var copies sync.WaitGroup
	for range 4 {
		copies.Go(func() {
			sum, err := CopyTree(t.Context(), TreeOptions{From: from, To: to})
			if err != nil || sum.Failed != 0 || sum.Copied+sum.Unchanged != 300 {
				t.Errorf("%+v, %v", sum, err)
			}
		})
	}
	copies.Wait()
	names, err := os.ReadDir(to)
	if len(names) != 300 || err != nil {
		t.Errorf("%d files, %v", len(names), err)
	}
}
