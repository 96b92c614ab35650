package check

import (
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"mediafs/remote"
	"mediafs/remote/bucket"
	"mediafs/remote/object/dir"
	"mediafs/remote/storetest"
)

// What lies where an object of a local store should be, and what its disk does not give, is damage
// of that object. All others are looked at.
func TestOddObjectsOfADirectory(t *testing.T) {
	t.Parallel()
	fail := func(kind remote.Kind) func(t *testing.T, name, key string, f *storetest.Faulty) {
		return func(t *testing.T, name, key string, f *storetest.Faulty) {
			for _, op := range []storetest.Op{storetest.Get, storetest.Head} {
				f.Fail(storetest.Fault{Op: op, Prefix: key, Times: -1, Err: remote.E("get", key, kind, nil)})
			}
		}
	}
	put := func(mk func(name string) error) func(t *testing.T, name, key string, f *storetest.Faulty) {
		return func(t *testing.T, name, _ string, _ *storetest.Faulty) {
			if err := os.Rename(name, name+".away"); err != nil {
				t.Fatal(err)
			}
			if err := mk(name); err != nil {
				t.Fatal(err)
			}
		}
	}
	link := func(target string) func(string) error {
		return func(name string) error { return os.Symlink(target, name) }
	}
	for _, tt := range []struct {
		name  string
		make  func(t *testing.T, name, key string, f *storetest.Faulty)
		class Class
		sums  Class // when it is the object with block checksums
		why   string
	}{
		{"link out of the store", put(link("/etc/passwd")), MissingContent, MissingSums, "link that leads out"},
		{"link to nothing", put(link("nothing")), MissingContent, MissingSums, "not there"},
		{"link to itself", put(func(name string) error { return os.Symlink(filepath.Base(name), name) }), WrongSize, Unreadable, "symbolic links"},
		{"folder", put(func(name string) error { return os.Mkdir(name, 0o700) }), MissingContent, MissingSums, "no regular file"},
		{"fifo", put(func(name string) error { return unix.Mkfifo(name, 0o600) }), MissingContent, MissingSums, "no regular file"},
		{"device", put(func(name string) error { return unix.Mknod(name, unix.S_IFCHR|0o600, int(unix.Mkdev(1, 3))) }), MissingContent, MissingSums, "no regular file"},
		{"socket", put(func(name string) error {
			l, err := net.ListenUnix("unix", &net.UnixAddr{Name: name, Net: "unix"})
			if err == nil {
				l.SetUnlinkOnClose(false)
				err = l.Close()
			}
			return err
		}), MissingContent, MissingSums, "no regular file"},
		{"no permission", fail(remote.Permission), Unreadable, Unreadable, "permission denied"},
		{"disk that does not read it", fail(remote.Unavailable), Unreadable, Unreadable, "unavailable"},
	} {
		for _, object := range []string{at('A'), at('B') + bucket.SuffixSum} {
			t.Run(tt.name+" as "+filepath.Ext(object), func(t *testing.T) {
				t.Parallel()
				l := newLibrary(t)
				l.furnish()
				root := t.TempDir()
				if len(root) > 60 {
					root, _ = os.MkdirTemp("/tmp", "c")
					defer os.RemoveAll(root)
				}
				for key, data := range l.everything() {
					name := filepath.Join(root, key)
					if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
						t.Fatal(err)
					}
					if err := os.WriteFile(name, []byte(data), 0o600); err != nil {
						t.Fatal(err)
					}
				}
				b, err := dir.Open(root, dir.Options{})
				l.ok(err)
				f := storetest.New(b)
				opt := l.bucketOptions()
				opt.ReadOnly, opt.Attempts = true, 2
				s, err := bucket.Open(t.Context(), f, opt)
				l.ok(err)
				defer s.Close()
				tt.make(t, filepath.Join(root, object), object, f)
				for _, data := range []bool{false, true} {
					r, err := Check(
						t.Context(), Options{Store: s, TempDir: t.TempDir(), Pause: time.Millisecond, Data: data},
					)
					if tt.name == "device" && err != nil && os.Geteuid() != 0 {
						t.Skip("only root makes devices")
					}
					l.ok(err)
					class := tt.class
					if strings.HasSuffix(object, bucket.SuffixSum) {
						class = tt.sums
					}
					// The object that was imported in place has another etag on this disk.
					found := false
					for _, g := range r.Findings {
						switch {
						case g.Class == ChangedExternal || !g.Class.Damage():
						case g.Class == class && strings.Contains(g.Why, tt.why):
							found = true
						default:
							t.Errorf("found %s: %s: %s", g.Class, g.Place, g.Why)
						}
					}
					if hidden := tt.class == Unreadable && !data && class == tt.class; found == hidden {
						t.Errorf("data %v: found %v, %+v", data, found, r.Findings)
					}
					if n := r.Contents.Count; n != 5 {
						t.Errorf("%d contents were looked at, not 5", n)
					}
				}
			})
		}
	}
}
