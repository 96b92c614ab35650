package engine

import (
	"context"
	"crypto/rand"
	"fmt"
	"os"
	"time"

	"google.golang.org/protobuf/proto"

	"mediafs/cache/catalog"
	"mediafs/fs/vfs"
	"mediafs/fs/vfs/intent"
	"mediafs/fs/vfs/operation"
	"mediafs/remote"
	"mediafs/remote/bucket/record"
)

// do runs an intent as an operation and returns when it is in the log.
func (fs *FS) do(ctx context.Context, in *intent.Intent) (operation.Result, error) {
	b, err := proto.Marshal(in)
	if err != nil {
		return operation.Result{}, remote.E("encode operation", "", remote.Invalid, err)
	}
	var r operation.Result
	update := fs.cat.Update
	if frees(in.Kind) {
		update = fs.cat.UpdateToFree
	}
	err = update(ctx, b, func(tx *catalog.Tx) error {
		r = operation.Result{}
		return operation.Run(tx, in, &r)
	})
	return r, err
}

// frees tells whether an operation lets something of this machine's disk go: what is uploaded
// leaves the spool, and so does what is deleted.
func frees(k intent.Kind) bool {
	switch k {
	case intent.Kind_SET_HEAD,
		intent.Kind_LATE_VERSION,
		intent.Kind_UNLINK,
		intent.Kind_RMDIR,
		intent.Kind_TRASH,
		intent.Kind_PURGE,
		intent.Kind_EMPTY_TRASH,
		intent.Kind_SWEEP:
		return true
	}
	return false
}

// Rerun runs an encoded intent of the outbox; it is the catalog's Options.Run.
func Rerun(tx *catalog.Tx, b []byte) error {
	in := new(intent.Intent)
	if err := proto.Unmarshal(b, in); err != nil {
		return remote.E("read outbox", "", remote.Corrupt, err)
	}
	if err := sound(in); err != nil {
		return remote.E("read outbox", "", remote.Corrupt, err)
	}
	tx.Asked(time.Unix(in.Time.GetSeconds(), 0))
	return about(tx, in, operation.Run(tx, in, new(operation.Result)))
}

// sound tells whether an intent that was read has what its kind needs. Those made here have.
func sound(in *intent.Intent) error {
	lacks := func(what string) error { return fmt.Errorf("an operation of kind %v without %s", in.Kind, what) }
	switch in.Kind {
	case intent.Kind_SET_ATTR:
		if in.Change == nil {
			return lacks("a change")
		}
	case intent.Kind_SET_HEAD, intent.Kind_LATE_VERSION, intent.Kind_REWRITE:
		if in.Head == nil {
			return lacks("a head")
		}
		for _, c := range in.Contents {
			if len(c.Id) == 0 || c.Content == nil {
				return lacks("what its content is")
			}
		}
	case intent.Kind_LINK_UNNAMED:
		if in.Made == nil {
			return lacks("the node")
		}
		for _, c := range in.Contents {
			if len(c.Id) == 0 || c.Content == nil {
				return lacks("what its content is")
			}
		}
		for _, x := range in.Xattrs {
			if len(x.Name) == 0 || x.Xattr == nil {
				return lacks("an attribute")
			}
		}
	case intent.Kind_IMPORT:
		if in.Head == nil || len(in.Contents) != 1 || len(in.Contents[0].Id) == 0 || in.Contents[0].Content == nil ||
			len(in.MediaId) == 0 {
			return lacks("a head and its content")
		}
	}
	return nil
}

// newIntent starts an intent of a caller, now.
func (fs *FS) newIntent(kind intent.Kind, c vfs.Caller) *intent.Intent {
	return &intent.Intent{
		Kind:   kind,
		Uid:    c.UID,
		Gid:    c.GID,
		Umask:  c.Umask,
		Time:   stamp(vfs.TimeOf(fs.opt.Now())),
		Client: fs.cat.Client(),
		Host:   fs.opt.Host,
	}
}

func stamp(t vfs.Time) *record.Time { return &record.Time{Seconds: t.Sec, Nanos: t.Nsec} }

func newMediaID() []byte {
	b := make([]byte, 16)
	rand.Read(b)
	return b
}

// checkName refuses what can be no name here.
func (fs *FS) checkName(op string, parent vfs.ID, name string) error {
	if err := operation.CheckName(op, name); err != nil {
		return err
	}
	if parent == vfs.Root && name == fs.ViewFolder() {
		return remote.E(op, name, remote.Permission, vfs.ErrKept)
	}
	return nil
}

func hostName() string {
	h, err := os.Hostname()
	if err != nil || h == "" {
		return "unknown"
	}
	return h
}
