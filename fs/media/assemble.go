package media

import (
	"cmp"
	"encoding/hex"
	"encoding/json"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"mediafs/remote"
	"mediafs/remote/bucket/record"
)

// Parts are what a Media is made of. Any of them may be missing; nothing of them is kept or
// changed.
type Parts struct {
	ID   []byte // media id
	Node uint64 // inode number
	// node of the folder that the first name is in; 0: not known
	Folder uint64
	Rec    *record.Node // of the tree
	// paths from the library's root; none in the trash
	Names []string
	Edits *record.Media // what people and services say
	// what the bytes say; nil: nothing yet, or of another head
	Facts       *record.Facts
	Attached    func(yield func(kind byte, which, value []byte) bool) // in the order of keys
	Versions    int                                                   // kept, without the head
	LastVersion uint64                                                // number of the newest that was ever kept
	Trash       *record.TrashEntry                                    // nil: not in the trash
	External    bool                                                  // the bytes are an object that is not ours
	Pending     bool                                                  // bytes of the head are not in the store yet
	OwnerName   string                                                // name of the node's uid
}

// Assemble makes a Media: edits over facts over tree, with counts of what is attached. It never
// fails. Attached values that cannot be read are skipped and do not count, texts are cleaned and
// cut to the bounds of remote.Media, and numbers, times and places that cannot be are left out, so
// that the Media can always be written as JSON.
func Assemble(p Parts) *remote.Media {
	e := p.Edits
	if e == nil {
		e = new(record.Media)
	}
	m := &remote.Media{
		ID:               hex.EncodeToString(p.ID),
		Node:             p.Node,
		OriginalName:     line(e.OriginalName, maxName),
		ExternalID:       line(e.ExternalId, maxName),
		CopiedFrom:       idText(e.CopiedFrom),
		ParentID:         idText(e.Parent),
		Size:             toInt64(p.Rec.GetHead().GetSize()),
		OriginalSize:     toInt64(e.OriginalSize),
		Revision:         p.LastVersion + 1,
		Started:          timeOf(e.Started),
		Uploaded:         timeOf(p.Rec.GetBtime()),
		Modified:         timeOf(p.Rec.GetMtime()),
		Edited:           timeOf(e.Edited),
		Deleted:          timeOf(p.Trash.GetDeleted()),
		External:         p.External,
		Location:         line(e.Location, maxName),
		OriginalLocation: line(e.OriginalLocation, maxName),

		Rating:      int(min(e.GetRating(), remote.MaxRating)),
		Language:    line(e.Language, remote.MaxUser),
		URL:         line(e.Url, remote.MaxText),
		Injector:    line(e.Injector, remote.MaxUser),
		Category:    e.GetCategory(),
		Place:       placeOf(e.Place),
		Orientation: orientation(e.Orientation),
		Metadata:    object(e.Metadata),

		Status:       int(e.GetStatus()),
		Live:         e.Live,
		Moderation:   int(e.GetModeration()),
		DeniedReason: int(min(e.DeniedReason, remote.MaxDenied)),
		Hidden:       e.Hidden,
		Context:      1,
		Domain:       line(e.Domain, maxName),
		VHost:        e.Vhost,
		Owner:        owner(p.Rec, p.OwnerName, e.Owner),
		Channel: remote.Channel{
			ID:        e.Channel.GetId(),
			ShortName: line(e.Channel.GetShortName(), maxName),
			Name:      line(e.Channel.GetName(), maxName),
			Left:      e.Channel.GetLeft(),
		},
		Events:  slices.Clone(e.Events),
		Groups:  slices.Clone(e.Groups),
		Artwork: idText(e.Artwork),
		Viewer:  int(min(e.Viewer, 999)),
		Editor:  int(min(e.Editor, 999)),
		Counts: remote.Counts{
			Views:        toInt64(e.Views),
			ViewsStarted: toInt64(e.ViewsStarted),
			Downloads:    toInt64(e.Downloads),
			Anonymous: toInt64(
				e.Anonymous,
			),
			Votes:    toInt64(e.Anonymous),
			VoteSum:  e.AnonymousSum,
			Versions: int64(max(p.Versions, 0)),
		},
		Facts: FactsOf(p.Facts),
	}
	m.Ready = m.Status != remote.StatusIncomplete && !p.Pending
	if e.Context != nil {
		m.Context = int(*e.Context)
	}
	if privacy := remote.Privacy(e.Privacy); privacy == remote.Public || privacy == remote.Private {
		m.Privacy = privacy
	}
	for _, flag := range e.Flags {
		if _, err := parseWord(flag); err == nil && flag != "" && len(m.Flags) < maxWords {
			m.Flags = append(m.Flags, flag)
		}
	}
	if len(p.Facts.GetSha256()) == 32 {
		m.SHA256 = hex.EncodeToString(p.Facts.Sha256)
	}
	if len(p.Facts.GetMd5()) == 16 {
		m.MD5 = hex.EncodeToString(p.Facts.Md5)
	}
	name(m, p)
	describe(m, e)
	if p.Attached != nil {
		gather(m, p.Attached)
	}
	return m
}

