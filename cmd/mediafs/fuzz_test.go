package main

import (
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"
)

// A configuration file is taken or refused with its name in the error, and what is taken can be set
// as flags.
func FuzzConfig(f *testing.F) {
	f.Add(
		[]byte(
			"[default]\ncache-size = \"1GiB\"\ntrash = 90\n[library.photos]\nstore = \"s3://a/b\"\nmount = \"~/p\"\nread-only = true\nupload = \"close\"\n",
		),
	)
	f.Add([]byte("[default]\nmount = \"/x\"\n"))
	f.Add([]byte("[library.\"a.b\"]\naws-secret-access-key = 1\n\"\" = 2\n"))
	f.Add([]byte("[[library]]\n[library.x.y]\nstore = 1979-05-27\n"))
	f.Add([]byte("default = 1\nlibrary = [ { x = {} } ]"))
	name := filepath.Join(f.TempDir(), "config.toml")
	f.Fuzz(func(t *testing.T, b []byte) {
		if err := os.WriteFile(name, b, 0o600); err != nil {
			t.Fatal(err)
		}
		c, err := readConfig(name)
		if err != nil {
			if exitCode(err) != exitUsage || !strings.Contains(err.Error(), name) {
				t.Errorf("%q: %v", b, err)
			}
			return
		}
		c.Default.each(again(t))
		for _, library := range c.names() {
			s := c.Library[library]
			s.each(again(t))
			if _, err := chooseTarget(
				[]string{library, "/mnt"}, c, places{home: "/home/x"},
			); err == nil && s.Store == nil &&
				!strings.Contains(library, "://") {
				t.Errorf("%q: library %q has no store and is mounted", b, library)
			}
		}
	})
}

// again checks that a value means itself when it is written down and read.
func again(t *testing.T) func(name string, v setting) {
	return func(name string, v setting) {
		text := v.String()
		if err := v.UnmarshalText([]byte(text)); err != nil || v.String() != text {
			t.Errorf("%s %q, read again %q, %v", name, text, v, err)
		}
	}
}

// Values are refused, or mean the same when they are written down and read again.
func FuzzValues(f *testing.F) {
	for _, s := range []string{"10GiB", "1.5T", "1e3", "0x1p10", "nan", "inf", "-1", "30s", "5m", "1h0m0s", "90", "65535d", "12h", "true", "~/x", "close", "trace", "json", ""} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		for name, v := range map[string]setting{
			"size": new(size), "span": new(span), "keep": new(keep), "toggle": new(toggle), "path": new(path), "upload": new(upload),
			"level": new(level), "format": new(format), "word": new(word),
		} {
			if v.UnmarshalText([]byte(text)) != nil {
				continue
			}
			again(t)(name+" from "+text, v)
			switch n := v.(type) {
			case *size:
				if *n < 0 {
					t.Errorf("%q is %d bytes", text, *n)
				}
			case *span:
				if *n < 0 {
					t.Errorf("%q is %v", text, n)
				}
			case *keep:
				if *n < 0 {
					t.Errorf("%q is %v", text, n)
				}
			}
		}
	})
}

// A store has one name for its directories, which is a name, and no password gets past.
func FuzzStore(f *testing.F) {
	for _, s := range []string{"s3://bucket/a/../b?endpoint=http://h/", "s3://u:p@bucket", "file:///a//b/", "s3:", "://", "s3://[::1]:9", "%", "FILE://x"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, store string) {
		key := libraryKey(store)
		if len(key) != 16 || strings.Trim(key, "0123456789abcdef") != "" {
			t.Errorf("%q: %q", store, key)
		}
		u, err := url.Parse(store)
		if err != nil {
			return
		}
		if u.User != nil && noSecret(store) == nil {
			t.Errorf("%q has a user in it", store)
		}
		if u.Scheme == "s3" && u.Host != "" && u.User == nil && u.Fragment == "" && u.RawQuery == "" && !u.ForceQuery {
			if slash := strings.TrimSuffix(store, "#") + "/"; libraryKey(slash) != key {
				t.Errorf("%q has another key with a slash at its end", store)
			}
		}
	})
}

// Nothing that a terminal obeys is printed, and what can be shown is.
func FuzzPrintable(f *testing.F) {
	for _, s := range []string{"plain", "\x1b[31m", "\u202eabc", "é日本", "\xff\x9b", "a\tb\nc", "\u200b\ufeff", "\\x1b"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		got := printable(s)
		if !utf8.ValidString(got) {
			t.Errorf("%q: %q is not UTF-8", s, got)
		}
		for _, r := range got {
			if !unicode.IsGraphic(r) || unicode.Is(unicode.Cf, r) || unicode.Is(unicode.Zs, r) && r != ' ' {
				t.Errorf("%q: %q has %U", s, got, r)
			}
		}
		if printable(got) != got {
			t.Errorf("%q is not %q", printable(got), got)
		}
	})
}
