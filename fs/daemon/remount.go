package daemon

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"mediafs/fs/control"
	"mediafs/fs/vfs/engine"
	"mediafs/remote"
)

// readOnly reports whether nothing of the library may change: it was mounted so, or whoever
// remounted it had the kernel refuse writes.
func (d *Daemon) readOnly() bool {
	return d.opt.ReadOnly || d.kernel != nil && d.kernel.ReadOnly()
}

func errReadOnly(op, dir string) error {
	return remote.E(op, dir, remote.ReadOnly, errors.New("it is mounted read-only")).
		WithHint("mount -o remount,rw makes it writable")
}

// Remount changes a mount that is in use: first everything is checked, then the kernel's flags
// change, then limits. Before the kernel refuses writes, and after, all that was written is brought
// into the store; what the daemon does by itself (facts of what was uploaded last, the age of the
// trash) goes on. Errors: Invalid (a setting that cannot change has another value), Unsupported (a
// mount that began read-only becomes writable by a new one alone), Busy (files are open for
// writing), Permission (only root may change flags).
func (d *Daemon) Remount(ctx context.Context, r control.Remount) error {
	const op = "remount"
	for _, name := range slices.Sorted(maps.Keys(r.Same)) {
		if now, ok := d.opt.Fixed[name]; !ok || now != r.Same[name] {
			return remote.E(op, d.opt.Dir, remote.Invalid, fmt.Errorf("%s cannot change while it is mounted (now %q, wanted %q)", name, now, r.Same[name])).
				WithHint("umount it, then mount it with the new value")
		}
	}
	switch {
	case r.LogLevel != nil && d.opt.SetLogLevel == nil:
		return remote.E(op, d.opt.Dir, remote.Unsupported, errors.New("the log level of this daemon cannot change"))
	case r.AppendTimeout != nil && *r.AppendTimeout <= 0, r.CacheSize != nil && *r.CacheSize <= 0:
		return remote.E(op, d.opt.Dir, remote.Invalid, errors.New("a limit of nothing"))
	}
	if err := d.reflag(ctx, r.Words); err != nil {
		return err
	}
	if r.LogLevel != nil {
		if err := d.opt.SetLogLevel(*r.LogLevel); err != nil {
			return remote.E(op, d.opt.Dir, remote.Invalid, err)
		}
	}
	if r.CacheSize != nil {
		d.cacheSize.Store(*r.CacheSize)
	}
	if r.StopTimeout != nil {
		d.stopTimeout.Store(int64(*r.StopTimeout))
	}
	if r.AppendTimeout != nil {
		d.kernel.SetHangTimeout(hangTimeout(*r.AppendTimeout))
	}
	d.mu.RLock()
	defer d.mu.RUnlock()
	if d.lib == nil {
		return remote.E(op, d.opt.Dir, remote.Interrupted, errors.New("the library is closed"))
	}
	d.lib.adjust(
		engine.Adjustment{
			Background:    r.Background,
			Trash:         r.Trash,
			UploadTimeout: r.AppendTimeout,
			CacheBytes:    r.CacheSize,
		},
	)
	return nil
}

// reflag changes flags of the mount.
func (d *Daemon) reflag(ctx context.Context, words []string) error {
	wantReadOnly := d.readOnly()
	for _, word := range words {
		if word == "ro" || word == "rw" {
			wantReadOnly = word == "ro"
		}
	}
	if d.opt.ReadOnly && !wantReadOnly {
		return remote.E("remount", d.opt.Dir, remote.Unsupported, errors.New("it was mounted read-only, and has joined the library as a reader")).
			WithHint("umount it, then mount it without ro")
	}
	ending := wantReadOnly && !d.readOnly()
	if ending {
		if err := d.Flush(ctx); err != nil {
			return err
		}
	}
	for end := time.Now().Add(d.opt.BusyTimeout); ; time.Sleep(min(20*time.Millisecond, d.opt.BusyTimeout)) {
		err := d.kernel.Remount(words)
		if err == nil {
			break
		}
		// The kernel closes the files of a program that has ended a little later.
		if !errors.Is(err, remote.Busy) || time.Now().After(end) || ctx.Err() != nil {
			return err
		}
	}
	d.opt.Log.Infof("remounted: %v", words)
	if ending {
		return d.Flush(ctx)
	}
	return nil
}

// hangTimeout is Options.HangTimeout by default.
func hangTimeout(appendTimeout time.Duration) time.Duration { return 4*appendTimeout + 2*time.Minute }
