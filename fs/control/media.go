package control

import (
	"context"
	"errors"
	"fmt"
	"os/user"
	"strconv"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"mediafs/fs/media"
	"mediafs/fs/vfs"
	"mediafs/remote"
	"mediafs/remote/bucket/record"
)

// changes are the verbs that change the library.
var changes = map[string]bool{
	VerbEdit:           true,
	VerbRestore:        true,
	VerbPurge:          true,
	VerbRestoreVersion: true,
	VerbSetSetting:     true,
}

// Changes reports whether verb changes the library.
func Changes(verb string) bool { return changes[verb] }

// editsAtOnce is how many media one request changes at the same time. Each change returns when it
// is in the log; those that wait together share a commit, so that thousands of media cost some
// dozens of requests and not one each.
const editsAtOnce = 256

// Media answers requests about the media of one library, whoever brings them: the control socket,
// or a command that has opened the library itself.
type Media struct {
	Library vfs.MediaLibrary
	Now     func() time.Time
}

// A handler carries out one verb. It calls emit for each line of the answer, from one goroutine at
// a time; emit's error means that nobody listens any more. What it returns is how the whole went.
type handler func(s *Media, ctx context.Context, c vfs.Caller, r *MediaRequest, emit func(MediaAnswer) error) error

var handlers = map[string]handler{
	VerbInfo:           (*Media).info,
	VerbEdit:           (*Media).edit,
	VerbFind:           (*Media).find,
	VerbTags:           (*Media).tags,
	VerbTrash:          (*Media).trash,
	VerbRestore:        (*Media).restore,
	VerbPurge:          (*Media).purge,
	VerbVersions:       (*Media).versions,
	VerbVersion:        (*Media).version,
	VerbRestoreVersion: (*Media).restoreVersion,
	VerbUploads:        (*Media).uploads,
	VerbCancelUpload:   (*Media).cancelUpload,
	VerbUnarchive:      (*Media).unarchive,
	VerbSettings:       (*Media).settings,
	VerbSetSetting:     (*Media).setSetting,
}

// Answer carries out a verb and calls emit for each line of the answer, from one goroutine at a
// time. Unsupported: there is no such verb.
func (s *Media) Answer(
	ctx context.Context, c vfs.Caller, verb string, r *MediaRequest, emit func(MediaAnswer) error,
) error {
	h, ok := handlers[verb]
	if !ok {
		return remote.E("ask about media", verb, remote.Unsupported, errors.New("there is no such request"))
	}
	return h(s, ctx, c, r, emit)
}

// resolve finds the node of a target. It takes no reference.
func (s *Media) resolve(ctx context.Context, t Target) (vfs.Attr, error) {
	switch {
	case t.Node&record.ViewBit != 0:
		return vfs.Attr{}, remote.E(
			"look up", "", remote.Unsupported, errors.New("it is made up by a view, or kept on this machine only"),
		)
	case t.Node != 0:
		return s.Library.GetAttr(ctx, t.Node)
	}
	return s.Library.Resolve(ctx, string(t.Path))
}

// one resolves the only target of a request.
func (s *Media) one(ctx context.Context, r *MediaRequest) (vfs.Attr, error) {
	if len(r.Targets) != 1 {
		return vfs.Attr{}, remote.E(
			"ask about media", "", remote.Invalid, fmt.Errorf("%d targets where one is needed", len(r.Targets)),
		)
	}
	return s.resolve(ctx, r.Targets[0])
}

// each runs work for n things, many at a time. What fails is told with its index, and the rest goes
// on; it ends early when ctx does or nobody listens.
func each(
	ctx context.Context, n, atOnce int, emit func(MediaAnswer) error,
	work func(ctx context.Context, i int) (MediaAnswer, error),
) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var (
		mu      sync.Mutex // one line at a time
		workers sync.WaitGroup
		next    = make(chan int)
	)
	for range min(n, atOnce) {
		workers.Go(func() {
			for i := range next {
				a, err := work(ctx, i)
				if a.Index = i; err != nil {
					a = MediaAnswer{Index: i, Failed: failureOf(err)}
				}
				mu.Lock()
				if err := emit(a); err != nil {
					cancel(err)
				}
				mu.Unlock()
			}
		})
	}
feed:
	for i := range n {
		select {
		case next <- i:
		case <-ctx.Done():
			break feed
		}
	}
	close(next)
	workers.Wait()
	if ctx.Err() != nil {
		return remote.E("ask about media", "", remote.Interrupted, context.Cause(ctx))
	}
	return nil
}

