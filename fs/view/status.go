package view

import (
	"context"
	"encoding/json"

	"mediafs/fs/vfs"
	"mediafs/remote"
)

// statusSheet is status.json: how the library stands, for whoever may read its root.
func (l *Library) statusSheet() *sheet {
	return &sheet{name: "status.json", about: l.readable(vfs.Root), text: func(context.Context) ([]byte, error) {
		b, err := json.MarshalIndent(l.Status(), "", "  ")
		if err != nil {
			return nil, remote.E("tell the status", "", remote.Other, err)
		}
		return append(b, '\n'), nil
	}}
}
