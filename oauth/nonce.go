package oauth

import (
	"context"
	"fmt"
	"net/url"
	"strconv"
	"time"

	"github.com/writ-authz/writ/policies/enforce"
)

const (
	// maxNonce is the last second of the year 9999.
	maxNonce = 253402300799
	// nonceKept is how long after its own time a nonce is remembered: the widest window that writ/token accepts, and what clocks
	// differ by.
	nonceKept = 24*time.Hour + skew + usedMargin
)

// readNonce reads the form field timestamp_nonce: Unix seconds as one writes them, or nothing.
func readNonce(form url.Values) (*int64, error) {
	text := form.Get("timestamp_nonce")
	if text == "" {
		return nil, nil
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n < 0 || n > maxNonce || strconv.FormatInt(n, 10) != text {
		return nil, refusalOf(codeInvalidRequest, "The parameter timestamp_nonce is not a number of seconds.")
	}
	return &n, nil
}

// spendNonce sees to it that a nonce of an application is taken once, on any node: the insert is the check. It comes before
// anything else is written and before anything is signed.
func (i *issue) spendNonce(ctx context.Context) error {
	if i.nonce == nil {
		return nil
	}
	text := strconv.FormatInt(*i.nonce, 10)
	what := i.client.app.ID + "\x00\x00nonce\x00" + text // no jti of another application comes out the same
	first, err := i.server.spend(ctx, i.request, what, time.Unix(*i.nonce, 0).Add(nonceKept))
	switch {
	case err != nil:
		return fmt.Errorf("use up a nonce: %w", err)
	case !first:
		return replayed()
	}
	return nil
}

// replayed is the reply to a nonce out of its window, used before, or missing where one is demanded.
func replayed() *enforce.ProtocolError {
	return refusalOf(codeInvalidRequest, "The parameter timestamp_nonce is missing, out of its window or was used before (replayed).")
}
