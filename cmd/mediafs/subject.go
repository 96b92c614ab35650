package main

import (
	"context"
	"errors"
	"fmt"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/spf13/pflag"
	"golang.org/x/sys/unix"

	"mediafs/fs/check"
	"mediafs/fs/control"
	"mediafs/fs/daemon"
	"mediafs/remote"
)

// A subject is what a command about media is about: files of mounts, or of one library that is
// named.
type subject struct {
	library string     // STORE of --library; empty: the mounts that paths lie in
	in      inspection // the flags are bound to its settings
	f       *pflag.FlagSet
	names   []string // of flags that the environment sets as well
	changes bool     // the command changes something: a library that is not mounted is opened for writing
	instead string   // what another user's mount offers for the same; %s is the mount point
}

// flags defines --library, and those of mount that say where a library is kept and how its store is
// reached.
func (s *subject) flags(f *pflag.FlagSet) {
	s.f, s.in.settings = f, defaultSettings()
	f.StringVar(
		&s.library, "library", "",
		"a library, mounted or not: STORE as for mount, or a folder of a mount; PATHs are then relative to its root",
	)
	all := pflag.NewFlagSet("", pflag.ContinueOnError)
	s.in.settings.flags(all)
	for _, name := range []string{"catalog-dir", "cache-dir", "cache-size", "credentials-file", "profile", "append-timeout", "connect-timeout", "stop-timeout"} {
		flag := all.Lookup(name)
		flag.Hidden = true // they are mount's, and needed when mount needs them
		f.AddFlag(flag)
		s.names = append(s.names, name)
	}
	f.Var(flagValue{&s.in.configFile, "FILE"}, "config", "configuration file")
	f.Lookup("config").Hidden = true
	s.names = append(s.names, "config")
}

// An open library of a command.
type opened struct {
	ask func(ctx context.Context, verb string, r control.MediaRequest, each func(control.MediaAnswer) error) error
	// mount point, below which its paths are told; empty: it is not mounted, and they are told as
	// they are in the library
	mount string
	named bool // by --library: paths that were given are relative to its root
}

// path writes a path of the library as whoever gave the command would: below the mount point.
func (o *opened) path(inLibrary string) string { return strings.TrimSuffix(o.mount, "/") + inLibrary }

// An aim is some of the command's paths, all of one library.
type aim struct {
	*opened
	said    []string // as they were given
	targets []control.Target
}

