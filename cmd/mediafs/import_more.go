package main

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"text/tabwriter"

	"mediafs/fs/check"
	"mediafs/fs/daemon"
	"mediafs/fs/transfer"
)

// importRecords lays an export over a library.
func (p *program) importRecords(ctx context.Context, m *importing) error {
	pl, err := p.places()
	if err != nil {
		return err
	}
	file, err := m.records.absolute(pl.home)
	if err != nil {
		return err
	}
	var sum transfer.RecordsSummary
	err = p.importInto(ctx, &m.choice, m.options.DryRun, func(ctx context.Context, lib importer) error {
		o := transfer.RecordsOptions{
			Open:   func() (io.ReadCloser, error) { return os.Open(file) },
			To:     m.folder + "/" + strings.Trim(string(m.to), "/"),
			DryRun: m.options.DryRun,
		}
		if lib != nil {
			o.Apply = lib.ImportRecords
		}
		return p.inspect(ctx, &m.in, func(ctx context.Context, opt check.Options) (err error) {
			o.Store, o.TempDir = opt.Store, opt.TempDir
			sum, err = transfer.ImportRecords(ctx, o)
			return err
		})
	})
	if err != nil {
		return err
	}
	lines := []importLine{
		{"media", sum.Media, "in the export"},
		{"changed", sum.Changed, ""},
		{"unchanged", sum.Unchanged, "all was said already"},
		{"missing", sum.Missing, "no media of that path or with those bytes"},
		{"failed", sum.Failed, ""},
	}
	return p.importSummary(m, sum, sum.Examples, lines)
}

// An importLine is one of a summary; those of nothing are left out, but for the first.
type importLine struct {
	name string
	n    int64
	what string
}

func (p *program) importSummary(m *importing, doc any, examples []transfer.Example, lines []importLine) error {
	if m.asJSON {
		out := json.NewEncoder(p.stdout)
		out.SetIndent("", "  ")
		return out.Encode(doc)
	}
	for _, e := range examples {
		p.printf("%s: %s\n", printable(e.Name), printable(e.Why))
	}
	if len(examples) > 0 {
		p.printf("\n")
	}
	w := tabwriter.NewWriter(p.stdout, 0, 0, 2, ' ', 0)
	defer w.Flush()
	for i, l := range lines {
		if i == 0 || l.n != 0 {
			fmt.Fprintf(w, "%s\t%d\t%s\n", l.name, l.n, l.what)
		}
	}
	if m.options.DryRun {
		fmt.Fprintf(w, "nothing was changed\n")
	}
	return nil
}

// isCopy tells whether TREE MOUNT/FOLDER was given: a local folder of no mount, then one of a
// mount.
func (p *program) isCopy(m *importing, given []string) bool {
	if len(given) != 2 || m.library != "" || m.records != "" || strings.Contains(given[0], "://") {
		return false
	}
	if _, _, err := p.find(given[0], true); err == nil {
		return false
	}
	_, _, err := p.find(given[1], true)
	return err == nil
}

// importTree copies a local folder into a mount, through it.
func (p *program) importTree(ctx context.Context, m *importing, tree, folder string) error {
	ctx, stop := signal.NotifyContext(ctx, syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	pl, err := p.places()
	if err != nil {
		return err
	}
	o := transfer.TreeOptions{DryRun: m.options.DryRun, Verify: m.verify}
	for _, dir := range []struct {
		to   *string
		from string
	}{{&o.From, tree}, {&o.To, folder}} {
		if *dir.to, err = path(dir.from).absolute(pl.home); err != nil {
			return err
		}
	}
	place, _, err := p.find(folder, true)
	if err != nil {
		return err
	}
	sites := append(
		daemon.LibrarySites(cmp.Or(place.Mount.Store, place.Source), place.Mount.CatalogDir, place.Mount.CacheDir),
		daemon.Site{What: "mount", Path: place.Dir},
	)
	for i := range sites {
		sites[i].Hint = "it would be copied into itself: name the folders beside it, one by one"
		if sites[i].What == "store" {
			sites[i].Hint += "; what lies in the store's folder becomes media in place with mediafs import " + place.Dir + " PREFIX"
		}
	}
	if err := daemon.Apart("copy a tree", daemon.Site{What: "folder", Path: o.From}, sites...); err != nil {
		return err
	}
	if isTerminal(p.stderr) {
		o.Progress = func(s transfer.TreeSummary) {
			p.errorf("\r\x1b[K%d files copied (%s), %d there already", s.Copied, bytesText(s.Bytes), s.Unchanged)
		}
	}
	sum, err := transfer.CopyTree(ctx, o)
	if o.Progress != nil {
		p.errorf("\r\x1b[K")
	}
	if err != nil {
		return err
	}
	lines := []importLine{
		{"copied", sum.Copied, bytesText(sum.Bytes)},
		{"unchanged", sum.Unchanged, ""},
		{"folders", sum.Folders, ""},
		{"links", sum.Links, ""},
		{"verified", sum.Verified, ""},
		{"failed", sum.Failed, ""},
	}
	err = p.importSummary(m, sum, sum.Examples, lines)
	if err == nil && sum.Failed > 0 {
		err = fmt.Errorf("%s could not be copied", count(int(sum.Failed), "file", "files"))
	}
	return err
}
