package main

import (
	"fmt"
	"io"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"
)

// build is what the binary knows of its own making.
type build struct {
	Version  string `json:"version"`
	Revision string `json:"revision,omitempty"`
	Modified bool   `json:"modified,omitempty"`
	Go       string `json:"go"`
	Platform string `json:"platform"`
	OPA      string `json:"opa"`
	Fosite   string `json:"fosite"`
}

func readBuild() build {
	b := build{Version: "(devel)", Go: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return b
	}
	if info.Main.Version != "" {
		b.Version = info.Main.Version
	}
	for _, setting := range info.Settings {
		switch setting.Key {
		case "vcs.revision":
			b.Revision = setting.Value
		case "vcs.modified":
			b.Modified = setting.Value == "true"
		}
	}
	for _, dep := range info.Deps {
		switch dep.Path {
		case "github.com/open-policy-agent/opa":
			b.OPA = dep.Version
		case "github.com/ory/fosite":
			b.Fosite = dep.Version
		}
	}
	return b
}

func (c *cli) versionCommand() *cobra.Command {
	var print func(any, func(io.Writer)) error
	cmd := c.command(cobra.Command{
		Use: "version", Short: "Print the version", Example: "  writ version --output json",
	}, func(*cobra.Command, []string) error {
		b := readBuild()
		return print(b, func(w io.Writer) {
			fmt.Fprintf(w, "writ %s\n%s\t%s\nopa\t%s\nfosite\t%s\n", b.Version, b.Go, b.Platform, b.OPA, b.Fosite)
			if b.Revision != "" {
				fmt.Fprintf(w, "revision\t%s\n", b.Revision)
			}
		})
	})
	print = c.outputFlag(cmd)
	return cmd
}
