package vfs

import (
	"time"
)

// A Trouble is a media whose bytes could not be read, or not be sent to the store, when that was
// last tried.
type Trouble struct {
	Node  ID        `json:"node"`
	Path  string    `json:"path,omitempty"` // empty: it has no name any more
	What  string    `json:"what"`           // "read" or "upload"
	Error string    `json:"error"`
	Time  time.Time `json:"time"`
}
