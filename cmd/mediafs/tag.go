package main

import (
	"context"
	"fmt"
	"math"
	"strings"
	"text/tabwriter"

	"mediafs/fs/control"

	"github.com/spf13/cobra"
)

func (p *program) tagCommand() *cobra.Command {
	var (
		add, remove        []string
		set                string
		clear, all, asJSON bool
	)
	s := &subject{instead: "setfattr -n user.xdg.tags -v sea,sun FILE, and ln FILE %s/.media/tags/sea/"}
	cmd := &cobra.Command{
		Use:   "tag [--add TAG]… [--remove TAG]… PATH…",
		Short: "Tag media, or list their tags",
		Long: "Adds tags to media, takes tags off, or sets them; without any of that it lists the tags of each PATH.\n\n" +
			"A tag is a text without commas and '/'. Several are separated by commas, or given one by one.",
		Example: "  mediafs tag --add holiday --add sea ~/Photos/2024/*.jpg\n  mediafs tag --remove old,new ~/Photos/a.jpg\n" +
			"  mediafs tag --set 'sea, sun' ~/Photos/a.jpg\n  mediafs tag ~/Photos/a.jpg\n  mediafs tag --all",
		Args: args(0, math.MaxInt),
	}
	f := cmd.Flags()
	f.SortFlags = false
	f.StringArrayVarP(&add, "add", "a", nil, "add a `TAG`")
	f.StringArrayVarP(&remove, "remove", "r", nil, "take a `TAG` off")
	f.StringVar(&set, "set", "", "make these `TAGS`, and no others, the tags; an empty text says that there are none")
	f.BoolVar(&clear, "clear", false, "say nothing of tags any more: the keywords in the bytes count again")
	f.BoolVar(&all, "all", false, "list all tags of the library, and how many media have each")
	f.BoolVar(&asJSON, "json", false, "print JSON: one object for each PATH or tag, a line each")
	s.flags(f)
	cmd.RunE = func(cmd *cobra.Command, given []string) error {
		edits := []control.MediaEdit{}
		edit := func(do, value string) {
			edits = append(edits, control.MediaEdit{Field: "tags", Do: do, Value: value})
		}
		if f.Changed("set") {
			edit("set", set)
		}
		if clear {
			edit("clear", "")
		}
		if len(add) > 0 {
			edit("add", strings.Join(add, ","))
		}
		if len(remove) > 0 {
			edit("remove", strings.Join(remove, ","))
		}
		switch {
		case all && (len(edits) > 0 || len(given) > 1):
			return usage(cmd, "--all lists the tags of a library and changes nothing")
		case f.Changed("set") && len(edits) > 1, clear && len(edits) > 1:
			return usage(cmd, "--set and --clear stand alone")
		case all:
			return p.allTags(cmd.Context(), s, given, asJSON)
		case len(given) == 0:
			return usage(cmd, "argument missing: %s", cmd.UseLine())
		case len(edits) > 0:
			return p.change(cmd.Context(), s, "tagging", given, control.MediaRequest{Edits: edits})
		}
		return p.aims(cmd.Context(), s, given, func(ctx context.Context, a aim) error {
			return p.ofEach(
				ctx,
				a,
				control.VerbInfo,
				"reading",
				control.MediaRequest{},
				func(said string, answer control.MediaAnswer) error {
					if asJSON {
						return p.printLine(struct {
							Path string   `json:"path"`
							Tags []string `json:"tags"`
						}{strings.ToValidUTF8(said, "\uFFFD"), append([]string{}, answer.Media.Tags...)})
					}
					p.printf("%s: %s\n", printable(said), printable(strings.Join(answer.Media.Tags, ", ")))
					return nil
				},
			)
		})
	}
	return cmd
}

func (p *program) allTags(ctx context.Context, s *subject, given []string, asJSON bool) error {
	return p.whole(ctx, s, given, func(ctx context.Context, o *opened) error {
		w := tabwriter.NewWriter(p.stdout, 0, 0, 2, ' ', 0)
		defer w.Flush()
		return o.ask(ctx, control.VerbTags, control.MediaRequest{}, func(a control.MediaAnswer) error {
			if asJSON {
				return p.printLine(struct {
					Tag   string `json:"tag"`
					Count int64  `json:"count"`
				}{a.Tag, a.Count})
			}
			fmt.Fprintf(w, "%s\t%d\n", printable(a.Tag), a.Count)
			return nil
		})
	})
}
