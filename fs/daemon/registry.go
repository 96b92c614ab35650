package daemon

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"mediafs/fs/control"
	"mediafs/remote"
)

// A Mount says which daemon stands behind a mount point. One small file each, in a directory of
// this user, made when the mount is ready and removed when it ends; a killed daemon leaves its
// file, so whoever reads one asks the daemon before believing it.
type Mount struct {
	Dir        string    `json:"dir"` // mount point, absolute, without symbolic links
	PID        int       `json:"pid"`
	CatalogDir string    `json:"catalog_dir"` // where the socket is
	CacheDir   string    `json:"cache_dir"`
	Store      string    `json:"store"` // without secrets
	Started    time.Time `json:"started"`
}

// Alive tells whether the daemon of m has its catalog directory.
func (m Mount) Alive() bool { return control.Locked(m.CatalogDir) }

// A Registry is the list of a user's mounts, in directory Dir.
type Registry struct{ Dir string }

func (r Registry) path(mountPoint string) string {
	sum := sha256.Sum256([]byte(mountPoint))
	return filepath.Join(r.Dir, hex.EncodeToString(sum[:8])+".json")
}

// add writes m's file, whole or not at all.
func (r Registry) add(m Mount) error {
	if err := privateDir(r.Dir, "list of mounts", &madeDirs{}); err != nil {
		return err
	}
	b, err := json.Marshal(m)
	if err != nil {
		return remote.E("note the mount", m.Dir, remote.Invalid, err)
	}
	err = writePrivate(r.path(m.Dir), append(b, '\n'))
	if err != nil {
		return remote.OSError("note the mount", m.Dir, err)
	}
	return nil
}

// remove drops the file of mountPoint if it is the one of process pid: another daemon may have
// mounted there since.
func (r Registry) remove(mountPoint string, pid int) error {
	m, err := r.Find(mountPoint)
	if err != nil || m.PID != pid {
		return nil
	}
	if err := os.Remove(r.path(mountPoint)); err != nil && !errors.Is(err, os.ErrNotExist) {
		return remote.OSError("forget the mount", mountPoint, err)
	}
	return nil
}

// Find returns what is noted for a mount point. NotExist: nothing.
func (r Registry) Find(mountPoint string) (Mount, error) {
	return readMount(r.path(mountPoint))
}

// Forget drops what a dead daemon left for m.
func (r Registry) Forget(m Mount) error {
	if m.Alive() {
		return nil
	}
	return r.remove(m.Dir, m.PID)
}

// List returns all that is noted, by mount point. What cannot be read is left out: it is not a
// mount.
func (r Registry) List() ([]Mount, error) {
	entries, err := os.ReadDir(r.Dir)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, remote.OSError("list the mounts", r.Dir, err)
	}
	var ms []Mount
	for _, e := range entries {
		if !strings.HasSuffix(e.Name(), ".json") {
			continue
		}
		if m, err := readMount(filepath.Join(r.Dir, e.Name())); err == nil {
			ms = append(ms, m)
		}
	}
	slices.SortFunc(ms, func(a, b Mount) int { return strings.Compare(a.Dir, b.Dir) })
	return ms, nil
}

func readMount(path string) (Mount, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return Mount{}, remote.OSError("look up the mount", path, err)
	}
	var m Mount
	if err := json.Unmarshal(b, &m); err != nil {
		return Mount{}, remote.E("look up the mount", path, remote.Corrupt, err)
	}
	return m, nil
}
