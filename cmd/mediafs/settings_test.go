package main

import (
	"reflect"
	"runtime/debug"
	"strings"
	"testing"
	"time"

	"github.com/spf13/pflag"

	"mediafs/remote"
)

func TestValues(t *testing.T) {
	day := 24 * time.Hour
	tests := []struct {
		into  setting
		text  string
		value any    // nil: refused
		shown string // String of it; empty: as text
	}{
		{new(size), "10GiB", size(10 << 30), ""},
		{new(size), "1.5 k", size(1536), "1536"},
		{new(size), "500MB", size(500e6), "500000000"},
		{new(size), "2t", size(2 << 40), "2TiB"},
		{new(size), "0", size(0), ""},
		{new(size), "4096B", size(4096), "4KiB"},
		{new(size), "9e30", nil, ""},
		{new(size), "99999999T", nil, ""},
		{new(size), "", nil, ""},
		{new(size), "GiB", nil, ""},
		{new(size), "NaN", nil, ""},
		{new(span), "5m", span(5 * time.Minute), ""},
		{new(span), "2h", span(2 * time.Hour), ""},
		{new(span), "90s", span(90 * time.Second), "1m30s"},
		{new(span), "10s", span(10 * time.Second), ""},
		{new(span), "100ms", span(100 * time.Millisecond), ""},
		{new(span), "-5m", nil, ""},
		{new(span), "5", nil, ""},
		{new(keep), "30", keep(30 * day), "30d"},
		{new(keep), "7d", keep(7 * day), ""},
		{new(keep), "12h", keep(12 * time.Hour), ""},
		{new(keep), "0", keep(0), "0d"},
		{new(keep), "-1", nil, ""},
		{new(keep), "70000", nil, ""},
		{new(toggle), "yes", toggle(true), "true"},
		{new(toggle), "0", toggle(false), "false"},
		{new(toggle), "", nil, ""},
		{new(upload), "close", upload("close"), ""},
		{new(upload), "background", upload("background"), ""},
		{new(level), "warning", level("warning"), ""},
		{new(format), "json", format("json"), ""},
		{new(path), "", nil, ""},
	}
	for _, tt := range tests {
		err := tt.into.UnmarshalText([]byte(tt.text))
		if tt.value == nil {
			if err == nil {
				t.Errorf("%T %q was taken as %v", tt.into, tt.text, tt.into)
			}
			continue
		}
		if got := reflect.ValueOf(tt.into).Elem().Interface(); err != nil || got != tt.value {
			t.Errorf("%T %q: %v, %v; want %v", tt.into, tt.text, got, err, tt.value)
		}
		want := tt.shown
		if want == "" {
			want = tt.text
		}
		if tt.into.String() != want {
			t.Errorf("%T %q is shown as %q, want %q", tt.into, tt.text, tt.into, want)
		}
		// What is shown is read as the same: the daemon in the background gets its settings that
		// way.
		if err := tt.into.UnmarshalText(
			[]byte(tt.into.String()),
		); err != nil ||
			reflect.ValueOf(tt.into).Elem().Interface() != tt.value {
			t.Errorf("%T %q does not survive being written down", tt.into, tt.text)
		}
	}
}

// resolveWith resolves a mount command as the program does, without mounting.
func resolveWith(t *testing.T, s *session, args ...string) (*mounting, error) {
	t.Helper()
	p := &program{env: func(k string) string { return s.env[k] }}
	m := &mounting{settings: defaultSettings()}
	f := pflag.NewFlagSet("mount", pflag.ContinueOnError)
	m.settings.flags(f)
	var names []string
	f.VisitAll(func(flag *pflag.Flag) { names = append(names, flag.Name) })
	options := f.StringArrayP("options", "o", nil, "")
	f.Var(flagValue{&m.source, "TEXT"}, "source", "")
	if err := f.Parse(args); err != nil {
		t.Fatal(err)
	}
	var err error
	if m.extra, err = parseMountOptions(f, names, *options, false); err != nil {
		return m, err
	}
	if err := fromEnvironment(f, names, p.env); err != nil {
		return m, err
	}
	return m, p.resolve(m, f, f.Args(), "")
}

