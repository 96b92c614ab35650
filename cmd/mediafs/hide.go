package main

import (
	"math"

	"mediafs/fs/control"

	"github.com/spf13/cobra"
)

func (p *program) hideCommand() *cobra.Command {
	var show bool
	s := &subject{instead: "setfattr -n user.media.hidden -v yes FILE"}
	cmd := &cobra.Command{
		Use:     "hide PATH…",
		Short:   "Hide media from views and searches, or show them again",
		Long:    "Hides media: views and searches show them only when they are asked for. In their folders they stay what they are.",
		Example: "  mediafs hide ~/Photos/*.raw\n  mediafs hide --show ~/Photos/a.raw",
		Args:    args(1, math.MaxInt),
	}
	f := cmd.Flags()
	f.SortFlags = false
	f.BoolVar(&show, "show", false, "show them again")
	s.flags(f)
	cmd.RunE = func(cmd *cobra.Command, given []string) error {
		edit := control.MediaEdit{Field: "hidden", Do: "set", Value: "yes"}
		if show {
			edit.Value = "no"
		}
		return p.change(cmd.Context(), s, "changing", given, control.MediaRequest{Edits: []control.MediaEdit{edit}})
	}
	return cmd
}
