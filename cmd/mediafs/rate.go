package main

import (
	"fmt"
	"math"
	"strconv"

	"github.com/spf13/cobra"

	"mediafs/fs/control"
	"mediafs/remote"
)

func (p *program) rateCommand() *cobra.Command {
	var given5 string
	s := &subject{instead: "setfattr -n user.baloo.rating -v 8 FILE"}
	cmd := &cobra.Command{
		Use:   "rate N PATH…",
		Short: "Rate media",
		Long: "Rates media with a number from 0 (not rated) to 10, or with --stars from 0 to 5, halves too. The word none says nothing any more: the rating in the\n" +
			"bytes counts again.",
		Example: "  mediafs rate 8 ~/Photos/2024/beach.jpg\n  mediafs rate --stars 4.5 ~/Photos/2024/*.jpg\n  mediafs rate none ~/Photos/a.jpg",
		Args:    args(1, math.MaxInt),
	}
	f := cmd.Flags()
	f.SortFlags = false
	f.StringVar(&given5, "stars", "", "in place of N: `STARS` from 0 to 5")
	s.flags(f)
	cmd.RunE = func(cmd *cobra.Command, given []string) error {
		edit := control.MediaEdit{Field: "rating", Do: "set"}
		switch {
		case f.Changed("stars"):
			n, err := strconv.ParseFloat(given5, 64)
			if err != nil || !(n >= 0 && n <= 5) || n*2 != math.Trunc(n*2) {
				return usage(cmd, "--stars %s: allowed are 0 to 5 and halves", strconv.Quote(given5))
			}
			edit.Value = fmt.Sprint(int(2 * n))
		case len(given) < 2:
			return usage(cmd, "argument missing: %s", cmd.UseLine())
		case given[0] == "none":
			edit.Do, given = "clear", given[1:]
		default:
			n, err := strconv.Atoi(given[0])
			if err != nil || n < 0 || n > remote.MaxRating {
				return usage(
					cmd, "%s is not a rating: allowed are 0 to %d, and none", strconv.Quote(given[0]), remote.MaxRating,
				)
			}
			edit.Value, given = strconv.Itoa(n), given[1:]
		}
		return p.change(cmd.Context(), s, "rating", given, control.MediaRequest{Edits: []control.MediaEdit{edit}})
	}
	return cmd
}
