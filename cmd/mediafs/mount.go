package main

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"runtime/debug"
	"strings"
	"syscall"
	"time"

	"github.com/sirupsen/logrus"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"mediafs/fs/daemon"
)

// memoryLimit is the soft limit of what the runtime takes, in bytes, unless GOMEMLIMIT says
// otherwise: buffers of reads and uploads (96 MiB) and the catalog's caches (80 MiB) fit with room,
// and near it the collector works harder, so that garbage does not double that.
const memoryLimit = 220 << 20

// A mounting is one mount command with everything resolved.
type mounting struct {
	settings settings
	options  daemon.Options
	logPath  string
	again    []string // arguments that repeat the command in the background
	extra    mountOptions
	source   word              // what the mount table calls it: STORE as it was given
	opening  func(text string) // shows how far the opening is
}

func (p *program) mountCommand() *cobra.Command {
	m := &mounting{settings: defaultSettings()}
	var (
		foreground bool
		configFile path
		mountOpts  []string
		readyFD    int
		helper     helperFlags
	)
	cmd := &cobra.Command{
		Use:   "mount [STORE] DIR",
		Short: "Mount a library",
		Long: "Mounts a library on the folder DIR, which must be empty, and returns when it can be used.\n\n" +
			"STORE is a URL (s3://bucket/prefix?endpoint=https://host&region=us-east-1 or file:///folder) or the name of a library in the\n" +
			"configuration file. Without STORE it is the configured library whose mount point is DIR, or else the library in\n" +
			"$XDG_DATA_HOME/mediafs/library. An empty folder or prefix becomes a new library.\n\n" +
			"Every flag can also be set by an environment variable (MEDIAFS_CACHE_SIZE), in the configuration file\n" +
			"($XDG_CONFIG_HOME/mediafs/config.toml), or with -o. Credentials are taken from the environment and files of AWS.",
		Example: "  mediafs mount ~/Media\n  mediafs mount 's3://photos/family?endpoint=https://s3.example.org' ~/Photos\n  mediafs mount photos ~/Photos",
		Args:    args(1, 2),
	}
	f := cmd.Flags()
	f.SortFlags = false
	m.settings.flags(f)
	var names []string
	f.VisitAll(func(flag *pflag.Flag) { names = append(names, flag.Name) })
	short := "f"
	if p.as == asMount {
		short = "" // it is mount(8)'s, for a mount that is not made
	}
	f.BoolVarP(&foreground, "foreground", short, false, "stay in the foreground and log to standard error")
	f.Var(flagValue{&configFile, "FILE"}, "config", "configuration file")
	f.StringArrayVarP(
		&mountOpts, "options", "o", nil,
		"options as mount(8) has them: ro, noexec, allow_other, cache_size=5GiB, remount, …",
	)
	f.IntVar(&readyFD, "ready-fd", 0, "")
	f.Var(flagValue{&m.source, "TEXT"}, "source", "")
	f.MarkHidden("ready-fd") //nolint:errcheck // the flag is there
	f.MarkHidden("source")   //nolint:errcheck // the flag is there
	helper.define(cmd, p.as)

	cmd.RunE = func(cmd *cobra.Command, given []string) (err error) {
		if err := helper.check(); err != nil {
			return err
		}
		if err := helper.enter(p.args); err != nil {
			return err
		}
		if p.as == asMount && len(given) == 2 && os.Geteuid() == 0 {
			mountOpts = append(mountOpts, withheldOptions(given[1])...)
		}
		if m.extra, err = parseMountOptions(f, names, mountOpts, helper.sloppy); err != nil {
			return err
		}
		for _, key := range m.extra.unknown {
			if helper.sloppy {
				p.errorf("mediafs: -o %s: unknown option, left out\n", printable(key))
			}
		}
		if m.extra.remount {
			return p.remount(cmd.Context(), m, f, given, helper)
		}
		if err := fromEnvironment(f, append(names, "config"), p.env); err != nil {
			return err
		}
		if err := p.resolve(m, f, given, configFile); err != nil {
			return err
		}
		switch {
		case helper.fake:
			err = nil
		case readyFD > 0:
			return p.background(cmd.Context(), m, readyFD)
		case foreground:
			return p.asking(m, func(create bool) error { return p.foreground(cmd.Context(), m, create) })
		default:
			err = p.asking(m, func(create bool) error { return p.spawn(cmd.Context(), m, create) })
		}
		if err == nil && helper.verbose {
			p.printf(
				"mediafs: %s mounted on %s\n", printable(cmp.Or(m.options.Source, m.options.Store)),
				printable(m.options.Dir),
			)
		}
		return err
	}
	return cmd
}