func (s *Media) info(ctx context.Context, _ vfs.Caller, r *MediaRequest, emit func(MediaAnswer) error) error {
	// One at a time: answers come from memory, and in the order that was asked for.
	return each(ctx, len(r.Targets), 1, emit, func(ctx context.Context, i int) (a MediaAnswer, err error) {
		at, err := s.resolve(ctx, r.Targets[i])
		if err != nil {
			return a, err
		}
		if a.Media, err = s.Library.Media(ctx, at.ID); err != nil {
			return a, err
		}
		a.Node = at.ID
		if r.Archive {
			s.archive(ctx, at.ID, &a)
		}
		if r.Document {
			if a.Document, err = s.Library.Document(ctx, at.ID); errors.Is(err, remote.NotExist) {
				err = remote.E(
					"read the facts", "", remote.NotExist,
					errors.New("its bytes say nothing more than the record does"),
				)
			}
		}
		return a, err
	})
}

// edit makes the same change of each target. Who asks is checked by the library.
func (s *Media) edit(ctx context.Context, c vfs.Caller, r *MediaRequest, emit func(MediaAnswer) error) error {
	edits, err := editsOf(r.Edits)
	if err != nil {
		return err
	}
	return each(ctx, len(r.Targets), editsAtOnce, emit, func(ctx context.Context, i int) (a MediaAnswer, err error) {
		at, err := s.resolve(ctx, r.Targets[i])
		if err != nil {
			return a, err
		}
		ch := vfs.MediaChange{Edits: edits}
		for _, w := range r.Attach {
			attached, err := s.attachment(ctx, c, at.ID, w)
			if err != nil {
				return a, err
			}
			ch.Attached = append(ch.Attached, attached)
		}
		return MediaAnswer{Node: at.ID}, s.Library.EditMedia(ctx, c, at.ID, ch)
	})
}

var doings = map[string]media.Do{"set": media.Set, "clear": media.Clear, "add": media.Add, "remove": media.Remove}

// editsOf reads edits and checks them all before anything is changed.
func editsOf(wire []MediaEdit) ([]media.Edit, error) {
	var edits []media.Edit
	for _, w := range wire {
		do, ok := doings[w.Do]
		if !ok {
			return nil, remote.E("edit", w.Field, remote.Invalid, fmt.Errorf("%q is nothing that can be done to a field", w.Do)).
				WithHint("allowed: set, clear, add, remove")
		}
		edits = append(edits, media.Edit{Field: w.Field, Do: do, Value: w.Value})
	}
	return edits, media.Check(edits)
}

// attachment is the record that w means for a media.
func (s *Media) attachment(ctx context.Context, c vfs.Caller, id vfs.ID, w MediaAttach) (media.Attachment, error) {
	now := s.Now()
	at := &record.Time{Seconds: now.Unix(), Nanos: uint32(now.Nanosecond())}
	who := w.User
	if who == "" {
		who = userName(c.UID)
	}
	switch w.Kind {
	case "favorite":
		if w.Remove {
			return media.Detach(record.AttachedFavorite, []byte(who)), media.CheckUser(who)
		}
		return media.AttachFavorite(who, at)
	case "vote":
		if w.Remove {
			return media.Detach(record.AttachedVote, []byte(who)), media.CheckUser(who)
		}
		return media.AttachVote(who, w.Value, at)
	case "comment":
		if w.Number == 0 {
			return media.AttachComment(remote.Comment{User: who, Text: w.Text, Time: now, Answers: w.Answers})
		}
		there, err := s.comment(ctx, id, w.Number)
		switch {
		case err != nil:
			return media.Attachment{}, err
		case w.Remove:
			return media.DetachNumber(record.AttachedComment, w.Number), nil
		case w.Moderation != nil:
			there.Moderation, there.DeniedReason = *w.Moderation, w.Reason
		default:
			there.Text = w.Text
		}
		return media.AttachComment(there)
	}
	return media.Attachment{}, remote.E("attach", w.Kind, remote.Invalid, errors.New("nothing of that sort can be attached")).
		WithHint("allowed: favorite, vote, comment")
}

// comment finds a comment of a media by its number.
func (s *Media) comment(ctx context.Context, id vfs.ID, number uint64) (remote.Comment, error) {
	m, err := s.Library.Media(ctx, id)
	if err != nil {
		return remote.Comment{}, err
	}
	for _, c := range m.Comments {
		if c.Number == number {
			return c, nil
		}
	}
	return remote.Comment{}, remote.E("look up the comment", strconv.FormatUint(number, 10), remote.NotExist, nil)
}

// userName is under what name a user likes, votes and comments.
func userName(uid uint32) string {
	n := strconv.FormatUint(uint64(uid), 10)
	if u, err := user.LookupId(n); err == nil && u.Username != "" {
		return u.Username
	}
	return n
}

func isFolder(a vfs.Attr) bool { return a.Mode&unix.S_IFMT == unix.S_IFDIR }
