package engine

import (
	"bytes"
	"context"
	"io"
	"math/rand/v2"
	"sync"
	"testing"

	"mediafs/cache/block"
	"mediafs/remote"
	"mediafs/remote/bucket"
	"mediafs/remote/object/mem"
)

// Concurrent reads through one handle of a media that has had more contents than a handle keeps
// readers.
func TestReadersOfManyContents(t *testing.T) {
	ctx := context.Background()
	store, err := bucket.Create(ctx, mem.New(mem.Options{}), bucket.Options{})
	if err != nil {
		t.Fatal(err)
	}
	cache, err := block.Open(block.Options{Store: store, Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	defer cache.Close()
	var cs []block.Content
	for i := range 70 {
		u, err := store.StartUpload(ctx, remote.UploadSpec{Size: 10})
		if err == nil {
			err = u.PutChunk(ctx, 0, io.NewSectionReader(bytes.NewReader(bytes.Repeat([]byte{byte(i)}, 10)), 0, 10))
		}
		var id remote.ContentID
		if err == nil {
			id, err = u.Commit(ctx, 1, 10)
		}
		if err != nil {
			t.Fatal(err)
		}
		cs = append(cs, block.Content{ID: id, Size: 10})
	}
	r := readers{cache: cache}
	defer r.close()
	var wg sync.WaitGroup
	var mu sync.Mutex
	failed, first := 0, error(nil)
	for range 4 {
		wg.Go(func() {
			p := make([]byte, 10)
			for range 5000 {
				i := rand.IntN(len(cs))
				l := layout{size: 10, extents: []extent{{n: 10, content: cs[i]}}}
				if _, err := l.readAt(ctx, &r, p, 0); err != nil {
					mu.Lock()
					failed, first = failed+1, err
					mu.Unlock()
				}
			}
		})
	}
	wg.Wait()
	if failed > 0 {
		t.Errorf("%d of 20000 reads fail: %v", failed, first)
	}
}
