package main

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/pflag"

	"mediafs/fs/check"
	"mediafs/fs/daemon"
	"mediafs/remote"
	"mediafs/remote/bucket"
	"mediafs/remote/object/open"
	"mediafs/remote/transport"
)

// An inspection is a command that reads a library in its store without mounting it.
type inspection struct {
	settings   settings // of which it has a few flags
	configFile path
	tempDir    path

	store string // URL
	mount string // mount point that was named instead; empty: none
}

// flags defines those of mount that say how the store is reached, under the same names, and returns
// them.
func (in *inspection) flags(f *pflag.FlagSet) (names []string) {
	in.settings = defaultSettings()
	all := pflag.NewFlagSet("", pflag.ContinueOnError)
	in.settings.flags(all)
	all.Lookup("connect-timeout").Usage = "how long to wait for the store"
	for _, name := range []string{"credentials-file", "profile", "connect-timeout"} {
		f.AddFlag(all.Lookup(name))
		names = append(names, name)
	}
	f.Var(flagValue{&in.configFile, "FILE"}, "config", "configuration file")
	f.Var(
		flagValue{&in.tempDir, "DIR"}, "temp-dir",
		"where a copy of the catalog is kept meanwhile: as much room as a mount's catalog takes (default $TMPDIR)",
	)
	return append(names, "config", "temp-dir")
}

// inspected finds out which library is meant: a URL, the name of one in the configuration file, the
// mount that a folder lies in, or, of nothing, what mount takes without STORE. The configuration
// file's settings of that library count as they do for mount.
func (p *program) inspected(in *inspection, f *pflag.FlagSet, names, given []string) error {
	if err := fromEnvironment(f, names, p.env); err != nil {
		return err
	}
	pl, err := p.places()
	if err != nil {
		return err
	}
	name := filepath.Join(pl.config, "config.toml")
	if in.configFile != "" {
		if name, err = in.configFile.absolute(pl.home); err != nil {
			return err
		}
		if _, err := os.Stat(name); err != nil { // one that was asked for must be there
			return &exitError{exitUsage, fmt.Errorf("read the configuration: %w", err)}
		}
	}
	c, err := readConfig(name)
	if err != nil {
		return err
	}
	t, err := p.inspectedTarget(in, given, c, pl)
	if err != nil {
		return err
	}
	in.store = t.store
	for _, s := range []section{t.section, c.Default} {
		if err := knownFromSection(f, s); err != nil {
			return err
		}
	}
	if in.tempDir == "" {
		in.tempDir = path(p.env("TMPDIR"))
	}
	for _, file := range []*path{&in.settings.credentialsFile, &in.tempDir} {
		absolute, err := file.absolute(pl.home)
		if err != nil {
			return err
		}
		*file = path(absolute)
	}
	return nil
}

func (p *program) inspectedTarget(in *inspection, given []string, c *config, pl places) (t target, err error) {
	if len(given) == 0 {
		t.store = pl.embedded()
		if s := c.Default.Store; s != nil {
			t.store = string(*s)
		}
		return t, noSecret(t.store)
	}
	_, configured := c.Library[given[0]]
	if configured || strings.Contains(given[0], "://") {
		return t, t.named(given[0], c)
	}
	place, _, err := p.find(given[0], true)
	if errors.Is(err, remote.NotExist) {
		return t, &exitError{
			exitUsage,
			fmt.Errorf(
				"%s is neither a URL (s3://… or file:///…) nor a library of the configuration file, and nothing of mediafs is mounted there",
				given[0],
			),
		}
	}
	if err != nil {
		return t, err
	}
	in.mount, t.store = place.Dir, place.Source
	if place.Known {
		t.store = place.Mount.Store
	} else if !strings.Contains(t.store, "://") { // somebody else's mount, of a library that they name so
		return t, t.named(t.store, c)
	}
	for _, name := range c.names() {
		if s := c.Library[name]; s.Store != nil && string(*s.Store) == t.store {
			t.section = s
		}
	}
	return t, noSecret(t.store)
}

// knownFromSection is fromSection for a command that has not all of mount's flags.
func knownFromSection(f *pflag.FlagSet, s section) (failed error) {
	s.each(func(name string, v setting) {
		if failed == nil && f.Lookup(name) != nil && !f.Changed(name) {
			failed = f.Set(name, v.String())
		}
	})
	return failed
}

// open opens the library for reading only: nothing is made where there is none.
func (in *inspection) open(ctx context.Context) (*bucket.Store, error) {
	ctx, cancel := context.WithTimeout(ctx, time.Duration(in.settings.connectTimeout))
	defer cancel()
	if err := in.useCredentials(); err != nil {
		return nil, err
	}
	b, err := open.URL(
		ctx, in.withProfile(), open.Options{Transport: transport.Options{UserAgent: "mediafs/" + version()}},
	)
	if err != nil {
		return nil, err
	}
	s, err := bucket.Open(ctx, b, bucket.Options{ReadOnly: true})
	if err == nil {
		return s, nil
	}
	var e *remote.Error
	switch kind := remote.KindOf(err); {
	case kind == remote.NotExist || kind == remote.Invalid:
		if errors.As(err, &e) {
			err = e.WithHint("")
		}
		err = &exitError{exitNoLibrary, err}
	case ctx.Err() == context.DeadlineExceeded:
		err = remote.E("reach the store", b.Facts().URL, remote.Unavailable, err)
	}
	return nil, errors.Join(err, b.Close())
}

