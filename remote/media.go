package remote

import (
	"encoding/json"
	"time"
)

// Media is what a library knows of one media: the union of what the media stores that this project
// speaks to keep. Who makes one fills what it knows and leaves the rest zero. There are four
// sources, and each field says of which it is:
//
//	the tree   names, sizes, times: what stat(2) tells
//	facts      read out of the bytes (MediaFacts)
//	people     edits: they win over facts
//	counts     kept by the library from what is attached: comments, votes, favourites; or by a service
//
// Texts are UTF-8 without NUL. Times are in any zone; a zero time is not known.
type Media struct {
	// Identity.
	// stable: survives rename, edit and rename-over; 32 hex digits in a bucket library, opaque in a
	// service
	ID   string `json:"id"`
	Node uint64 `json:"node,omitempty"` // inode number
	Name string `json:"name"`           // in its folder; the first of several names
	// all its names, from the library's root, with a leading slash; none in the trash
	Paths     []string `json:"paths,omitempty"`
	Extension string   `json:"extension,omitempty"` // of Name, lower case, without the dot
	// file name with which it was uploaded, when a person or service said so
	OriginalName string `json:"original_name,omitempty"`
	ExternalID   string `json:"external_id,omitempty"` // how another system names it
	CopiedFrom   string `json:"copied_from,omitempty"` // id of the media it was copied from
	// id of the media that this one answers or belongs to; with Context
	ParentID string `json:"parent_id,omitempty"`
	// the folder that Name is in, of one in the trash was in: a node's number in a bucket library,
	// opaque in a service
	FolderID string `json:"folder_id,omitempty"`

	// Content; the tree, and facts for what needs the bytes.
	Size int64 `json:"size"` // bytes of the head
	// bytes before a conversion by a service; 0 when it was not converted
	OriginalSize int64     `json:"original_size,omitempty"`
	Type         string    `json:"type,omitempty"` // media type by content, such as image/jpeg
	Class        Class     `json:"class,omitempty"`
	SHA256       string    `json:"sha256,omitempty"` // hex, of the head
	MD5          string    `json:"md5,omitempty"`
	Revision     uint64    `json:"revision,omitempty"` // grows by one with every kept version
	Started      time.Time `json:"started,omitzero"`   // when its upload began, when a service said so
	Uploaded     time.Time `json:"uploaded,omitzero"`  // when it came into the library
	Modified     time.Time `json:"modified,omitzero"`  // of the bytes: mtime
	Edited       time.Time `json:"edited,omitzero"`    // when people last changed what is said here
	Deleted      time.Time `json:"deleted,omitzero"`   // when it went to the trash; zero: it is not there
	// its bytes are an object that was there before the library, and are not ours to change
	External bool `json:"external,omitempty"`

	Location         string `json:"location,omitempty"`          // where a service keeps the bytes, in its own words
	OriginalLocation string `json:"original_location,omitempty"` // the same of the bytes before a conversion

	// Description; people, over facts.
	Title       string   `json:"title,omitempty"`
	Description string   `json:"description,omitempty"`
	Tags        []string `json:"tags,omitempty"` // in the order they were given, none twice
	Rating      int      `json:"rating"`         // 0 (not rated) to 10: half stars
	Language    string   `json:"language,omitempty"`
	URL         string   `json:"url,omitempty"`     // where it came from
	Creator     string   `json:"creator,omitempty"` // author, artist, photographer
	// the way it came in: "mount", "import", a program, a mail gateway
	Injector string `json:"injector,omitempty"`
	Category int64  `json:"category,omitempty"` // number in a service's list of categories
	// when the picture, film or sound was made; zone as the camera had it, UTC when it did not say
	Taken time.Time `json:"taken,omitzero"`
	// the zone of Taken is known; else Taken is the camera's clock called UTC
	TakenZone   bool            `json:"taken_zone,omitempty"`
	Year        int             `json:"year,omitempty"`  // of Taken; of a sound without one, of its tags
	Month       int             `json:"month,omitempty"` // of Taken, 1 to 12
	Place       *Place          `json:"place,omitempty"`
	Orientation int             `json:"orientation,omitempty"` // as EXIF: 1 to 8; 0 not known
	Metadata    json.RawMessage `json:"metadata,omitempty"`    // an object of any depth, kept as given

	// State; people and services.
	// of the upload: 0 to 3 as the service means them, StatusIncomplete; other numbers are kept
	Status int  `json:"status"`
	Ready  bool `json:"ready"`          // whole and usable: not StatusIncomplete, nothing pending
	Live   bool `json:"live,omitempty"` // shown to the public by a service
	// 0 to 3 or -1, as the service means them; 0 when nobody looked at it
	Moderation   int     `json:"moderation"`
	DeniedReason int     `json:"denied_reason,omitempty"` // 0 to 14, from the service's list
	Hidden       bool    `json:"hidden"`                  // only its owner sees it
	Privacy      Privacy `json:"privacy,omitempty"`
	Context      int     `json:"context"` // what it is to ParentID: 0 to 3 as the service means them; 1 by default
	Domain       string  `json:"domain,omitempty"`
	VHost        int64   `json:"vhost,omitempty"` // number of the site it belongs to

	Owner   Person  `json:"owner,omitzero"`
	Channel Channel `json:"channel,omitzero"`
	Events  []int64 `json:"events,omitempty"`
	Groups  []int64 `json:"groups,omitempty"`
	Artwork string  `json:"artwork,omitempty"` // id of the media that is its picture
	Counts  Counts  `json:"counts"`
	Links   []Link  `json:"links,omitempty"`
	// what a service says beside: "owned", "preview", "editable", "virus", "shared", "password"; of
	// what its user may do "read", "write", "manage", "explicit"
	Flags []string `json:"flags,omitempty"`
	// number of the tool with which a service shows it, from the service's list; 0: none
	Viewer int `json:"viewer,omitempty"`
	Editor int `json:"editor,omitempty"` // number of the tool with which a service edits it; 0: none

	Favorites  []string    `json:"favorites,omitempty"` // users
	Votes      []Vote      `json:"votes,omitempty"`     // by user; anonymous ones are in Counts only
	Comments   []Comment   `json:"comments,omitempty"`
	Bindings   []Binding   `json:"bindings,omitempty"`
	Renditions []Rendition `json:"renditions,omitempty"`

	Facts *MediaFacts `json:"facts,omitempty"` // nil: not looked at yet
}

