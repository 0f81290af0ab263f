package main

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

const healthcheckLimit = 3 * time.Second

func (c *cli) healthcheckCommand() *cobra.Command {
	var read func() sources
	var url *string
	cmd := c.command(cobra.Command{
		Use: "healthcheck", Short: "Exit with 0 if the server on this machine is ready",
		Long:    "Ask /readyz on the admin listener that the configuration names. For container images without a shell.",
		Example: "  writ healthcheck\n  writ healthcheck --url http://127.0.0.1:8081/readyz",
	}, func(cmd *cobra.Command, _ []string) error {
		target := *url
		if target == "" {
			// A half-configured environment must not hide a healthy server: only the address matters here.
			config, _, err := loadConfig(read())
			if config == nil {
				return err
			}
			target = readyURL(config)
		}
		return askReady(cmd.Context(), target)
	})
	url = cmd.Flags().String("url", "", "ask this address instead of the configured one")
	read = c.configFlags(cmd)
	return cmd
}

// readyURL is where the configured admin listener is reached from the same machine.
func readyURL(config *Config) string {
	host, port, _ := net.SplitHostPort(config.AdminListen)
	switch host {
	case "", "0.0.0.0":
		host = "127.0.0.1"
	case "::":
		host = "::1"
	}
	scheme := "http"
	if config.AdminTLSCertFile != "" || config.merged() && config.TLSCertFile != "" {
		scheme = "https"
	}
	return scheme + "://" + net.JoinHostPort(host, port) + "/readyz"
}

func askReady(ctx context.Context, url string) error {
	ctx, cancel := context.WithTimeout(ctx, healthcheckLimit)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		return usage("--url: %s", err)
	}
	// The certificate names the public host, not the loopback address that is asked; nothing secret is sent or believed.
	transport := &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, Proxy: nil} //nolint:gosec // see above
	defer transport.CloseIdleConnections()
	reply, err := (&http.Client{Transport: transport}).Do(request)
	if err != nil {
		return fmt.Errorf("not ready: %w", err)
	}
	defer reply.Body.Close()
	body, err := io.ReadAll(io.LimitReader(reply.Body, 4<<10))
	if err != nil {
		return fmt.Errorf("not ready: %w", err)
	}
	if reply.StatusCode != http.StatusOK {
		return fmt.Errorf("not ready: %s answers %s: %s", url, reply.Status, strings.TrimSpace(string(body)))
	}
	return nil
}