// useCredentials names the credentials file as mount does it: what reads it can be told of another
// one in no other way.
func (in *inspection) useCredentials() error {
	file := string(in.settings.credentialsFile)
	if file == "" {
		return nil
	}
	if err := os.Setenv("AWS_SHARED_CREDENTIALS_FILE", file); err != nil {
		return fmt.Errorf("name the credentials file: %w", err)
	}
	return nil
}

// withProfile is the store's URL with the profile, which only S3 knows.
func (in *inspection) withProfile() string {
	u, err := url.Parse(in.store)
	if err != nil || in.settings.profile == "" || u.Scheme != "s3" || u.Query().Has("profile") {
		return in.store
	}
	q := u.Query()
	q.Set("profile", string(in.settings.profile))
	u.RawQuery = q.Encode()
	return u.String()
}

// inspect opens the library, has look read it, and cleans up however that ends: SIGINT and SIGTERM
// call it off, a second one ends the process.
func (p *program) inspect(
	ctx context.Context, in *inspection, look func(ctx context.Context, opt check.Options) error,
) error {
	ctx, stop := signal.NotifyContext(ctx, syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	defer context.AfterFunc(ctx, stop)()
	sites, err := p.sites(in)
	if err != nil {
		return err
	}
	temp := daemon.Site{What: "temporary directory", Path: string(in.tempDir), Hint: "--temp-dir names another"}
	if temp.Path == "" {
		temp.Path = os.TempDir()
	}
	if err := daemon.Inside("look at the library", temp, sites...); err != nil {
		return err
	}
	s, err := in.open(ctx)
	if err != nil {
		return err
	}
	g := &gauge{p: p, on: isTerminal(p.stderr)}
	err = look(ctx, check.Options{Store: s, TempDir: string(in.tempDir), Progress: g.show})
	g.clear()
	err = errors.Join(err, s.Close())
	if ctx.Err() != nil && err != nil {
		return remote.E("look at the library", "", remote.Interrupted, context.Cause(ctx))
	}
	return err
}

// sites are the folders of the library that nothing else is written to meanwhile: those that belong
// to it, and its mount.
func (p *program) sites(in *inspection) ([]daemon.Site, error) {
	pl, err := p.places()
	if err != nil {
		return nil, err
	}
	key := libraryKey(in.store)
	catalog, cache := filepath.Join(pl.state, key), filepath.Join(pl.cache, key)
	if in.mount == "" {
		return daemon.LibrarySites(in.store, catalog, cache), nil
	}
	if m, err := pl.registry().Find(in.mount); err == nil {
		catalog, cache = m.CatalogDir, m.CacheDir
	}
	return append(daemon.LibrarySites(in.store, catalog, cache), daemon.Site{What: "mount", Path: in.mount}), nil
}

// A gauge shows on a terminal how far an inspection is.
type gauge struct {
	p     *program
	on    bool
	drawn bool
}

func (g *gauge) show(now check.Progress) {
	if !g.on {
		return
	}
	amount := func(n int64) string {
		if now.Bytes {
			return bytesText(n)
		}
		return fmt.Sprint(n)
	}
	text := ""
	switch {
	case now.Total > 0:
		text = fmt.Sprintf(
			": %s of %s (%d %%)", amount(now.Done), amount(now.Total), 100*min(now.Done, now.Total)/now.Total,
		)
	case now.Done > 0:
		text = ": " + amount(now.Done)
	}
	g.p.errorf("\r\x1b[K%s%s", now.Phase, text)
	g.drawn = true
}

func (g *gauge) clear() {
	if g.drawn {
		g.p.errorf("\r\x1b[K")
	}
}

// placeJSON is where something is, for programs. Names are any bytes, JSON is UTF-8: a path that is
// not is given as base64 as well.
type placeJSON struct {
	Path    string     `json:"path,omitempty"`
	Bytes   []byte     `json:"path_bytes,omitempty"`
	Node    uint64     `json:"node,omitempty"`
	Names   int        `json:"further_names,omitempty"`
	Version uint64     `json:"version,omitempty"`
	Trash   bool       `json:"trash,omitempty"`
	Deleted *time.Time `json:"deleted,omitempty"`
}

func newPlaceJSON(at check.Place) placeJSON {
	j := placeJSON{
		Path:    strings.ToValidUTF8(at.Path, "\uFFFD"),
		Node:    at.Node,
		Names:   at.Names,
		Version: at.Version,
		Trash:   at.Trash,
	}
	if j.Path != at.Path {
		j.Bytes = []byte(at.Path)
	}
	if at.Trash {
		deleted := at.Deleted.UTC()
		j.Deleted = &deleted
	}
	return j
}

// where is a place for people, below the mount point that they named.
func (in *inspection) where(at check.Place) string {
	if strings.HasPrefix(at.Path, "/") {
		at.Path = strings.TrimSuffix(in.mount, "/") + at.Path
	}
	return at.String()
}
