package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"mediafs/fs/check"
	"mediafs/fs/control"
	"mediafs/fs/transfer"
	"mediafs/remote"
)

// An importing is one import command with everything resolved.
type importing struct {
	choice
	options transfer.ObjectsOptions
	to      path
	records path
	verify  bool
	asJSON  bool
}

func (p *program) importCommand() *cobra.Command {
	m := &importing{}
	cmd := &cobra.Command{
		Use:   "import [MOUNT | --library STORE] PREFIX | TREE MOUNT/FOLDER | --records FILE [MOUNT]",
		Short: "Take what is there already into a library",
		Long: "In place: PREFIX is a folder of keys in the bucket that the library lies in (s3://bucket/2019 or 2019; / is all of it), and the objects below it become media where\n" +
			"they are. No byte is copied, and no object of others is ever changed or deleted. Run again, it takes what is new or was replaced in the bucket, and\n" +
			"tells what is gone. A library in a local directory takes what lies in that directory beside its own files.\n\n" +
			"A copy: TREE is a local folder, whose files are copied with times, modes, owners, attributes, links and holes. Files that are there with the same\n" +
			"size and time are left alone.\n\n" +
			"Records: FILE is what mediafs export wrote. What people said of each media there is said of the media of the same path here, or of the same SHA-256.",
		Example: "  mediafs import ~/Photos s3://photos/2019 --to 2019\n  mediafs import --library photos / --dry-run\n" +
			"  mediafs import /media/card/DCIM ~/Photos/Card\n  mediafs import --records photos.jsonl ~/Photos",
		Args: args(0, 2),
	}
	f := cmd.Flags()
	f.SortFlags = false
	o := &m.options
	f.Var(flagValue{&m.to, "FOLDER"}, "to", "folder of the library for what is imported in place (default: its root)")
	f.BoolVar(
		&o.Metadata, "metadata", false,
		"ask for each new object what rclone, s3cmd or s3fs noted: modification time and media type (one request each)",
	)
	f.BoolVar(&o.Prune, "prune", false, "media whose objects are gone from the bucket go to the trash")
	f.BoolVar(
		&o.Again, "again", false,
		"also objects whose media was deleted or edited in the library since they were imported",
	)
	f.BoolVar(
		&o.Everything, "everything", false, "also parts of JuiceFS, restic and other libraries, which are no files",
	)
	f.BoolVarP(&o.DryRun, "dry-run", "n", false, "only say what would be done")
	f.BoolVar(&m.verify, "verify", false, "of a copy: read both sides again and compare")
	f.Var(flagValue{&m.records, "FILE"}, "records", "lay the records of an export over the media here")
	f.BoolVar(&m.asJSON, "json", false, "print JSON")
	names := m.choice.flags(f)
	f.Var(flagValue{&m.in.settings.catalogDir, "DIR"}, "catalog-dir", "as for mount, when the library is not mounted")
	f.Var(flagValue{&m.in.settings.cacheDir, "DIR"}, "cache-dir", "as for mount, when the library is not mounted")
	names = append(names, "catalog-dir", "cache-dir")
	cmd.RunE = func(cmd *cobra.Command, given []string) error {
		if p.isCopy(m, given) {
			return p.importTree(cmd.Context(), m, given[0], given[1])
		}
		rest, err := p.choose(&m.choice, f, names, given)
		switch {
		case err != nil:
			return err
		case m.records != "" && len(rest) > 0:
			return usage(cmd, "--records takes no PREFIX: %s", cmd.UseLine())
		case m.records != "":
			return p.importRecords(cmd.Context(), m)
		case len(rest) != 1:
			return usage(cmd, "one PREFIX is needed: %s", cmd.UseLine())
		}
		return p.importInPlace(cmd.Context(), m, rest[0])
	}
	return cmd
}

// keyPrefix finds out what keys are meant by PREFIX.
func (in *inspection) keyPrefix(prefix string) (string, error) {
	refuse := func(format string, args ...any) (string, error) {
		return "", &exitError{exitUsage, fmt.Errorf(format, args...)}
	}
	store, err := url.Parse(in.store)
	if err != nil {
		return refuse("%s is no URL", in.store)
	}
	if strings.Contains(prefix, "://") {
		u, err := url.Parse(prefix)
		if err != nil {
			return refuse("%s is no URL", prefix)
		}
		other := u.Scheme != store.Scheme || u.Host != store.Host ||
			u.Query().Has("endpoint") && u.Query().Get("endpoint") != store.Query().Get("endpoint")
		if prefix = u.Path; u.Scheme == "file" {
			rel, err := filepath.Rel(store.Path, u.Path)
			prefix, other = rel, other || err != nil || rel == ".." || strings.HasPrefix(rel, "../")
		}
		if other {
			return refuse(
				"%s is not in the place where the library lies (%s): in place, only objects of that bucket or directory can be imported (copy them there, or make a library in the other one)",
				u.Redacted(), in.store,
			)
		}
	}
	if prefix = strings.Trim(prefix, "/"); prefix == "" || prefix == "." {
		return "", nil
	}
	return prefix + "/", nil
}