// StatusIncomplete is the status of a media whose upload was cancelled: its chunks are gone.
const StatusIncomplete = 5

// Bounds of a Media's values. What is above is refused when it is set and cut when it is read out
// of bytes.
const (
	MaxTitle       = 1 << 10  // bytes
	MaxDescription = 16 << 10 // bytes
	MaxTag         = 120      // bytes: a tag is a folder's name in a view
	MaxTags        = 200
	MaxText        = 2 << 10  // bytes of any other text
	MaxMetadata    = 16 << 10 // bytes
	MaxUser        = 64       // bytes of a user's name
	MaxComment     = 8 << 10  // bytes
	MaxRating      = 10
	MaxDenied      = 14
)

// Privacy tells who may see a media when it is offered to others. It has nothing to do with
// permissions of the mount.
type Privacy string

// The values of Privacy. Empty is private.
const (
	Private Privacy = "private"
	Public  Privacy = "public"
)

// Class is the rough sort of a media, for people to browse by.
type Class string

// The classes.
const (
	ClassApplication  Class = "application"
	ClassArchive      Class = "archive"
	ClassAudio        Class = "audio"
	ClassDevelopment  Class = "development"
	ClassData         Class = "data"
	ClassDocument     Class = "document"
	ClassImage        Class = "image"
	ClassPresentation Class = "presentation"
	ClassSpreadsheet  Class = "spreadsheet"
	ClassVideo        Class = "video"
)

// Classes lists them, in the order in which they are shown.
func Classes() []Class {
	return []Class{
		ClassApplication, ClassArchive, ClassAudio, ClassData, ClassDevelopment, ClassDocument, ClassImage,
		ClassPresentation, ClassSpreadsheet, ClassVideo,
	}
}

// Place is a place on earth, WGS 84.
type Place struct {
	Latitude  float64  `json:"latitude"`           // degrees, -90 to 90, north is positive
	Longitude float64  `json:"longitude"`          // degrees, -180 to 180, east is positive
	Altitude  *float64 `json:"altitude,omitempty"` // metres above sea level
}

