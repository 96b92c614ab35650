package main

import (
	"math"
	"strconv"

	"mediafs/fs/control"

	"github.com/spf13/cobra"
)

func (p *program) voteCommand() *cobra.Command {
	var (
		user              string
		anonymous, remove bool
	)
	s := &subject{instead: "setfattr -n user.media.vote -v 1 FILE"}
	cmd := &cobra.Command{
		Use:   "vote VALUE PATH…",
		Short: "Vote for media, or against",
		Long: "Gives media a vote, a whole number from -1000 to 1000. Of each user the last vote counts; anonymous votes are counted and kept no further.\n" +
			"A value below zero comes after --, since it looks like a flag.",
		Example: "  mediafs vote 1 ~/Photos/beach.jpg\n  mediafs vote --user ana -- -1 ~/Photos/beach.jpg\n  mediafs vote --remove ~/Photos/beach.jpg",
		Args:    args(1, math.MaxInt),
	}
	f := cmd.Flags()
	f.SortFlags = false
	f.StringVar(&user, "user", "", "whose: `NAME` (default: of who runs the command)")
	f.BoolVar(&anonymous, "anonymous", false, "one vote more, of nobody")
	f.BoolVar(&remove, "remove", false, "take the user's vote back; no VALUE then")
	s.flags(f)
	cmd.RunE = func(cmd *cobra.Command, given []string) error {
		vote := control.MediaAttach{Kind: "vote", User: user, Remove: remove}
		switch {
		case anonymous && (remove || user != ""):
			return usage(cmd, "an anonymous vote has no user and is not taken back")
		case !remove && len(given) < 2:
			return usage(cmd, "argument missing: %s", cmd.UseLine())
		case !remove:
			n, err := strconv.Atoi(given[0])
			if err != nil {
				return usage(
					cmd, "%s is not a vote: allowed are whole numbers from -1000 to 1000", strconv.Quote(given[0]),
				)
			}
			vote.Value, given = n, given[1:]
		}
		r := control.MediaRequest{Attach: []control.MediaAttach{vote}}
		if anonymous {
			r = control.MediaRequest{
				Edits: []control.MediaEdit{{Field: "counts.anonymous", Do: "add", Value: strconv.Itoa(vote.Value)}},
			}
		}
		return p.change(cmd.Context(), s, "voting", given, r)
	}
	return cmd
}
