package engine_test

import (
	"errors"
	"testing"
	"time"

	"mediafs/fs/vfs/engine"
	"mediafs/fs/vfs/operation"
	"mediafs/remote"
	"mediafs/remote/object/mem"
	"mediafs/remote/storetest"
)

// The folder of views takes no name that an entry of the root has got meanwhile: nobody would reach
// that any more.
func TestViewFolderHidesNothing(t *testing.T) {
	b := mem.New(mem.Options{})
	line := storetest.New(b)
	a := openMachine(
		t, line, t.TempDir(), func(o *engine.Options) { o.Catalog.AppendTimeout = 20 * time.Millisecond },
	).with(t)
	defer a.Close()
	o := openMachine(t, b, t.TempDir()).with(t)
	defer o.Close()
	line.SetDown(true)
	if err := a.SetSetting(bg, me, operation.SettingViewFolder, "films"); !errors.Is(err, remote.Unavailable) {
		t.Fatal(err)
	}
	o.write("films", "bytes")
	line.SetDown(false)
	waitFor(t, func() bool { return a.Status().Catalog.Outbox == 0 })
	waitFor(t, func() bool { return a.ViewFolder() != "films" })
}
