package identity

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/writ-authz/writ/storage"
)

// forgetBatch is how many sealed copies one transaction removes.
const forgetBatch = 100

// ForgetSealed removes every sealed copy of a secret, in audited batches, and returns how many there were. What it does is for good:
// the verifiers stay, and no setting brings the values back. It may be cut off and run again.
func (r *Room) ForgetSealed(ctx context.Context) (int, error) {
	removed := 0
	for {
		page, err := storage.List[storage.SealedSecret](ctx, r.store, storage.Query{Limit: forgetBatch})
		if err != nil {
			return removed, fmt.Errorf("list the sealed secrets: %w", err)
		}
		if len(page) == 0 {
			return removed, nil
		}
		if err := r.forgetSealed(ctx, page); err != nil {
			return removed, fmt.Errorf("remove the sealed secrets: %w", err)
		}
		removed += len(page)
		r.config.Logger.InfoContext(ctx, "sealed secrets were removed", "removed", removed)
	}
}

// forgetSealed is one batch: the copies, and in the records of their applications that there are some.
func (r *Room) forgetSealed(ctx context.Context, page []*storage.SealedSecret) error {
	var ids, applications []string
	for _, sealed := range page {
		ids = append(ids, sealed.ID)
		application, _, _ := strings.Cut(sealed.ID, "/")
		if !slices.Contains(applications, application) {
			applications = append(applications, application)
		}
	}
	target := "applications/" + strings.Join(applications, ",")
	return r.atStart(ctx, "secrets:forget", target, func() (func(context.Context, storage.Tx) error, error) {
		return func(ctx context.Context, tx storage.Tx) error {
			for _, id := range applications {
				if err := unmarkSealed(ctx, tx, id, ids); err != nil {
					return err
				}
			}
			for _, id := range ids {
				sealed, err := storage.Get[storage.SealedSecret](ctx, tx, id)
				if errors.Is(err, storage.ErrNotFound) {
					continue // another node was faster
				}
				if err != nil {
					return err
				}
				if err := tx.Delete(ctx, storage.SealedSecretKind, id, sealed.Version); err != nil {
					return err
				}
			}
			return nil
		}, nil
	})
}

// unmarkSealed says in the record of an application that these secrets have no copy.
func unmarkSealed(ctx context.Context, tx storage.Tx, application string, ids []string) error {
	a, err := storage.Get[storage.Application](ctx, tx, application)
	if errors.Is(err, storage.ErrNotFound) {
		return nil // the copies were left over
	}
	if err != nil {
		return err
	}
	changed := false
	for i, s := range a.Secrets {
		if s.Sealed && slices.Contains(ids, application+"/"+s.ID) {
			a.Secrets[i].Sealed, changed = false, true
		}
	}
	if !changed {
		return nil
	}
	return tx.Update(ctx, a)
}
