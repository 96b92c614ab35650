package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/pflag"

	"mediafs/fs/control"
	"mediafs/fs/fuse"
	"mediafs/remote"
)

// Settings that a remount does not change: it may repeat them, as the lines of /etc/fstab are
// repeated.
var fixed = []string{
	"local-names", "facts", "allow-other", "profile", "log-format", "catalog-dir", "cache-dir", "credentials-file",
}

// fixedSettings are their values.
func fixedSettings(f *pflag.FlagSet) map[string]string {
	values := map[string]string{}
	for _, name := range fixed {
		values[name] = f.Lookup(name).Value.String()
	}
	return values
}

// remount changes a mount that is in use: what was said on the command line and no more. Neither
// the environment nor the configuration file counts.
func (p *program) remount(
	ctx context.Context, m *mounting, f *pflag.FlagSet, given []string, helper helperFlags,
) error {
	place, _, err := p.find(given[len(given)-1], false)
	if err != nil {
		return err
	}
	if !place.Mounted {
		return &exitError{
			exitMountPoint,
			remote.E("remount", place.Dir, remote.NotExist, errors.New("nothing of mediafs is mounted there")),
		}
	}
	pl, err := p.places()
	if err != nil {
		return err
	}
	s := &m.settings
	for _, file := range []*path{&s.catalogDir, &s.cacheDir, &s.credentialsFile} {
		absolute, err := file.absolute(pl.home)
		if err != nil {
			return err
		}
		*file = path(absolute)
	}
	r := control.Remount{Words: m.extra.words, Same: map[string]string{}}
	limits := 0
	for name, set := range map[string]func(){
		"cache-size":     func() { r.CacheSize = (*int64)(&s.cacheSize) },
		"trash":          func() { r.Trash = (*time.Duration)(&s.trash) },
		"append-timeout": func() { r.AppendTimeout = (*time.Duration)(&s.appendTimeout) },
		"stop-timeout":   func() { r.StopTimeout = (*time.Duration)(&s.stopTimeout) },
		"upload": func() {
			background := s.upload == "background"
			r.Background = &background
		},
		"log-level": func() {
			at := string(s.logLevel)
			r.LogLevel = &at
		},
	} {
		if f.Changed(name) {
			set()
			limits++
		}
	}
	for _, name := range fixed {
		if f.Changed(name) {
			r.Same[name] = f.Lookup(name).Value.String()
		}
	}
	if f.Changed("read-only") && len(m.extra.words) == 0 {
		r.Words = []string{map[bool]string{true: "ro", false: "rw"}[bool(s.readOnly)]}
	}
	if helper.fake {
		return nil
	}
	client, err := place.Client()
	switch {
	case err == nil:
		g := newProgress(p.stderr)
		err = client.Remount(ctx, r, func(pending control.Pending) { g.show(pending) })
		g.end()
	case limits > 0 || len(r.Same) > 1 || len(r.Same) == 1 && r.Same["allow-other"] == "":
		err = &exitError{
			exitUnavailable, fmt.Errorf("%w: only its own user changes more than the flags of the kernel", err),
		}
	default: // another user's: the kernel's flags are root's to change
		if s.allowOther {
			r.Words = append(r.Words, "allow_other")
		}
		err = fuse.Remount(place.Dir, r.Words)
	}
	if err == nil && helper.verbose {
		p.printf("mediafs: %s remounted on %s\n", printable(place.Source), printable(place.Dir))
	}
	return err
}
