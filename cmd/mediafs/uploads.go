package main

import (
	"context"
	"errors"
	"fmt"
	"math"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"mediafs/fs/control"
	"mediafs/remote"
)

func (p *program) uploadsCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "uploads",
		Short: "List what is on its way to the store, or give an upload up",
		Args:  noCommand,
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(p.uploadsListCommand(), p.uploadsCancelCommand())
	return cmd
}

func (p *program) uploadsListCommand() *cobra.Command {
	var asJSON bool
	s := &subject{instead: "ls %s/.media/uploads"}
	cmd := &cobra.Command{
		Use:     "list [STORE]",
		Short:   "List running and stopped uploads",
		Example: "  mediafs uploads list ~/Photos",
		Args:    args(0, 1),
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON, a line each")
	s.flags(cmd.Flags())
	cmd.RunE = func(cmd *cobra.Command, given []string) error {
		return p.whole(cmd.Context(), s, given, func(ctx context.Context, o *opened) error {
			w := tabwriter.NewWriter(p.stdout, 0, 0, 2, ' ', 0)
			defer w.Flush()
			return o.ask(ctx, control.VerbUploads, control.MediaRequest{}, func(a control.MediaAnswer) error {
				u := a.Upload
				switch {
				case u == nil:
					return remote.E("ask the daemon", "", remote.Corrupt, errors.New("an answer without an upload"))
				case asJSON:
					return p.printLine(u)
				}
				state := "waits"
				if u.Running {
					state = "runs"
				} else if u.Error != "" {
					state = "stopped: " + u.Error
				}
				path := fmt.Sprintf("a file without a name (%d)", u.Node)
				if u.Path != "" {
					path = o.path(u.Where())
				}
				fmt.Fprintf(
					w, "%s of %s\t%s\t%s\n", bytesText(u.Sent), bytesText(u.Size), printable(path), printable(state),
				)
				return nil
			})
		})
	}
	return cmd
}

func (p *program) uploadsCancelCommand() *cobra.Command {
	s := &subject{changes: true, instead: "rm %s/.media/uploads/NAME"}
	cmd := &cobra.Command{
		Use:   "cancel PATH…",
		Short: "Give up what of a media is not in the store",
		Long: "Gives up what of a media is not in the store: it holds again what it held before. One that never was in the store stays as an empty file with the status of\n" +
			"an incomplete upload.",
		Example: "  mediafs uploads cancel ~/Photos/film.mp4",
		Args:    args(1, math.MaxInt),
	}
	s.flags(cmd.Flags())
	cmd.RunE = func(cmd *cobra.Command, given []string) error {
		return p.aims(cmd.Context(), s, given, func(ctx context.Context, a aim) error {
			return p.ofEach(
				ctx, a, control.VerbCancelUpload, "cancelling", control.MediaRequest{},
				func(string, control.MediaAnswer) error { return nil },
			)
		})
	}
	return cmd
}
