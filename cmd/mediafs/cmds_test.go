package main

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A session is a user with a home of their own, whose commands run in this process.
type session struct {
	home string
	env  map[string]string
}

func newSession(t *testing.T) *session {
	home := t.TempDir()
	return &session{home: home, env: map[string]string{"HOME": home}}
}

// run runs mediafs. Nobody sits at its terminal.
func (s *session) run(t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	return s.runAs(t, append([]string{"mediafs"}, args...), nil)
}

func (s *session) runAs(t *testing.T, args []string, more map[string]string) (code int, stdout, stderr string) {
	t.Helper()
	env := maps.Clone(s.env)
	maps.Copy(env, more)
	var out, errs bytes.Buffer
	code = Main(context.Background(), args, func(k string) string { return env[k] }, strings.NewReader(""), &out, &errs)
	return code, out.String(), errs.String()
}

// configure writes the configuration file.
func (s *session) configure(t *testing.T, text string) {
	t.Helper()
	dir := filepath.Join(s.home, ".config", "mediafs")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "config.toml"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// What a person can get wrong before anything is mounted: one clear line, the documented exit code,
// nothing on standard output.
func TestBadInput(t *testing.T) {
	tests := []struct {
		name   string
		args   string            // split at spaces, ~ is the home folder
		env    map[string]string // beside HOME
		config string
		code   int
		says   string // in the line
	}{
		{name: "no such command", args: "mnt ~/m", code: exitUsage, says: `unknown command "mnt"`},
		{name: "no argument", args: "mount", code: exitUsage, says: "argument missing"},
		{name: "three arguments", args: "mount file:///a ~/m c", code: exitUsage, says: "too many arguments"},
		{name: "no such flag", args: "mount --nope ~/m", code: exitUsage, says: "unknown flag: --nope"},
		{
			name: "size",
			args: "mount --cache-size=10XB ~/m",
			code: exitUsage,
			says: `"10XB" is not a size such as 10GiB`,
		},
		{name: "negative size", args: "mount --cache-size=-1 ~/m", code: exitUsage, says: `"-1" is not a size`},
		{
			name: "time",
			args: "mount --append-timeout=soon ~/m",
			code: exitUsage,
			says: `"soon" is not a length of time`,
		},
		{
			name: "trash",
			args: "mount --trash=forever ~/m",
			code: exitUsage,
			says: `"forever" is neither a number of days nor`,
		},
		{
			name: "toggle",
			args: "mount --read-only=perhaps ~/m",
			code: exitUsage,
			says: `"perhaps" is neither true nor false`,
		},
		{
			name: "upload otherwise",
			args: "mount --upload=never ~/m",
			code: exitUsage,
			says: `"never" is not a way to upload`,
		},
		{name: "level", args: "mount --log-level=loud ~/m", code: exitUsage, says: `"loud" is not a level`},
		{name: "format", args: "mount --log-format=xml ~/m", code: exitUsage, says: `"xml" is not a log format`},

		{name: "option", args: "mount ~/m -o nope", code: exitUsage, says: "-o nope: unknown option"},
		{
			name: "option without value",
			args: "mount ~/m -o ro,cache_size",
			code: exitUsage,
			says: "-o cache_size: a value is missing",
		},
		{
			name: "value of an option",
			args: "mount ~/m -o cache_size=x",
			code: exitUsage,
			says: `-o cache_size: "x" is not a size`,
		},
		{
			name: "as mount(8) does it",
			args: "mount ~/m -o rw,_netdev,x-systemd.automount,noauto,nofail,cache_size=x",
			code: exitUsage,
			says: `-o cache_size: "x"`,
		},

		{
			name: "environment",
			args: "mount ~/m",
			env:  map[string]string{"MEDIAFS_CACHE_SIZE": "lots"},
			code: exitUsage,
			says: `environment variable MEDIAFS_CACHE_SIZE: "lots" is not a size`,
		},
		{
			name: "flag before environment",
			args: "mount --cache-size=1GiB ~/missing",
			env:  map[string]string{"MEDIAFS_CACHE_SIZE": "lots"},
			code: exitMountPoint,
			says: "~/missing: does not exist",
		},

		{
			name:   "unknown key",
			args:   "mount ~/m",
			config: "[default]\ntrash = 3\ncashe-size = '1G'\n",
			code:   exitUsage,
			says:   "config.toml:3:1: unknown key default.cashe-size",
		},
		{
			name:   "two unknown keys",
			args:   "mount ~/m",
			config: "[default]\na = 3\n[library.x]\nb = 1\n",
			code:   exitUsage,
			says:   "unknown key library.x.b",
		},
		{
			name:   "secret in the file",
			args:   "mount ~/m",
			config: "[library.x]\nsecret-access-key = 'k'\n",
			code:   exitUsage,
			says:   "secrets are taken from AWS_ACCESS_KEY_ID",
		},
		{
			name:   "value in the file",
			args:   "mount ~/m",
			config: "[library.x]\n\ncache-size = 'x'\n",
			code:   exitUsage,
			says:   `config.toml:3:14: library.x.cache-size: "x" is not a size`,
		},
		{
			name:   "type in the file",
			args:   "mount ~/m",
			config: "[default]\nread-only = 'perhaps'\n",
			code:   exitUsage,
			says:   `config.toml:2:13: default.read-only: "perhaps" is neither true nor false`,
		},
		{name: "not TOML", args: "mount ~/m", config: "[default\n", code: exitUsage, says: "config.toml:1:9: "},
		{
			name:   "one mount point for all",
			args:   "mount ~/m",
			config: "[default]\nmount = '/m'\n",
			code:   exitUsage,
			says:   "a mount point belongs to one library",
		},
		{
			name: "named file missing",
			args: "mount --config ~/none.toml ~/m",
			code: exitUsage,
			says: "none.toml: no such file",
		},

		{
			name: "path as a store",
			args: "mount /srv/photos ~/m",
			code: exitUsage,
			says: "a local directory is written file:///srv/photos",
		},
		{name: "name without a file", args: "mount photos ~/m", code: exitUsage, says: "photos is neither a URL"},
		{
			name:   "unknown name",
			args:   "mount fotos ~/m",
			config: "[library.photos]\nstore = 'file:///p'\n",
			code:   exitUsage,
			says:   "(photos)",
		},
		{
			name:   "name without a store",
			args:   "mount photos ~/m",
			config: "[library.photos]\ntrash = 0\n",
			code:   exitUsage,
			says:   "library photos has no store",
		},
		{
			name: "secret in the URL",
			args: "mount s3://AKIA:sesame@host/bucket ~/m",
			code: exitUsage,
			says: "the URL of the store holds credentials",
		},
		{
			name:   "secret in the file's URL",
			args:   "mount p ~/m",
			config: "[library.p]\nstore = 's3://AKIA:sesame@host/b'\n",
			code:   exitUsage,
			says:   "the URL of the store holds credentials",
		},
		{
			name:   "secret in the default URL",
			args:   "mount ~/m",
			config: "[default]\nstore = 's3://AKIA:sesame@host/b'\n",
			code:   exitUsage,
			says:   "the URL of the store holds credentials",
		},

		{name: "umount nothing", args: "umount ~", code: exitMountPoint, says: "nothing of mediafs is mounted there"},
		{
			name: "umount a missing folder",
			args: "umount ~/none",
			code: exitMountPoint,
			says: "nothing of mediafs is mounted there",
		},
		{name: "umount without a folder", args: "umount", code: exitUsage, says: "argument missing"},
		{name: "umount time", args: "umount --timeout=x ~", code: exitUsage, says: `"x" is not a length of time`},
		{name: "flush nothing", args: "flush ~", code: exitMountPoint, says: "nothing of mediafs is mounted there"},
		{
			name: "status of nothing",
			args: "status ~",
			code: exitMountPoint,
			says: "nothing of mediafs is mounted there",
		},
		{name: "escapes in a name", args: "status ~/\x1b[31mred", code: exitMountPoint, says: `\x1b[31mred`},
		{name: "version of what", args: "version 2", code: exitUsage, says: "too many arguments"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := newSession(t)
			if tt.config != "" {
				s.configure(t, tt.config)
			}
			args := append([]string{"mediafs"}, strings.Fields(strings.ReplaceAll(tt.args, "~", s.home))...)
			if args[1] == "mount" {
				args = append(args, "--foreground") // were it to get that far, in this process
			}
			code, stdout, stderr := s.runAs(t, args, tt.env)
			says := strings.ReplaceAll(tt.says, "~", s.home)
			if code != tt.code || !strings.Contains(stderr, says) || stdout != "" {
				t.Errorf("exit code %d, want %d; said %q, want %q; stdout %q", code, tt.code, stderr, says, stdout)
			}
			if strings.Count(stderr, "\n") != 1 || !strings.HasPrefix(stderr, "mediafs: ") ||
				strings.Contains(stderr, "\x1b") {
				t.Errorf("not one plain line: %q", stderr)
			}
			if strings.Contains(stderr, "sesame") {
				t.Errorf("a secret was printed: %q", stderr)
			}
			if entries, _ := os.ReadDir(filepath.Join(s.home, ".local")); tt.code == exitUsage && len(entries) > 0 {
				t.Errorf("a command that was refused made %v", entries)
			}
		})
	}
}