// name fills in what follows from names.
func name(m *remote.Media, p Parts) {
	for _, path := range p.Names {
		path = strings.ReplaceAll(strings.ToValidUTF8(path, "\uFFFD"), "\x00", "")
		if !strings.HasPrefix(path, "/") {
			path = "/" + path
		}
		m.Paths = append(m.Paths, path)
	}
	folder := p.Folder
	switch {
	case len(m.Paths) > 0:
		m.Name = m.Paths[0][strings.LastIndexByte(m.Paths[0], '/')+1:]
	case p.Trash != nil:
		m.Name = strings.ReplaceAll(strings.ToValidUTF8(string(p.Trash.Name), "\uFFFD"), "\x00", "")
		folder = p.Trash.Parent
	}
	if folder != 0 {
		m.FolderID = strconv.FormatUint(folder, 10)
	}
	if dot := strings.LastIndexByte(m.Name, '.'); dot > 0 {
		m.Extension = strings.ToLower(m.Name[dot+1:])
	}
}

// describe lays what people say over what the bytes say.
func describe(m *remote.Media, e *record.Media) {
	f := m.Facts
	if f == nil {
		f = new(remote.MediaFacts)
	}
	m.Type = cmp.Or(line(e.Type, 127), f.Type)
	m.Class = f.Class
	if m.Class == "" || m.Type != f.Type {
		m.Class = cmp.Or(classOf(m.Type), m.Class)
	}
	m.Title = cmp.Or(line(e.Title, remote.MaxTitle), line(f.Title, remote.MaxTitle))
	m.Description = cmp.Or(paragraph(e.Description, remote.MaxDescription), f.Description)
	m.Creator = cmp.Or(line(e.Creator, remote.MaxTitle), line(f.Creator, remote.MaxTitle))
	if e.Rating == nil {
		m.Rating = f.Rating
	}
	m.Orientation = cmp.Or(m.Orientation, f.Orientation)
	if m.Place == nil && f.Place != nil {
		place := *f.Place
		m.Place = &place
	}
	if e.Tags == nil {
		m.Tags = tagsOf(f.Keywords)
	} else {
		m.Tags = tagsOf(e.Tags.Tag)
	}
	if m.Taken, m.TakenZone = dateOf(e.Taken); m.Taken.IsZero() {
		m.Taken, m.TakenZone = f.Taken, f.TakenZone
	}
	if m.Taken.IsZero() {
		m.Year = f.Year
	} else {
		m.Year, m.Month = m.Taken.Year(), int(m.Taken.Month())
	}
}

// owner is the node's owner, with what a service says over it.
func owner(n *record.Node, name string, e *record.Person) remote.Person {
	p := remote.Person{
		ID:        line(e.GetId(), maxName),
		Name:      line(e.GetName(), maxName),
		Nickname:  line(e.GetNickname(), maxName),
		FirstName: line(e.GetFirstName(), maxName),
		LastName:  line(e.GetLastName(), maxName),
		Email:     line(e.GetEmail(), 320),
		Country:   line(e.GetCountry(), 2),
		State:     line(e.GetState(), 2),
		City:      line(e.GetCity(), maxName),
	}
	if p.ID == "" && p.Name == "" { // somebody else's name beside the node's number would be wrong
		p.Name = line(name, maxName)
	}
	if p.ID == "" && n != nil {
		p.ID = strconv.FormatUint(uint64(n.Uid), 10)
	}
	return p
}

// classOf guesses the class of a media type when no one looked closer.
func classOf(mediaType string) remote.Class {
	switch main, _, _ := strings.Cut(mediaType, "/"); main {
	case "image":
		return remote.ClassImage
	case "audio":
		return remote.ClassAudio
	case "video":
		return remote.ClassVideo
	case "text":
		return remote.ClassDocument
	}
	return ""
}

func orientation(n uint32) int {
	if n > 8 {
		return 0
	}
	return int(n)
}

func idText(id []byte) string {
	if len(id) != record.MediaIDSize {
		return ""
	}
	return hex.EncodeToString(id)
}

func object(b []byte) json.RawMessage {
	if len(b) > remote.MaxMetadata || !utf8.Valid(b) || !isObject(b) {
		return nil
	}
	return slices.Clone(b)
}
