package main

import (
	"github.com/spf13/cobra"

	"mediafs/fs/facts"
)

// factsWorkerCommand is the child in which the daemon reads the facts of a media: nobody else runs
// it.
func (p *program) factsWorkerCommand() *cobra.Command {
	return &cobra.Command{
		Use:    "facts-worker",
		Short:  "Read the facts of media for a mounted library",
		Hidden: true,
		Args:   args(0, 0),
		RunE: func(*cobra.Command, []string) error {
			facts.CloseInherited()
			return facts.ServeWorker(p.stdin, p.stdout)
		},
	}
}
