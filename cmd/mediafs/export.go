package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"mediafs/fs/check"
	"mediafs/fs/daemon"
	"mediafs/fs/transfer"
)

func (p *program) exportCommand() *cobra.Command {
	var output path
	ch := &choice{}
	cmd := &cobra.Command{
		Use:   "export [MOUNT | --library STORE] [FOLDER]",
		Short: "Write a library's tree and records as JSON lines",
		Long: "Writes what a library knows, one JSON object a line: every node with its names, owner, times and attributes, every media with all that people and its bytes\n" +
			"say of it, its versions and where its bytes lie, and the trash. It is the state after one commit, read from the store; the bytes of media are not in it:\n" +
			"copy them with cp. To make a library anew: mount an empty one, copy the files into it with their times, then lay the records over them with\n" +
			"`mediafs import --records`. Ids, versions and the trash are not made again.\n\n" +
			"MOUNT is a folder of a mounted library, which is flushed first; FOLDER a path in the library: only what is below it is written, and no trash.\n" +
			"Text that is not UTF-8 is written as {\"base64\": …}.",
		Example: "  mediafs export ~/Photos --output photos.jsonl\n  mediafs export --library 's3://photos/family?endpoint=https://s3.example.org' /2019 | jq .path",
		Args:    args(0, 2),
	}
	f := cmd.Flags()
	f.SortFlags = false
	f.VarP(
		flagValue{&output, "FILE"}, "output", "o", "where to write, made when all is there (default standard output)",
	)
	names := ch.flags(f)
	cmd.RunE = func(cmd *cobra.Command, given []string) error {
		rest, err := p.choose(ch, f, names, given)
		if err != nil {
			return err
		}
		folder := ch.folder
		switch {
		case len(rest) > 1:
			return usage(cmd, "too many arguments: %s", cmd.UseLine())
		case len(rest) == 1 && strings.Contains(rest[0], "://"):
			return usage(cmd, "%s: a store is named with --library", rest[0])
		case len(rest) == 1:
			folder += "/" + rest[0]
		}
		if ch.in.mount != "" {
			client, err := ch.place.Client()
			if err != nil {
				return &exitError{exitUnavailable, err}
			}
			if err := p.drain(cmd.Context(), client, drainTimeout); err != nil {
				return err
			}
		}
		return p.export(cmd.Context(), ch, folder, string(output))
	}
	return cmd
}

func (p *program) export(ctx context.Context, ch *choice, folder, output string) error {
	var summary transfer.ExportSummary
	write := func(out io.Writer) error {
		return p.inspect(ctx, &ch.in, func(ctx context.Context, opt check.Options) (err error) {
			summary, err = transfer.Export(
				ctx, transfer.ExportOptions{Store: opt.Store, Folder: folder, Out: out, TempDir: opt.TempDir},
			)
			return err
		})
	}
	if output == "" || output == "-" {
		return write(p.stdout)
	}
	file, err := filepath.Abs(output)
	if err != nil {
		return err
	}
	sites, err := p.sites(&ch.in)
	if err != nil {
		return err
	}
	for _, own := range sites { // the export is of one commit: it may go into the mount
		if own.Path == ch.in.mount {
			continue
		}
		if err := daemon.Inside(
			"write the export",
			daemon.Site{What: "file", Path: file, Hint: "nothing but the library's own files belongs there"}, own,
		); err != nil {
			return err
		}
	}
	if err := replaceFile(output, write); err != nil {
		return err
	}
	p.errorf(
		"%s of which %s, and %d in the trash, as after commit %d\n", count(int(summary.Nodes), "node,", "nodes,"),
		count(int(summary.Media), "is a media", "are media"), summary.Trash, summary.Commit,
	)
	return nil
}

// replaceFile has write fill a file beside name, which takes the name when all is there.
func replaceFile(name string, write func(io.Writer) error) error {
	f, err := os.CreateTemp(filepath.Dir(name), "."+filepath.Base(name)+".*")
	if err != nil {
		return fmt.Errorf("write the export: %w", err)
	}
	err = write(f)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Rename(f.Name(), name)
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	return nil
}

// A choice is the library that a command is about, named by a folder of its mount or by its store.
type choice struct {
	in      inspection
	library word
	place   daemon.Place // with in.mount
	folder  string       // path in the library of the folder that was named; empty: the root
}

// flags defines those of an inspection and the one that names the store, and returns their names.
func (ch *choice) flags(f *pflag.FlagSet) []string {
	f.Var(
		flagValue{&ch.library, "STORE"}, "library",
		"URL of the store or name of a library in the configuration file, mounted or not",
	)
	return ch.in.flags(f)
}

// choose finds out which library is meant and returns the arguments that do not say so. Without any
// that does it is the library that mount takes without STORE.
func (p *program) choose(ch *choice, f *pflag.FlagSet, names, given []string) (rest []string, err error) {
	var named []string
	switch rest = given; {
	case ch.library != "":
		named = []string{string(ch.library)}
	case len(given) > 0 && !strings.Contains(given[0], "://"):
		place, _, findErr := p.find(given[0], true)
		if findErr == nil {
			named, rest, ch.place = given[:1], given[1:], place
		}
	}
	if err := p.inspected(&ch.in, f, names, named); err != nil {
		return nil, err
	}
	if ch.in.mount == "" {
		return rest, nil
	}
	pl, err := p.places()
	if err != nil {
		return nil, err
	}
	dir, err := path(named[0]).absolute(pl.home)
	if err != nil {
		return nil, err
	}
	if real, err := filepath.EvalSymlinks(dir); err == nil {
		dir = real
	}
	if ch.place.Dir == "" { // --library named a mount
		if ch.place, _, err = p.find(named[0], true); err != nil {
			return nil, err
		}
	}
	if rel, err := filepath.Rel(ch.place.Dir, dir); err == nil && rel != "." && !strings.HasPrefix(rel, "..") {
		ch.folder = "/" + rel
	}
	return rest, nil
}
