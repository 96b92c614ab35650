package transfer

import (
	"context"

	"golang.org/x/sync/errgroup"

	"mediafs/fs/media"
	"mediafs/fs/vfs"
	"mediafs/fs/vfs/engine"
	"mediafs/remote"
)

// A RecordsBatch is what is said of some media with one call.
type RecordsBatch struct {
	Items []RecordsItem `json:"items"`
}

// A RecordsItem is what is said of one media.
type RecordsItem struct {
	Node     uint64             `json:"node"`
	Edits    []media.Edit       `json:"edits,omitempty"`
	Attached []media.Attachment `json:"attached,omitempty"`
}

// A RecordsResult says for each item why it was not taken; empty: it was.
type RecordsResult struct {
	Failed []string `json:"failed"`
}

// ApplyRecords edits media. What is wrong with single ones is in the result; an error means that
// the library takes no changes now: giving the batch again is not safe where it counts anonymous
// votes.
func ApplyRecords(ctx context.Context, fs *engine.FS, b RecordsBatch) (RecordsResult, error) {
	r := RecordsResult{Failed: make([]string, len(b.Items))}
	g, ctx := errgroup.WithContext(ctx)
	for i, item := range b.Items {
		g.Go(func() error {
			err := fs.EditMedia(
				ctx, vfs.Caller{}, item.Node, vfs.MediaChange{Edits: item.Edits, Attached: item.Attached},
			)
			if err == nil {
				return nil
			}
			r.Failed[i] = err.Error()
			if fatal(err) && remote.KindOf(err) != remote.Permission { // that is said of single fields
				return err
			}
			return nil
		})
	}
	return r, g.Wait()
}
