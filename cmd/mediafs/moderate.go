package main

import (
	"fmt"
	"math"
	"strconv"

	"mediafs/fs/control"

	"github.com/spf13/cobra"
)

// moderations are the statuses of moderation that have names; services have numbers, and only of
// these is said what they mean.
const moderations = "none (0), approved (1), 2, 3 or denied (-1)"

func (p *program) moderateCommand() *cobra.Command {
	var reason int
	s := &subject{
		instead: "setfattr -n user.media.moderation -v 1 FILE of files that are yours, and ls %s/.media/moderation",
	}
	cmd := &cobra.Command{
		Use:     "moderate STATUS PATH…",
		Short:   "Judge media for the public",
		Long:    "Sets the status of moderation of media: " + moderations + ". Only the owner of a file and root may.",
		Example: "  mediafs moderate approved ~/Photos/*.jpg\n  mediafs moderate denied --reason 3 ~/Photos/a.jpg",
		Args:    args(2, math.MaxInt),
	}
	f := cmd.Flags()
	f.SortFlags = false
	f.IntVar(&reason, "reason", 0, "number of the reason for denying them, 0 to 14")
	s.flags(f)
	cmd.RunE = func(cmd *cobra.Command, given []string) error {
		status, err := parseModeration(cmd, given[0])
		if err != nil {
			return err
		}
		edits := []control.MediaEdit{
			{Field: "moderation", Do: "set", Value: strconv.Itoa(status)},
			{Field: "denied_reason", Do: "clear"},
		}
		if f.Changed("reason") {
			edits[1] = control.MediaEdit{Field: "denied_reason", Do: "set", Value: strconv.Itoa(reason)}
		}
		return p.change(cmd.Context(), s, "moderating", given[1:], control.MediaRequest{Edits: edits})
	}
	return cmd
}

func parseModeration(cmd *cobra.Command, text string) (int, error) {
	for n := -1; n <= 3; n++ {
		if text == strconv.Itoa(n) || text == moderationText(n) {
			return n, nil
		}
	}
	return 0, usage(cmd, "%s is not a status of moderation: allowed are %s", strconv.Quote(text), moderations)
}

func moderationText(n int) string {
	switch n {
	case -1:
		return "denied"
	case 0:
		return "none"
	case 1:
		return "approved"
	}
	return fmt.Sprint(n)
}
