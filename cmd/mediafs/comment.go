package main

import (
	"context"
	"strconv"
	"strings"
	"time"

	"mediafs/fs/control"

	"github.com/spf13/cobra"
)

func (p *program) commentCommand() *cobra.Command {
	var (
		user            string
		list, asJSON    bool
		remove, answers uint64
		moderate        string
		reason          int
	)
	s := &subject{instead: "getfattr -n user.media.comments FILE, and setfattr -n user.media.comment -v TEXT FILE"}
	cmd := &cobra.Command{
		Use:   "comment PATH [TEXT]",
		Short: "Comment a media, or list its comments",
		Long:  "Adds a comment; without TEXT it lists the comments with their numbers.",
		Example: "  mediafs comment ~/Photos/beach.jpg 'Where is that?'\n  mediafs comment ~/Photos/beach.jpg\n  mediafs comment --remove 3 ~/Photos/beach.jpg\n" +
			"  mediafs comment --moderate 3=denied --reason 2 ~/Photos/beach.jpg",
		Args: args(1, 2),
	}
	f := cmd.Flags()
	f.SortFlags = false
	f.StringVar(&user, "user", "", "who says it: `NAME` (default: who runs the command)")
	f.Uint64Var(&answers, "answers", 0, "TEXT answers comment `N`")
	f.BoolVar(&list, "list", false, "list the comments")
	f.Uint64Var(&remove, "remove", 0, "take comment `N` off")
	f.StringVar(&moderate, "moderate", "", "`N=STATUS` judges comment N: "+moderations)
	f.IntVar(&reason, "reason", 0, "number of the reason for denying it, 0 to 14")
	f.BoolVar(&asJSON, "json", false, "list them as JSON, a line each")
	s.flags(f)
	cmd.RunE = func(cmd *cobra.Command, given []string) error {
		c := control.MediaAttach{Kind: "comment", User: user, Answers: answers}
		ways := 0
		for _, name := range []string{"list", "remove", "moderate"} {
			if f.Changed(name) {
				ways++
			}
		}
		switch {
		case ways > 1, ways == 1 && len(given) == 2:
			return usage(cmd, "TEXT, --list, --remove and --moderate do different things: give one of them")
		case f.Changed("remove"):
			if remove == 0 {
				return usage(cmd, "comments are numbered from 1 on")
			}
			c.Number, c.Remove = remove, true
		case f.Changed("moderate"):
			number, status, _ := strings.Cut(moderate, "=")
			n, err := strconv.ParseUint(number, 10, 64)
			if err != nil || n == 0 {
				return usage(cmd, "--moderate %s is not N=STATUS", strconv.Quote(moderate))
			}
			m, err := parseModeration(cmd, status)
			if err != nil {
				return err
			}
			c.Number, c.Moderation, c.Reason = n, &m, reason
		case len(given) == 2:
			c.Text = given[1]
		default:
			return p.comments(cmd.Context(), s, given, asJSON)
		}
		return p.change(
			cmd.Context(), s, "commenting", given[:1], control.MediaRequest{Attach: []control.MediaAttach{c}},
		)
	}
	return cmd
}

func (p *program) comments(ctx context.Context, s *subject, paths []string, asJSON bool) error {
	return p.aims(ctx, s, paths, func(ctx context.Context, a aim) error {
		return p.ofEach(
			ctx,
			a,
			control.VerbInfo,
			"reading",
			control.MediaRequest{},
			func(_ string, answer control.MediaAnswer) error {
				for _, c := range answer.Media.Comments {
					if asJSON {
						if err := p.printLine(c); err != nil {
							return err
						}
						continue
					}
					p.printf("%s  %s\n", c.Time.Local().Format(time.DateTime), printable(commentText(c)))
				}
				return nil
			},
		)
	})
}
