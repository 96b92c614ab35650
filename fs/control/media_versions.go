package control

import (
	"context"
	"errors"

	"mediafs/fs/vfs"
	"mediafs/remote"
)

// versionPiece is how many bytes of a version one line has.
const versionPiece = 256 << 10

func (s *Media) versions(ctx context.Context, _ vfs.Caller, r *MediaRequest, emit func(MediaAnswer) error) error {
	a, err := s.one(ctx, r)
	if err != nil {
		return err
	}
	kept, err := s.Library.Versions(ctx, a.ID)
	if err != nil {
		return err
	}
	for _, v := range kept {
		item := VersionItem{
			Number:   v.Number,
			Size:     v.Size,
			Modified: v.Mtime.Std().UTC(),
			Replaced: v.Time.Std().UTC(),
			Reason:   v.Reason,
		}
		if err := emit(MediaAnswer{Version: &item}); err != nil {
			return err
		}
	}
	return nil
}

// version sends the bytes of a version in pieces.
func (s *Media) version(ctx context.Context, _ vfs.Caller, r *MediaRequest, emit func(MediaAnswer) error) error {
	a, err := s.one(ctx, r)
	if err != nil {
		return err
	}
	f, err := s.Library.OpenVersion(ctx, a.ID, r.Number)
	if err != nil {
		return err
	}
	defer f.Release()
	for off := int64(0); ; {
		piece := make([]byte, versionPiece) // emit keeps it
		n, err := f.Read(ctx, piece, off)
		if err != nil {
			return err
		}
		if n > 0 {
			if err := emit(MediaAnswer{Data: piece[:n]}); err != nil {
				return err
			}
		}
		if off += int64(n); n < versionPiece {
			return nil
		}
	}
}

func (s *Media) restoreVersion(ctx context.Context, c vfs.Caller, r *MediaRequest, _ func(MediaAnswer) error) error {
	a, err := s.one(ctx, r)
	if err != nil {
		return err
	}
	return s.Library.RestoreVersion(ctx, c, a.ID, r.Number)
}

func (s *Media) uploads(ctx context.Context, _ vfs.Caller, _ *MediaRequest, emit func(MediaAnswer) error) error {
	all, err := s.Library.Uploads(ctx)
	if err != nil {
		return err
	}
	for _, u := range all {
		item := &UploadItem{Node: u.Node, Size: u.Size, Sent: u.Sent, Running: u.Running, Error: u.Error}
		item.Path, item.PathBytes = readable(u.Path)
		if err := emit(MediaAnswer{Upload: item}); err != nil {
			return err
		}
	}
	return nil
}

func (s *Media) cancelUpload(ctx context.Context, _ vfs.Caller, r *MediaRequest, emit func(MediaAnswer) error) error {
	return each(ctx, len(r.Targets), 1, emit, func(ctx context.Context, i int) (MediaAnswer, error) {
		a, err := s.resolve(ctx, r.Targets[i])
		if err != nil {
			return MediaAnswer{}, err
		}
		return MediaAnswer{Node: a.ID}, s.Library.CancelUpload(ctx, a.ID)
	})
}

// settable is a library whose settings can be changed.
type settable interface {
	SetSetting(ctx context.Context, c vfs.Caller, name, value string) error
}

// viewFolder is the setting that has the name of the folder with the views.
const viewFolder = "view-folder"

func (s *Media) settings(_ context.Context, _ vfs.Caller, _ *MediaRequest, emit func(MediaAnswer) error) error {
	return emit(
		MediaAnswer{
			Setting: &Setting{
				Name:  viewFolder,
				Value: s.Library.ViewFolder(),
				Means: "name at the root under which views appear",
			},
		},
	)
}

func (s *Media) setSetting(ctx context.Context, c vfs.Caller, r *MediaRequest, _ func(MediaAnswer) error) error {
	lib, ok := s.Library.(settable)
	if !ok {
		return remote.E("set", string(r.Name), remote.Unsupported, errors.New("this library has no settings"))
	}
	return lib.SetSetting(ctx, c, string(r.Name), r.Value)
}
