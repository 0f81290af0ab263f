package policies_test

import (
	"testing"

	"github.com/writ-authz/writ/policies"
)

// TestWhatIsSaidToBeUnreadChangesNothing masks the values of every golden decision, one at a time: where no rule is said to read one, the
// answer and its reasons are the same whatever stands there.
func TestWhatIsSaidToBeUnreadChangesNothing(t *testing.T) {
	const every = 31 // of all there are, so that it takes seconds
	read, unread, wrong, err := policies.MaskedLeaves(t.Context(), open(t, policies.Config{}), goldens, func(n int) bool { return n%every == 0 })
	if err != nil {
		t.Fatal(err)
	}
	for _, w := range wrong {
		t.Error(w)
	}
	t.Logf("of every %dth value of the golden decisions, %d are read and %d are not", every, read, unread)
	if read == 0 || unread < read/2 {
		t.Errorf("%d read, %d not: a rule reads only a part of its input", read, unread)
	}
}
