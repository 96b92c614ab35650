package control

import (
	"errors"
	"time"

	"mediafs/remote"
)

// protocol is the version of the control protocol, in every path, so that a newer command line gets
// a clear answer from an older daemon.
const protocol = "/1"

// A Report is one line of the answer to a flush or a stop: how it stands. The last one has Done or
// Failed set.
type Report struct {
	Pending Pending  `json:"pending"`
	Phase   string   `json:"phase,omitempty"` // "upload", "unmount", "close"
	Done    bool     `json:"done,omitempty"`
	Failed  *failure `json:"failed,omitempty"`
}

// A Remount is what changes of a mount; nil fields stay as they are.
type Remount struct {
	Words []string `json:"words,omitempty"` // flags of mount(8): ro, rw, noexec…

	CacheSize     *int64         `json:"cache_size,omitempty"` // bytes
	Background    *bool          `json:"background,omitempty"`
	Trash         *time.Duration `json:"trash,omitempty"` // 0: deleted media are not kept
	AppendTimeout *time.Duration `json:"append_timeout,omitempty"`
	StopTimeout   *time.Duration `json:"stop_timeout,omitempty"`
	LogLevel      *string        `json:"log_level,omitempty"`

	// Same are settings that cannot change, by name, with the value that the caller takes to be the
	// case.
	Same map[string]string `json:"same,omitempty"`
}

// failure is an error on its way through the socket: its kind, so that the exit code stays the
// same, and its text.
type failure struct {
	Kind string `json:"kind"`
	Text string `json:"text"`
}

// failureOf returns nil for no error.
func failureOf(err error) *failure {
	if err == nil {
		return nil
	}
	return &failure{Kind: remote.KindOf(err).Error(), Text: err.Error()}
}

// answered is a failure as the command line sees it.
type answered struct {
	kind remote.Kind
	text string
}

func (f *failure) err() error {
	if f == nil {
		return nil
	}
	if f.Text == "" {
		return errors.New("it failed, and the daemon does not say why")
	}
	for _, k := range remote.Kinds() {
		if k.Error() == f.Kind {
			return &answered{k, f.Text}
		}
	}
	return errors.New(f.Text)
}

func (a *answered) Error() string { return a.text }

// Unwrap gives the kind, for errors.Is and remote.KindOf.
func (a *answered) Unwrap() error { return a.kind }
