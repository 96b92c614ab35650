package bucket

import (
	"bytes"
	"io"
	"testing"

	"mediafs/remote"
	"mediafs/remote/storetest"
)

// A store that answers 409 to a content for ever is not reached: nobody shall take it for another's
// content.
func TestLastingConflict(t *testing.T) {
	r := newRig(t)
	r.bad.Fail(
		storetest.Fault{
			Op:     storetest.Put,
			Prefix: "content/",
			Times:  -1,
			Err:    remote.E("put", "", remote.Conflict, nil),
		},
	)
	up, err := r.StartUpload(t.Context(), remote.UploadSpec{ID: "000102030405060708090a0b0c0d0e0f", Size: 4})
	if err == nil {
		err = up.PutChunk(t.Context(), 0, io.NewSectionReader(bytes.NewReader([]byte("data")), 0, 4))
	}
	if err == nil {
		_, err = up.Commit(t.Context(), 1, 4)
	}
	if remote.KindOf(err) != remote.Unavailable {
		t.Errorf("%v: %v, want unavailable", remote.KindOf(err), err)
	}
}