// Person is who uploaded a media, as a service keeps it. On a mount only ID and Name are known.
type Person struct {
	ID        string `json:"id,omitempty"` // user id of the service; on a mount the numeric uid
	Name      string `json:"name,omitempty"`
	Nickname  string `json:"nickname,omitempty"`
	FirstName string `json:"first_name,omitempty"`
	LastName  string `json:"last_name,omitempty"`
	Email     string `json:"email,omitempty"`
	Country   string `json:"country,omitempty"` // two letters
	State     string `json:"state,omitempty"`   // two letters
	City      string `json:"city,omitempty"`
}

// Channel is the channel of a service that shows a media.
type Channel struct {
	ID        int64  `json:"id,omitempty"`
	ShortName string `json:"short_name,omitempty"`
	Name      string `json:"name,omitempty"`
	Left      int64  `json:"left,omitempty"` // place in the tree of channels; kept for the service
}

// Counts are what a library or service counts.
type Counts struct {
	Views            int64 `json:"views"`
	ViewsStarted     int64 `json:"views_started"`
	Downloads        int64 `json:"downloads"`
	Favorites        int64 `json:"favorites"`
	Votes            int64 `json:"votes"`     // of users and anonymous ones
	VoteSum          int64 `json:"vote_sum"`  // of their values
	Anonymous        int64 `json:"anonymous"` // votes among them that no user made
	Comments         int64 `json:"comments"`
	CommentsApproved int64 `json:"comments_approved"`   // moderation 1
	CommentsNotBad   int64 `json:"comments_not_denied"` // moderation not -1
	Versions         int64 `json:"versions"`            // kept, without the head
}

// Vote is one user's vote.
type Vote struct {
	User  string    `json:"user"`
	Value int       `json:"value"`
	Time  time.Time `json:"time,omitzero"`
}

// Comment is a text of somebody on a media.
type Comment struct {
	Number       uint64    `json:"number"` // grows within a media
	User         string    `json:"user,omitempty"`
	Text         string    `json:"text"`
	Time         time.Time `json:"time,omitzero"`
	Moderation   int       `json:"moderation"` // as Media.Moderation
	DeniedReason int       `json:"denied_reason,omitempty"`
	Answers      uint64    `json:"answers,omitempty"` // number of the comment that it answers
}

// Binding says that an object of a module uses a media.
type Binding struct {
	Module string `json:"module"`
	Object string `json:"object"`
}

// Link is an address under which a media can be had.
type Link struct {
	Number uint64 `json:"number,omitempty"` // in a bucket library, from 1 within a media
	// "view", "read", "edit", "watch", "listen", "download", "direct", "stream", "thumbnail",
	// "one-time" (to download), "one-time-view", "one-time-watch", "one-time-listen"
	Kind           string    `json:"kind"`
	URL            string    `json:"url,omitempty"` // with the token in it, for one that gives access
	Expires        time.Time `json:"expires,omitzero"`
	BurnAfterUse   bool      `json:"burn_after_use,omitempty"`
	BindIP         string    `json:"bind_ip,omitempty"` // masks and ranges, comma separated
	Notify         bool      `json:"notify,omitempty"`  // mail the owner when it is used
	SuccessAddress string    `json:"success_address,omitempty"`
	ErrorAddress   string    `json:"error_address,omitempty"`
}

// Rendition is a media converted to something else.
type Rendition struct {
	Name     string    `json:"name"` // profile or quality: "h", "1080p", a number of a service
	Type     string    `json:"type,omitempty"`
	Status   string    `json:"status,omitempty"`   // as the service says: "ENCODING", "OK"
	Progress float64   `json:"progress,omitempty"` // 0 to 100
	URL      string    `json:"url,omitempty"`
	MediaID  string    `json:"media_id,omitempty"` // when it is a media of the same library
	Size     int64     `json:"size,omitempty"`
	Width    int       `json:"width,omitempty"`
	Height   int       `json:"height,omitempty"`
	Seconds  float64   `json:"seconds,omitempty"` // that the conversion took
	Finished time.Time `json:"finished,omitzero"`
}
