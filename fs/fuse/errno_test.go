package fuse

import (
	"context"
	"errors"
	"fmt"
	"syscall"
	"testing"

	"mediafs/fs/vfs"
	"mediafs/remote"
)

func TestEveryKindHasAnErrno(t *testing.T) {
	for _, k := range remote.Kinds() {
		if errnos[k] == 0 {
			t.Errorf("%v has none", k)
		}
	}
	if len(errnos) != len(remote.Kinds()) {
		t.Errorf("%d errnos for %d kinds", len(errnos), len(remote.Kinds()))
	}
}

func TestErrno(t *testing.T) {
	for _, c := range []struct {
		err  error
		want syscall.Errno
	}{
		{nil, 0},
		{remote.E("open", "a", remote.NotExist, nil), syscall.ENOENT},
		{fmt.Errorf("around: %w", remote.E("open", "a", remote.NotEmpty, nil)), syscall.ENOTEMPTY},
		{remote.E("open", "a", remote.Quota, remote.E("put", "b", remote.Unavailable, nil)), syscall.EDQUOT},
		{errors.New("who knows"), syscall.EIO},
		{remote.Kind(200), syscall.EIO},
		{remote.E("rename", "a", remote.CrossDevice, nil), syscall.EXDEV},
		{context.Canceled, syscall.EINTR},
		{context.DeadlineExceeded, syscall.EIO},
		{remote.E("seek", "", remote.Invalid, vfs.ErrNoData), syscall.ENXIO},
		{remote.E("read", "", remote.Unavailable, vfs.ErrNoData), syscall.EIO},
	} {
		if got := Errno(c.err); got != c.want {
			t.Errorf("%v: %v, want %v", c.err, got, c.want)
		}
	}
}
