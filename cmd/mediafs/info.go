package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"mediafs/fs/control"
	"mediafs/fs/media"
	"mediafs/remote"
)

func (p *program) infoCommand() *cobra.Command {
	var (
		asJSON, document bool
		archive          bool
		picture          string
	)
	s := &subject{instead: "getfattr -d -m '^user.media' FILE, and %s/.media/info"}
	cmd := &cobra.Command{
		Use:   "info PATH…",
		Short: "Tell all that is known of media",
		Long: "Tells all that is known of media: what their bytes say, what people said of them, how they stand.\n\n" +
			"With --json each PATH gives one JSON object with the whole record. --document adds what was too long for the record: all that EXIF, IPTC,\n" +
			"XMP and the tags of sounds and films say, as JSON.",
		Example: "  mediafs info ~/Photos/2024/beach.jpg\n  mediafs info --json ~/Photos/2024/*.jpg | jq .taken\n  mediafs info --picture cover.jpg ~/Music/song.mp3",
		Args:    args(1, math.MaxInt),
	}
	f := cmd.Flags()
	f.SortFlags = false
	f.BoolVar(&asJSON, "json", false, "print JSON")
	f.BoolVar(
		&archive, "archive", false,
		"ask the store how it keeps the bytes also with --json, where that costs a request each",
	)
	f.BoolVar(&document, "document", false, "print the long part of the facts, as JSON")
	f.StringVar(&picture, "picture", "", "write the embedded picture into this FILE")
	s.flags(f)
	cmd.RunE = func(cmd *cobra.Command, given []string) error {
		if picture != "" && (len(given) > 1 || asJSON || document) {
			return usage(cmd, "--picture takes one PATH and nothing else")
		}
		if asJSON && document {
			return usage(cmd, "--document prints JSON and nothing else: give it without --json")
		}
		first := true
		return p.aims(cmd.Context(), s, given, func(ctx context.Context, a aim) error {
			r := control.MediaRequest{Document: document || picture != ""}
			r.Archive = archive || !asJSON && !r.Document && len(a.targets) <= maxAsked
			return p.ofEach(
				ctx,
				a,
				control.VerbInfo,
				"reading",
				r,
				func(said string, answer control.MediaAnswer) error {
					switch {
					case answer.Media == nil:
						return remote.E("ask the daemon", "", remote.Corrupt, errors.New("an answer without a record"))
					case picture != "":
						return writePicture(picture, said, answer.Document)
					case document:
						return p.document(answer.Document)
					case asJSON && archive:
						return p.printJSON(struct {
							*remote.Media
							Archives []remote.Archive `json:"archives"`
							Unasked  string           `json:"archives_unknown,omitempty"`
						}{answer.Media, answer.Archives, answer.Unasked})
					case asJSON:
						return p.printJSON(answer.Media)
					}
					if !first {
						p.printf("\n")
					}
					first = false
					p.infoText(said, answer.Media, time.Local)
					if text := archiveText(answer, time.Local); text != "" {
						p.printf("  store    %s\n", printable(text))
					}
					return nil
				},
			)
		})
	}
	return cmd
}

// maxAsked is for how many media the store is asked unless somebody wants it for all: it costs a
// request each.
const maxAsked = 100

// archiveText says how the store keeps a media; empty: as usual.
func archiveText(a control.MediaAnswer, zone *time.Location) string {
	if a.Unasked != "" {
		return "how it keeps the bytes is not known: " + a.Unasked
	}
	var archived, restoring int
	var class string
	var until time.Time
	for _, c := range a.Archives {
		class = cmp.Or(c.Class, class)
		switch {
		case c.Archived && c.Restoring:
			restoring++
		case c.Archived:
			archived++
		case !c.Until.IsZero() && (until.IsZero() || c.Until.Before(until)):
			until = c.Until
		}
	}
	of := ""
	if len(a.Archives) > 1 {
		of = fmt.Sprintf(", %d of its %d contents", archived+restoring, len(a.Archives))
	}
	switch {
	case archived > 0:
		return fmt.Sprintf(
			"archived (%s%s): it cannot be read before mediafs restore-archived has asked for it", class, of,
		)
	case restoring > 0:
		return fmt.Sprintf("archived (%s%s): the store is getting it back", class, of)
	case !until.IsZero():
		return fmt.Sprintf(
			"archived (%s), with a copy that can be read until %s", class, until.In(zone).Format(time.DateTime),
		)
	case class != "":
		return "storage class " + class
	}
	return ""
}

