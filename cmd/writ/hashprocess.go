package main

import (
	"errors"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/writ-authz/writ/identity"
)

// hashCommand is what a node starts itself with; nobody else has a use for it.
const hashCommand = "hash-passwords"

func (c *cli) hashPasswordsCommand() *cobra.Command {
	return c.command(cobra.Command{
		Use: hashCommand, Hidden: true, Short: "Compute slow hashes for the node that started this process",
	}, func(*cobra.Command, []string) error {
		// It ends when the node does or closes its input, also where a signal reaches both.
		signal.Ignore(os.Interrupt, syscall.SIGTERM)
		return identity.ServeHashes(c.stdin, c.stdout)
	})
}

// hashProcess is a process of this binary that hashes passwords. Closing it ends it.
type hashProcess struct {
	io.ReadCloser  // its standard output
	io.WriteCloser // its standard input
	command        *exec.Cmd
}

// startHashProcess gives the process nothing of the node's environment.
func startHashProcess() (io.ReadWriteCloser, error) {
	self := "/proc/self/exe" // also after the file was replaced by another version
	if runtime.GOOS != "linux" {
		var err error
		if self, err = os.Executable(); err != nil {
			return nil, err
		}
	}
	p := &hashProcess{command: exec.Command(self, hashCommand)}
	p.command.Args[0] = "writ"
	p.command.Env = []string{} // nil would be all of this one's
	var err error
	if p.WriteCloser, err = p.command.StdinPipe(); err != nil {
		return nil, err
	}
	if p.ReadCloser, err = p.command.StdoutPipe(); err != nil {
		return nil, errors.Join(err, p.WriteCloser.Close())
	}
	return p, p.command.Start()
}

func (p *hashProcess) Close() error {
	_ = p.WriteCloser.Close()
	_ = p.command.Process.Kill() // it has nothing to lose, and may be in the midst of a hash
	_ = p.ReadCloser.Close()     // it may write no more
	// It gives way in dying, too: on a machine that has other things to do that takes it many seconds, for which nobody is to wait.
	go func() { _ = p.command.Wait() }()
	return nil
}
