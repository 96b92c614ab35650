package media

import (
	"math"

	"mediafs/remote"
)

// Bounds of what the model of a media leaves open.
const (
	maxWord    = 64
	maxWords   = 32
	maxNumbers = 100
	maxVote    = 1000
	maxName    = 255 // bytes of names of persons, channels, files and places
)

// identityFields say which media it is.
var identityFields = []Field{
	{Name: "id", Type: Text, Source: FromTree, Seeds: []string{"filemobile:id", "mediamanager:id", "mediafire:quickkey", "mediacm:file_code"}},
	{Name: "node", Type: Number, Source: FromTree},
	{Name: "name", Type: Text, Source: FromTree, Seeds: []string{"mediamanager:name", "mediamanager:filename", "mediafire:filename", "mediacm:name"}},
	{Name: "paths", Type: Names, Source: FromTree, Seeds: []string{"mediamanager:path", "mediamanager:abs_path"}},
	{Name: "extension", Type: Text, Source: FromTree, Seeds: []string{"filemobile:extension", "mediamanager:ext"}},
	{Name: "original_name", Type: Text, Source: FromPeople, Writer: Writers, max: maxName, Seeds: []string{"filemobile:filename", "mediamanager:original_filename"}},
	{Name: "external_id", Type: Text, Source: FromService, Writer: Owner, max: maxName, Seeds: []string{"filemobile:externalid"}},
	{Name: "copied_from", Type: ID, Source: FromService, Writer: Owner, Seeds: []string{"mediafire:copy quick_key", "mediacm:copy file_code"}},
	{Name: "parent_id", Type: ID, Source: FromPeople, Writer: Writers, rec: "parent", Seeds: []string{"filemobile:parentid"}},
	{Name: "folder_id", Type: Text, Source: FromTree, Seeds: []string{"mediamanager:id_folder", "mediafire:parent_folderkey", "mediacm:fld_id"}},
}

// contentFields tell of the head and how it came.
var contentFields = []Field{
	{Name: "size", Type: Number, Unit: "bytes", Source: FromTree, Seeds: []string{"filemobile:filesize", "mediamanager:size", "mediafire:size", "mediacm:size"}},
	{Name: "original_size", Type: Number, Unit: "bytes", Source: FromService, Writer: Owner, high: math.MaxInt64, Seeds: []string{"filemobile:ofilesize"}},
	{Name: "type", Type: Text, Source: FromPeople, Writer: Writers, Carried: true, max: 127, shape: mediaType, saying: "a media type such as image/jpeg",
		Attributes: []string{"user.mime_type"}, Seeds: []string{"filemobile:contenttype", "mediamanager:mimetype", "mediafire:mimetype"}},
	{Name: "class", Type: Text, Source: FromFacts, Seeds: []string{"filemobile:filetype", "mediafire:filetype"}},
	{Name: "sha256", Type: Text, Source: FromFacts, Seeds: []string{"mediafire:hash"}},
	{Name: "md5", Type: Text, Source: FromFacts, Seeds: []string{"mediamanager:md5"}},
	{Name: "revision", Type: Number, Source: FromTree, Seeds: []string{"mediafire:revision"}},
	{Name: "started", Type: Time, Source: FromService, Writer: Owner, Seeds: []string{"filemobile:date"}},
	{Name: "uploaded", Type: Time, Source: FromTree, Seeds: []string{"filemobile:upload", "mediafire:created", "mediacm:uploaded"}},
	{Name: "modified", Type: Time, Source: FromTree, Seeds: []string{"mediafire:mtime"}},
	{Name: "edited", Type: Time, Source: FromPeople, Seeds: []string{"filemobile:lastupdatetime"}},
	{Name: "deleted", Type: Time, Source: FromTree, Seeds: []string{"mediafire:delete_date", "mediacm:deleted"}},
	{Name: "external", Type: YesNo, Source: FromTree},
	{Name: "location", Type: Text, Source: FromService, Writer: Owner, max: maxName, Seeds: []string{"filemobile:location"}},
	{Name: "original_location", Type: Text, Source: FromService, Writer: Owner, max: maxName, Seeds: []string{"filemobile:originallocation"}},
}