// printJSON writes one document.
func (p *program) printJSON(v any) error {
	out := json.NewEncoder(p.stdout)
	out.SetIndent("", "  ")
	return out.Encode(v)
}

// printLine writes one document as a line.
func (p *program) printLine(v any) error { return json.NewEncoder(p.stdout).Encode(v) }

// document prints the long part of the facts, but for the picture.
func (p *program) document(d *remote.FactsDocument) error {
	shown := *d
	shown.Picture = nil
	return p.printJSON(shown)
}

func writePicture(name, said string, d *remote.FactsDocument) error {
	if d == nil || len(d.Picture) == 0 {
		return &exitError{exitFailed, fmt.Errorf("%s: there is no picture in it", said)}
	}
	if err := os.WriteFile(name, d.Picture, 0o666); err != nil {
		return fmt.Errorf("write the picture: %w", err)
	}
	return nil
}

// infoGroups is in what order a record is shown to people. Fields that are in none are shown last,
// so that nothing is left out.
var infoGroups = []struct {
	heading string
	fields  string
}{
	{
		"what",
		"title description tags rating type class size facts.width facts.height facts.orientation facts.frames facts.duration facts.pages language url creator " +
			"facts.copyright facts.label category metadata",
	},
	{"when", "taken uploaded modified edited started deleted"},
	{"where", "place facts.direction facts.city facts.country"},
	{
		"camera",
		"facts.make facts.model facts.lens facts.serial facts.software facts.exposure facts.aperture facts.iso facts.focal_length facts.bias facts.flash",
	},
	{
		"sound",
		"facts.album facts.album_artist facts.composer facts.genre facts.year facts.track facts.tracks facts.disc facts.discs facts.comment " +
			"facts.video_codec facts.audio_codec facts.frame_rate facts.bit_rate facts.sample_rate facts.channels",
	},
	{
		"people",
		"owner.id owner.name owner.nickname owner.first_name owner.last_name owner.email owner.country owner.state owner.city favorites votes comments " +
			"counts.favorites counts.votes counts.vote_sum counts.anonymous counts.comments counts.views counts.downloads",
	},
	{
		"state",
		"status ready live hidden privacy moderation denied_reason context parent_id domain vhost flags external facts.error",
	},
	{"versions", "revision counts.versions"},
	{"names", "id node paths original_name external_id copied_from"},
	{"sums", "sha256 md5"},
}

// infoUnshown are fields that others tell already.
var infoUnshown = strings.Fields(
	"name extension folder_id year month taken_zone orientation facts.version facts.read facts.type facts.class facts.taken facts.taken_zone " +
		"facts.place facts.document counts.comments_approved counts.comments_not_denied",
)

// infoText writes one record for people: only what is known and not what is usual.
func (p *program) infoText(said string, m *remote.Media, zone *time.Location) {
	p.printf("%s\n", printable(said))
	w := tabwriter.NewWriter(p.stdout, 0, 0, 2, ' ', 0)
	defer w.Flush()
	shown := map[string]bool{}
	for _, name := range infoUnshown {
		shown[name] = true
	}
	line := func(heading, name string) (began bool) {
		shown[name] = true
		text := infoValue(m, name, zone)
		if text == "" {
			return false
		}
		label := strings.ReplaceAll(strings.TrimPrefix(name, "facts."), "_", " ")
		label = strings.TrimPrefix(strings.ReplaceAll(label, ".", " "), "counts ")
		fmt.Fprintf(w, "  %s\t%s\t%s\n", heading, label, printable(text))
		return true
	}
	for _, g := range infoGroups {
		heading := g.heading
		for name := range strings.FieldsSeq(g.fields) {
			if line(heading, name) {
				heading = ""
			}
		}
	}
	heading := "further"
	for _, f := range media.Fields() {
		if !shown[f.Name] && line(heading, f.Name) {
			heading = ""
		}
	}
	if m.Facts != nil && m.SHA256 == "" && m.Size > 0 {
		fmt.Fprintf(w, "  sums\t\tnot known: who wrote it did not have all of its bytes on disk\n")
	}
	if m.Facts == nil {
		fmt.Fprintf(w, "  facts\t\tits bytes were not looked at yet\n")
	}
}