func TestNothingMounted(t *testing.T) {
	s := newSession(t)
	s.env["XDG_STATE_HOME"] = "relative/paths/are/ignored"
	_, stdout, _ := s.run(t, "status", "--json")
	if !strings.HasPrefix(stdout, "[") {
		t.Errorf("status --json: %q, want a list", stdout)
	}
}

func TestHelp(t *testing.T) {
	s := newSession(t)
	for _, args := range [][]string{nil, {"--help"}, {"help", "mount"}, {"mount", "--help"}, {"umount", "-h"}} {
		code, stdout, stderr := s.run(t, args...)
		if code != exitOK || !strings.Contains(stdout, "Usage:") || stderr != "" {
			t.Errorf("%v: exit code %d, stdout %q, stderr %q", args, code, stdout, stderr)
		}
	}
	_, stdout, _ := s.run(t, "--help")
	for _, m := range exitMeanings {
		if !strings.Contains(stdout, m.meaning) {
			t.Errorf("help does not say what exit code %d means", m.code)
		}
	}
}

// The table in README.md is the one that the program has.
func TestExitCodesInREADME(t *testing.T) {
	b, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range exitMeanings {
		if line := fmt.Sprintf("| %d | %s |\n", m.code, m.meaning); !strings.Contains(string(b), line) {
			t.Errorf("README.md lacks %q", line)
		}
	}
}

func TestVersion(t *testing.T) {
	code, stdout, _ := newSession(t).run(t, "version")
	if code != exitOK || !strings.HasPrefix(stdout, "mediafs ") || strings.Count(stdout, "\n") != 1 {
		t.Errorf("exit code %d, %q", code, stdout)
	}
}
