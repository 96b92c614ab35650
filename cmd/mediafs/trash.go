package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"math"
	"path/filepath"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"mediafs/fs/check"
	"mediafs/fs/control"
	"mediafs/remote"
)

func (p *program) trashCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "trash",
		Short: "List what was deleted, take it back, or delete it for good",
		Long: "What is deleted in a library lies in its trash for a time (mount --trash). ENTRY is a number of `mediafs trash list`, or the path that the\n" +
			"media or folder had.",
		Args: noCommand,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(p.trashListCommand(), p.trashRestoreCommand(), p.trashPurgeCommand(), p.trashEmptyCommand())
	return cmd
}

func (p *program) trashListCommand() *cobra.Command {
	var asJSON bool
	s := &subject{instead: "ls %s/.media/trash"}
	cmd := &cobra.Command{
		Use:     "list [STORE]",
		Short:   "List the trash",
		Long:    "Lists the trash of a library: STORE as for mount, or a folder of a mount; without it, that of the working folder or the only mount.",
		Example: "  mediafs trash list\n  mediafs trash list ~/Photos --json",
		Args:    args(0, 1),
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON, a line each")
	s.flags(cmd.Flags())
	cmd.RunE = func(cmd *cobra.Command, given []string) error {
		return p.whole(cmd.Context(), s, given, func(ctx context.Context, o *opened) error {
			w := tabwriter.NewWriter(p.stdout, 0, 0, 2, ' ', 0)
			defer w.Flush()
			return eachInTrash(ctx, o, func(i *control.TrashItem) error {
				if asJSON {
					return p.printLine(i)
				}
				size := bytesText(i.Size)
				if i.Folder {
					size = "folder"
				}
				fmt.Fprintf(
					w, "%d\t%s\t%s\t%s\t%s\n", i.Entry, i.Deleted.Local().Format(time.DateTime), size,
					printable(i.User), printable(o.path(i.Where())),
				)
				return nil
			})
		})
	}
	return cmd
}

func eachInTrash(ctx context.Context, o *opened, each func(*control.TrashItem) error) error {
	return o.ask(ctx, control.VerbTrash, control.MediaRequest{}, func(a control.MediaAnswer) error {
		if a.Trash == nil {
			return remote.E("ask the daemon", "", remote.Corrupt, errors.New("an answer without an entry of the trash"))
		}
		return each(a.Trash)
	})
}

// inTrash finds the entries that are meant, of the trash as it is now: by number, or by the path
// that they had, below the mount point or the library's root.
func inTrash(ctx context.Context, o *opened, given []string) ([]uint64, error) {
	byPath := map[string][]uint64{}
	wanted := func(text string) []uint64 {
		if o.mount != "" {
			// Its folder may be gone, so it is not looked for; the mount point may have been named
			// through a link.
			abs, err := filepath.Abs(text)
			if err != nil {
				return nil
			}
			if real, err := filepath.EvalSymlinks(filepath.Dir(abs)); err == nil {
				abs = filepath.Join(real, filepath.Base(abs))
			}
			if found := byPath[abs]; found != nil || !o.named {
				return found
			}
		}
		return byPath[o.path(filepath.Clean("/"+text))]
	}
	byNumber := map[uint64]bool{}
	err := eachInTrash(ctx, o, func(i *control.TrashItem) error {
		byNumber[i.Entry] = true
		at := o.path(i.Where())
		byPath[at] = append(byPath[at], i.Entry)
		return nil
	})
	var entries []uint64
	for _, text := range given {
		if err != nil {
			break
		}
		if n, parseErr := strconv.ParseUint(text, 10, 64); parseErr == nil && byNumber[n] {
			entries = append(entries, n)
			continue
		}
		switch found := wanted(text); len(found) {
		case 0:
			err = &exitError{exitFailed, fmt.Errorf("%s: nothing of that number or path is in the trash", text)}
		case 1:
			entries = append(entries, found[0])
		default:
			err = &exitError{
				exitUsage,
				fmt.Errorf("%s: %d entries of the trash had that path: name one by its number (%s)", text, len(found),
					strings.Trim(strings.ReplaceAll(fmt.Sprint(found), " ", ", "), "[]")),
			}
		}
	}
	return entries, err
}

func (p *program) trashRestoreCommand() *cobra.Command {
	var to string
	s := &subject{changes: true, instead: "mv %s/.media/trash/NAME to where it shall be"}
	cmd := &cobra.Command{
		Use:     "restore ENTRY…",
		Short:   "Take out of the trash, to where it was or to another place",
		Example: "  mediafs trash restore ~/Photos/2024/beach.jpg\n  mediafs trash restore 1099511627781 --to ~/Photos/found",
		Args:    args(1, math.MaxInt),
	}
	cmd.Flags().StringVar(&to, "to", "", "`PATH` of a folder to put it in, or its new path")
	s.flags(cmd.Flags())
	cmd.RunE = func(cmd *cobra.Command, given []string) error {
		return p.fromTrash(cmd.Context(), s, given, func(ctx context.Context, o *opened) error {
			entries, err := inTrash(ctx, o, given)
			if err != nil {
				return err
			}
			r := control.MediaRequest{}
			if to != "" {
				if r.Folder, r.Name, err = destination(o, to); err != nil {
					return ofOne(to, err)
				}
			}
			t := tally{p: p, of: len(entries)}
			for i, entry := range entries {
				r.Entries = []uint64{entry}
				err := o.ask(ctx, control.VerbRestore, r, func(a control.MediaAnswer) error {
					if a.Path != "" {
						p.printf("%s\n", printable(o.path(string(a.Path))))
					}
					return nil
				})
				if err != nil {
					t.add(given[i], err)
				}
			}
			return t.err()
		})
	}
	return cmd
}

// destination is where --to means: a folder that is there, or a new name in one.
func destination(o *opened, to string) (*control.Target, control.RawName, error) {
	if o.named {
		return &control.Target{Path: control.RawName(to)}, "", nil
	}
	root, err := stat(o.mount)
	if err != nil {
		return nil, "", err
	}
	name := ""
	st, err := stat(to)
	if errors.Is(err, remote.NotExist) {
		name = filepath.Base(to)
		st, err = stat(filepath.Dir(to))
	}
	switch {
	case err != nil:
		return nil, "", err
	case st.Dev != root.Dev:
		return nil, "", &exitError{exitUsage, fmt.Errorf("it is not in the mount %s", o.mount)}
	case st.Mode&0o170000 != 0o040000:
		return nil, "", remote.E("", "", remote.Exist, nil)
	}
	return &control.Target{Node: st.Ino}, control.RawName(name), nil
}

// fromTrash opens the library whose trash given entries are in: that of the first one that is a
// path in a mount, unless --library names one.
func (p *program) fromTrash(
	ctx context.Context, s *subject, given []string, work func(ctx context.Context, o *opened) error,
) error {
	if s.library == "" {
		for _, text := range given {
			if _, err := strconv.ParseUint(text, 10, 64); err == nil {
				continue
			}
			if place, _, err := p.find(text, true); err == nil {
				s.library = place.Dir
				return p.whole(ctx, s, nil, func(ctx context.Context, o *opened) error {
					o.named = false
					return work(ctx, o)
				})
			}
		}
	}
	return p.whole(ctx, s, nil, work)
}

func (p *program) trashPurgeCommand() *cobra.Command {
	var yes bool
	s := &subject{changes: true, instead: "rm -r %s/.media/trash/NAME"}
	cmd := &cobra.Command{
		Use:     "purge ENTRY…",
		Short:   "Delete for good",
		Example: "  mediafs trash purge ~/Photos/2024/beach.jpg --yes",
		Args:    args(1, math.MaxInt),
	}
	cmd.Flags().BoolVar(&yes, "yes", false, "do not ask")
	s.flags(cmd.Flags())
	cmd.RunE = func(cmd *cobra.Command, given []string) error {
		return p.fromTrash(cmd.Context(), s, given, func(ctx context.Context, o *opened) error {
			entries, err := inTrash(ctx, o, given)
			if err != nil {
				return err
			}
			return p.purge(ctx, o, entries, given, yes)
		})
	}
	return cmd
}

func (p *program) trashEmptyCommand() *cobra.Command {
	var yes bool
	s := &subject{changes: true, instead: "rm -r %s/.media/trash/*"}
	cmd := &cobra.Command{
		Use:     "empty [STORE]",
		Short:   "Delete everything in the trash for good",
		Example: "  mediafs trash empty ~/Photos",
		Args:    args(0, 1),
	}
	cmd.Flags().BoolVar(&yes, "yes", false, "do not ask")
	s.flags(cmd.Flags())
	cmd.RunE = func(cmd *cobra.Command, given []string) error {
		return p.whole(cmd.Context(), s, given, func(ctx context.Context, o *opened) error {
			var (
				entries []uint64
				said    []string
			)
			err := eachInTrash(ctx, o, func(i *control.TrashItem) error {
				entries, said = append(entries, i.Entry), append(said, o.path(i.Where()))
				return nil
			})
			if err != nil || len(entries) == 0 {
				return err
			}
			return p.purge(ctx, o, entries, said, yes)
		})
	}
	return cmd
}

// purge deletes entries for good after asking, unless yes is the answer already.
func (p *program) purge(ctx context.Context, o *opened, entries []uint64, said []string, yes bool) error {
	if !yes {
		if !isTerminal(p.stdin) {
			return &exitError{
				exitUsage, errors.New("what is deleted for good does not come back: --yes says that you mean it"),
			}
		}
		p.errorf("Delete %s of the trash for good? [y/N] ", count(len(entries), "entry", "entries"))
		answer, _ := bufio.NewReader(p.stdin).ReadString('\n')
		if a := strings.ToLower(strings.TrimSpace(answer)); a != "y" && a != "yes" {
			return &exitError{exitFailed, errors.New("nothing was deleted")}
		}
	}
	t := tally{p: p, of: len(entries)}
	g := &gauge{p: p, on: isTerminal(p.stderr)}
	defer g.clear()
	done := 0
	err := o.ask(ctx, control.VerbPurge, control.MediaRequest{Entries: entries}, func(a control.MediaAnswer) error {
		done++
		g.show(check.Progress{Phase: "deleting", Done: int64(done), Total: int64(len(entries))})
		if err := a.Err(); err != nil && a.Index >= 0 && a.Index < len(said) {
			g.clear()
			t.add(said[a.Index], err)
		}
		return nil
	})
	if err != nil {
		return err
	}
	return t.err()
}
