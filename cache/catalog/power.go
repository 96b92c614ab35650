package catalog

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"slices"

	"golang.org/x/sys/unix"

	"mediafs/remote"
)

// What survives a crash of the process is all that was written: Badger's logs are shared mappings.
// What survives a loss of power is what sync wrote back, and of the rest any part: the kernel
// writes back a newer log of Badger's before an older one as it likes, so the applied number may be
// there while records of commits before it are not. Hence a marker in the directory, with the boot
// of the kernel in which it is in use: who finds it with another boot's id rebuilds all that
// follows from the store. Local records are synced wherever a promise rests on them, and stay.

// bootID tells this boot of the kernel; nil when it does not say.
func (c *Catalog) bootID() []byte {
	if c.opt.BootID != "" {
		return []byte(c.opt.BootID)
	}
	b, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return nil // every unclean end counts as a loss of power
	}
	return bytes.TrimSpace(b)
}

func (c *Catalog) marker() string { return filepath.Join(c.opt.Dir, "in-use") }

// distrust marks what was rebuilt from the store as lost if power may have been lost since the
// directory was last in use, and leaves the marker of this boot.
func (c *Catalog) distrust() error {
	boot := c.bootID()
	was, err := os.ReadFile(c.marker())
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return local("open catalog", c.marker(), err)
	}
	if err == nil && (boot == nil || !bytes.Equal(was, boot)) {
		c.log.Warn(
			"the power was lost while the library was mounted, it seems; reading the catalog from the store again",
		)
		// This needs no sync: should the power go again before Badger has it on disk, the next boot
		// finds the marker of a boot that is not its own, the one that is there or the one that
		// follows here, and comes by here again. Only Close takes the marker away, after Badger's
		// own end.
		err := c.updateLocal(func(tx *Tx) error {
			tx.raw(localKey("loading"), []byte{1})
			return nil
		})
		if err != nil {
			return err
		}
	}
	f, err := os.OpenFile(c.marker(), os.O_WRONLY|os.O_CREATE|os.O_TRUNC|unix.O_NOFOLLOW, 0o600)
	if err != nil {
		return local("open catalog", c.marker(), err)
	}
	// The folder is synced for its name: ext4 and XFS have that with the file's own sync, others
	// need not.
	err = errors.Join(second(f.Write(boot)), f.Sync(), f.Close(), syncFile(c.opt.Dir))
	if err != nil {
		return local("open catalog", c.marker(), err)
	}
	c.marked = true
	return nil
}

// sync makes everything that was written survive a power loss. Badger's own Sync leaves out the
// logs of memtables that wait for being flushed, which must come first: what is in them is older.
func (c *Catalog) sync() error {
	dir := filepath.Join(c.opt.Dir, "badger")
	names, err := filepath.Glob(filepath.Join(dir, "*.mem"))
	slices.Sort(names) // their names are their numbers, ascending
	for _, name := range names {
		if serr := syncFile(name); !errors.Is(serr, os.ErrNotExist) { // flushed meanwhile: its table is synced
			err = errors.Join(err, serr)
		}
	}
	if err = errors.Join(err, c.db.Sync(), syncFile(dir)); err != nil {
		return remote.E("sync catalog", c.opt.Dir, localKind(err), err)
	}
	return nil
}

func syncFile(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}
