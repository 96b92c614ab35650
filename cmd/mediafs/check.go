package main

import (
	"context"
	"encoding/json"
	"fmt"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"mediafs/fs/check"
)

func (p *program) checkCommand() *cobra.Command {
	var data, asJSON bool
	in := &inspection{}
	cmd := &cobra.Command{
		Use:   "check [STORE]",
		Short: "Compare a library's catalog with what its store holds",
		Long: "Compares the catalog of a library with itself and with the objects of its store, whether it is mounted or not, and says what is damaged, which\n" +
			"media that hits and what can be done. Nothing is changed or repaired. With --data every byte of every content is read and compared with\n" +
			"its checksums; without, only sizes are looked at.\n\n" +
			"STORE is a URL or name as for mount, or a folder of a mounted library; without it, the library that mount takes without STORE.\n" +
			fmt.Sprintf(
				"The exit code says how it ended: %d sound, %d damaged, another: it could not be checked.", exitOK,
				exitDamage,
			),
		Example: "  mediafs check\n  mediafs check ~/Photos --data\n  mediafs check 's3://photos/family?endpoint=https://s3.example.org' --json",
		Args:    args(0, 1),
	}
	f := cmd.Flags()
	f.SortFlags = false
	f.BoolVar(&data, "data", false, "read all contents and compare them with their checksums")
	f.BoolVar(&asJSON, "json", false, "print JSON")
	names := in.flags(f)
	cmd.RunE = func(cmd *cobra.Command, given []string) error {
		if err := p.inspected(in, f, names, given); err != nil {
			return err
		}
		var report check.Report
		err := p.inspect(cmd.Context(), in, func(ctx context.Context, opt check.Options) (err error) {
			opt.Data = data
			report, err = check.Check(ctx, opt)
			return err
		})
		if err != nil {
			return err
		}
		if asJSON {
			err = p.reportJSON(in, &report)
		} else {
			p.reportText(in, &report)
		}
		if err == nil && !report.Sound() {
			err = &exitError{
				exitDamage, fmt.Errorf("the library is damaged in %s", count(report.Damaged, "place", "places")),
			}
		}
		return err
	}
	return cmd
}

// reportText writes a line for each finding and then what was looked at. Names and keys are made
// harmless to the terminal.
func (p *program) reportText(in *inspection, r *check.Report) {
	shown := 0
	for _, f := range r.Findings {
		subject, detail := in.where(f.Place), f.What+": "+f.Why
		if subject == "" {
			subject, detail = f.What, f.Why
		}
		if !f.Class.Damage() {
			p.printf("note: %s: %s; %s\n", printable(subject), printable(detail), f.Class.Means())
			continue
		}
		shown++
		p.printf("damaged: %s: %s; %s: %s\n", printable(subject), printable(detail), f.Class.Means(), f.Class.Advice())
	}
	if left := r.Damaged - shown; left > 0 {
		p.printf("damaged: %s more\n", count(left, "place", "places"))
	}
	if left := r.Noted - (len(r.Findings) - shown); left > 0 {
		p.printf("note: %d more\n", left)
	}
	if len(r.Findings) > 0 {
		p.printf("\n")
	}
	w := tabwriter.NewWriter(p.stdout, 0, 0, 2, ' ', 0)
	defer w.Flush()
	line := func(name, format string, args ...any) {
		fmt.Fprintf(w, "%s\t%s\n", name, printable(fmt.Sprintf(format, args...)))
	}
	line("library", "%s", r.Library)
	line("store", "%s", in.store)
	line("state", "after commit %d", r.Commit)
	line("nodes", "%d, %s, %d in the trash", r.Nodes, count(int(r.Folders), "folder", "folders"), r.Trash)
	line("media", "%s, %s of them", tallyText(r.Media), count(int(r.Versions.Count), "version", "versions"))
	line("contents", "%s in use, %s", tallyText(r.Contents), dataText(r))
	line("objects", "%s", tallyText(r.Objects))
	line("  unused", "%s, of which %s younger than 2 days", tallyText(r.Garbage), tallyText(r.Young))
	line("  uploads", "%d unfinished", r.Unfinished)
	line("  others'", "%d", r.Foreign)
	line("log", "commits %d to %d, %s", r.First, r.Last, tallyText(r.Log))
	line("checkpoints", "%d, of %s parts", r.Checkpoints, tallyText(r.Parts))
	line("found", "%s, %s", damageText(r), count(r.Noted, "note", "notes"))
}

func tallyText(t check.Tally) string { return fmt.Sprintf("%d (%s)", t.Count, bytesText(t.Bytes)) }

func dataText(r *check.Report) string {
	if !r.Data {
		return "none of them read (--data reads them)"
	}
	return tallyText(r.Read) + " read and compared"
}

func damageText(r *check.Report) string {
	if r.Sound() {
		return "no damage"
	}
	return "damage in " + count(r.Damaged, "place", "places")
}

// reportJSON writes one document. Its names keep their meaning.
func (p *program) reportJSON(in *inspection, r *check.Report) error {
	type finding struct {
		Class  check.Class `json:"class"`
		Damage bool        `json:"damage"`
		placeJSON
		What   string `json:"what"`
		Why    string `json:"why"`
		Means  string `json:"means"`
		Advice string `json:"advice,omitempty"`
	}
	findings := []finding{}
	for _, f := range r.Findings {
		findings = append(
			findings,
			finding{f.Class, f.Class.Damage(), newPlaceJSON(f.Place), f.What, f.Why, f.Class.Means(), f.Class.Advice()},
		)
	}
	out := json.NewEncoder(p.stdout)
	out.SetIndent("", "  ")
	return out.Encode(struct {
		Library     string      `json:"library"`
		Store       string      `json:"store"`
		Sound       bool        `json:"sound"`
		Damaged     int         `json:"damaged"`
		Noted       int         `json:"noted"`
		Commit      uint64      `json:"commit"`
		Data        bool        `json:"data"`
		Nodes       int64       `json:"nodes"`
		Folders     int64       `json:"folders"`
		Media       check.Tally `json:"media"`
		Versions    check.Tally `json:"versions"`
		Trash       int64       `json:"trash"`
		Contents    check.Tally `json:"contents"`
		Imported    check.Tally `json:"contents_imported"`
		Unused      check.Tally `json:"contents_unused"`
		Read        check.Tally `json:"contents_read"`
		Objects     check.Tally `json:"objects"`
		Garbage     check.Tally `json:"objects_unused"`
		Young       check.Tally `json:"objects_unused_young"`
		Unfinished  int64       `json:"uploads_unfinished"`
		Foreign     int64       `json:"objects_foreign"`
		Log         check.Tally `json:"log"`
		First       uint64      `json:"log_first"`
		Last        uint64      `json:"log_last"`
		Checkpoints int64       `json:"checkpoints"`
		Parts       check.Tally `json:"checkpoint_parts"`
		Findings    []finding   `json:"findings"`
	}{
		r.Library, in.store, r.Sound(), r.Damaged, r.Noted, r.Commit, r.Data, r.Nodes, r.Folders, r.Media, r.Versions,
		r.Trash, r.Contents, r.External, r.Unused, r.Read, r.Objects, r.Garbage, r.Young, r.Unfinished, r.Foreign,
		r.Log, r.First, r.Last, r.Checkpoints, r.Parts, findings,
	})
}