// descriptionFields are what people say of a media, over what its bytes say.
//
// Of the Dublin Core names that download programs write, those are here that mean the same as a field. Contributor, format, source and
// subject do not, and stay plain attributes.
var descriptionFields = []Field{
	{Name: "title", Type: Text, Source: FromPeople, Writer: Writers, Carried: true, max: remote.MaxTitle,
		Attributes: []string{AttributePrefix + "title", "user.dublincore.title"}, Seeds: []string{"filemobile:title", "mediamanager:title", "mediacm:file_title"}},
	{Name: "description", Type: Lines, Source: FromPeople, Writer: Writers, Carried: true, max: remote.MaxDescription,
		Attributes: []string{"user.xdg.comment", "user.dublincore.description"}, Seeds: []string{"filemobile:message", "mediafire:description", "mediacm:file_descr"}},
	{Name: "tags", Type: Tags, Source: FromPeople, Writer: Writers, Carried: true,
		Attributes: []string{"user.xdg.tags"}, Seeds: []string{"filemobile:tags", "mediamanager:tags", "mediacm:tags"}},
	{Name: "rating", Type: Number, Unit: "half stars", Source: FromPeople, Writer: Writers, Carried: true, high: remote.MaxRating,
		Attributes: []string{"user.baloo.rating"}, Seeds: []string{"filemobile:rating"}},
	{Name: "language", Type: Text, Source: FromPeople, Writer: Writers, Carried: true, max: 35, shape: language, saying: "a language such as en or pt-BR",
		Attributes: []string{AttributePrefix + "language", "user.dublincore.language"}, Seeds: []string{"filemobile:language"}},
	{Name: "url", Type: Text, Source: FromPeople, Writer: Writers, Carried: true, max: remote.MaxText,
		Attributes: []string{"user.xdg.origin.url"}, Seeds: []string{"filemobile:url"}},
	{Name: "creator", Type: Text, Source: FromPeople, Writer: Writers, Carried: true, max: remote.MaxTitle,
		Attributes: []string{AttributePrefix + "creator", "user.dublincore.creator"}, Seeds: []string{"filemobile:author"}},
	{Name: "injector", Type: Text, Source: FromPeople, Writer: Writers, max: 64, Seeds: []string{"filemobile:injector"}},
	{Name: "category", Type: Number, Source: FromPeople, Writer: Writers, Carried: true, low: math.MinInt64, high: math.MaxInt64, Seeds: []string{"mediacm:cat_id"}},
	{Name: "taken", Type: Date, Source: FromPeople, Writer: Writers, Carried: true,
		Attributes: []string{AttributePrefix + "taken", "user.dublincore.date"}, Seeds: []string{"mediamanager:creation"}},
	{Name: "taken_zone", Type: YesNo, Source: FromPeople},
	{Name: "year", Type: Number, Source: FromPeople, Seeds: []string{"mediamanager:year"}},
	{Name: "month", Type: Number, Source: FromPeople, Seeds: []string{"mediamanager:month"}},
	{Name: "place", Type: Place, Unit: "degrees WGS 84, metres", Source: FromPeople, Writer: Writers, Carried: true,
		Seeds: []string{"filemobile:geo_latitude", "filemobile:geo_longitude", "mediamanager:lat", "mediamanager:lng"}},
	{Name: "orientation", Type: Number, Unit: "as EXIF", Source: FromPeople, Writer: Writers, Carried: true, low: 1, high: 8, Seeds: []string{"mediamanager:orientation"}},
	{Name: "metadata", Type: JSON, Source: FromPeople, Writer: Writers, Carried: true, max: remote.MaxMetadata, Seeds: []string{"filemobile:metadata"}},
}