// A bare number of the file means what it means as a flag.
func TestNumbersInTheFile(t *testing.T) {
	s := newSession(t)
	s.configure(t, "[default]\ntrash = 90\ncache-size = 4096\n")
	m, err := resolveWith(t, s, "file:///srv/p", "/mnt")
	if err != nil {
		t.Fatal(err)
	}
	if m.settings.trash != keep(90*24*time.Hour) || m.settings.cacheSize != 4096 {
		t.Errorf("trash %v, cache size %v", m.settings.trash, m.settings.cacheSize)
	}
	s.configure(t, "[default]\ntrash = 0\n")
	if m, err := resolveWith(t, s, "file:///srv/p", "/mnt"); err != nil || m.settings.trash != 0 {
		t.Errorf("trash = 0: %v, %v", m.settings.trash, err)
	}
	for _, line := range []string{"append-timeout = 5", "connect-timeout = 5", "stop-timeout = 1", "cache-size = -1", "trash = -1", "log-level = 3", "trash = 1.5"} {
		s.configure(t, "[default]\n"+line+"\n")
		if m, err := resolveWith(t, s, "file:///srv/p", "/mnt"); err == nil {
			t.Errorf("%s is accepted: %+v", line, m.settings)
		}
	}
}

// Flags win over the environment, that over the library's section, that over [default], that over
// what the program thinks.
func TestPrecedence(t *testing.T) {
	const file = "[default]\ntrash = 1\ncache-size = '1GiB'\nappend-timeout = '1m'\nread-only = true\n" +
		"[library.photos]\nstore = 'file:///srv/photos'\nmount = '~/Photos'\ntrash = '2d'\ncache-size = '2GiB'\nappend-timeout = '2m'\n"
	s := newSession(t)
	s.configure(t, file)
	s.env["MEDIAFS_TRASH"] = "3"
	s.env["MEDIAFS_CACHE_SIZE"] = "3GiB"
	m, err := resolveWith(t, s, "--trash=4", "photos", s.home+"/x")
	if err != nil {
		t.Fatal(err)
	}
	o := m.options
	for name, got := range map[string]any{
		"trash: flag": o.Trash == 4*24*time.Hour, "cache-size: environment": o.CacheSize == 3<<30,
		"append-timeout: library": o.AppendTimeout == 2*time.Minute, "read-only: default": o.ReadOnly,
		"stop-timeout: program": o.StopTimeout == time.Minute, "store": o.Store == "file:///srv/photos", "dir": o.Dir == s.home+"/x",
	} {
		if got != true {
			t.Errorf("%s: not so in %+v", name, o)
		}
	}
}

func TestMountOptions(t *testing.T) {
	m, err := resolveWith(
		t, newSession(t), "-o", "ro,allow_other,cache_size=5GiB,_netdev", "-o",
		"trash=0,x-systemd.after=a,catalog-dir=/c", "file:///srv/p", "/mnt",
	)
	if err != nil {
		t.Fatal(err)
	}
	o := m.options
	if !o.ReadOnly || !o.AllowOther || o.CacheSize != 5<<30 || !o.NoTrash || o.CatalogDir != "/c" {
		t.Errorf("got %+v", o)
	}
}

func TestChooseTarget(t *testing.T) {
	s := newSession(t)
	s.configure(
		t,
		"[library.photos]\nstore = 's3://photos'\nmount = '~/Photos'\nprofile = 'family'\n[library.films]\nstore = 'file:///films'\n",
	)
	tests := []struct {
		args    []string
		store   string
		dir     string
		profile string
	}{
		{[]string{s.home + "/Media"}, "file://" + s.home + "/.local/share/mediafs/library", s.home + "/Media", ""},
		{[]string{s.home + "/Photos"}, "s3://photos", s.home + "/Photos", "family"},
		{[]string{s.home + "/Photos/"}, "s3://photos", s.home + "/Photos", "family"},
		{[]string{"photos", s.home + "/other"}, "s3://photos", s.home + "/other", "family"},
		{[]string{"films", "~/Films"}, "file:///films", s.home + "/Films", ""},
		{[]string{"s3://photos", "/mnt"}, "s3://photos", "/mnt", ""},
	}
	for _, tt := range tests {
		m, err := resolveWith(t, s, tt.args...)
		if err != nil || m.options.Store != tt.store || m.options.Dir != tt.dir || m.options.Profile != tt.profile {
			t.Errorf(
				"%v: store %s, folder %s, profile %q, %v; want %+v", tt.args, m.options.Store, m.options.Dir,
				m.options.Profile, err, tt,
			)
		}
	}
}

func TestLibraryKey(t *testing.T) {
	same := []string{
		"s3://b/p?endpoint=http://h:9000&region=r", "s3://b/p/?region=q&endpoint=http://h:9000/",
		"s3://b//p?endpoint=http://h:9000",
	}
	for _, store := range same {
		if libraryKey(store) != libraryKey(same[0]) {
			t.Errorf("%s has another key than %s", store, same[0])
		}
	}
	for _, store := range []string{"s3://b/q?endpoint=http://h:9000", "s3://b/p?endpoint=http://i:9000", "s3://c/p?endpoint=http://h:9000", "file:///b/p", "s3://b/p"} {
		if libraryKey(store) == libraryKey(same[0]) {
			t.Errorf("%s has the key of %s", store, same[0])
		}
	}
}

