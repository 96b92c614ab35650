package view

import (
	"context"
	"encoding/json"
	"fmt"

	"mediafs/fs/vfs"
	"mediafs/remote"
)

// statusSheet is status.json: how the library stands, for whoever may read its root.
func (l *Library) statusSheet() *sheet {
	return &sheet{
		l:     l,
		name:  "status.json",
		about: l.readable(vfs.Root),
		of:    vfs.Root,
		text: func(context.Context) ([]byte, error) {
			b, err := json.MarshalIndent(l.Status(), "", "  ")
			if err != nil {
				return nil, remote.E("tell the status", "", remote.Other, err)
			}
			return append(b, '\n'), nil
		},
	}
}

// indexingName is the note that is there while the index of searches is being made.
const indexingName = "INDEXING.txt"

// indexingSheet tells how far the index is.
func (l *Library) indexingSheet() *sheet {
	return &sheet{
		l:     l,
		name:  indexingName,
		about: l.readable(vfs.Root),
		of:    vfs.Root,
		text: func(context.Context) ([]byte, error) {
			done, total, ready := l.Indexed()
			if ready {
				return []byte("The index is ready.\n"), nil
			}
			return fmt.Appendf(
				nil,
				"The index of searches is being made: %d of about %d records are in it.\nUntil it is ready, searches, tags, dates and types miss media.\n",
				done, max(done, total),
			), nil
		},
	}
}
