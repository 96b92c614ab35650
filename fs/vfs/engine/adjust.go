package engine

import (
	"sync/atomic"
	"time"
)

// An Adjustment is what of Options changes while the library is open; nil fields stay as they are.
type Adjustment struct {
	Background    *bool
	Trash         *time.Duration // 0: deleted media are not kept
	UploadTimeout *time.Duration // also Catalog.AppendTimeout; must be positive
	CacheBytes    *int64         // Cache.MaxBytes; must be positive
}

// adjustable are the options that an Adjustment changes.
type adjustable struct {
	background    atomic.Bool
	trash         atomic.Int64 // time.Duration
	uploadTimeout atomic.Int64 // time.Duration
}

// Adjust changes options for everything that begins after it. A cache that is too large by then is
// smaller when it returns, as far as its blocks are not in use.
func (fs *FS) Adjust(a Adjustment) {
	if a.Background != nil {
		fs.now.background.Store(*a.Background)
	}
	if a.Trash != nil {
		fs.now.trash.Store(int64(*a.Trash))
	}
	if a.UploadTimeout != nil {
		fs.now.uploadTimeout.Store(int64(*a.UploadTimeout))
		fs.cat.SetAppendTimeout(*a.UploadTimeout)
	}
	if a.CacheBytes != nil {
		fs.cache.SetMaxBytes(*a.CacheBytes)
	}
}

// The options as they are now.

func (fs *FS) background() bool             { return fs.now.background.Load() }
func (fs *FS) trashAge() time.Duration      { return time.Duration(fs.now.trash.Load()) }
func (fs *FS) uploadTimeout() time.Duration { return time.Duration(fs.now.uploadTimeout.Load()) }
