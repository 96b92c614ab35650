package daemon

import (
	"bytes"
	"errors"
	"io"
	"reflect"
	"strings"
	"testing"
	"time"

	"mediafs/fs/control"

	"github.com/sirupsen/logrus"
)

// What hangs keeps nobody from closing: each part is left behind after a while, and the log says
// where it hangs.
func TestCloseEndsWhateverHangs(t *testing.T) {
	tests := []struct {
		name    string
		change  func(*rig)
		events  []string
		pending bool // the library keeps its lock: nobody knows what it still does
	}{
		{
			"the mount", func(r *rig) { r.kernel.wedged = true },
			[]string{"flush", "unmount", "abort", "close library"}, false,
		},
		{
			"the library", func(r *rig) { r.lib.wedged = make(chan struct{}) },
			[]string{"flush", "unmount", "close library"}, true,
		},
		{
			"both", func(r *rig) { r.kernel.wedged, r.lib.wedged = true, make(chan struct{}) },
			[]string{"flush", "unmount", "abort", "close library"}, true,
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var text bytes.Buffer
			log := logrus.New()
			log.SetOutput(&text)
			r := newRig(t, func(r *rig) {
				tt.change(r)
				r.opt.CloseTimeout, r.opt.Log = 20*time.Millisecond, logrus.NewEntry(log)
			})
			err := r.Close(t.Context())
			log.SetOutput(io.Discard)
			if tt.pending != errors.Is(err, ErrPending) {
				t.Errorf("closed with %v", err)
			}
			if got := r.events.all(); !reflect.DeepEqual(got, tt.events) {
				t.Errorf("order %v, want %v", got, tt.events)
			}
			if r.lib.wedged != nil && !strings.Contains(text.String(), "fakeLibrary") {
				t.Errorf("the log does not say where it hangs: %s", text.String())
			}
			if tt.pending != control.Locked(r.opt.CatalogDir) {
				t.Errorf("the catalog directory is locked: %v", control.Locked(r.opt.CatalogDir))
			}
			if r.lib.wedged != nil {
				close(r.lib.wedged)
			}
			r.failed = nil // for the rig, which closes again
			if tt.pending {
				r.lock.Close()
			}
		})
	}
}

// A daemon whose library does not answer ends without waiting for uploads.
func TestHungRequestEndsTheDaemon(t *testing.T) {
	r := newRig(t, nil)
	closed := r.run()
	close(r.kernel.hung)
	select {
	case err := <-closed:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(5 * time.Second):
		t.Fatal("not closed")
	}
	if want := []string{"unmount", "close library"}; !reflect.DeepEqual(r.events.all(), want) {
		t.Errorf("order %v, want %v", r.events.all(), want)
	}
}