// importInPlace imports objects of the library's bucket.
func (p *program) importInPlace(ctx context.Context, m *importing, prefix string) error {
	var err error
	if m.options.Prefix, err = m.in.keyPrefix(prefix); err != nil {
		return err
	}
	m.options.To = m.folder + "/" + strings.Trim(string(m.to), "/")
	m.options.UID, m.options.GID = uint32(os.Geteuid()), uint32(os.Getegid())
	m.options.Progress = p.importGauge()
	var sum transfer.ObjectsSummary
	err = p.importInto(ctx, &m.choice, m.options.DryRun, func(ctx context.Context, lib importer) error {
		if lib != nil {
			m.options.Apply = lib.ImportObjects
		}
		return p.inspect(ctx, &m.in, func(ctx context.Context, opt check.Options) (err error) {
			m.options.Store, m.options.TempDir = opt.Store, opt.TempDir
			sum, err = transfer.ImportObjects(ctx, m.options)
			return err
		})
	})
	if isTerminal(p.stderr) {
		p.errorf("\r\x1b[K")
	}
	if err != nil {
		return err
	}
	if m.asJSON {
		out := json.NewEncoder(p.stdout)
		out.SetIndent("", "  ")
		return out.Encode(sum)
	}
	p.importText(m, sum)
	return nil
}

// An importer takes what is imported: the daemon of a mount, or the library opened here.
type importer interface {
	ImportObjects(ctx context.Context, b transfer.ObjectsBatch) (transfer.ObjectsResult, error)
	ImportRecords(ctx context.Context, b transfer.RecordsBatch) (transfer.RecordsResult, error)
}

// importInto has work import into a library through the daemon that has it mounted, or, when none
// has, opens it here. What was written before is in the store then. With dry it opens nothing.
func (p *program) importInto(
	ctx context.Context, ch *choice, dry bool, work func(ctx context.Context, lib importer) error,
) (err error) {
	through := func(c *control.Client) error {
		if err := p.drain(ctx, c, drainTimeout); err != nil {
			return err
		}
		return work(ctx, c)
	}
	if ch.in.mount != "" {
		client, err := ch.place.Client()
		if err != nil {
			return &exitError{exitUnavailable, err}
		}
		return through(client)
	}
	if dry {
		return work(ctx, nil)
	}
	l, opt, err := p.openHere(ctx, &ch.in, false)
	if errors.Is(err, remote.Busy) {
		return through(control.Dial(opt.CatalogDir))
	}
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, l.Close()) }()
	if err := l.Flush(ctx); err != nil {
		return err
	}
	return errors.Join(work(ctx, l), l.Flush(ctx))
}

// importGauge shows on a terminal how far it is.
func (p *program) importGauge() func(transfer.ObjectsSummary) {
	if !isTerminal(p.stderr) {
		return nil
	}
	return func(s transfer.ObjectsSummary) {
		p.errorf(
			"\r\x1b[K%d objects (%s): %d new, %d replaced, %d unchanged, %d skipped", s.Objects, bytesText(s.Bytes),
			s.Imported, s.Updated, s.Unchanged, s.Skipped,
		)
	}
}

func (p *program) importText(m *importing, s transfer.ObjectsSummary) {
	for _, e := range s.Examples {
		p.printf("%s: %s\n", printable(e.Name), printable(e.Why))
	}
	if len(s.Examples) > 0 {
		p.printf("\n")
	}
	w := tabwriter.NewWriter(p.stdout, 0, 0, 2, ' ', 0)
	defer w.Flush()
	line := func(name string, n int64, what string) { fmt.Fprintf(w, "%s\t%d\t%s\n", name, n, what) }
	line("objects", s.Objects, bytesText(s.Bytes))
	line("imported", s.Imported, "")
	line("updated", s.Updated, "replaced in the bucket since they were imported")
	line("unchanged", s.Unchanged, "")
	if s.Folders > 0 {
		line("folders", s.Folders, "")
	}
	if s.Left > 0 {
		line("left", s.Left, "imported before; deleted or edited in the library since (--again imports them anew)")
	}
	if s.Gone > 0 {
		what := "no longer in the bucket (--prune moves their media to the trash)"
		if m.options.Prune {
			what = fmt.Sprintf("no longer in the bucket; %d went to the trash", s.Removed)
		}
		line("gone", s.Gone, what)
	}
	reasons := make([]string, 0, len(s.Reasons))
	for reason := range s.Reasons {
		reasons = append(reasons, reason)
	}
	slices.Sort(reasons)
	for _, reason := range reasons {
		line("skipped", s.Reasons[reason], reason)
	}
	if m.options.DryRun {
		fmt.Fprintf(w, "nothing was changed\n")
	}
}