// resolve reads the configuration file and makes the daemon's options out of the settings.
func (p *program) resolve(m *mounting, f *pflag.FlagSet, given []string, configFile path) error {
	pl, err := p.places()
	if err != nil {
		return err
	}
	name := filepath.Join(pl.config, "config.toml")
	if configFile != "" {
		if name, err = configFile.absolute(pl.home); err != nil {
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
	t, err := chooseTarget(given, c, pl)
	if err != nil {
		return err
	}
	for _, s := range []section{t.section, c.Default} {
		if err := fromSection(f, s); err != nil {
			return err
		}
	}
	s := &m.settings
	if err := s.locate(t.store, pl); err != nil {
		return err
	}
	m.logPath = filepath.Join(pl.state, libraryKey(t.store)+".log")
	m.options = s.options(t.store, pl)
	m.options.Dir = t.dir
	if m.source == "" && len(given) == 2 {
		m.source = word(given[0])
	}
	m.options.Source, m.options.MountOptions = string(m.source), m.extra.words
	m.options.RootUID, m.options.RootGID = m.extra.uid, m.extra.gid
	m.options.Fixed = fixedSettings(f)
	if tune != nil {
		tune(&m.options)
	}
	m.again = m.repeat(f)
	return nil
}

// locate fills in the directories of a library that were not given, and makes all files absolute.
func (s *settings) locate(store string, pl places) error {
	key := libraryKey(store)
	dirs := map[*path]string{&s.catalogDir: filepath.Join(pl.state, key), &s.cacheDir: filepath.Join(pl.cache, key)}
	for dir, fallback := range dirs {
		if *dir == "" {
			*dir = path(fallback)
		}
	}
	for _, file := range []*path{&s.catalogDir, &s.cacheDir, &s.credentialsFile} {
		absolute, err := file.absolute(pl.home)
		if err != nil {
			return err
		}
		*file = path(absolute)
	}
	return nil
}

// options are the daemon's, of settings that locate has completed.
func (s *settings) options(store string, pl places) daemon.Options {
	return daemon.Options{
		Store:          store,
		CatalogDir:     string(s.catalogDir),
		CacheDir:       string(s.cacheDir),
		CacheSize:      int64(s.cacheSize),
		Trash:          time.Duration(s.trash),
		NoTrash:        s.trash == 0,
		LocalNames:     s.localNames.names(),
		NoFacts:        !bool(s.facts),
		ReadOnly:       bool(s.readOnly),
		AllowOther:     bool(s.allowOther),
		Background:     s.upload == "background",
		AppendTimeout:  time.Duration(s.appendTimeout),
		ConnectTimeout: time.Duration(s.connectTimeout),
		StopTimeout:    time.Duration(s.stopTimeout),
		LockTimeout:    time.Duration(s.lockTimeout),
		MakeStore:      store == pl.embedded(),
		Profile:        string(s.profile),
		Registry:       pl.registry(),
		Version:        version(),
		Step:           step,
		FlushDelay:     flushDelay,
	}
}

// Set by tests alone: step is called at named points of writing, uploading and committing, to stop
// the world there; flushDelay is when the upload follows a close by another process than the
// opener's, 0 for the usual 2 s; tune has the last word on all other limits.
var (
	step       func(point string)
	flushDelay time.Duration
	tune       func(*daemon.Options)
)

// repeat is the command line that does the same in the background, from whatever folder: everything
// resolved, so that neither the environment nor the configuration file is asked twice. No secret
// can be in it, since no setting takes one.
func (m *mounting) repeat(f *pflag.FlagSet) []string {
	var again []string
	again = append(again, m.extra.repeat()...)
	if m.source != "" {
		again = append(again, "--source="+string(m.source))
	}
	for _, name := range []string{"cache-size", "upload", "trash", "local-names", "facts", "read-only", "allow-other", "append-timeout", "connect-timeout",
		"stop-timeout", "lock-timeout", "profile", "log-level", "log-format", "catalog-dir", "cache-dir", "credentials-file"} {
		if v := f.Lookup(name).Value.String(); v != "" {
			again = append(again, "--"+name+"="+v)
		}
	}
	return append(again, "--", m.options.Store, m.options.Dir)
}

// asking runs mount; where the bucket or folder holds other objects and no library, it asks a
// person at a terminal whether to make one there, and runs mount again. Nothing has been written by
// then.
func (p *program) asking(m *mounting, mount func(create bool) error) error {
	err := mount(bool(m.settings.create))
	if !errors.Is(err, daemon.ErrForeign) || !isTerminal(p.stdin) {
		return err
	}
	p.errorf(
		"%s holds other objects and no library.\nMake a library among them? Nothing of theirs is changed. [y/N] ",
		printable(m.options.Store),
	)
	answer, _ := bufio.NewReader(p.stdin).ReadString('\n')
	switch strings.ToLower(strings.TrimSpace(answer)) {
	case "y", "yes":
		return mount(true)
	}
	return err
}

// foreground mounts, serves until the end and logs to standard error.
func (p *program) foreground(ctx context.Context, m *mounting, create bool) error {
	log := newLog(p.stderr, m.settings.logLevel, m.settings.logFormat)
	m.options.Waiting = func(text string) { p.errorf("mediafs: %s\n", printable(text)) }
	line := newOpeningLine(p.stderr)
	m.opening = line.show
	return p.serve(ctx, m, create, log, func(d *daemon.Daemon) {
		line.clear()
		for _, note := range d.Notes() {
			p.errorf("mediafs: %s\n", printable(note))
		}
	})
}

// serve opens the daemon, says so, and closes it when it is told to: by a signal, through the
// socket, or because somebody unmounted.
func (p *program) serve(
	ctx context.Context, m *mounting, create bool, log *logrus.Logger, ready func(*daemon.Daemon),
) error {
	if p.env("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(memoryLimit)
	}
	if file := string(m.settings.credentialsFile); file != "" {
		// The one place where what reads credentials files can be told of another one; this process
		// mounts one library.
		if err := os.Setenv("AWS_SHARED_CREDENTIALS_FILE", file); err != nil {
			return fmt.Errorf("name the credentials file: %w", err)
		}
	}
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT)
	signal.Ignore(syscall.SIGHUP)
	defer signal.Stop(signals)

	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	opened := make(chan struct{})
	go func() { // a signal while the store does not answer ends the mount as well
		select {
		case <-signals:
			cancel()
		case <-opened:
		}
	}()
	o := m.options
	o.Create = create
	o.Log = logrus.NewEntry(log)
	o.SetLogLevel = func(level string) error {
		at, err := logrus.ParseLevel(level)
		if err == nil {
			log.SetLevel(at)
		}
		return err
	}
	far := newOpening(m.opening)
	o.Opening = far.progress
	claimed := o.Claimed
	o.Claimed = func() (undo func(), err error) {
		far.start("opening " + o.Store) // before that it waits for another daemon, and says so
		if claimed == nil {
			return func() {}, nil
		}
		return claimed()
	}
	d, err := daemon.Open(ctx, o)
	far.end()
	close(opened)
	if err != nil {
		return err
	}
	ready(d)

	select {
	case <-d.Done():
	case <-ctx.Done():
	case s := <-signals:
		log.Infof("%s: finishing uploads and unmounting; once more leaves at once", s)
	}
	closed := make(chan error, 1)
	go func() { closed <- d.Close(context.WithoutCancel(ctx)) }()
	select {
	case err = <-closed:
	case s := <-signals:
		log.Warnf("%s again: leaving at once; what is not uploaded stays in %s", s, m.options.CatalogDir)
		d.Abandon()
		return &exitError{
			exitPending,
			fmt.Errorf(
				"left at once; what is not uploaded stays in %s and goes on with the next mount", m.options.CatalogDir,
			),
		}
	}
	if err != nil {
		log.Errorf("close: %v", err)
	}
	return err
}
