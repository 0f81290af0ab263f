package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"strconv"
	"time"

	"github.com/writ-authz/writ/identity"
)

const (
	anchorLog = "log"
	anchorOff = "off"
	// longestLine bounds a line of an anchor or an export.
	longestLine = 1 << 20
	// anchorKey is the member of a log line that holds a checkpoint.
	anchorKey = "audit_checkpoint"
)

// openAnchor opens where checkpoints of the audit go beside the store; off is nil.
func (n *node) openAnchor() (identity.Anchor, error) {
	switch n.config.AuditAnchor {
	case anchorOff:
		return nil, nil
	case anchorLog:
		return logAnchor{handler: n.logger.Handler(), now: n.now}, nil
	}
	anchor, err := openAnchorFile(n.config.AuditAnchor)
	if err != nil {
		return nil, fmt.Errorf("audit_anchor: %w", err)
	}
	n.closers = append(n.closers, closer{"audit anchor", func(context.Context) error { return anchor.file.Close() }})
	return anchor, nil
}

// openAnchorFile opens a file that is only appended to, making it with mode 0600. One that others can write is no anchor.
func openAnchorFile(path string) (*fileAnchor, error) {
	file, torn, err := openLines(path)
	if err != nil {
		return nil, fmt.Errorf("%w; name a file that this user can write", plain(err))
	}
	info, err := file.Stat()
	switch {
	case err != nil:
	case !info.Mode().IsRegular():
		err = fmt.Errorf("%s is no regular file", path)
	case info.Mode().Perm()&0o077 != 0:
		err = fmt.Errorf("%s has mode %04o, so others can reach it; run: chmod 600 %s", path, info.Mode().Perm(), path)
	}
	if err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return &fileAnchor{file: file, torn: torn}, nil
}

// openLines opens a file that lines are appended to, making it with mode 0600. torn says that the last line in it has no end, since
// whoever wrote it was killed or found the disk full: what is written next is to begin with one.
func openLines(path string) (file *os.File, torn bool, err error) {
	if file, err = os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600); err != nil {
		return nil, false, err
	}
	info, err := file.Stat()
	if err != nil || !info.Mode().IsRegular() || info.Size() == 0 {
		return file, false, nil // a pipe or a device has no line before
	}
	// Where it cannot be read, one more end of a line does no harm.
	read, err := os.Open(path)
	if err != nil {
		return file, true, nil
	}
	defer read.Close()
	last := make([]byte, 1)
	_, err = read.ReadAt(last, info.Size()-1)
	return file, err != nil || last[0] != '\n', nil
}

// fileAnchor appends lines to a file. It is used by one at a time.
type fileAnchor struct {
	file *os.File
	torn bool // the last line may not be whole
}

// Write implements identity.Anchor. The line is one write, so that those of several processes do not mix.
func (a *fileAnchor) Write(_ context.Context, line []byte) error {
	line = append(slices.Clone(line), '\n')
	if a.torn { // nothing may be glued to what was left of the line before
		line = slices.Insert(line, 0, '\n')
	}
	_, err := a.file.Write(line)
	if a.torn = err != nil; a.torn {
		return err
	}
	return a.file.Sync()
}

// logAnchor puts lines into the log stream, whatever the level is: they are no message that somebody may not want.
type logAnchor struct {
	handler slog.Handler
	now     func() time.Time
}

// Write implements identity.Anchor.
func (a logAnchor) Write(ctx context.Context, line []byte) error {
	record := slog.NewRecord(a.now(), slog.LevelInfo, "audit checkpoint", 0)
	record.AddAttrs(slog.Any(anchorKey, json.RawMessage(line)))
	return a.handler.Handle(ctx, record)
}

// readAnchor reads the checkpoints of an anchor file, or of a log with other lines between, and counts the lines that are neither: a
// checkpoint may have been there.
func readAnchor(path string) (all []identity.Checkpoint, unread int, err error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, 0, fmt.Errorf("--anchor: %w", plain(err))
	}
	defer file.Close()
	lines := bufio.NewScanner(file)
	lines.Buffer(nil, longestLine)
	for lines.Scan() {
		if c := anchoredIn(lines.Bytes()); c != nil {
			all = append(all, *c)
		} else if !logged(lines.Bytes()) {
			unread++
		}
	}
	if err := lines.Err(); err != nil {
		return nil, 0, fmt.Errorf("--anchor: %s: %w", path, err)
	}
	if len(all) == 0 {
		return nil, 0, fmt.Errorf("--anchor: %s has no checkpoint (%d lines are no lines of a log either)", path, unread)
	}
	return all, unread, nil
}

// logged says that a line is empty or a whole line of the log, in either form, that is about something else.
func logged(line []byte) bool {
	line = bytes.TrimSpace(line)
	if len(line) == 0 {
		return true
	}
	if bytes.Contains(line, []byte(" "+anchorKey+"=")) || bytes.Contains(line, []byte(`"`+anchorKey+`":`)) {
		return false
	}
	var event struct{ Level, Msg *string }
	if json.Unmarshal(line, &event) == nil {
		return event.Level != nil && event.Msg != nil
	}
	return bytes.Contains(line, []byte("level=")) && bytes.Contains(line, []byte(" msg="))
}

// anchoredIn finds the checkpoint in a line: the line itself, or a member of a line of the log in either form.
func anchoredIn(line []byte) *identity.Checkpoint {
	if _, text, ok := bytes.Cut(line, []byte(" "+anchorKey+"=")); ok {
		if prefix, err := strconv.QuotedPrefix(string(text)); err == nil {
			unquoted, _ := strconv.Unquote(prefix) // what QuotedPrefix returns can be unquoted
			line = []byte(unquoted)
		}
	}
	var found struct {
		identity.Checkpoint
		Logged *identity.Checkpoint `json:"audit_checkpoint"`
	}
	switch err := json.Unmarshal(line, &found); {
	case err != nil:
		return nil
	case found.Logged != nil:
		return found.Logged
	case found.Chain == "" || found.Signature == nil:
		return nil
	}
	return &found.Checkpoint
}
