package daemon

import (
	"context"
	"errors"

	"mediafs/fs/transfer"
	"mediafs/remote"
)

// An importer is a library that takes what is imported.
type importer interface {
	ImportObjects(ctx context.Context, b transfer.ObjectsBatch) (transfer.ObjectsResult, error)
	ImportRecords(ctx context.Context, b transfer.RecordsBatch) (transfer.RecordsResult, error)
}

// importer returns the library that takes what is imported: ReadOnly, or Interrupted once it is
// closed.
func (d *Daemon) importer(op string) (importer, error) {
	if d.readOnly() {
		return nil, errReadOnly(op, d.opt.Dir)
	}
	d.mu.RLock()
	defer d.mu.RUnlock()
	lib, ok := d.lib.(importer)
	if !ok {
		return nil, remote.E(op, d.opt.Dir, remote.Interrupted, errors.New("the library is closed"))
	}
	return lib, nil
}

// ImportObjects takes objects into the library, as transfer.ApplyObjects has it.
func (d *Daemon) ImportObjects(ctx context.Context, b transfer.ObjectsBatch) (transfer.ObjectsResult, error) {
	lib, err := d.importer("import")
	if err != nil {
		return transfer.ObjectsResult{}, err
	}
	return lib.ImportObjects(ctx, b)
}

// ImportRecords edits media, as transfer.ApplyRecords has it.
func (d *Daemon) ImportRecords(ctx context.Context, b transfer.RecordsBatch) (transfer.RecordsResult, error) {
	lib, err := d.importer("import records")
	if err != nil {
		return transfer.RecordsResult{}, err
	}
	return lib.ImportRecords(ctx, b)
}

// ImportObjects takes objects into the library, as transfer.ApplyObjects has it.
func (p *parts) ImportObjects(ctx context.Context, b transfer.ObjectsBatch) (transfer.ObjectsResult, error) {
	if p.opt.ReadOnly {
		return transfer.ObjectsResult{}, errReadOnly("import", p.opt.Dir)
	}
	return transfer.ApplyObjects(ctx, p.fs, b)
}

// ImportRecords edits media, as transfer.ApplyRecords has it.
func (p *parts) ImportRecords(ctx context.Context, b transfer.RecordsBatch) (transfer.RecordsResult, error) {
	if p.opt.ReadOnly {
		return transfer.RecordsResult{}, errReadOnly("import records", p.opt.Dir)
	}
	return transfer.ApplyRecords(ctx, p.fs, b)
}