// The daemon in the background gets what was resolved here, whatever folder, environment and file
// it finds.
func TestRepeat(t *testing.T) {
	s := newSession(t)
	s.configure(t, "[library.photos]\nstore = 'file:///srv/photos'\ntrash = 9\n")
	m, err := resolveWith(t, s, "--read-only", "--cache-size=1500", "photos", s.home+"/-odd dir")
	if err != nil {
		t.Fatal(err)
	}
	again, err := resolveWith(t, newSession(t), m.again...)
	if err != nil {
		t.Fatal(err)
	}
	a, b := m.options, again.options
	a.Registry = b.Registry // of another home
	if !reflect.DeepEqual(a, b) {
		t.Errorf("repeated:\n%+v\nwant\n%+v", b, a)
	}
}

// Every key of the configuration file is a flag, and every flag that makes sense there is a key.
func TestConfigKeysAreFlags(t *testing.T) {
	f := pflag.NewFlagSet("", pflag.ContinueOnError)
	s := defaultSettings()
	s.flags(f)
	keys := map[string]bool{"store": true, "mount": true}
	full := section{}
	v := reflect.ValueOf(&full).Elem()
	for i := range v.NumField() {
		key := v.Type().Field(i).Tag.Get("toml")
		if f.Lookup(key) == nil && !keys[key] {
			t.Errorf("key %s is no flag", key)
		}
		keys[key] = true
		v.Field(i).Set(reflect.New(v.Field(i).Type().Elem()))
	}
	f.VisitAll(func(flag *pflag.Flag) {
		if !keys[flag.Name] && flag.Name != "create" {
			t.Errorf("flag --%s is no key", flag.Name)
		}
		if flag.Usage == "" {
			t.Errorf("flag --%s has no help", flag.Name)
		}
	})
	applied := map[string]bool{"store": true, "mount": true}
	full.each(func(name string, _ setting) { applied[name] = true })
	for key := range keys {
		if !applied[key] {
			t.Errorf("key %s has no effect", key)
		}
	}
}

func TestExitCodes(t *testing.T) {
	seen := map[int]bool{}
	for i, m := range exitMeanings {
		if m.code != i || m.meaning == "" || seen[m.code] {
			t.Errorf("exit code %d at place %d", m.code, i)
		}
		seen[m.code] = true
	}
	for _, k := range remote.Kinds() {
		if code := exitCode(remote.E("op", "", k, nil)); !seen[code] || code == exitOK {
			t.Errorf("kind %v: exit code %d is not documented", k, code)
		}
	}
	if exitCode(nil) != exitOK {
		t.Error("no error is not success")
	}
}

func TestCommandArgs(t *testing.T) {
	for _, tt := range []struct {
		args, want string
		as         role
	}{
		{"/usr/bin/mediafs status", "status", asItself},
		{"/sbin/mount.mediafs s3://b /mnt -o rw,_netdev", "mount s3://b /mnt -o rw,_netdev", asMount},
		{"/sbin/mount.fuse.mediafs s3://b /mnt -o remount", "mount s3://b /mnt -o remount", asMount},
		{"/sbin/umount.fuse.mediafs /mnt -l", "umount /mnt -l", asUmount},
		{"mediafs photos /mnt -o rw,dev,suid,noatime", "mount photos /mnt -o rw,noatime", asMount}, // by mount.fuse
		{"mediafs export /mnt -o x", "export /mnt -o x", asItself},
		{"mediafs export /mnt/a -o /x", "export /mnt/a -o /x", asItself},
		{"/sbin/mount.mediafs facts-worker", "facts-worker", asItself}, // by a daemon that mount(8) started
		{"mediafs", "", asItself},
	} {
		as, args := commandArgs(strings.Fields(tt.args))
		if got := strings.Join(args, " "); got != tt.want || as != tt.as {
			t.Errorf("%s: %q as %d, want %+v", tt.args, got, as, tt)
		}
	}
}

func TestVersionOf(t *testing.T) {
	setting := func(k, v string) debug.BuildSetting { return debug.BuildSetting{Key: k, Value: v} }
	for want, info := range map[string]*debug.BuildInfo{
		"v1.2.3":                     {Main: debug.Module{Version: "v1.2.3"}},
		"devel":                      {Main: debug.Module{Version: "(devel)"}},
		"devel-0123456789ab+changed": {Settings: []debug.BuildSetting{setting("vcs.revision", "0123456789abcdef"), setting("vcs.modified", "true")}},
	} {
		if got := versionOf(info); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}
