package main

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/pflag"
)

// settings are the options of a mount. Flags win over the environment (MEDIAFS_ and the flag's
// name), that over the library's section of the configuration file, that over its [default]
// section, that over what defaultSettings says.
type settings struct {
	catalogDir      path
	cacheDir        path
	cacheSize       size
	upload          upload
	trash           keep
	localNames      nameList
	facts           toggle
	readOnly        toggle
	allowOther      toggle
	create          toggle
	appendTimeout   span
	connectTimeout  span
	stopTimeout     span
	lockTimeout     span
	credentialsFile path
	profile         word
	logLevel        level
	logFormat       format
}

func defaultSettings() settings {
	return settings{
		cacheSize:      10 << 30,
		upload:         "close",
		trash:          keep(30 * 24 * time.Hour),
		facts:          true,
		localNames:     defaultNames,
		appendTimeout:  span(5 * time.Minute),
		connectTimeout: span(25 * time.Second), // an unreachable store is told within 30 s
		stopTimeout:    span(time.Minute),      // below the 90 s after which systemd kills
		lockTimeout:    span(90 * time.Second), // an ending daemon takes up to stopTimeout, and a little to close
		logLevel:       "info",
		logFormat:      "text",
	}
}

// flags defines one flag a setting.
func (s *settings) flags(f *pflag.FlagSet) {
	add := func(v setting, name, kind, usage string) {
		f.Var(flagValue{v, kind}, name, usage)
	}
	onOff := func(v *toggle, name, usage string) {
		add(v, name, "bool", usage) // help shows no value for this word
		f.Lookup(name).NoOptDefVal = "true"
	}
	add(
		&s.catalogDir, "catalog-dir", "DIR",
		"catalog, outbox and files that are not uploaded yet (default $XDG_STATE_HOME/mediafs/LIBRARY)",
	)
	add(
		&s.cacheDir, "cache-dir", "DIR",
		"blocks read from the store, may be deleted (default $XDG_CACHE_HOME/mediafs/LIBRARY)",
	)
	add(&s.cacheSize, "cache-size", "SIZE", "most that the read cache takes, such as 10GiB")
	add(
		&s.upload, "upload", "WHEN",
		"when a written file is in the store: close (before close(2) returns) or background (close(2) syncs it to the local disk)",
	)
	add(
		&s.trash, "trash", "DAYS",
		"how long deleted media are kept: days, or a length of time such as 12h; 0 deletes at once",
	)
	add(
		&s.localNames, "local-names", "LIST",
		"files of these names, between slashes, stay on this machine and are not uploaded: NAME or BEGINNING*; none uploads all",
	)
	add(
		&s.facts, "facts", "on|off",
		"read what the bytes of media say, after an upload: dates, places, cameras, titles",
	)
	onOff(&s.readOnly, "read-only", "change nothing in the library")
	onOff(&s.allowOther, "allow-other", "let other users in (as not root: needs user_allow_other in /etc/fuse.conf)")
	onOff(&s.create, "create", "make a new library even where the bucket or prefix holds other objects")
	add(
		&s.appendTimeout, "append-timeout", "TIME",
		"how long a change waits for a store that is down before it fails with EIO",
	)
	add(&s.connectTimeout, "connect-timeout", "TIME", "how long mount waits for the store")
	add(&s.stopTimeout, "stop-timeout", "TIME", "how long uploads may go on after SIGTERM or an unmount from outside")
	add(&s.lockTimeout, "lock-timeout", "TIME", "how long mount waits for a daemon of the same library that is ending")
	add(&s.credentialsFile, "credentials-file", "FILE", "AWS credentials file (default as for the AWS command line)")
	add(&s.profile, "profile", "NAME", "section of the credentials file")
	add(&s.logLevel, "log-level", "LEVEL", "error, warning, info, debug or trace")
	add(&s.logFormat, "log-format", "FORMAT", "text or json")
}

// fromEnvironment sets every flag that was not given from its variable: --cache-size from
// MEDIAFS_CACHE_SIZE.
func fromEnvironment(f *pflag.FlagSet, names []string, env func(string) string) error {
	for _, name := range names {
		variable := "MEDIAFS_" + strings.ToUpper(strings.ReplaceAll(name, "-", "_"))
		text := env(variable)
		if text == "" || f.Changed(name) {
			continue
		}
		if err := f.Set(name, text); err != nil {
			return &exitError{exitUsage, fmt.Errorf("environment variable %s: %w", variable, bareFlagError(err))}
		}
	}
	return nil
}

// bareFlagError takes the flag's name out of pflag's error, where the value did not come from a
// flag.
func bareFlagError(err error) error {
	var invalid *pflag.InvalidValueError
	if errors.As(err, &invalid) {
		return invalid.Unwrap()
	}
	return err
}
