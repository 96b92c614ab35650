package main

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/url"
	"os/user"
	"path/filepath"
	"strings"

	"mediafs/fs/daemon"
)

// places are this user's base directories, as the XDG specification has them.
type places struct {
	home   string
	config string
	data   string
	state  string
	cache  string
}

// places finds them. A mount from /etc/fstab at boot has no HOME: the user database is asked then.
func (p *program) places() (places, error) {
	home := p.env("HOME")
	if !filepath.IsAbs(home) {
		u, err := user.Current()
		if err != nil || !filepath.IsAbs(u.HomeDir) {
			return places{}, &exitError{
				exitUsage, errors.New("HOME is not set, and the user database knows no home folder"),
			}
		}
		home = u.HomeDir
	}
	base := func(variable, fallback string) string {
		dir := p.env(variable)
		if !filepath.IsAbs(dir) { // the specification says to ignore relative ones
			dir = filepath.Join(home, fallback)
		}
		return filepath.Join(dir, "mediafs")
	}
	return places{
		home:   home,
		config: base("XDG_CONFIG_HOME", ".config"),
		data:   base("XDG_DATA_HOME", ".local/share"),
		state:  base("XDG_STATE_HOME", ".local/state"),
		cache:  base("XDG_CACHE_HOME", ".cache"),
	}, nil
}

// registry is the list of this user's mounts. It lies with the state, not under XDG_RUNTIME_DIR: a
// mount from /etc/fstab or cron and the shell that asks for its status must find the same one.
func (pl places) registry() daemon.Registry {
	return daemon.Registry{Dir: filepath.Join(pl.state, "mounts")}
}

// embedded is the URL of the library that is used when none is named.
func (pl places) embedded() string { return fileURL(filepath.Join(pl.data, "library")) }

func fileURL(dir string) string { return (&url.URL{Scheme: "file", Path: dir}).String() }

// libraryKey names a store's default catalog and cache directories: the same for every spelling of
// its URL that means the same place. What a URL says beyond the place (region, certificates) does
// not count.
func libraryKey(store string) string {
	place := store
	if u, err := url.Parse(store); err == nil {
		place = u.Scheme + "://" + u.Host + strings.TrimRight(filepath.Clean("/"+u.Path), "/")
		if e := u.Query().Get("endpoint"); e != "" {
			place += "?endpoint=" + strings.TrimRight(e, "/")
		}
	}
	sum := sha256.Sum256([]byte(place))
	return hex.EncodeToString(sum[:8])
}

// A target is what a mount command names.
type target struct {
	store   string // URL
	name    string // in the configuration file; empty for a URL or the embedded library
	dir     string // mount point, absolute
	section section
}

// chooseTarget finds out what `mount [STORE] DIR` means. With DIR alone it is the configured
// library that has this mount point, else the store of [default], else the embedded library.
func chooseTarget(args []string, c *config, pl places) (target, error) {
	dir, err := path(args[len(args)-1]).absolute(pl.home)
	if err != nil {
		return target{}, err
	}
	t := target{dir: dir}
	if len(args) == 2 {
		return t, t.named(args[0], c)
	}
	for _, name := range c.names() {
		s := c.Library[name]
		if s.Mount == nil {
			continue
		}
		if at, err := s.Mount.absolute(pl.home); err == nil && at == dir {
			return t, t.named(name, c)
		}
	}
	t.store = pl.embedded()
	if s := c.Default.Store; s != nil {
		t.store = string(*s)
	}
	return t, noSecret(t.store)
}

// named fills in the store: a URL, or the name of a configured library.
func (t *target) named(store string, c *config) error {
	if strings.Contains(store, "://") {
		t.store = store
		return noSecret(store)
	}
	s, ok := c.Library[store]
	switch {
	case !ok && strings.HasPrefix(store, "/"):
		return &exitError{
			exitUsage, fmt.Errorf("%s is not a store: a local directory is written %s", store, fileURL(store)),
		}
	case !ok && len(c.Library) == 0:
		return &exitError{
			exitUsage,
			fmt.Errorf(
				"%s is neither a URL (s3://… or file:///…) nor a library of the configuration file, which names none",
				store,
			),
		}
	case !ok:
		return &exitError{
			exitUsage,
			fmt.Errorf(
				"%s is neither a URL (s3://… or file:///…) nor a library of the configuration file (%s)", store,
				strings.Join(c.names(), ", "),
			),
		}
	case s.Store == nil:
		return &exitError{exitUsage, fmt.Errorf("library %s has no store in the configuration file", store)}
	}
	t.name, t.store, t.section = store, string(*s.Store), s
	return noSecret(t.store)
}

// noSecret refuses a URL with a user or password in it before it can reach a log, the mount table
// or the arguments of a process.
func noSecret(store string) error {
	if u, err := url.Parse(store); err == nil && u.User != nil {
		return &exitError{
			exitUsage,
			errors.New(
				"the URL of the store holds credentials (set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or use --credentials-file)",
			),
		}
	}
	return nil
}
