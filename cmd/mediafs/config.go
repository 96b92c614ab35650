package main

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"

	"github.com/pelletier/go-toml/v2"
	"github.com/spf13/pflag"
)

// A section is what the configuration file may say of a library, or in [default] of every one. Its
// keys are the flags' names; create and foreground are asked for at each mount and have none.
type section struct {
	Store           *word         `toml:"store"`
	Mount           *path         `toml:"mount"`
	CatalogDir      *path         `toml:"catalog-dir"`
	CacheDir        *path         `toml:"cache-dir"`
	CacheSize       *boxed[size]  `toml:"cache-size"`
	Upload          *upload       `toml:"upload"`
	Trash           *boxed[keep]  `toml:"trash"`
	LocalNames      *nameList     `toml:"local-names"`
	Facts           *toggle       `toml:"facts"`
	ReadOnly        *toggle       `toml:"read-only"`
	AllowOther      *toggle       `toml:"allow-other"`
	AppendTimeout   *boxed[span]  `toml:"append-timeout"`
	ConnectTimeout  *boxed[span]  `toml:"connect-timeout"`
	StopTimeout     *boxed[span]  `toml:"stop-timeout"`
	LockTimeout     *boxed[span]  `toml:"lock-timeout"`
	CredentialsFile *path         `toml:"credentials-file"`
	Profile         *word         `toml:"profile"`
	LogLevel        *boxed[level] `toml:"log-level"`
	LogFormat       *format       `toml:"log-format"`
}

// boxed is a setting whose type is a number. The decoder puts a bare number of the file straight
// into a field of such a kind, past the type's own parser: trash = 90 would be 90 nanoseconds and
// not days.
type boxed[T any] struct{ v T }

func (b *boxed[T]) UnmarshalText(text []byte) error { return any(&b.v).(setting).UnmarshalText(text) }

func (b *boxed[T]) String() string { return any(&b.v).(setting).String() }

// A config is the configuration file. Secrets have no key in it: they come from the AWS environment
// and files.
type config struct {
	Default section            `toml:"default"`
	Library map[string]section `toml:"library"`
}

// readConfig reads the file at name; one that is not there is empty. Unknown keys and bad values
// are errors that name line and column.
func readConfig(name string) (*config, error) {
	b, err := os.ReadFile(name)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return &config{}, nil
	case err != nil:
		return nil, &exitError{exitUsage, fmt.Errorf("read the configuration: %w", err)}
	}
	c := &config{}
	d := toml.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	if err := d.Decode(c); err != nil {
		return nil, &exitError{exitUsage, fmt.Errorf("read the configuration: %w", locate(name, err))}
	}
	if c.Default.Mount != nil {
		return nil, &exitError{
			exitUsage,
			fmt.Errorf("read the configuration: %s: [default] mount: a mount point belongs to one library", name),
		}
	}
	return c, nil
}

// locate says where in the file err is.
func locate(name string, err error) error {
	var unknown *toml.StrictMissingError
	if errors.As(err, &unknown) && len(unknown.Errors) > 0 {
		var texts []string
		for i := range unknown.Errors {
			e := &unknown.Errors[i]
			line, column := e.Position()
			text := fmt.Sprintf("%s:%d:%d: unknown key %s", name, line, column, strings.Join(e.Key(), "."))
			if looksSecret(e.Key()) {
				text += " (secrets are taken from AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or from the file that credentials-file names)"
			}
			texts = append(texts, text)
		}
		return errors.New(strings.Join(texts, "; "))
	}
	var e *toml.DecodeError
	if errors.As(err, &e) {
		line, column := e.Position()
		at := fmt.Sprintf("%s:%d:%d: ", name, line, column)
		if len(e.Key()) > 0 {
			at += strings.Join(e.Key(), ".") + ": "
		}
		return errors.New(at + strings.TrimPrefix(e.Error(), "toml: "))
	}
	return fmt.Errorf("%s: %w", name, err)
}

func looksSecret(key []string) bool {
	last := strings.ToLower(key[len(key)-1])
	return strings.Contains(last, "secret") || strings.Contains(last, "access-key") || strings.Contains(last, "access_key") ||
		strings.Contains(last, "password") ||
		strings.Contains(last, "token")
}

// names lists the configured libraries.
func (c *config) names() []string { return slices.Sorted(maps.Keys(c.Library)) }

// each calls set for every value that s has, by its flag's name.
func (s section) each(set func(name string, v setting)) {
	// A nil pointer in an interface is not a nil interface, hence one line a field and no loop over
	// a slice of settings.
	put(set, "catalog-dir", s.CatalogDir)
	put(set, "cache-dir", s.CacheDir)
	put(set, "cache-size", s.CacheSize)
	put(set, "upload", s.Upload)
	put(set, "trash", s.Trash)
	put(set, "local-names", s.LocalNames)
	put(set, "facts", s.Facts)
	put(set, "read-only", s.ReadOnly)
	put(set, "allow-other", s.AllowOther)
	put(set, "append-timeout", s.AppendTimeout)
	put(set, "connect-timeout", s.ConnectTimeout)
	put(set, "stop-timeout", s.StopTimeout)
	put(set, "lock-timeout", s.LockTimeout)
	put(set, "credentials-file", s.CredentialsFile)
	put(set, "profile", s.Profile)
	put(set, "log-level", s.LogLevel)
	put(set, "log-format", s.LogFormat)
}

func put[T any, P interface {
	*T
	setting
}](set func(string, setting), name string, v P) {
	if v != nil {
		set(name, v)
	}
}

// fromSection sets every flag that was not given, on the command line or by a stronger section,
// from s.
func fromSection(f *pflag.FlagSet, s section) error {
	var failed error
	s.each(func(name string, v setting) {
		if f.Changed(name) || failed != nil {
			return
		}
		failed = f.Set(name, v.String())
	})
	return failed
}
