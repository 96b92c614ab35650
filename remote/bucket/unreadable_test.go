package bucket

import (
	"bytes"
	"context"
	"errors"
	"io"
	"strings"
	"testing"

	"mediafs/remote"
	"mediafs/remote/object"
	"mediafs/remote/storetest"
)

// notCommits are objects that are no commit 4 of a library that has three.
func (r *rig) notCommits() map[string][]byte {
	return map[string][]byte{
		"garbage":           []byte("not a commit, and long enough for the header of one, which has 64 bytes"),
		"empty":             {},
		"a copy of another": r.raw(logKey(2)),
		"cut":               r.raw(logKey(3))[:70],
		"huge":              make([]byte, maxCommitRead+headerSize+1),
	}
}

// unread fails the test when somebody reads of an object.
type unread struct {
	object.Bucket
	t   *testing.T
	key string
}

func (u unread) Get(ctx context.Context, key string, opt object.GetOptions) (io.ReadCloser, object.Info, error) {
	b, i, err := u.Bucket.Get(ctx, key, opt)
	if err == nil && key == u.key {
		b = struct {
			io.Reader
			io.Closer
		}{neverRead{u.t}, b}
	}
	return b, i, err
}

type neverRead struct{ t *testing.T }

func (f neverRead) Read([]byte) (int, error) {
	f.t.Error("it is read")
	return 0, io.EOF
}

// An object that is no commit is told as such, by its key, to readers and to who wants its number,
// and what comes before it is read.
func TestObjectsThatAreNoCommit(t *testing.T) {
	for name := range newRig(t).filled(3).notCommits() {
		t.Run(name, func(t *testing.T) {
			r := newRig(t).filled(3)
			r.overwrite(logKey(4), r.notCommits()[name])
			for what, s := range map[string]*Store{"one that follows": r.Store, "a fresh one": r.another()} {
				es, err := readAll(t.Context(), s, 1)
				want(t, err, remote.Corrupt)
				if len(es) != 3 || !strings.Contains(err.Error(), logKey(4)) {
					t.Errorf("%s: %d commits, %v", what, len(es), err)
				}
			}
			err := r.Append(t.Context(), 4, body(4))
			want(t, err, remote.Corrupt)
			if !strings.Contains(err.Error(), logKey(4)) {
				t.Error(err)
			}
			// The same where the object may be this commit: no timer, and no want of answers, ends
			// that.
			r.bad.Fail(storetest.Fault{Op: storetest.Put, Action: storetest.FailAfter})
			want(t, r.Append(t.Context(), 4, body(4)), remote.Corrupt)
		})
	}
}

// filled is fill for a chain of calls.
func (r *rig) filled(last uint64) *rig {
	r.t.Helper()
	r.fill(1, last)
	return r
}

func TestHugeObjectsAreNotRead(t *testing.T) {
	for _, key := range []string{logKey(4), manifestKey(3)} {
		r := newRig(t).filled(3)
		r.overwrite(key, make([]byte, maxManifest+headerSize+1))
		s, err := Open(t.Context(), unread{r.mem, t, key}, quick(r.boot))
		ok(t, err)
		if key == logKey(4) {
			_, err = readAll(t.Context(), s, 1)
		} else {
			_, err = s.OpenCheckpoint(t.Context())
		}
		want(t, err, remote.Corrupt)
	}
}

// Where an object that could not be read is gone, the log ends only if nobody built on it.
func TestUnreadableCommitThatGoes(t *testing.T) {
	r := newRig(t).filled(3)
	good := r.another()
	ok(t, good.Append(t.Context(), 4, body(4)))
	kept := r.raw(logKey(4))
	bad := func() {
		t.Helper()
		r.overwrite(logKey(4), []byte("not a commit"))
		_, err := readAll(t.Context(), r.Store, 4)
		want(t, err, remote.Corrupt)
	}
	bad()
	r.remove(logKey(4))
	for i, lists := range []int{1, 0} {
		r.bad.Reset()
		es, err := readAll(t.Context(), r.Store, 4)
		ok(t, err)
		if n := r.bad.Count(storetest.List, ""); len(es) != 0 || n != lists {
			t.Errorf("read %d: %d commits, %d listings, want %d", i, len(es), n, lists)
		}
	}
	bad()
	ok(t, good.Append(t.Context(), 5, body(5)))
	r.remove(logKey(4))
	_, err := readAll(t.Context(), r.Store, 4)
	want(t, err, remote.Stale)
	for _, key := range []string{logKey(4), logKey(5)} {
		if !strings.Contains(err.Error(), key) {
			t.Errorf("%q does not name %s", err, key)
		}
	}
	r.overwrite(logKey(4), kept)
	es, err := readAll(t.Context(), r.Store, 4)
	ok(t, err)
	if len(es) != 2 || !bytes.Equal(es[0].Body, body(4)) {
		t.Errorf("after its return: %d commits", len(es))
	}
}

// A list of parts that is damaged leaves the checkpoint before it.
func TestDamagedManifests(t *testing.T) {
	r := newRig(t)
	for seq := uint64(1); seq <= 3; seq++ {
		_, err := r.write(seq, records(10, byte(seq)))
		ok(t, err)
	}
	before := func(seq, wanted uint64) {
		t.Helper()
		c, err := r.OpenCheckpointBefore(t.Context(), seq)
		ok(t, err)
		if c.Seq() != wanted {
			t.Errorf("before %d there is %d, want %d", seq, c.Seq(), wanted)
		}
	}
	before(3, 2)
	r.overwrite(manifestKey(3), nil)
	r.load(2, records(10, 2))
	before(3, 2)
	c, err := r.OpenCheckpoint(t.Context())
	ok(t, err)
	if err := c.(remote.Substitute).InsteadOf(); !errors.Is(err, remote.Corrupt) ||
		!strings.Contains(err.Error(), manifestKey(3)) {
		t.Errorf("it stands in for one with %v", err)
	}
	r.overwrite(manifestKey(1), []byte("damaged"))
	before(2<<40, 2)
	_, err = r.OpenCheckpointBefore(t.Context(), 2)
	want(t, err, remote.Corrupt)
	_, err = r.OpenCheckpointBefore(t.Context(), 1)
	want(t, err, remote.NotExist)
	r.overwrite(manifestKey(2), r.raw(partOf(r)))
	_, err = r.OpenCheckpoint(t.Context())
	want(t, err, remote.Corrupt)
	if !errors.Is(err, remote.Corrupt) || !strings.Contains(err.Error(), manifestKey(3)) {
		t.Errorf("%v does not name the newest", err)
	}
	_, err = r.write(4, records(10, 4))
	ok(t, err)
	r.load(4, records(10, 4))
}

// A part that was found damaged, of whatever size, is not named by another checkpoint.
func TestDamagedPartIsPutAnew(t *testing.T) {
	r := newRig(t, smallParts)
	_, err := r.write(1, records(8_000, 0))
	ok(t, err)
	damaged := r.raw(partOf(r))
	damaged[len(damaged)/2] ^= 1
	r.overwrite(partOf(r), damaged)
	c, err := r.OpenCheckpoint(t.Context())
	ok(t, err)
	for _, err = range c.Records(t.Context()) {
		if err != nil {
			break
		}
	}
	want(t, err, remote.Corrupt)
	r.bad.Reset()
	_, err = r.write(2, records(8_000, 0))
	ok(t, err)
	if n := r.bad.Count(storetest.Put, ""); n != 2 { // the part and the manifest
		t.Errorf("%d objects were put", n)
	}
	r.load(2, records(8_000, 0))
}

func partOf(r *rig) string { return r.keys(partPrefix)[0] }
