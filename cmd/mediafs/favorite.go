package main

import (
	"math"

	"mediafs/fs/control"

	"github.com/spf13/cobra"
)

func (p *program) favoriteCommand() *cobra.Command {
	var (
		user   string
		remove bool
	)
	s := &subject{instead: "setfattr -n user.media.favorite -v yes FILE, and ls %s/.media/favorites/USER"}
	cmd := &cobra.Command{
		Use:     "favorite PATH…",
		Short:   "Make media favorites of a user",
		Example: "  mediafs favorite ~/Photos/2024/beach.jpg\n  mediafs favorite --remove --user ana ~/Photos/2024/*.jpg",
		Args:    args(1, math.MaxInt),
	}
	f := cmd.Flags()
	f.SortFlags = false
	f.StringVar(&user, "user", "", "whose: `NAME` (default: of who runs the command)")
	f.BoolVar(&remove, "remove", false, "they are favorites no more")
	s.flags(f)
	cmd.RunE = func(cmd *cobra.Command, given []string) error {
		r := control.MediaRequest{Attach: []control.MediaAttach{{Kind: "favorite", User: user, Remove: remove}}}
		return p.change(cmd.Context(), s, "changing", given, r)
	}
	return cmd
}
