// Command mediafs mounts a media library, kept in an S3 bucket or in a local directory, as a local
// drive.
//
// It is wiring: flags, the environment and the configuration file become options of fs/daemon, and
// what the daemon says becomes lines, exit codes and progress bars. One file a subcommand. The
// whole program runs in process through Main. Here, and nowhere else, the log is configured.
package main

import (
	"context"
	"errors"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"
)

func main() {
	os.Exit(Main(context.Background(), os.Args, os.Getenv, os.Stdin, os.Stdout, os.Stderr))
}

// A program is one run of mediafs: what it would otherwise take from the process.
type program struct {
	env    func(string) string
	stdin  io.Reader
	stdout io.Writer
	stderr io.Writer

	args []string // with the program's name
	as   role
}

// Main runs mediafs with args, of which the first is the program's name, and returns its exit code.
func Main(ctx context.Context, args []string, env func(string) string, stdin io.Reader, stdout, stderr io.Writer) int {
	as, rest := commandArgs(args)
	p := &program{env: env, stdin: stdin, stdout: stdout, stderr: stderr, args: args, as: as}
	root := p.root()
	root.SetArgs(rest)
	root.SetIn(stdin)
	root.SetOut(stdout)
	root.SetErr(stderr)
	err := root.ExecuteContext(ctx)
	var said *saidError
	if err != nil && !errors.As(err, &said) {
		p.complain(err)
	}
	return exitCode(err)
}

func (p *program) root() *cobra.Command {
	root := &cobra.Command{
		Use:   "mediafs",
		Short: "Mount a media library kept in an S3 bucket or a local directory",
		Long: "mediafs mounts a media library, kept in an S3 bucket or in a local directory, as a local drive.\n\n" +
			"Exit codes:\n" + exitTable(),
		SilenceErrors: true,
		SilenceUsage:  true,
		Args:          noCommand,
		RunE:          func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	root.CompletionOptions.HiddenDefaultCmd = true
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return usage(cmd, "%s", err)
	})
	root.AddGroup(
		&cobra.Group{ID: drive, Title: "Libraries as drives:"},
		&cobra.Group{ID: aboutMedia, Title: "What the media are:"},
	)
	group(
		root, drive, p.mountCommand(), p.umountCommand(), p.statusCommand(), p.flushCommand(), p.checkCommand(),
		p.gcCommand(), p.importCommand(), p.exportCommand(),
	)
	group(
		root, aboutMedia, p.infoCommand(), p.restoreArchivedCommand(), p.findCommand(), p.tagCommand(), p.rateCommand(),
		p.favoriteCommand(), p.voteCommand(), p.commentCommand(), p.hideCommand(), p.moderateCommand(), p.setCommand(),
		p.trashCommand(), p.versionsCommand(), p.uploadsCommand(), p.settingCommand(),
	)
	root.AddCommand(p.versionCommand(), p.factsWorkerCommand())
	return root
}

// The groups of commands in the help.
const (
	drive      = "drive"
	aboutMedia = "media"
)

func group(root *cobra.Command, id string, commands ...*cobra.Command) {
	for _, c := range commands {
		c.GroupID = id
		root.AddCommand(c)
	}
}

// complain prints err as one line, whatever is in it.
func (p *program) complain(err error) {
	p.errorf("mediafs: %s\n", printable(strings.ReplaceAll(err.Error(), "\n", "; ")))
}
