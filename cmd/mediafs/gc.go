package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"mediafs/fs/check"
	"mediafs/remote"
)

func (p *program) gcCommand() *cobra.Command {
	var dryRun, list, asJSON bool
	in := &inspection{}
	cmd := &cobra.Command{
		Use:   "gc --dry-run [STORE]",
		Short: "Say what garbage collection would take",
		Long: "Says what garbage collection would take from a library's store if it ran now: contents and records that nothing refers to any more,\n" +
			"uploads that were not finished, old versions, checkpoints and commits. Nothing is deleted or written: deleting is not built yet, and without\n" +
			"--dry-run the command refuses.\n\n" +
			"STORE is a URL or name as for mount, or a folder of a mounted library; without it, the library that mount takes without STORE.",
		Args: args(0, 1),
	}
	f := cmd.Flags()
	f.SortFlags = false
	f.BoolVar(&dryRun, "dry-run", false, "only say what would be taken")
	f.BoolVar(&list, "list", false, "name each piece")
	f.BoolVar(&asJSON, "json", false, "print JSON")
	names := in.flags(f)
	cmd.RunE = func(cmd *cobra.Command, given []string) error {
		if !dryRun {
			return usage(cmd, "deleting garbage is not built yet: give --dry-run to see what would be taken")
		}
		if err := p.inspected(in, f, names, given); err != nil {
			return err
		}
		var (
			litter check.Litter
			items  []itemJSON
		)
		err := p.inspect(cmd.Context(), in, func(ctx context.Context, opt check.Options) (err error) {
			if list {
				if !asJSON {
					opt.Progress = nil // the pieces show how far it is
				}
				opt.Each = func(i check.Item) error {
					if asJSON {
						items = append(items, newItemJSON(i))
					} else {
						p.itemText(in, i)
					}
					return nil
				}
			}
			litter, err = check.Garbage(ctx, opt)
			return err
		})
		switch {
		case errors.Is(err, remote.Corrupt):
			return &exitError{exitDamage, err}
		case err != nil:
			return err
		case asJSON:
			return p.litterJSON(in, litter, items)
		}
		p.litterText(in, litter, list)
		return nil
	}
	return cmd
}

// itemText writes one piece of garbage.
func (p *program) itemText(in *inspection, i check.Item) {
	what := i.What
	if at := in.where(i.Place); at != "" {
		what = at + ": " + what
	}
	p.printf("%-10s  %9s  %s\n", i.Class, bytesText(i.Bytes), printable(what))
}

func (p *program) litterText(in *inspection, l check.Litter, listed bool) {
	if listed && len(l.Sums) > 0 {
		p.printf("\n")
	}
	w := tabwriter.NewWriter(p.stdout, 0, 0, 2, ' ', 0)
	defer w.Flush()
	fmt.Fprintf(w, "library\t%s\n", l.Library)
	fmt.Fprintf(w, "store\t%s\n", printable(in.store))
	fmt.Fprintf(
		w, "state\tafter commit %d, %s by the store's clock\n", l.Commit, l.Now.UTC().Format("2006-01-02 15:04:05 UTC"),
	)
	for _, c := range check.GarbageClasses() {
		fmt.Fprintf(w, "%s\t%s\t%s\n", c, tallyText(l.Sums[c]), c.Means())
	}
	fmt.Fprintf(w, "nothing was deleted\n")
}

// itemJSON is one piece of garbage for programs.
type itemJSON struct {
	Class check.GarbageClass `json:"class"`
	placeJSON
	What     string     `json:"what"`
	Size     int64      `json:"bytes"`
	Modified *time.Time `json:"modified,omitempty"`
}

func newItemJSON(i check.Item) itemJSON {
	j := itemJSON{Class: i.Class, placeJSON: newPlaceJSON(i.Place), What: i.What, Size: i.Bytes}
	if !i.Modified.IsZero() {
		modified := i.Modified.UTC()
		j.Modified = &modified
	}
	return j
}

// litterJSON writes one document; its classes are all there, also those of which nothing was found.
func (p *program) litterJSON(in *inspection, l check.Litter, items []itemJSON) error {
	sums := map[check.GarbageClass]check.Tally{}
	for _, c := range check.GarbageClasses() {
		sums[c] = l.Sums[c]
	}
	out := json.NewEncoder(p.stdout)
	out.SetIndent("", "  ")
	return out.Encode(struct {
		Library string                             `json:"library"`
		Store   string                             `json:"store"`
		Commit  uint64                             `json:"commit"`
		Now     time.Time                          `json:"now"`
		Sums    map[check.GarbageClass]check.Tally `json:"sums"`
		Items   []itemJSON                         `json:"items,omitempty"`
	}{l.Library, in.store, l.Commit, l.Now.UTC(), sums, items})
}
