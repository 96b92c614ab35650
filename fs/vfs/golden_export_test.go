package vfs

import "context"

// Checkpoint writes the checkpoint after the newest commit, now.
func (fs *FS) Checkpoint(ctx context.Context) error { return fs.cat.Checkpoint(ctx) }