// stateFields are what services keep of a media, and who is shown it.
var stateFields = []Field{
	{Name: "status", Type: Number, Source: FromService, Writer: Owner, high: 999, Seeds: []string{"filemobile:status"}},
	{Name: "ready", Type: YesNo, Source: FromTree, Seeds: []string{"mediamanager:is_ready", "mediafire:ready", "mediacm:canplay"}},
	{Name: "live", Type: YesNo, Source: FromService, Writer: Owner, Seeds: []string{"filemobile:isLive"}},
	{Name: "moderation", Type: Number, Source: FromService, Writer: Owner, low: -1, high: 3, Seeds: []string{"filemobile:moderationstatus"}},
	{Name: "denied_reason", Type: Number, Source: FromService, Writer: Owner, high: remote.MaxDenied, Seeds: []string{"filemobile:moderationdeniedid"}},
	{Name: "hidden", Type: YesNo, Source: FromPeople, Writer: Writers, Carried: true, choices: []string{"SHOWN", "HIDDEN"}, Seeds: []string{"filemobile:hidden"}},
	{Name: "privacy", Type: Choice, Source: FromPeople, Writer: Writers, Carried: true, choices: []string{string(remote.Private), string(remote.Public)},
		Seeds: []string{"mediafire:privacy", "mediacm:file_public"}},
	{Name: "context", Type: Number, Source: FromPeople, Writer: Writers, high: 3, Seeds: []string{"filemobile:context"}},
	{Name: "domain", Type: Text, Source: FromService, Writer: Owner, max: maxName, Seeds: []string{"mediamanager:domain"}},
	{Name: "vhost", Type: Number, Source: FromService, Writer: Owner, low: math.MinInt64, high: math.MaxInt64, Seeds: []string{"filemobile:vhost"}},

	{Name: "owner.id", Type: Text, Source: FromTree, Writer: Owner, max: maxName, Seeds: []string{"filemobile:uid", "mediamanager:id_owner"}},
	{Name: "owner.name", Type: Text, Source: FromTree, Writer: Owner, max: maxName, Seeds: []string{"filemobile:user_name", "mediafire:owner_name"}},
	{Name: "owner.nickname", Type: Text, Source: FromService, Writer: Owner, max: maxName, Seeds: []string{"filemobile:user_nickname"}},
	{Name: "owner.first_name", Type: Text, Source: FromService, Writer: Owner, max: maxName, Seeds: []string{"filemobile:user_firstname"}},
	{Name: "owner.last_name", Type: Text, Source: FromService, Writer: Owner, max: maxName, Seeds: []string{"filemobile:user_lastname"}},
	{Name: "owner.email", Type: Text, Source: FromService, Writer: Owner, max: 320, Seeds: []string{"filemobile:user_email"}},
	{Name: "owner.country", Type: Text, Source: FromService, Writer: Owner, max: 2, shape: twoLetters, saying: "two letters", Seeds: []string{"filemobile:user_country"}},
	{Name: "owner.state", Type: Text, Source: FromService, Writer: Owner, max: 2, shape: twoLetters, saying: "two letters", Seeds: []string{"filemobile:user_state"}},
	{Name: "owner.city", Type: Text, Source: FromService, Writer: Owner, max: maxName, Seeds: []string{"filemobile:user_city"}},

	{Name: "channel.id", Type: Number, Source: FromService, Writer: Owner, low: math.MinInt64, high: math.MaxInt64, Seeds: []string{"filemobile:channel"}},
	{Name: "channel.short_name", Type: Text, Source: FromService, Writer: Owner, max: maxName, Seeds: []string{"filemobile:channel_shortname"}},
	{Name: "channel.name", Type: Text, Source: FromService, Writer: Owner, max: maxName, Seeds: []string{"filemobile:channel_name"}},
	{Name: "channel.left", Type: Number, Source: FromService, Writer: Owner, low: math.MinInt64, high: math.MaxInt64, Seeds: []string{"filemobile:channelleft"}},

	{Name: "events", Type: Numbers, Source: FromPeople, Writer: Writers, Seeds: []string{"filemobile:event"}},
	{Name: "groups", Type: Numbers, Source: FromPeople, Writer: Writers, Seeds: []string{"filemobile:group"}},
	{Name: "artwork", Type: ID, Source: FromPeople, Writer: Writers, Seeds: []string{"mediafire:artwork", "mediacm:snapshot"}},
	{Name: "flags", Type: Words, Source: FromService, Writer: Owner,
		Seeds: []string{"mediafire:flag", "mediafire:shared_by_user", "mediafire:password_protected", "mediafire:permissions"}},
	{Name: "viewer", Type: Number, Source: FromService, Writer: Owner, high: 999, Seeds: []string{"mediafire:view"}},
	{Name: "editor", Type: Number, Source: FromService, Writer: Owner, high: 999, Seeds: []string{"mediafire:edit"}},
}

// attachedFields are what is attached to a media, and what is counted.
var attachedFields = []Field{
	{Name: "counts.views", Type: Count, Source: FromService, Writer: Owner, rec: "views", Seeds: []string{"filemobile:hits", "mediacm:views"}},
	{Name: "counts.views_started", Type: Count, Source: FromService, Writer: Owner, rec: "views_started", Seeds: []string{"mediacm:views_started"}},
	{Name: "counts.downloads", Type: Count, Source: FromService, Writer: Owner, rec: "downloads", Seeds: []string{"mediafire:downloads", "mediacm:downloads"}},
	{Name: "counts.favorites", Type: Count, Source: FromCounts},
	{Name: "counts.votes", Type: Count, Source: FromCounts, Seeds: []string{"filemobile:votecount"}},
	{Name: "counts.vote_sum", Type: Number, Source: FromCounts},
	{Name: "counts.anonymous", Type: Ballot, Source: FromService, Writer: Owner, rec: "anonymous", Seeds: []string{"filemobile:anonymous vote"}},
	{Name: "counts.comments", Type: Count, Source: FromCounts, Seeds: []string{"filemobile:commentcount"}},
	{Name: "counts.comments_approved", Type: Count, Source: FromCounts, Seeds: []string{"filemobile:approvedcomments"}},
	{Name: "counts.comments_not_denied", Type: Count, Source: FromCounts, Seeds: []string{"filemobile:notdeniedcomments"}},
	{Name: "counts.versions", Type: Count, Source: FromCounts, Seeds: []string{"mediafire:file_versions"}},

	{Name: "links", Type: Records, Source: FromService, Seeds: []string{"filemobile:publicUrl", "filemobile:thumbUrl", "mediamanager:thumbnail", "mediafire:links",
		"mediafire:one_time", "mediacm:link", "mediacm:thumbnail"}},
	{Name: "favorites", Type: Names, Source: FromPeople, Seeds: []string{"filemobile:favorite"}},
	{Name: "votes", Type: Records, Source: FromPeople, Seeds: []string{"filemobile:vote"}},
	{Name: "comments", Type: Records, Source: FromPeople, Seeds: []string{"filemobile:comment"}},
	{Name: "bindings", Type: Records, Source: FromService, Seeds: []string{"mediamanager:module", "mediamanager:id_object"}},
	{Name: "renditions", Type: Records, Source: FromService, Seeds: []string{"filemobile:conversions", "filemobile:conversiontime", "filemobile:converttime",
		"mediacm:quality", "mediacm:progress", "mediacm:encoding status"}},
}
