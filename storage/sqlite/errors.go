package sqlite

import (
	"context"
	"fmt"

	"github.com/writ-authz/writ/storage"
)

var errClosed = fmt.Errorf("the store is closed: %w", storage.ErrUnavailable)

// unavailable maps an error of the engine. Whatever it is (busy, full, unreadable, closed), the store cannot tell now: an
// expected refusal, such as a taken unique value, is found by reading before writing and never arrives as an engine error.
func unavailable(err error) error { return fmt.Errorf("sqlite: %w: %w", storage.ErrUnavailable, err) }

// ended is the error of a call whose context is done.
func ended(ctx context.Context) error { return fmt.Errorf("%w: %w", storage.ErrUnavailable, ctx.Err()) }
