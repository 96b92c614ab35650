package main

import (
	"context"
	"math"
	"time"

	"github.com/spf13/cobra"

	"mediafs/fs/control"
)

func (p *program) restoreArchivedCommand() *cobra.Command {
	days := 7
	s := &subject{}
	cmd := &cobra.Command{
		Use:   "restore-archived PATH…",
		Short: "Ask the store for media that it keeps in an archive",
		Long: "Asks the store for copies that can be read of media that it keeps in an archive (S3's classes GLACIER and DEEP_ARCHIVE, and the archive tiers of\n" +
			"INTELLIGENT_TIERING), and of all that lie in a folder. Only the bytes that they hold now are meant, no versions. Until the store has made\n" +
			"them, in minutes to two days, reading fails; mediafs info tells how it stands. Stores charge for it.\n\n" +
			"Media that can be read are left alone; copies that are there already stay for so many days from now.",
		Example: "  mediafs restore-archived ~/Photos/2009\n  mediafs restore-archived --days 30 ~/Photos/wedding/*.jpg",
		Args:    args(1, math.MaxInt),
	}
	f := cmd.Flags()
	f.SortFlags = false
	f.IntVar(&days, "days", days, "for how many days the copies stay")
	s.flags(f)
	cmd.RunE = func(cmd *cobra.Command, given []string) error {
		if days < 1 {
			return usage(cmd, "--days %d: at least 1 is needed", days)
		}
		asked, there, whole := 0, 0, 0
		err := p.aims(cmd.Context(), s, given, func(ctx context.Context, a aim) error {
			return p.ofEach(
				ctx,
				a,
				control.VerbUnarchive,
				"asking",
				control.MediaRequest{Days: days},
				func(said string, answer control.MediaAnswer) error {
					restoring, copies := false, false
					for _, c := range answer.Archives {
						restoring = restoring || c.Restoring
						copies = copies || !c.Until.IsZero()
					}
					switch {
					case restoring:
						asked++
						p.printf(
							"%s: %s\n", printable(a.path(string(answer.Path))),
							printable(archiveText(answer, time.Local)),
						)
					case copies:
						there++
					default:
						whole++
					}
					return nil
				},
			)
		})
		p.printf(
			"%s asked for; %d can be read for now, %d are in no archive\n", count(asked, "media", "media"), there,
			whole,
		)
		return err
	}
	return cmd
}
