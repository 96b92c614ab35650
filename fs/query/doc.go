// Package query is the language in which people ask for media: it reads a query, tells whether a
// media is meant, and finds all that are by asking an index first. A query may be the name of a
// folder in the library's view of searches, so that all of the language can be said in 255 bytes
// without a slash.
//
//	sunset beach                 both words, anywhere in its texts, or words that begin with them
//	"golden gate"                these whole words, one after the other
//	sunset or dawn               one of them
//	-night, not night            without
//	(sunset or dawn) tag:sea     and comes before or
//	field:value                  see Help for the fields
//
// # Texts
//
// A plain word is looked for in names, title, description, tags, creator, album, album artist,
// composer, genre, make, model, lens, city, country, label, the comment in the bytes and the
// original name; not in what people said about it (comment:) and not in the names of folders (in:).
// Case, accents and the like do not matter, and of a long text only its beginning does (package
// terms). A word of several, such as IMG_1234, is a phrase whose last word may go on. What has
// neither letters nor digits is looked for sign by sign.
//
// # Values
//
// A value with spaces or parentheses goes in quotation marks; in these, a backslash before a
// quotation mark or backslash means just that. Running texts (title:) are asked for a word that may
// go on, or in quotation marks for a phrase; names (tag:, type:, user:) for the whole name, or with
// a star at the end for its beginning. Both may be asked for "", which is none. Numbers, sizes,
// times and lengths take a value, >, >=, <, <=, or a range with two dots that includes both ends. A
// year, month or day is all of its seconds; a size is that many bytes. In type: and in: the sign >
// stands for a slash, which no name can have: type:image>jpeg, in:Photos>2024.
//
// # What is left out
//
// Hidden and incomplete media are found only by a query that speaks of hidden or status:
// hidden:yes, hidden:no or status:0..5 anywhere in it. Media in the trash are never found.
//
// # What it costs
//
// Words, tags, types, classes, dates taken and added, years, sizes, durations, ratings, places
// (near:), comments, favourites, language, moderation and hidden are in the index; what of these is
// rarest decides how long a search takes. Anything else is looked up in each media that is left,
// or, when nothing is left out by the index, in all.
//
// The package knows no database and reads nothing itself.
package query

import (
	"fmt"
	"strings"
)

// Help is the reference of the language, for a terminal.
func Help() string {
	var b strings.Builder
	b.WriteString(`A query is words and fields; a media is meant when all of them hold.

  sunset beach               words, or beginnings of words, anywhere in name, title, description, tags…
  "golden gate"              these whole words, one after the other
  sunset or dawn             one of them; "and" comes before "or", parentheses before both
  -night, not night          without
  field:value                what a field says; put a value with spaces in quotation marks

Hidden and incomplete media are found when the query speaks of hidden or status.
In a folder's name > stands for / in the values of type and in.

`)
	for i, takes := range forms {
		fmt.Fprintf(&b, "Of these %s:\n", takes)
		for _, f := range table {
			if f.form != form(i) {
				continue
			}
			name := f.name
			if len(f.aliases) > 0 {
				name += " (" + strings.Join(f.aliases, ", ") + ")"
			}
			fmt.Fprintf(&b, "  %-26s %s\n", name+":", f.help)
		}
		b.WriteByte('\n')
	}
	return strings.TrimSuffix(b.String(), "\n")
}
