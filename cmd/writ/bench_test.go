package main_test

import (
	"bytes"
	"context"
	"strings"
	"testing"

	writ "github.com/writ-authz/writ/cmd/writ"
)

// marked tells once when the text that it waits for was written.
type marked struct {
	text string
	buf  bytes.Buffer
	seen chan struct{}
}

func (m *marked) Write(p []byte) (int, error) {
	before := strings.Contains(m.buf.String(), m.text)
	m.buf.Write(p)
	if !before && strings.Contains(m.buf.String(), m.text) {
		close(m.seen)
	}
	return len(p), nil
}

// BenchmarkDevStartToReady is row PF-03: from the start of `writ dev` in a fresh directory, keys and demo data made, to the first
// request that can be answered. The end is outside the measure.
func BenchmarkDevStartToReady(b *testing.B) {
	for b.Loop() {
		ctx, stop := context.WithCancel(b.Context())
		banner := &marked{text: "Stop with", seen: make(chan struct{})}
		var log output
		exited := make(chan int, 1)
		go func() {
			args := []string{"dev", "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"}
			exited <- writ.Run(ctx, args, nil, strings.NewReader(""), banner, &log)
		}()
		select {
		case <-banner.seen:
		case code := <-exited:
			b.Fatalf("exit code %d:\n%s", code, log.String())
		}
		b.StopTimer()
		stop()
		<-exited
		b.StartTimer()
	}
}
