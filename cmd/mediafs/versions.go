package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"mediafs/fs/control"
	"mediafs/remote"
)

func (p *program) versionsCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "versions",
		Short: "List, read and bring back what a media was before",
		Args:  noCommand,
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(p.versionsListCommand(), p.versionsShowCommand(), p.versionsRestoreCommand())
	return cmd
}

func (p *program) versionsListCommand() *cobra.Command {
	var asJSON bool
	s := &subject{instead: "ls %s/.media/versions/PATH"}
	cmd := &cobra.Command{
		Use:     "list PATH",
		Short:   "List the kept versions of a media, oldest first",
		Example: "  mediafs versions list ~/Photos/beach.jpg",
		Args:    args(1, 1),
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON, a line each")
	s.flags(cmd.Flags())
	cmd.RunE = func(cmd *cobra.Command, given []string) error {
		return p.ofVersion(cmd.Context(), s, given[0], func(ctx context.Context, a aim) error {
			w := tabwriter.NewWriter(p.stdout, 0, 0, 2, ' ', 0)
			defer w.Flush()
			return a.ask(
				ctx,
				control.VerbVersions,
				control.MediaRequest{Targets: a.targets},
				func(answer control.MediaAnswer) error {
					v := answer.Version
					switch {
					case v == nil:
						return remote.E("ask the daemon", "", remote.Corrupt, errors.New("an answer without a version"))
					case asJSON:
						return p.printLine(v)
					}
					fmt.Fprintf(
						w, "%d\t%s\t%s\treplaced %s by %s\n", v.Number, v.Modified.Local().Format(time.DateTime),
						bytesText(v.Size), v.Replaced.Local().Format(time.DateTime), printable(v.Reason),
					)
					return nil
				},
			)
		})
	}
	return cmd
}

func (p *program) versionsShowCommand() *cobra.Command {
	var output string
	s := &subject{instead: "cat '%s/.media/versions/PATH/N …'"}
	cmd := &cobra.Command{
		Use:     "show PATH N",
		Short:   "Write a version to standard output or a file",
		Example: "  mediafs versions show ~/Photos/beach.jpg 3 --output before.jpg",
		Args:    args(2, 2),
	}
	cmd.Flags().StringVarP(&output, "output", "o", "", "write into this new `FILE`")
	s.flags(cmd.Flags())
	cmd.RunE = func(cmd *cobra.Command, given []string) error {
		n, err := parseVersion(cmd, given[1])
		if err != nil {
			return err
		}
		return p.ofVersion(cmd.Context(), s, given[0], func(ctx context.Context, a aim) error {
			read := func(w io.Writer) error {
				return a.ask(
					ctx,
					control.VerbVersion,
					control.MediaRequest{Targets: a.targets, Number: n},
					func(answer control.MediaAnswer) error {
						_, err := w.Write(answer.Data)
						return err
					},
				)
			}
			if output == "" {
				if isTerminal(p.stdout) {
					return &exitError{
						exitUsage,
						errors.New("the bytes of a media are no text: name a file with --output, or redirect"),
					}
				}
				return read(p.stdout)
			}
			f, err := os.OpenFile(output, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o666)
			if err != nil {
				return &exitError{exitFailed, fmt.Errorf("write the version: %w", err)}
			}
			if err = errors.Join(read(f), f.Close()); err != nil {
				err = errors.Join(err, os.Remove(output)) // half of a media is none
			}
			return err
		})
	}
	return cmd
}

func (p *program) versionsRestoreCommand() *cobra.Command {
	s := &subject{changes: true, instead: "cp '%s/.media/versions/PATH/N …' over the file"}
	cmd := &cobra.Command{
		Use:     "restore PATH N",
		Short:   "Make a version what the media holds again",
		Long:    "Makes a version what the media holds again. What it holds now is kept as a version.",
		Example: "  mediafs versions restore ~/Photos/beach.jpg 3",
		Args:    args(2, 2),
	}
	s.flags(cmd.Flags())
	cmd.RunE = func(cmd *cobra.Command, given []string) error {
		n, err := parseVersion(cmd, given[1])
		if err != nil {
			return err
		}
		return p.ofVersion(cmd.Context(), s, given[0], func(ctx context.Context, a aim) error {
			return a.ask(
				ctx, control.VerbRestoreVersion, control.MediaRequest{Targets: a.targets, Number: n},
				func(control.MediaAnswer) error { return nil },
			)
		})
	}
	return cmd
}

// ofVersion does something with versions of one media.
func (p *program) ofVersion(
	ctx context.Context, s *subject, path string, work func(ctx context.Context, a aim) error,
) error {
	return p.aims(ctx, s, []string{path}, func(ctx context.Context, a aim) error {
		if err := work(ctx, a); err != nil {
			return ofOne(path, err)
		}
		return nil
	})
}

func parseVersion(cmd *cobra.Command, text string) (uint64, error) {
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		return 0, usage(cmd, "%s is not the number of a version", strconv.Quote(text))
	}
	return n, nil
}