// aims sorts paths by the library that they are of, opens each once and has work done with each in
// turn, in the order of the paths. A path that does not lead to anything is told, and the rest goes
// on.
func (p *program) aims(
	ctx context.Context, s *subject, paths []string, work func(ctx context.Context, a aim) error,
) error {
	ctx, stop := signal.NotifyContext(ctx, syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	defer context.AfterFunc(ctx, stop)() // a second signal ends the process
	if s.library != "" {
		return p.named(ctx, s, func(ctx context.Context, o *opened) error {
			a := aim{opened: o, said: paths}
			for _, at := range paths {
				a.targets = append(a.targets, control.Target{Path: control.RawName(filepath.Clean("/" + at))})
			}
			return work(ctx, a)
		})
	}
	t := tally{p: p, of: len(paths)}
	var as []*aim
	mounts := map[uint64]*aim{} // by device
	for _, at := range paths {
		st, err := stat(at)
		if err != nil {
			t.add(at, err)
			continue
		}
		a := mounts[st.Dev]
		if a == nil {
			o, err := p.mounted(s, at, st.Dev)
			if err != nil {
				t.add(at, err)
				continue
			}
			a = &aim{opened: o}
			mounts[st.Dev], as = a, append(as, a)
		}
		a.said, a.targets = append(a.said, at), append(a.targets, control.Target{Node: st.Ino})
	}
	for _, a := range as {
		t.note(work(ctx, *a))
	}
	return t.err()
}

// stat asks for what is at a path: in a mount the inode number is the node's. Symbolic links are
// followed.
func stat(at string) (st unix.Stat_t, err error) {
	if err = unix.Stat(at, &st); err != nil {
		kind := remote.Other
		switch {
		case errors.Is(err, unix.ENOENT):
			kind = remote.NotExist
		case errors.Is(err, unix.EACCES):
			kind = remote.Permission
		case errors.Is(err, unix.ENOTDIR):
			kind = remote.NotDir
		case errors.Is(err, unix.ENOTCONN):
			kind = remote.Unavailable
		}
		return st, remote.E("", "", kind, nil)
	}
	return st, nil
}

// mounted finds the daemon of the mount that a path lies in, on device dev.
func (p *program) mounted(s *subject, at string, dev uint64) (*opened, error) {
	place, _, err := p.find(at, true)
	if errors.Is(err, remote.NotExist) {
		err = &exitError{
			exitMountPoint, errors.New("it is in no mount of mediafs (--library names a library that is not mounted)"),
		}
	}
	if err != nil {
		return nil, err
	}
	if st, err := stat(place.Dir); err != nil || st.Dev != dev {
		return nil, &exitError{exitMountPoint, fmt.Errorf("it leads out of the mount %s", place.Dir)}
	}
	return s.through(place)
}

// through is the way to the daemon of a mount.
func (s *subject) through(place daemon.Place) (*opened, error) {
	if !place.Known {
		err := remote.E(
			"ask the daemon of", place.Dir, remote.Permission,
			errors.New("somebody else mounted it, and only that user and root may ask"),
		)
		if s.instead != "" {
			err = err.WithHint(
				"what file permissions allow works for you there: " + strings.ReplaceAll(s.instead, "%s", place.Dir),
			)
		}
		return nil, err
	}
	client, err := place.Client()
	if err != nil {
		return nil, &exitError{exitUnavailable, err}
	}
	return &opened{ask: client.Media, mount: place.Dir}, nil
}

// whole opens the one library that a command is about as a whole: --library or given; else the
// mount of the working folder, else this user's only mount.
func (p *program) whole(
	ctx context.Context, s *subject, given []string, work func(ctx context.Context, o *opened) error,
) error {
	ctx, stop := signal.NotifyContext(ctx, syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	defer context.AfterFunc(ctx, stop)()
	switch {
	case s.library != "" && len(given) > 0:
		return &exitError{exitUsage, errors.New("--library and STORE both name a library")}
	case len(given) > 0:
		s.library = given[0]
	}
	if s.library != "" {
		return p.named(ctx, s, work)
	}
	place, _, err := p.find(".", true)
	if errors.Is(err, remote.NotExist) {
		place, err = p.only()
	}
	if err != nil {
		return err
	}
	o, err := s.through(place)
	if err != nil {
		return err
	}
	return work(ctx, o)
}

// only is the mount of this user when there is just one.
func (p *program) only() (only daemon.Place, err error) {
	pl, err := p.places()
	if err != nil {
		return only, err
	}
	all, err := pl.registry().Places()
	if err != nil {
		return only, err
	}
	n := 0
	for _, place := range all {
		if place.Known {
			only = place
			n++
		}
	}
	switch n {
	case 0:
		err = &exitError{exitMountPoint, errors.New("nothing is mounted: name a library with --library")}
	case 1:
	default:
		err = &exitError{
			exitUsage, fmt.Errorf("%d libraries are mounted: name one with --library, or work in its folder", n),
		}
	}
	return only, err
}

// named opens the library of --library: through its daemon when it has one, else in this process,
// for as long as work takes.
func (p *program) named(ctx context.Context, s *subject, work func(ctx context.Context, o *opened) error) error {
	in := &s.in
	if err := p.inspected(in, s.f, s.names, []string{s.library}); err != nil {
		return err
	}
	if in.mount != "" {
		place, _, err := p.find(in.mount, false)
		if err != nil {
			return err
		}
		o, err := s.through(place)
		if err != nil {
			return err
		}
		o.named = true
		return work(ctx, o)
	}
	l, opt, err := p.openHere(ctx, in, !s.changes)
	if errors.Is(err, remote.Busy) {
		client := control.Dial(opt.CatalogDir)
		if _, askErr := client.Status(ctx); askErr != nil {
			return err
		}
		return work(ctx, &opened{ask: client.Media, named: true})
	}
	if err != nil {
		return err
	}
	err = work(ctx, &opened{ask: l.Media, named: true})
	return errors.Join(err, l.Close())
}

// openHere opens the library of in, which is not mounted, in this process. The options are those
// under which it would be mounted, also with Busy: another process has it.
func (p *program) openHere(
	ctx context.Context, in *inspection, readOnly bool,
) (*daemon.Library, daemon.Options, error) {
	pl, err := p.places()
	if err != nil {
		return nil, daemon.Options{}, err
	}
	if err := in.settings.locate(in.store, pl); err != nil {
		return nil, daemon.Options{}, err
	}
	if err := in.useCredentials(); err != nil {
		return nil, daemon.Options{}, err
	}
	opt := in.settings.options(in.store, pl)
	opt.ReadOnly = readOnly
	if tune != nil {
		tune(&opt)
	}
	l, err := daemon.OpenLibrary(ctx, opt)
	return l, opt, err
}

// A tally counts what went wrong with some of many things: each is told at once, but for one that
// is alone.
type tally struct {
	p     *program
	of    int // things
	first error
	told  bool
}

// add takes the error of one thing, as it was named.
func (t *tally) add(said string, err error) {
	if err = ofOne(said, err); t.first == nil {
		t.first = err
	}
	if t.of > 1 {
		t.p.complain(err)
		t.told = true
	}
}

// note takes an error that was told already, or that is about everything.
func (t *tally) note(err error) {
	var said *saidError
	if err == nil {
		return
	}
	if t.first == nil {
		t.first = err
	}
	if errors.As(err, &said) {
		t.told = true
	} else if t.of > 1 {
		t.p.complain(err)
		t.told = true
	}
}

func (t *tally) err() error {
	if t.first != nil && t.told {
		return &saidError{&exitError{exitCode(t.first), t.first}}
	}
	return t.first
}

// ofOne is the error of one path or entry. That it is not there, or is no media, says nothing of
// libraries and versions, whose exit codes those kinds are.
func ofOne(said string, err error) error {
	code := exitCode(err)
	switch remote.KindOf(err) {
	case remote.NotExist, remote.Unsupported:
		var e *exitError
		if !errors.As(err, &e) {
			code = exitFailed
		}
	}
	return &exitError{code, fmt.Errorf("%s: %w", said, err)}
}

// requestSize is how many paths go into one request: its answer shows how far the work is, and an
// older daemon never has to read megabytes.
const requestSize = 1000

// ofEach asks about all paths of an aim and calls each with the answer for each of them. Answers of
// a request come in any order. What fails is told.
func (p *program) ofEach(
	ctx context.Context, a aim, verb, doing string, r control.MediaRequest,
	each func(said string, answer control.MediaAnswer) error,
) error {
	t := tally{p: p, of: len(a.targets)}
	g := &gauge{p: p, on: isTerminal(p.stderr) && len(a.targets) > 100}
	defer g.clear()
	done := 0
	for from := 0; from < len(a.targets); from += requestSize {
		to := min(from+requestSize, len(a.targets))
		r.Targets = a.targets[from:to]
		err := a.ask(ctx, verb, r, func(answer control.MediaAnswer) error {
			if answer.Index < 0 || answer.Index >= to-from {
				return remote.E(
					"ask the daemon", "", remote.Corrupt,
					fmt.Errorf("an answer about path %d of %d", answer.Index, to-from),
				)
			}
			done++
			g.show(check.Progress{Phase: doing, Done: int64(done), Total: int64(len(a.targets))})
			said := a.said[from+answer.Index]
			if err := answer.Err(); err != nil {
				g.clear()
				t.add(said, err)
				return nil
			}
			return each(said, answer)
		})
		if err != nil {
			return err
		}
	}
	return t.err()
}

// change makes the same change of all paths.
func (p *program) change(ctx context.Context, s *subject, doing string, paths []string, r control.MediaRequest) error {
	s.changes = true
	return p.aims(ctx, s, paths, func(ctx context.Context, a aim) error {
		return p.ofEach(ctx, a, control.VerbEdit, doing, r, func(string, control.MediaAnswer) error { return nil })
	})
}