// infoValue is a field for people; empty: nothing worth a line.
func infoValue(m *remote.Media, name string, zone *time.Location) string {
	b, _ := media.Attribute(m, media.AttributePrefix+name)
	text := string(b)
	at := func(t time.Time) string {
		if t.IsZero() {
			return ""
		}
		return t.In(zone).Format("2006-01-02 15:04:05 -07:00")
	}
	switch name {
	case "size":
		return fmt.Sprintf("%s (%d bytes)", bytesText(m.Size), m.Size)
	case "ready":
		if m.Ready {
			return ""
		}
		return "no: its upload is not finished"
	case "taken":
		if m.Taken.IsZero() || m.TakenZone {
			return text
		}
		return m.Taken.Format("2006-01-02 15:04:05") + " by the camera's clock"
	case "owner.id":
		if m.Owner.Name != "" {
			return ""
		}
	case "counts.favorites":
		if len(m.Favorites) > 0 { // they are shown
			return ""
		}
	case "counts.comments":
		if len(m.Comments) > 0 {
			return ""
		}
	case "moderation":
		if m.Moderation != 0 {
			return moderationText(m.Moderation)
		}
	case "paths":
		return strings.Join(m.Paths, ", ")
	case "uploaded":
		return at(m.Uploaded)
	case "modified":
		return at(m.Modified)
	case "edited":
		return at(m.Edited)
	case "started":
		return at(m.Started)
	case "deleted":
		return at(m.Deleted)
	case "context":
		if m.Context == 1 && m.ParentID == "" {
			return ""
		}
	case "rating":
		if m.Rating > 0 {
			return fmt.Sprintf("%d of %d (%s)", m.Rating, remote.MaxRating, stars(m.Rating))
		}
	case "comments":
		var lines []string
		for _, c := range m.Comments {
			lines = append(lines, commentText(c))
		}
		return strings.Join(lines, "; ")
	case "votes":
		var lines []string
		for _, v := range m.Votes {
			lines = append(lines, fmt.Sprintf("%s %+d", v.User, v.Value))
		}
		return strings.Join(lines, ", ")
	case "facts.exposure":
		if m.Facts != nil && m.Facts.Exposure > 0 && m.Facts.Exposure < 0.5 {
			return fmt.Sprintf("1/%.0f s", 1/m.Facts.Exposure)
		}
	case "facts.duration":
		if m.Facts != nil && m.Facts.Duration > 0 {
			return time.Duration(m.Facts.Duration * float64(time.Second)).Round(time.Millisecond).String()
		}
	case "facts.picture_size":
		if m.Facts != nil && m.Facts.PictureSize > 0 {
			return bytesText(int64(m.Facts.PictureSize))
		}
	}
	if own, facts := strings.CutPrefix(
		name, "facts.",
	); facts { // what people said, or what was taken over, is shown already
		if over, known := media.Attribute(m, media.AttributePrefix+own); known && slices.Equal(over, b) {
			return ""
		}
	}
	switch text {
	case "0", "no":
		return ""
	}
	f, _ := media.Lookup(name)
	if text != "" && f.Unit != "" && f.Type != media.Place {
		text += " " + f.Unit
	}
	return strings.ReplaceAll(text, "\n", ", ")
}

// stars draws a rating: half stars are halves.
func stars(rating int) string {
	text := strings.Repeat("★", rating/2)
	if rating%2 == 1 {
		text += "½"
	}
	return text
}

func commentText(c remote.Comment) string {
	text := strconv.FormatUint(c.Number, 10) + " " + c.User + ": " + c.Text
	if c.Moderation != 0 {
		text += " (" + moderationText(c.Moderation) + ")"
	}
	return text
}
